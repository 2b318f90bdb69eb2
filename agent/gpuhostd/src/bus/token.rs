//! Reads a secret from the caller's descriptor: a little, in a short time, and from nothing that never ends.

use super::options::invalid;
use model::enrol::Secret;
use model::refusal::Refusal;
use model::time::whole_millis;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::SFlag;
use secrecy::zeroize::Zeroizing;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Longest token in bytes.
const TOKEN_MAX_BYTES: usize = 4096;
/// The writer has so much time to write it all and close its end.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// Lets one caller at a time have its token read: a reading that hangs occupies one thread, never many.
#[derive(Debug)]
pub(super) struct Turnstile(std::sync::Arc<Semaphore>);

impl Turnstile {
    /// Nobody is in it.
    pub(super) fn new() -> Self {
        Self(std::sync::Arc::new(Semaphore::new(1)))
    }

    /// The secret behind the descriptor.
    pub(super) async fn read(&self, from: OwnedFd) -> Result<Secret, Refusal> {
        let busy = |_| Refusal::Busy { why: "the token of another enrolment is being read; try again".into() };
        let turn = std::sync::Arc::clone(&self.0).try_acquire_owned().map_err(busy)?;
        let reading = tokio::task::spawn_blocking(move || {
            let read = read_token(&from);
            // The turn goes back only when the thread is free again.
            drop(turn);
            read
        });
        match tokio::time::timeout(READ_DEADLINE * 2, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => Err(too_late()),
        }
    }
}

fn too_late() -> Refusal {
    let after_ms = whole_millis(READ_DEADLINE);
    Refusal::Timeout { what: "the writer of the token (it must close its end)".into(), after_ms }
}

fn unreadable(errno: nix::errno::Errno) -> Refusal {
    invalid("token", format!("cannot read its descriptor: {}", errno.desc()))
}

fn read_token(from: &OwnedFd) -> Result<Secret, Refusal> {
    refuse_endless(from)?;
    let until = Instant::now() + READ_DEADLINE;
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_MAX_BYTES * 2));
    let mut chunk = Zeroizing::new([0; TOKEN_MAX_BYTES]);
    loop {
        wait_readable(from, until)?;
        let count = nix::unistd::read(from, &mut *chunk).map_err(unreadable)?;
        let Some(part) = chunk.get(..count).filter(|part| !part.is_empty()) else { break };
        bytes.extend_from_slice(part);
        if bytes.len() > TOKEN_MAX_BYTES {
            return Err(invalid("token", format!("longer than {TOKEN_MAX_BYTES} bytes")));
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid("token", "it is not UTF-8 text"))?;
    let secret = Secret::new(text);
    if secret.is_empty() || secret.expose().chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(invalid("token", "expected one word without spaces or control characters"));
    }
    Ok(secret)
}

/// A device (a terminal, /dev/zero) is no place to read a token from.
fn refuse_endless(from: &OwnedFd) -> Result<(), Refusal> {
    let stat = nix::sys::stat::fstat(from).map_err(unreadable)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if [SFlag::S_IFREG, SFlag::S_IFIFO, SFlag::S_IFSOCK].contains(&kind) {
        return Ok(());
    }
    Err(invalid("token", "expected a pipe, a file or a socket, got another kind of descriptor"))
}

fn wait_readable(from: &OwnedFd, until: Instant) -> Result<(), Refusal> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    let mut set = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    match nix::poll::poll(&mut set, timeout).map_err(unreadable)? {
        0 => Err(too_late()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pipe() -> (OwnedFd, std::fs::File) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader, writer.into())
    }

    #[tokio::test]
    async fn a_token_comes_through_a_pipe_without_its_newline() {
        let (reader, mut writer) = pipe();
        writer.write_all(b"one-use-token\n").unwrap();
        drop(writer);
        assert_eq!(Turnstile::new().read(reader).await.unwrap().expose(), "one-use-token");
    }

    #[tokio::test]
    async fn a_pipe_that_is_never_closed_is_refused_and_the_next_caller_is_served() {
        let turnstile = Turnstile::new();
        let (reader, _kept_open) = pipe();
        let (first, second) = tokio::join!(turnstile.read(reader), async {
            let (other, _writer) = pipe();
            turnstile.read(other).await
        });
        assert_eq!(first.unwrap_err().code(), "timeout");
        assert_eq!(second.unwrap_err().code(), "busy");
        let (reader, mut writer) = pipe();
        writer.write_all(b"t").unwrap();
        drop(writer);
        assert!(turnstile.read(reader).await.is_ok());
    }

    #[tokio::test]
    async fn an_endless_or_overlong_or_odd_token_is_refused() {
        let zero = std::fs::File::open("/dev/zero").unwrap();
        assert_eq!(Turnstile::new().read(zero.into()).await.unwrap_err().code(), "invalid_argument");
        for content in [vec![b'x'; 5000], b"two words".to_vec(), b"\xff".to_vec(), b"\n".to_vec(), b"a\nb".to_vec()] {
            let (reader, mut writer) = pipe();
            writer.write_all(&content).unwrap();
            drop(writer);
            let refusal = Turnstile::new().read(reader).await.unwrap_err();
            assert_eq!(refusal.code(), "invalid_argument");
            assert!(!refusal.to_string().contains("two words"), "a refusal never repeats the secret");
        }
    }
}
