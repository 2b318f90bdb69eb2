//! Reads what must be in no message from the caller's descriptor: bounded, in a short time, and from nothing that never ends.

use super::options::invalid;
use model::refusal::Refusal;
use model::time::whole_millis;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::SFlag;
use secrecy::zeroize::Zeroizing;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The writer has so much time to write it all and close its end.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// So many bytes are read at once.
const CHUNK_BYTES: usize = 4096;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Name of the argument.
    pub(super) argument: &'static str,
    /// Its longest content, in bytes.
    pub(super) most_bytes: usize,
}

/// Lets a few callers at a time have their descriptor read: a reading that hangs occupies one thread, never many.
#[derive(Debug)]
pub(super) struct Turnstile(Arc<Semaphore>);

impl Turnstile {
    /// No caller is in it; so many may be at once.
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// What the descriptor gives until its end.
    pub(super) async fn read(&self, from: OwnedFd, expected: Expected) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let argument = expected.argument;
        let busy = |_| Refusal::Busy { why: format!("the {argument} of another call is being read; try again") };
        let turn = Arc::clone(&self.0).try_acquire_owned().map_err(busy)?;
        let reading = tokio::task::spawn_blocking(move || {
            let read = read_all(&from, expected);
            // The turn goes back only when the thread is free again.
            drop(turn);
            read
        });
        match tokio::time::timeout(READ_DEADLINE * 2, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => Err(too_late(argument)),
        }
    }
}

fn too_late(argument: &str) -> Refusal {
    let after_ms = whole_millis(READ_DEADLINE);
    Refusal::Timeout { what: format!("the writer of the {argument} (it must close its end)"), after_ms }
}

fn unreadable(argument: &str, errno: nix::errno::Errno) -> Refusal {
    invalid(argument, format!("cannot read its descriptor: {}", errno.desc()))
}

fn read_all(from: &OwnedFd, Expected { argument, most_bytes }: Expected) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    refuse_endless(from, argument)?;
    let until = Instant::now() + READ_DEADLINE;
    // Room for all of it: a buffer that grows leaves copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most_bytes + CHUNK_BYTES));
    let mut chunk = Zeroizing::new([0; CHUNK_BYTES]);
    loop {
        wait_readable(from, argument, until)?;
        let count = nix::unistd::read(from, &mut *chunk).map_err(|errno| unreadable(argument, errno))?;
        let Some(part) = chunk.get(..count).filter(|part| !part.is_empty()) else { return Ok(bytes) };
        bytes.extend_from_slice(part);
        if bytes.len() > most_bytes {
            return Err(invalid(argument, format!("longer than {most_bytes} bytes")));
        }
    }
}

/// A device (a terminal, /dev/zero) may never end.
fn refuse_endless(from: &OwnedFd, argument: &str) -> Result<(), Refusal> {
    let stat = nix::sys::stat::fstat(from).map_err(|errno| unreadable(argument, errno))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if [SFlag::S_IFREG, SFlag::S_IFIFO, SFlag::S_IFSOCK].contains(&kind) {
        return Ok(());
    }
    Err(invalid(argument, "expected a pipe, a file or a socket, got another kind of descriptor"))
}

fn wait_readable(from: &OwnedFd, argument: &str, until: Instant) -> Result<(), Refusal> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    let mut set = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    match nix::poll::poll(&mut set, timeout).map_err(|errno| unreadable(argument, errno))? {
        0 => Err(too_late(argument)),
        _ => Ok(()),
    }
}
