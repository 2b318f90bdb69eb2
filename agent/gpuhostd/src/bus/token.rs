//! A token that a caller hands over by a descriptor: one word.

use super::descriptor::{Expected, Turnstile};
use super::options::invalid;
use model::enrol::Secret;
use model::refusal::Refusal;
use std::os::fd::OwnedFd;

/// Longest token in bytes.
const TOKEN: Expected = Expected { argument: "token", most_bytes: 4096 };

/// The secret behind the descriptor.
pub(super) async fn read(turnstile: &Turnstile, from: OwnedFd) -> Result<Secret, Refusal> {
    let bytes = turnstile.read(from, TOKEN).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid("token", "it is not UTF-8 text"))?;
    let secret = Secret::new(text);
    if secret.is_empty() || secret.expose().chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(invalid("token", "expected one word without spaces or control characters"));
    }
    Ok(secret)
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
        assert_eq!(read(&Turnstile::new(1), reader).await.unwrap().expose(), "one-use-token");
    }

    #[tokio::test]
    async fn a_pipe_that_is_never_closed_is_refused_and_the_next_caller_is_served() {
        let turnstile = Turnstile::new(1);
        let (reader, _kept_open) = pipe();
        let (first, second) = tokio::join!(read(&turnstile, reader), async {
            let (other, _writer) = pipe();
            read(&turnstile, other).await
        });
        assert_eq!(first.unwrap_err().code(), "timeout");
        assert_eq!(second.unwrap_err().code(), "busy");
        let (reader, mut writer) = pipe();
        writer.write_all(b"t").unwrap();
        drop(writer);
        assert!(read(&turnstile, reader).await.is_ok());
    }

    #[tokio::test]
    async fn an_endless_or_overlong_or_odd_token_is_refused() {
        let zero = std::fs::File::open("/dev/zero").unwrap();
        assert_eq!(read(&Turnstile::new(1), zero.into()).await.unwrap_err().code(), "invalid_argument");
        for content in [vec![b'x'; 5000], b"two words".to_vec(), b"\xff".to_vec(), b"\n".to_vec(), b"a\nb".to_vec()] {
            let (reader, mut writer) = pipe();
            writer.write_all(&content).unwrap();
            drop(writer);
            let refusal = read(&Turnstile::new(1), reader).await.unwrap_err();
            assert_eq!(refusal.code(), "invalid_argument");
            assert!(!refusal.to_string().contains("two words"), "a refusal never repeats the secret");
        }
    }
}
