//! Waits on a file descriptor of the kernel (a timer, a netlink socket) without a thread of its own.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime's poller, for reading.
///
/// # Errors
/// The poller refuses the descriptor.
#[allow(
    deprecated,
    reason = "its replacement is an unsafe fn that asks for a descriptor that stays open while it is registered; an OwnedFd \
              that moves in and is only lent out keeps that promise"
)]
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
