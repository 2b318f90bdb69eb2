//! A Unix socket of ours that other users may connect to.

use crate::readiness;
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else has the name.
    #[error("{} is not a socket: remove it, or set another path", .0.display())]
    NotASocket(PathBuf),
    /// Another process listens there.
    #[error("another process listens at {}: set another path", .0.display())]
    Taken(PathBuf),
    /// The host refused.
    #[error("cannot {attempted} {}: check that the daemon may write to that directory", path.display())]
    Host {
        /// `listen at`, `remove`, …
        attempted: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

/// Listens at `path` with these permissions (`0o666`: every user may connect), without blocking. What an earlier run left
/// there is removed.
///
/// # Errors
/// The name is taken, by something else or by a process that listens, or the host refused.
pub fn listen_at(path: &Path, mode: u32) -> Result<UnixListener, SocketError> {
    let host = |attempted| move |source| SocketError::Host { attempted, path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        // Only one that nobody listens at is left over: a socket of another type (the journal's) belongs to somebody as well.
        Ok(_) if is_served(path).map_err(host("ask who listens at"))? => {
            return Err(SocketError::Taken(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(host("remove"))?,
        Err(said) if said.kind() == io::ErrorKind::NotFound => {}
        Err(said) => return Err(host("look at")(said)),
    }
    let listener = UnixListener::bind(path).map_err(host("listen at"))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(host("open to others"))?;
    listener.set_nonblocking(true).map_err(host("listen at"))?;
    Ok(listener)
}

/// Waits until a process connects. The connection is left to the process that is started for it.
///
/// # Errors
/// The socket cannot be watched.
pub async fn until_asked(listener: &UnixListener) -> io::Result<()> {
    readiness::readable(listener.try_clone()?.into())?.readable().await.map(drop)
}

/// Whether a process listens on a socket of this name. Nothing is asked of it.
///
/// # Errors
/// What the host reported.
pub fn is_served(path: &Path) -> io::Result<bool> {
    // Without waiting: a queue that is full belongs to somebody who listens, and hangs.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS) => Ok(true),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn it_is_open_to_others_and_what_is_left_over_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.sock");
        let first = listen_at(&path, 0o666).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
        assert!(matches!(listen_at(&path, 0o666), Err(SocketError::Taken(_))));
        drop(first);
        let _second = listen_at(&path, 0o600).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_socket_of_another_type_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(listen_at(&path, 0o666), Err(SocketError::Host { .. })));
        UnixDatagram::unbound().unwrap().send_to(b"x", &path).unwrap();
        assert_eq!(log.recv(&mut [0; 9]).unwrap(), 1, "it is still the one that it was");
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(listen_at(&path, 0o666), Err(SocketError::NotASocket(_))));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(listen_at(&link, 0o666), Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
        assert!(matches!(listen_at(Path::new("/nonexistent/s"), 0o666), Err(SocketError::Host { .. })));
    }

    #[test]
    fn a_socket_is_served_as_long_as_somebody_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        assert!(!is_served(&path).unwrap());
        let listener = UnixListener::bind(&path).unwrap();
        let asked: Vec<bool> = (0..5000).map(|_| is_served(&path).unwrap()).collect();
        assert!(asked.iter().all(|served| *served), "a full queue is somebody's");
        drop(listener);
        assert!(path.exists() && !is_served(&path).unwrap());
    }
}
