//! Whether the service may read or write a file, as far as somebody else can tell: its own process by trying, root by the owner and
//! the permissions of everything on the way.

use super::unfit::Unfit;
use files::ReadError;
use nix::unistd::{AccessFlags, Gid, Uid, User, access, geteuid, getgrouplist};
use std::ffi::CString;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The user of the service.
const USER: &str = "gpuhostd";
/// Where a package puts the unit.
const UNITS: [&str; 2] = ["/usr/lib/systemd/system/gpuhostd.service", "/lib/systemd/system/gpuhostd.service"];
/// Folders that the unit hides from the service, and the line of the unit that does it.
const HIDDEN: [(&str, &str); 5] = [
    ("/home", "ProtectHome=yes"),
    ("/root", "ProtectHome=yes"),
    ("/run/user", "ProtectHome=yes"),
    ("/tmp", "PrivateTmp=yes"),
    ("/var/tmp", "PrivateTmp=yes"),
];

/// With whose eyes files are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Eyes {
    /// The service's user, where this is root; else what this process may is what counts.
    service: Option<Rights>,
    /// This process may look at less than the service, or at more: what it cannot see reports nothing.
    foreign: bool,
    /// The service has the sandbox of its unit, and this process has not.
    hides: bool,
}

/// A user with groups.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rights {
    uid: u32,
    gids: Vec<u32>,
}

/// What is somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A plain file.
    Plain,
    /// A socket.
    Socket,
    /// A directory.
    Folder,
    /// Something else, in words.
    Other(&'static str),
}

impl Found {
    fn of(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        if kind.is_file() {
            Self::Plain
        } else if kind.is_socket() {
            Self::Socket
        } else if kind.is_dir() {
            Self::Folder
        } else if kind.is_fifo() {
            Self::Other("a named pipe")
        } else if kind.is_symlink() {
            Self::Other("a link")
        } else {
            Self::Other("a device")
        }
    }

    /// It is a regular file.
    pub(super) const fn is_plain(self) -> bool {
        matches!(self, Self::Plain)
    }

    /// It is a socket.
    pub(super) const fn is_socket(self) -> bool {
        matches!(self, Self::Socket)
    }

    /// It is a directory.
    pub(super) const fn is_folder(self) -> bool {
        matches!(self, Self::Folder)
    }

    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Plain => "a regular file",
            Self::Socket => "a socket",
            Self::Folder => "a directory",
            Self::Other(words) => words,
        }
    }
}

impl Eyes {
    /// Those of this process, or of the service where this is root and there is such a user. `usual` where the service is the one
    /// that the package installs.
    pub(super) fn of_this_process(usual: bool) -> Self {
        let user = User::from_name(USER).ok().flatten();
        let own = geteuid();
        let installed = usual && user.is_some() && UNITS.iter().any(|unit| Path::new(unit).exists());
        // systemd shows which process it has started in the sandbox of a unit.
        let in_unit = std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        Self {
            service: user.as_ref().filter(|_| own.is_root()).map(Rights::of),
            foreign: !own.is_root() && user.is_some_and(|user| user.uid != own),
            hides: installed && !in_unit,
        }
    }

    /// What this process sees is what the service sees.
    pub(super) const fn in_unit(&self) -> bool {
        !self.hides
    }

    /// The content of a file that the service may read.
    pub(super) fn read(&self, path: &Path, max_bytes: usize) -> Result<Vec<u8>, Unfit> {
        let (eyes, at) = (self.clone(), path.to_owned());
        in_time(path, move || {
            eyes.may(&at, READ, "read")?;
            files::read(&at, max_bytes).map_err(|fault| eyes.unfit(&fault))
        })
    }

    /// What is there; links are not followed.
    pub(super) fn look(&self, path: &Path) -> Result<Option<Found>, Unfit> {
        let (eyes, at) = (self.clone(), path.to_owned());
        in_time(path, move || match std::fs::symlink_metadata(&at) {
            Ok(metadata) => Ok(Some(Found::of(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(eyes.unfit(&ReadError::Host { path: at.clone(), error })),
        })
    }

    /// Why the service could not make a file in a directory.
    pub(super) fn write(&self, folder: &Path) -> Result<Option<String>, Unfit> {
        let (eyes, at) = (self.clone(), folder.to_owned());
        in_time(folder, move || {
            match std::fs::metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Ok(Some(format!("{} is not a directory", at.display()))),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(Unfit::Missing(format!("the directory {} does not exist", at.display())));
                }
                Err(error) => return Err(eyes.unfit(&ReadError::Host { path: at.clone(), error })),
            }
            if let Err(Unfit::No(why)) = eyes.may(&at, WRITE | SEARCH, "write in") {
                return Ok(Some(why));
            }
            if eyes.service.is_none() && access(&at, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
                let why = format!("this user may not write in {}", at.display());
                return if eyes.foreign { Err(Unfit::Unknown) } else { Ok(Some(why)) };
            }
            Ok(None)
        })
    }

    /// The service may do this with what is there, as far as owners, permissions and its sandbox say.
    fn may(&self, path: &Path, wanted: u32, what: &str) -> Result<(), Unfit> {
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            // Anyone who reads it next gives the reason.
            Err(_) => return Ok(()),
        };
        if let Some((folder, line)) = HIDDEN.iter().find(|(folder, _)| self.hides && real.starts_with(folder)) {
            let why =
                format!("the service does not see what is in {folder} ({line} in its unit): put it into /etc/gpuhostd");
            return Err(Unfit::No(why));
        }
        let Some(rights) = &self.service else { return Ok(()) };
        for folder in real.ancestors().skip(1) {
            if !rights.allow(&folder.metadata().map_err(|error| self.refused(folder, error))?, SEARCH) {
                let why =
                    format!("the user {USER} may not enter {}: chmod o+x {0}, or chgrp {USER} {0}", folder.display());
                return Err(Unfit::No(why));
            }
        }
        let metadata = real.metadata().map_err(|error| self.refused(&real, error))?;
        if rights.allow(&metadata, wanted) {
            return Ok(());
        }
        let (path, mode) = (real.display(), metadata.mode() & 0o7777);
        let cure =
            if wanted == READ { format!(": chown root:{USER} {path} && chmod 0640 {path}") } else { String::new() };
        Err(Unfit::No(format!("the user {USER} may not {what} {path} (mode {mode:o}){cure}")))
    }

