//! The policy file as a hand reads it: for itself, at every step, and strictly.

use model::message::Message;
use model::policy::{self, Policy, PolicyFault};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More than any policy needs.
const MAX_BYTES: u64 = 1024 * 1024;

/// The policy in force. No file means the defaults; one that is wrong, or that others than root could have written, allows
/// nothing: a hand has no earlier policy to keep to. Blocking.
#[must_use]
pub fn read(file: &Path) -> Policy {
    match look(file) {
        Ok(policy) => policy,
        Err(fault) => {
            tracing::error!(message_id = Message::PolicyUnusable.id(), file = %file.display(), "the policy cannot be used, and nothing is allowed until it can: {fault}");
            Policy::strictest()
        }
    }
}

/// Reads the file. No file means the defaults. Blocking.
///
/// # Errors
/// It cannot be read, others than root could have written it, or it is no policy.
pub fn look(file: &Path) -> Result<Policy, PolicyFault> {
    let name = || file.display().to_string();
    let unfit = |said: String| PolicyFault::Unreadable { file: name(), said };
    let unreadable = |error: std::io::Error| PolicyFault::File { file: name(), said: error.to_string() };
    let status = match std::fs::metadata(file) {
        Ok(status) => status,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Policy::default()),
        Err(error) => return Err(unreadable(error)),
    };
    if !status.is_file() || status.len() > MAX_BYTES {
        return Err(unfit("it is no plain file of a sensible size".to_owned()));
    }
    let ours = nix::unistd::geteuid().as_raw();
    if (status.uid() != 0 && status.uid() != ours) || status.mode() & 0o022 != 0 {
        return Err(unfit(format!(
            "others than root may write it (owner {}, mode {:o}): chown root {path}; chmod 0644 {path}",
            status.uid(),
            status.mode() & 0o7777,
            path = file.display()
        )));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
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
        assert_eq!(read(Path::new("/dev/null")), Policy::strictest());
    }
}
