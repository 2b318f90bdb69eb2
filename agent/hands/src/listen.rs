//! Where requests come from: standard input, which is a listening socket of systemd's or one end of a socket pair.
//!
//! `StandardInput=socket` hands over the socket unit's listening socket as descriptor 0, so that both ways need no
//! unsafe adoption of a descriptor number.

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use tokio::net::{UnixListener, UnixStream};

/// Where requests come from.
#[derive(Debug)]
pub enum Listen {
    /// A listening socket: many connections, each checked.
    Socket(UnixListener),
    /// One end of a socket pair: when the other end closes, the hand leaves.
    Pair(UnixStream),
}

/// Standard input is not what a hand can serve.
#[derive(Debug, thiserror::Error)]
pub enum ListenFault {
    /// It is no Unix stream socket.
    #[error(
        "standard input is not a Unix stream socket: a hand is started by its socket unit (StandardInput=socket) or by \
         gpuhostd --with-hands"
    )]
    NotASocket(#[source] Option<nix::Error>),
    /// The socket could not be taken over.
    #[error("cannot take over the socket on standard input")]
    Take(#[source] io::Error),
}

impl Listen {
    /// Takes over the socket on standard input. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Standard input is not a Unix stream socket, or cannot be taken over.
    pub fn from_stdin() -> Result<Self, ListenFault> {
        Self::from_fd(io::stdin().as_fd())
    }

    /// Takes over a duplicate of the socket.
    ///
    /// # Errors
    /// It is not a Unix stream socket, or cannot be taken over.
    pub fn from_fd(socket: BorrowedFd<'_>) -> Result<Self, ListenFault> {
        let kind = getsockopt(&socket, sockopt::SockType).map_err(|errno| ListenFault::NotASocket(Some(errno)))?;
        let name: SockaddrStorage =
            getsockname(socket.as_raw_fd()).map_err(|errno| ListenFault::NotASocket(Some(errno)))?;
        if kind != SockType::Stream || name.family() != Some(AddressFamily::Unix) {
            return Err(ListenFault::NotASocket(None));
        }
        let listening =
            getsockopt(&socket, sockopt::AcceptConn).map_err(|errno| ListenFault::NotASocket(Some(errno)))?;
        let socket = socket.try_clone_to_owned().map_err(ListenFault::Take)?;
        if listening {
            let listener = std::os::unix::net::UnixListener::from(socket);
            listener.set_nonblocking(true).map_err(ListenFault::Take)?;
            UnixListener::from_std(listener).map(Self::Socket).map_err(ListenFault::Take)
        } else {
            let stream = std::os::unix::net::UnixStream::from(socket);
            stream.set_nonblocking(true).map_err(ListenFault::Take)?;
            UnixStream::from_std(stream).map(Self::Pair).map_err(ListenFault::Take)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_kind_of_descriptor_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(matches!(Listen::from_fd(listener.as_fd()), Ok(Listen::Socket(_))));
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(Listen::from_fd(near.as_fd()), Ok(Listen::Pair(_))));
        let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(matches!(Listen::from_fd(datagram.as_fd()), Err(ListenFault::NotASocket(None))));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(Listen::from_fd(tcp.as_fd()), Err(ListenFault::NotASocket(None))));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(Listen::from_fd(file.as_fd()), Err(ListenFault::NotASocket(Some(nix::Error::ENOTSOCK)))));
    }
}
