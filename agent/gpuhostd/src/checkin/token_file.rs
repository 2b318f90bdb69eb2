//! A file with a token: known by its content, so that an edit is seen however it was made, and the same content is none.

use crate::checkin::digest::sha256_hex;
use host::front::{FileWatch, read_bounded};
use model::enrol::Secret;
use model::time::BootMillis;
use secrecy::zeroize::Zeroize;
use std::io;
use std::path::{Path, PathBuf};

const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// A file that could not be watched is to be watched again after so long, in milliseconds.
const WATCH_AGAIN_MS: u64 = 30_000;

/// What the file held.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// The token.
    pub(super) token: Secret,
    /// SHA-256 of it.
    pub(super) sha256: String,
}

/// What came of reading it.
pub(super) type TokenRead = Result<Content, String>;

/// The file, with what was seen of it last.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: String,
    seen: Option<String>,
    read_at: Option<BootMillis>,
    /// There was no watch to be had; it is tried again then.
    watch_at: Option<BootMillis>,
    fault: Option<String>,
}

impl TokenFile {
    /// The file of that path, of which nothing is known yet.
    #[must_use]
    pub(super) const fn new(path: String) -> Self {
        Self { path, seen: None, read_at: None, watch_at: None, fault: None }
    }

    /// Its path.
    #[must_use]
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// When it is to be read next: at once where it never was, then every `poll_ms`.
    #[must_use]
    pub(super) fn due(&self, poll_ms: u64, now: BootMillis) -> BootMillis {
        self.read_at.map_or(now, |at| at.plus(poll_ms))
    }

    /// A watch may be asked for.
    #[must_use]
    pub(super) fn watch_due(&self, now: BootMillis) -> bool {
        self.watch_at.is_none_or(|at| at <= now)
    }

    /// It may be another one now, and is to be read.
    pub(super) const fn touched(&mut self) {
        (self.read_at, self.watch_at) = (None, None);
    }

    /// It cannot be watched.
    pub(super) const fn unwatched(&mut self, now: BootMillis) {
        self.watch_at = Some(now.plus(WATCH_AGAIN_MS));
    }

    /// It is being read.
    pub(super) const fn read_at(&mut self, now: BootMillis) {
        self.read_at = Some(now);
    }

    /// A content with this digest is no news: it was adopted before.
    pub(super) fn knows(&mut self, sha256: Option<String>) {
        self.seen = sha256.or(self.seen.take());
    }

    /// It was read: the content where it is another one than before.
    pub(super) fn news(&mut self, read: TokenRead) -> Option<Content> {
        match read {
            Ok(content) => {
                self.fault = None;
                let news = self.seen.as_ref() != Some(&content.sha256);
                self.seen = Some(content.sha256.clone());
                news.then_some(content)
            }
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }

    /// Why it could not be read the last time, with the command that mends it.
    #[must_use]
    pub(super) fn fault(&self) -> Option<String> {
        let (path, said) = (&self.path, self.fault.as_ref()?);
        Some(format!(
            "the token file {path} cannot be used: {said}; put the token into it and run \
             `chown root:gpuhostd {path} && chmod 0640 {path}`"
        ))
    }
}

/// Reads the file, off the async threads.
///
/// # Errors
/// There is no token in it that can be read.
pub(super) async fn read(path: &str) -> TokenRead {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_now(&path)).await;
    reading.unwrap_or_else(|_| Err("reading was interrupted".to_owned()))
}

/// Waits for what happens to the file, and watches it again.
pub(super) async fn watch(path: String, watch: Option<FileWatch>) -> io::Result<FileWatch> {
    if let Some(watch) = watch {
        watch.changed().await?;
    }
    let anew = tokio::task::spawn_blocking(move || FileWatch::of(Path::new(&path))).await;
    anew.unwrap_or_else(|cut| Err(io::Error::other(cut)))
}

fn read_now(path: &str) -> TokenRead {
    let real = std::fs::canonicalize(Path::new(path)).unwrap_or_else(|_| PathBuf::from(path));
    let bytes = read_bounded(&real, TOKEN_MAX_BYTES).map_err(|fault| fault.to_string())?;
    let token = match String::from_utf8(bytes) {
        Ok(text) => Secret::take(text),
        Err(fault) => {
            fault.into_bytes().zeroize();
            return Err("it is not text".to_owned());
        }
    };
    let printable = token.expose().bytes().all(|b| b.is_ascii_graphic());
    match (token.is_empty(), printable) {
        (true, _) => Err("it is empty".to_owned()),
        (false, false) => Err("it has more than one line of printable ASCII".to_owned()),
        (false, true) => Ok(Content { sha256: sha256_hex(token.expose().as_bytes()), token }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edit_is_news_once_and_a_bad_file_names_itself_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let name = path.to_str().unwrap();
        let mut file = TokenFile::new(name.to_owned());
        assert!(file.news(read(name).await).is_none());
        let fault = file.fault().unwrap();
        assert!(fault.contains("token") && fault.contains("chmod 0640") && fault.contains("does not exist"), "{fault}");
        std::fs::write(&path, "one\n").unwrap();
        let one = file.news(read(name).await).unwrap();
        assert_eq!(one.token.expose(), "one");
        assert!(file.news(read(name).await).is_none() && file.fault().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(file.news(read(name).await).is_none() && file.fault().unwrap().contains("empty"));
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(file.news(read(name).await).is_none() && !file.fault().unwrap().contains("lines\n"));
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(file.news(read(name).await).is_none() && file.fault().unwrap().contains("not text"));
        std::fs::write(&path, "two").unwrap();
        assert_eq!(file.news(read(name).await).unwrap().token.expose(), "two");
        let mut after_a_restart = TokenFile::new(name.to_owned());
        after_a_restart.knows(Some(sha256_hex(b"two")));
        assert!(after_a_restart.news(read(name).await).is_none(), "the same content is an edit after a restart");
        std::fs::write(&path, "one").unwrap();
        assert!(after_a_restart.news(read(name).await).is_some());
    }
}
