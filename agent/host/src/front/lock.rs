//! One daemon at a time for a folder of state, held by the kernel as long as the process lives: nothing is left behind by a crash.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open};
use nix::sys::stat::{Mode, fstat, major, minor};
use nix::unistd::geteuid;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// More than the list of locks of any host has.
const LOCKS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A folder of state that is this process's alone until the value is dropped.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "it is held, and nothing else is done with it")] Flock<OwnedFd>);

/// The folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon works with it.
    #[error(
        "another gpuhostd uses {}{}: see systemctl status gpuhostd; stop it before you start another one",
        dir.display(),
        holder.as_ref().map(|holder| format!(" ({holder})")).unwrap_or_default()
    )]
    Held {
        /// The folder.
        dir: PathBuf,
        /// Who, where the host states it: `process 812, gpuhostd`.
        holder: Option<String>,
    },
    /// We are root and it belongs to the service: what root leaves in it the service could not read.
    #[error(
        "{} belongs to the service, and gpuhostd was started as root: systemctl start gpuhostd (without systemd: gpuhostd \
         --with-hands, which runs the daemon as an unprivileged user)",
        dir.display()
    )]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// The host refused.
    #[error("cannot lock {}: {error}", dir.display())]
    Host {
        /// The folder.
        dir: PathBuf,
        /// What the host answered.
        error: io::Error,
    },
}

impl StateLock {
    /// Takes the folder, or nothing where there is none. Blocking, but never for another daemon.
    ///
    /// # Errors
    /// Another daemon works with it, or the host refused.
    pub fn take(dir: &Path) -> Result<Option<Self>, LockError> {
        let host = |errno: Errno| LockError::Host { dir: dir.to_owned(), error: errno.into() };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = match open(dir, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(host(errno)),
        };
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self(held))),
            Err((folder, Errno::EWOULDBLOCK)) => match holder(&folder) {
                // Killed, and kept by a read that hangs in the kernel: it does nothing any more, and may stay for ever.
                Some(holder) if holder.is_ending => Ok(None),
                holder => Err(LockError::Held { dir: dir.to_owned(), holder: holder.map(|holder| holder.words) }),
            },
            Err((_, errno)) => Err(host(errno)),
        }
    }
}

/// Refuses to work as root with the state of the service's user.
///
/// # Errors
/// This process is root, and the folder belongs to somebody else.
pub fn refuse_foreign_state(dir: &Path) -> Result<(), LockError> {
    use std::os::unix::fs::MetadataExt;
    let foreign = geteuid().is_root() && dir.metadata().is_ok_and(|found| found.uid() != 0);
    if foreign { Err(LockError::NotOurs { dir: dir.to_owned() }) } else { Ok(()) }
}

struct Holder {
    words: String,
    is_ending: bool,
}

/// Who holds the lock, out of the kernel's list (`proc_locks(5)`); nobody where it is another container's process.
fn holder(folder: &OwnedFd) -> Option<Holder> {
    let status = fstat(folder).ok()?;
    let wanted = format!("{:02x}:{:02x}:{}", major(status.st_dev), minor(status.st_dev), status.st_ino);
    let list = files::read_text(Path::new("/proc/locks"), LOCKS_MAX_BYTES).ok()?;
    let pid = list.lines().find_map(|line| holder_in(line, &wanted))?;
    let of = |file: &str| files::read_text(Path::new(&format!("/proc/{pid}/{file}")), 4096);
    let name = of("comm").map(|name| name.trim().to_owned()).unwrap_or_else(|_| "of another user".to_owned());
    // The state of the first thread is behind the name in parentheses: Z where it has ended and others have not.
    let state = of("stat").ok().and_then(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()));
    Some(Holder { words: format!("process {pid}, {name}"), is_ending: matches!(state, Some('Z' | 'X')) })
}

/// `1: FLOCK  ADVISORY  WRITE 812 fd:01:131 0 EOF`; a waiting process is behind `->`.
fn holder_in(line: &str, wanted: &str) -> Option<u32> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        [_, "FLOCK", _, _, pid, place, ..] if *place == wanted => pid.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_the_other_is_told_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let held = StateLock::take(dir.path()).unwrap();
        assert!(held.is_some());
        let fault = StateLock::take(dir.path()).unwrap_err().to_string();
        assert!(fault.contains(&format!("process {}", std::process::id())), "{fault}");
        assert!(fault.contains(dir.path().to_str().unwrap()) && fault.contains("systemctl status gpuhostd"), "{fault}");
        drop(held);
        assert!(StateLock::take(dir.path()).unwrap().is_some());
        assert!(StateLock::take(&dir.path().join("none")).unwrap().is_none());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(StateLock::take(&file), Err(LockError::Host { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the lock leaves nothing");
    }

    #[test]
    fn the_kernels_list_is_read() {
        let line = "1: FLOCK  ADVISORY  WRITE 812 fd:01:131 0 EOF";
        assert_eq!(holder_in(line, "fd:01:131"), Some(812));
        for other in ["fd:01:13", "01:131", ""] {
            assert_eq!(holder_in(line, other), None);
        }
        for line in
            ["2: POSIX  ADVISORY  WRITE 812 fd:01:131 0 EOF", "1: -> FLOCK ADVISORY WRITE 9 fd:01:131 0 EOF", ""]
        {
            assert_eq!(holder_in(line, "fd:01:131"), None, "{line}");
        }
    }
}
