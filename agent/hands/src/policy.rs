//! The policy file as a hand reads it: for itself, at every step, and strictly.

use files::ReadError;
use model::message::Message;
use model::policy::{self, Policy, PolicyError};
use std::path::{Path, PathBuf};

/// More than any policy needs.
const MAX_BYTES: usize = 1024 * 1024;

/// The policy in force. No file means the defaults; one that is wrong, or that others than root could have written, allows
/// nothing: a hand has no earlier policy to keep to. Blocking.
#[must_use]
pub fn read(file: &Path) -> Policy {
    match look(file) {
        Ok(policy) => policy,
        Err(fault) => {
            tracing::error!(
                message_id = Message::PolicyUnusable.id(),
                "the policy cannot be used, and no change is allowed until it can: {}",
                fault.to_string().replace('\n', "; ")
            );
            Policy::strictest()
        }
    }
}

/// As [`read`], from an asynchronous task.
pub async fn read_in_background(file: PathBuf) -> Policy {
    tokio::task::spawn_blocking(move || read(&file)).await.unwrap_or_else(|_| Policy::strictest())
}

/// Reads the file. No file means the defaults. Blocking, but for no longer than [`files::USUAL_TIME`].
///
/// # Errors
/// It cannot be read, others than root could have written it, or it is no policy.
pub fn look(file: &Path) -> Result<Policy, PolicyError> {
    let path = file.to_owned();
    match files::in_time(file, files::USUAL_TIME, move || Ok(look_now(&path))) {
        Ok(looked) => looked,
        Err(fault) => Err(PolicyError::File(fault.to_string())),
    }
}

fn look_now(file: &Path) -> Result<Policy, PolicyError> {
    let name = || file.display().to_string();
    let unreadable = |fault: ReadError| PolicyError::File(fault.to_string());
    let plain = match files::open(file) {
        Ok(plain) => plain,
        Err(ReadError::Missing { .. }) => return Ok(Policy::default()),
        Err(fault) => return Err(unreadable(fault)),
    };
    let ours = nix::unistd::geteuid().as_raw();
    if (plain.uid != 0 && plain.uid != ours) || plain.mode & 0o022 != 0 {
        let said = format!(
            "users other than root can write it (owner {}, mode {:o}): chown root {path}; chmod 0644 {path}",
            plain.uid,
            plain.mode,
            path = file.display()
        );
        return Err(PolicyError::Unfit { file: name(), said });
    }
    let text = plain.read_text(file, MAX_BYTES).map_err(unreadable)?;
    policy::read(&name(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with(text: &str, mode: u32) -> Policy {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&file)
    }

    #[test]
    fn no_file_means_the_defaults() {
        assert_eq!(read(Path::new("/nonexistent/policy.toml")), Policy::default());
    }

    #[test]
    fn a_right_file_is_in_force() {
        assert!(!with("[host.passthrough]\nallowed = false\n", 0o644).host.passthrough.allowed);
        assert!(with("", 0o644).host.passthrough.allowed);
    }

    #[test]
    fn a_wrong_or_a_writable_one_allows_nothing() {
        assert_eq!(with("[host.passthrough]\nalowed = true\n", 0o644), Policy::strictest());
        assert_eq!(with("", 0o666), Policy::strictest());
        assert_eq!(read(Path::new("/dev/null")), Policy::strictest(), "everybody can write it");
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("policy.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&pipe), Policy::strictest());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        assert_eq!(read(&link), Policy::strictest(), "a link to nothing is no missing file");
    }
}
