//! Who may talk to a hand: the uid that the kernel vouches for, never what the peer claims.

use nix::unistd::User;
use tokio::net::UnixStream;

/// The user that the front runs as; the package creates it.
pub const FRONT_USER: &str = "gpuhostd";

/// The front's user could not be found, so that no client could be authorized.
#[derive(Debug, thiserror::Error)]
pub enum NoFront {
    /// There is no such user.
    #[error("there is no user {FRONT_USER}: run systemd-sysusers, or install the package again")]
    NoUser,
    /// The user database did not answer.
    #[error("cannot look up user {FRONT_USER}")]
    Lookup(#[source] nix::Error),
}

/// The uids that a hand listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Vec<u32>);

impl Peers {
    /// Exactly these uids.
    #[must_use]
    pub fn of(uids: &[u32]) -> Self {
        Self(uids.to_vec())
    }

    /// The front's uid alone: for a socket that anybody could try.
    ///
    /// # Errors
    /// There is no such user, or the user database does not answer.
    pub fn front() -> Result<Self, NoFront> {
        let user = User::from_name(FRONT_USER).map_err(NoFront::Lookup)?.ok_or(NoFront::NoUser)?;
        Ok(Self::of(&[user.uid.as_raw()]))
    }

    /// Lets the peer in, or reports who it is.
    ///
    /// # Errors
    /// The peer is another user, or the kernel does not say who it is.
    pub fn admit(&self, stream: &UnixStream) -> Result<(), UnauthorizedPeer> {
        let credentials = stream.peer_cred().map_err(UnauthorizedPeer::Unknown)?;
        if self.0.contains(&credentials.uid()) {
            Ok(())
        } else {
            Err(UnauthorizedPeer::Uid { uid: credentials.uid(), pid: credentials.pid() })
        }
    }
}

/// The process in words.
fn process(pid: Option<i32>) -> String {
    pid.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"))
}

/// A peer that is not let in.
#[derive(Debug, thiserror::Error)]
pub enum UnauthorizedPeer {
    /// It is another user.
    #[error("uid {uid} ({}) is not the front", process(*.pid))]
    Uid {
        /// Its uid when it connected.
        uid: u32,
        /// Its process id when it connected.
        pid: Option<i32>,
    },
    /// The kernel does not say who it is.
    #[error("cannot read the peer's credentials (SO_PEERCRED)")]
    Unknown(#[source] std::io::Error),
}
