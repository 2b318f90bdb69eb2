//! Where requests come from: standard input, which is a listening socket of systemd's or of the launcher's.
//!
//! `StandardInput=socket` hands over the socket unit's listening socket as descriptor 0, which needs no unsafe adoption of a
//! descriptor number.

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use tokio::net::UnixListener;

/// Standard input is not what a hand can serve.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It is no listening Unix stream socket.
    #[error(
        "standard input is not a listening Unix socket: a hand is started by its socket unit (StandardInput=socket) or by \
         gpuhostd --with-hands"
    )]
    NotASocket(#[source] Option<nix::Error>),
    /// The socket could not be taken over.
    #[error("cannot take over the socket on standard input")]
    Take(#[source] io::Error),
}

/// Takes over the socket on standard input. To be called inside a tokio runtime.
///
/// # Errors
/// Standard input is not a listening Unix stream socket, or cannot be taken over.
pub fn from_stdin() -> Result<UnixListener, ListenError> {
    from_fd(io::stdin().as_fd())
}

fn from_fd(socket: BorrowedFd<'_>) -> Result<UnixListener, ListenError> {
    let fault = |errno| ListenError::NotASocket(Some(errno));
    let kind = getsockopt(&socket, sockopt::SockType).map_err(fault)?;
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(fault)?;
    let listening = getsockopt(&socket, sockopt::AcceptConn).map_err(fault)?;
    if kind != SockType::Stream || name.family() != Some(AddressFamily::Unix) || !listening {
        return Err(ListenError::NotASocket(None));
    }
    let socket = socket.try_clone_to_owned().map_err(ListenError::Take)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(ListenError::Take)?;
    UnixListener::from_std(listener).map_err(ListenError::Take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_kind_of_descriptor_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(from_fd(listener.as_fd()).is_ok());
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(from_fd(near.as_fd()), Err(ListenError::NotASocket(None))));
        let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(matches!(from_fd(datagram.as_fd()), Err(ListenError::NotASocket(None))));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(from_fd(tcp.as_fd()), Err(ListenError::NotASocket(None))));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(from_fd(file.as_fd()), Err(ListenError::NotASocket(Some(nix::Error::ENOTSOCK)))));
    }
}
