//! Tokens that systemd hands to the service (`$CREDENTIALS_DIRECTORY`, systemd.exec(5)): used if the configuration names no token file.

use model::settings::Settings;
use std::path::{Path, PathBuf};

/// Where systemd puts them.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The one-use enrolment token.
const ENROLMENT: &str = "gpuhostd.enrolment-token";
/// The shared token.
const SHARED: &str = "gpuhostd.shared-token";

/// The directory of this process.
pub(super) fn of_this_process() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The settings with a token of that directory, if they name none. Blocking: it is in memory.
#[must_use]
pub(super) fn with_credentials(mut settings: Settings, directory: Option<&Path>) -> Settings {
    let manager = &mut settings.manager;
    let names_one = manager.enrolment_token_file.is_some() || manager.shared_token_file.is_some();
    let Some(directory) = directory.filter(|_| !names_one) else { return settings };
    let given = |name: &str| {
        let path = directory.join(name);
        path.is_file().then(|| path.to_string_lossy().into_owned())
    };
    // A credential of the host's own is worth more than one that all hosts share.
    manager.enrolment_token_file = given(ENROLMENT);
    if manager.enrolment_token_file.is_none() {
        manager.shared_token_file = given(SHARED);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_names_counts_first_and_a_hosts_own_before_a_shared_one() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = |settings: Settings| (settings.manager.enrolment_token_file, settings.manager.shared_token_file);
        let read = || tokens(with_credentials(Settings::default(), Some(folder.path())));
        assert_eq!(read(), (None, None));
        let path = |name: &str| folder.path().join(name).to_str().map(str::to_owned);
        std::fs::write(folder.path().join(SHARED), "s").unwrap();
        assert_eq!(read(), (None, path(SHARED)));
        std::fs::write(folder.path().join(ENROLMENT), "e").unwrap();
        assert_eq!(read(), (path(ENROLMENT), None));
        let mut named = Settings::default();
        named.manager.shared_token_file = Some("/etc/token".to_owned());
        let kept = tokens(with_credentials(named, Some(folder.path())));
        assert_eq!(kept, (None, Some("/etc/token".to_owned())));
        assert_eq!(tokens(with_credentials(Settings::default(), None)), (None, None));
    }
}
