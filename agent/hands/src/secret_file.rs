//! A file with secrets that an administrator has put there for this hand: its own, and readable by no other user.

use files::ReadError;
use nix::unistd::geteuid;
use std::path::{Path, PathBuf};

/// More than any such file has.
const MAX_BYTES: usize = 256 * 1024;
/// Where systemd puts what `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The file that is read: what systemd has handed over under this name, else the one at this path.
#[must_use]
pub fn place(name: &str, otherwise: &Path) -> PathBuf {
    let handed = std::env::var_os(CREDENTIALS).map(|folder| Path::new(&folder).join(name));
    handed.filter(|path| path.is_file()).unwrap_or_else(|| otherwise.to_owned())
}

/// Reads it; none where there is none. Blocking, but for no longer than [`files::USUAL_TIME`].
///
/// # Errors
/// What is wrong with it, with the command that fixes it; nothing of its content.
pub fn read(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let path = file.to_owned();
    match files::in_time(file, files::USUAL_TIME, move || Ok(read_now(&path))) {
        Ok(read) => read,
        Err(fault) => Err(fault.to_string()),
    }
}

fn read_now(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let ours = geteuid().as_raw();
    let path = file.display();
    let cure = format!("chown {ours} {path} && chmod 0600 {path}");
    let plain = match files::open(file) {
        Ok(plain) => plain,
        Err(ReadError::Missing { .. }) => return Ok(None),
        Err(fault) => return Err(format!("{fault}; {cure}")),
    };
    if plain.uid != ours && plain.uid != 0 {
        return Err(format!("it belongs to the user {}, who can change it: {cure}", plain.uid));
    }
    // What systemd hands over is 0400, or 0440 with an access list for this user alone.
    let is_handed = std::env::var_os(CREDENTIALS).is_some_and(|folder| file.starts_with(folder));
    if plain.mode & 0o077 != 0 && !is_handed {
        return Err(format!("users other than its owner can use it (mode {:04o}): {cure}", plain.mode));
    }
    plain.read(file, MAX_BYTES).map(Some).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_a_file_that_no_other_user_can_use_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("registries.json");
        assert_eq!(read(&file), Ok(None));
        std::fs::write(&file, "canary").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o777] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let fault = read(&file).unwrap_err();
            assert!(fault.contains(&format!("mode {mode:04o}")) && fault.contains("chmod 0600"), "{fault}");
            assert!(!fault.contains("canary"), "{fault}");
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&file), Ok(Some(b"canary".to_vec())));
        }
        std::fs::write(&file, vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(read(&file).is_err());
        let link = folder.path().join("link");
        symlink("nothing", &link).unwrap();
        assert!(read(&link).is_err(), "a link to nothing is not a missing file");
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
