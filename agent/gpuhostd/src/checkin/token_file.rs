//! A file with a token: read when it is needed, and known by its content, so that an edit is seen however it was made.

use host::front::read_bounded;
use model::enrol::Secret;
use std::path::{Path, PathBuf};

const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// The file, with the content that was seen last.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: String,
    seen: Option<Secret>,
    fault: Option<String>,
}

impl TokenFile {
    /// The file of that path, not read yet.
    #[must_use]
    pub(super) const fn new(path: String) -> Self {
        Self { path, seen: None, fault: None }
    }

    /// Reads the file; the token where it is another one than before.
    pub(super) async fn news(&mut self) -> Option<Secret> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read.unwrap_or_else(|_| Err("reading was cut short".to_owned())) {
            Ok(token) => {
                self.fault = None;
                let news = self.seen.as_ref() != Some(&token);
                self.seen = Some(token.clone());
                news.then_some(token)
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

fn read(path: &str) -> Result<Secret, String> {
    let real = std::fs::canonicalize(Path::new(path)).unwrap_or_else(|_| PathBuf::from(path));
    let bytes = read_bounded(&real, TOKEN_MAX_BYTES).map_err(|fault| fault.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let token = Secret::new(&text);
    let printable = token.expose().bytes().all(|b| b.is_ascii_graphic());
    match (token.is_empty(), printable) {
        (true, _) => Err("it is empty".to_owned()),
        (false, false) => Err("it holds more than one line of printable ASCII".to_owned()),
        (false, true) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_edit_is_news_once_and_a_bad_file_names_itself_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut file = TokenFile::new(path.to_str().unwrap().to_owned());
        assert_eq!(file.news().await, None);
        let fault = file.fault().unwrap();
        assert!(fault.contains("token") && fault.contains("chmod 0640") && fault.contains("does not exist"), "{fault}");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(file.news().await.as_ref().map(Secret::expose), Some("one"));
        assert!(file.news().await.is_none() && file.fault().is_none());
        std::fs::write(&path, "").unwrap();
        assert!(file.news().await.is_none() && file.fault().unwrap().contains("empty"));
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(file.news().await.is_none() && !file.fault().unwrap().contains("lines\n"));
        std::fs::write(&path, "two").unwrap();
        assert_eq!(file.news().await.as_ref().map(Secret::expose), Some("two"));
    }
}
