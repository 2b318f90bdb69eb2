//! The programs of the package, and where each of them is.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, stat};
use nix::unistd::geteuid;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the programs are that people do not start themselves.
const LIBEXEC: &str = "/usr/libexec/gpuhostd";
/// Where the others are.
const BIN: &str = "/usr/bin";

/// A program of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnProgram {
    /// The front.
    Front,
    /// Starts the front and the hands where there is no systemd.
    Launcher,
    /// The host hand.
    Host,
    /// The container hand.
    Containers,
    /// The holders hand.
    Holders,
    /// The two MIG hands.
    Mig,
    /// The disposable child of the hands.
    Child,
    /// Snapshot and doctor.
    Collect,
}

impl OwnProgram {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Front,
        Self::Launcher,
        Self::Host,
        Self::Containers,
        Self::Holders,
        Self::Mig,
        Self::Child,
        Self::Collect,
    ];

    /// Its file name, which is the name of its package in the workspace as well.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Front => "gpuhostd",
            Self::Launcher => "gpuhostd-launcher",
            Self::Host => "gpuhostd-host",
            Self::Containers => "gpuhostd-containers",
            Self::Holders => "gpuhostd-holders",
            Self::Mig => "gpuhostd-mig",
            Self::Child => "gpuhostd-child",
            Self::Collect => "gpuhostd-collect",
        }
    }

    /// Where the package installs it.
    #[must_use]
    pub fn installed(self) -> PathBuf {
        let folder = if self == Self::Front { BIN } else { LIBEXEC };
        Path::new(folder).join(self.name())
    }

    /// Where it is: beside the program that runs, so that both are of one build; else where the package installs it. Never looked for
    /// in `PATH`.
    #[must_use]
    pub fn path(self) -> PathBuf {
        let beside = std::env::current_exe().ok().map(|running| running.with_file_name(self.name()));
        beside.filter(|path| path.is_file()).unwrap_or_else(|| self.installed())
    }
}

/// Opens a program without reading it, as what it is started by later. Root opens none that somebody may change who could not change the
/// program that runs.
///
/// # Errors
/// It is not there, is no plain file, or is not to be trusted.
pub fn hold(path: &Path) -> io::Result<OwnedFd> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let found = fstat(&file)?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(io::Error::other("it is not a plain file"));
    }
    if geteuid().is_root() {
        let running = stat("/proc/self/exe")?;
        if !is_as_safe_as(&found, &running) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "others than root may change it (owner {}, mode {:o}), and root does not start it: chown root {path}; chmod \
                     0755 {path}",
                    found.st_uid,
                    found.st_mode & 0o7777,
                    path = path.display()
                ),
            ));
        }
    }
    Ok(file)
}

/// Nobody may change the program who could not change the one that runs: root starts no file of somebody else's.
fn is_as_safe_as(program: &FileStat, running: &FileStat) -> bool {
    let writers = |file: &FileStat| file.st_mode & 0o022;
    let no_more_writers = writers(program) & !writers(running) == 0;
    let same_group = writers(program) & 0o020 == 0 || program.st_gid == running.st_gid;
    (program.st_uid == 0 || program.st_uid == running.st_uid) && no_more_writers && same_group
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_front_alone_is_for_people() {
        assert_eq!(OwnProgram::Front.installed(), Path::new("/usr/bin/gpuhostd"));
        for other in OwnProgram::ALL.into_iter().filter(|program| *program != OwnProgram::Front) {
            assert_eq!(other.installed().parent(), Some(Path::new("/usr/libexec/gpuhostd")), "{other:?}");
        }
    }

    #[test]
    fn what_is_not_beside_us_is_the_installed_one_whatever_path_says() {
        // The test's own executable lies in a folder of its own, below that of the programs.
        assert_eq!(OwnProgram::Child.path(), Path::new("/usr/libexec/gpuhostd/gpuhostd-child"));
    }

    fn file(mode: u32, uid: u32, gid: u32) -> FileStat {
        let mut found = stat("/").unwrap();
        (found.st_mode, found.st_uid, found.st_gid) = (SFlag::S_IFREG.bits() | mode, uid, gid);
        found
    }

    #[test]
    fn a_program_that_more_may_change_than_the_one_that_runs_is_not_safe() {
        let running = file(0o755, 1, 1);
        for safe in [file(0o755, 0, 0), file(0o755, 1, 1)] {
            assert!(is_as_safe_as(&safe, &running));
        }
        for unsafe_file in [file(0o757, 0, 0), file(0o775, 0, 0), file(0o755, 2, 0)] {
            assert!(!is_as_safe_as(&unsafe_file, &running));
        }
        let shared = file(0o775, 1, 1);
        assert!(is_as_safe_as(&file(0o775, 0, 1), &shared) && !is_as_safe_as(&file(0o775, 0, 2), &shared));
    }

    #[test]
    fn root_starts_nothing_that_others_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("child");
        std::fs::write(&path, "").unwrap();
        let held = |mode: u32| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            hold(&path).map_err(|error| error.to_string())
        };
        assert!(held(0o755).is_ok());
        // Who is not root starts what it could start anyway.
        match held(0o757) {
            Ok(_) => assert!(!geteuid().is_root()),
            Err(said) => assert!(geteuid().is_root() && said.contains("root does not start it"), "{said}"),
        }
    }
}