    fn refused(&self, path: &Path, error: io::Error) -> Unfit {
        self.unfit(&ReadError::Host { path: path.to_owned(), error })
    }

    fn unfit(&self, fault: &ReadError) -> Unfit {
        match fault {
            ReadError::Missing { .. } => Unfit::Missing(fault.to_string()),
            fault if fault.is_denied() && self.foreign => Unfit::Unknown,
            ReadError::Host { error, .. } if error.kind() == ErrorKind::NotFound => Unfit::Missing(fault.to_string()),
            ReadError::DeadLink { .. }
            | ReadError::NotPlain { .. }
            | ReadError::TooLarge { .. }
            | ReadError::NotText { .. }
            | ReadError::Hangs { .. }
            | ReadError::Host { .. } => Unfit::No(fault.to_string()),
        }
    }
}

const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const SEARCH: u32 = 0o1;

impl Rights {
    fn of(user: &User) -> Self {
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        Self { uid: user.uid.as_raw(), gids: groups.into_iter().map(Gid::as_raw).collect() }
    }

    /// As the kernel decides it for a process without capabilities: the first of owner, group and others that fits counts alone.
    /// Access control lists are not looked at.
    fn allow(&self, found: &Metadata, wanted: u32) -> bool {
        if Uid::from_raw(self.uid).is_root() {
            return true;
        }
        let shift = if self.uid == found.uid() {
            6
        } else if self.gids.contains(&found.gid()) {
            3
        } else {
            0
        };
        (found.mode() >> shift) & wanted == wanted
    }
}

/// A file system that hangs is given up.
fn in_time<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Unfit> + Send + 'static,
) -> Result<T, Unfit> {
    let path = PathBuf::from(path);
    files::in_time(&path, files::USUAL_TIME, move || Ok(work()))
        .unwrap_or_else(|fault| Err(Unfit::No(fault.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Somebody who owns nothing here and is in no group.
    fn stranger() -> Eyes {
        Eyes { service: Some(Rights { uid: 64_000, gids: vec![64_000] }), foreign: false, hides: false }
    }

    #[test]
    fn what_the_service_may_not_read_is_told_with_the_cure_although_root_may() {
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o755);
        let (folder, file) = (dir.path().join("folder"), dir.path().join("folder/ca.pem"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "x").unwrap();
        mode(&file, 0o644);
        mode(&folder, 0o755);
        assert_eq!(stranger().read(&file, 9).unwrap(), b"x");
        mode(&file, 0o640);
        let Err(Unfit::No(why)) = stranger().read(&file, 9) else { panic!("it may") };
        assert!(why.contains("may not read") && why.contains("chmod 0640"), "{why}");
        mode(&file, 0o644);
        mode(&folder, 0o700);
        let Err(Unfit::No(why)) = stranger().read(&file, 9) else { panic!("it may") };
        assert!(why.contains("may not enter"), "{why}");
        assert!(matches!(stranger().read(&dir.path().join("none"), 9), Err(Unfit::Missing(_))));
    }

    #[test]
    fn the_class_of_the_owner_counts_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "").unwrap();
        mode(&file, 0o044);
        let metadata = file.metadata().unwrap();
        let owner = Rights { uid: metadata.uid().max(1), gids: vec![] };
        if metadata.uid() != 0 {
            assert!(!owner.allow(&metadata, READ));
        }
        let group = Rights { uid: 64_000, gids: vec![metadata.gid()] };
        assert!(group.allow(&metadata, READ) && !group.allow(&metadata, WRITE));
    }

    #[test]
    fn what_the_unit_hides_is_told_where_the_unit_is_installed() {
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let hiding = Eyes { service: None, foreign: false, hides: true };
        let Err(Unfit::No(why)) = hiding.read(file.path(), 9) else { panic!("it is seen") };
        assert!(why.contains("PrivateTmp=yes"), "{why}");
        assert!(Eyes { hides: false, ..hiding }.read(file.path(), 9).is_ok());
    }

    #[test]
    fn folders_that_the_service_could_write_in() {
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o755);
        assert!(stranger().write(dir.path()).unwrap().unwrap().contains("may not write in"));
        mode(dir.path(), 0o777);
        assert_eq!(stranger().write(dir.path()).unwrap(), None);
        assert!(matches!(stranger().write(Path::new("/nonexistent")), Err(Unfit::Missing(_))));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(stranger().write(&file).unwrap().unwrap().contains("is not a directory"));
        assert_eq!(stranger().look(&file).unwrap(), Some(Found::Plain));
        assert_eq!(stranger().look(Path::new("/dev/null")).unwrap().map(Found::words), Some("a device"));
    }
}
