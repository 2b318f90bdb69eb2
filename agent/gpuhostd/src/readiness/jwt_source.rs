//! Where the token of the readiness call comes from: a file, or a systemd credential; read at the moment of each call.

use host::front::read_bounded;
use model::enrol::Secret;
use model::settings::ReadinessSettings;
use secrecy::zeroize::Zeroizing;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No token is longer.
const MAX_BYTES: usize = 16 * 1024;
/// The name of the systemd credential.
const CREDENTIAL: &str = "gpuhostd.readiness-jwt";
/// What every user of the host may do with a file.
const OTHERS: u32 = 0o007;

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JwtSource {
    path: PathBuf,
}

impl JwtSource {
    /// Where the settings have it, or where systemd has put it: credentials stay as they are while the unit runs.
    ///
    /// # Errors
    /// No readiness call is configured; where half of it is, the missing half.
    pub(super) async fn find(
        settings: ReadinessSettings,
        credentials: Option<PathBuf>,
    ) -> Result<Self, Option<String>> {
        let finding = tokio::task::spawn_blocking(move || Self::of(&settings, credentials.as_deref())).await;
        finding.unwrap_or_else(|_| Err(Some("looking for the token was interrupted".to_owned())))
    }

    /// The same at once, which may wait for the disk.
    ///
    /// # Errors
    /// No readiness call is configured; where half of it is, the missing half.
    fn of(settings: &ReadinessSettings, credentials: Option<&Path>) -> Result<Self, Option<String>> {
        let own = settings.jwt_file.as_ref().map(PathBuf::from);
        let of_systemd = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
        match (&settings.upstream, own.or(of_systemd)) {
            (Some(_), Some(path)) => Ok(Self { path }),
            (Some(_), None) => Err(Some(format!(
                "readiness.upstream is set, and there is no token: set readiness.jwt_file, or give the unit the credential \
                 {CREDENTIAL}"
            ))),
            (None, Some(_)) if settings.jwt_file.is_some() => {
                Err(Some("readiness.jwt_file is set, and readiness.upstream is not".to_owned()))
            }
            (None, Some(_) | None) => Err(None),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// There is no token in it, or others could read it too: the path, what is wrong, and what to do. No content.
    pub(super) async fn read(&self) -> Result<Secret, String> {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || read_now(&path)).await;
        let read = reading.unwrap_or_else(|_| Err("reading was interrupted".to_owned()));
        let path = self.path.display();
        read.map_err(|why| {
            format!(
                "the token of the readiness call in {path} cannot be used: {why}; put the token into it and run `chown \
                 root:gpuhostd {path} && chmod 0640 {path}`"
            )
        })
    }
}

fn read_now(path: &Path) -> Result<Secret, String> {
    // systemd's credentials and Kubernetes' secrets are links to what is current.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let bytes = Zeroizing::new(read_bounded(&real, MAX_BYTES).map_err(|fault| fault.to_string())?);
    let mode = std::fs::metadata(&real).map_err(|fault| fault.to_string())?.mode();
    if mode & OTHERS != 0 {
        return Err(format!("its mode is {:04o}, so that every user of this host can use it", mode & 0o7777));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    let token = Secret::new(text);
    match (token.is_empty(), token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
        (true, _) => Err("it is empty".to_owned()),
        (false, false) => Err("it has more than one line of printable ASCII".to_owned()),
        (false, true) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn settings(upstream: Option<&str>, jwt_file: Option<&Path>) -> ReadinessSettings {
        ReadinessSettings {
            upstream: upstream.map(str::to_owned),
            jwt_file: jwt_file.map(|path| path.display().to_string()),
            ..ReadinessSettings::default()
        }
    }

    #[test]
    fn without_an_upstream_or_a_token_it_is_off_and_a_missing_half_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let of = |settings: &ReadinessSettings, folder| JwtSource::of(settings, folder);
        assert_eq!(of(&settings(None, None), None), Err(None));
        let why = of(&settings(Some("https://u"), None), Some(folder.path())).unwrap_err().unwrap();
        assert!(why.contains("jwt_file") && why.contains(CREDENTIAL), "{why}");
        let file = folder.path().join("jwt");
        assert!(of(&settings(None, Some(&file)), None).unwrap_err().unwrap().contains("upstream is not"));
        assert!(of(&settings(Some("https://u"), Some(&file)), None).is_ok());
        std::fs::write(folder.path().join(CREDENTIAL), "t").unwrap();
        assert!(of(&settings(Some("https://u"), None), Some(folder.path())).is_ok());
    }

    #[tokio::test]
    async fn it_is_found_beside_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let find = || JwtSource::find(settings(Some("https://u"), None), Some(folder.path().to_owned()));
        assert!(find().await.unwrap_err().unwrap().contains(CREDENTIAL));
        let path = folder.path().join(CREDENTIAL);
        std::fs::write(&path, "t").unwrap();
        assert_eq!(find().await, Ok(JwtSource { path }));
    }

    #[tokio::test]
    async fn it_is_read_when_it_is_needed_and_never_from_a_file_that_others_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwt");
        let source = JwtSource { path: path.clone() };
        assert!(source.read().await.unwrap_err().contains("does not exist"));
        std::fs::write(&path, "a.canary.c\n").unwrap();
        for (mode, fits) in [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = source.read().await;
            assert_eq!(read.is_ok(), fits, "{mode:o}");
            let said = read.err().unwrap_or_default();
            assert!(fits || (said.contains("chmod 0640") && !said.contains("canary")), "{said}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "another\n").unwrap();
        assert_eq!(source.read().await.unwrap().expose(), "another");
        for bad in ["", "two\nlines", "a b"] {
            std::fs::write(&path, bad).unwrap();
            assert!(source.read().await.is_err(), "{bad:?}");
        }
    }
}
