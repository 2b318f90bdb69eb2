//! What goes into an archive: within its bounds, without secrets, and with a list of what is missing.

use model::snapshot::redact::{self, Redacted};
use model::snapshot::{CONTENT_MAX_BYTES, ENTRIES_MAX, FILE_MAX_BYTES, Listed, Missed};
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedSender;

/// Something that a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BasketFile {
    /// It begins to read this file: the one to blame where it does not return.
    Begin(String),
    /// A file with its content.
    Text {
        /// Path in the archive.
        path: String,
        /// Content.
        bytes: Vec<u8>,
    },
    /// A link within the archive.
    Link {
        /// Path in the archive.
        path: String,
        /// Where it points to, relative to its folder.
        target: String,
    },
    /// A file that could not be read.
    Missed {
        /// The file.
        what: String,
        /// What the host answered.
        why: String,
    },
}

/// The way from a reader to the basket.
#[derive(Debug)]
pub struct Tell(UnboundedSender<BasketFile>);

impl Tell {
    /// Reports into this channel.
    #[must_use]
    pub const fn new(channel: UnboundedSender<BasketFile>) -> Self {
        Self(channel)
    }

    /// Reports. Where nobody listens any more (the time was over) the reader goes on in vain and ends.
    pub fn tell(&self, found: BasketFile) {
        let _gone = self.0.send(found);
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Text { content: String, redacted: u32 },
    Link(String),
}

/// The content of an archive before it is packed. Every text that goes in loses its secrets here, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Basket {
    entries: BTreeMap<String, Entry>,
    missed: Vec<Missed>,
    bytes: usize,
}

impl Basket {
    /// Puts in what a reader found.
    pub fn put(&mut self, found: BasketFile) {
        match found {
            BasketFile::Begin(_) => {}
            BasketFile::Text { path, bytes } => self.text(&path, &bytes),
            BasketFile::Link { path, target } => self.enter(&path, Entry::Link(target), 0),
            BasketFile::Missed { what, why } => self.miss(&what, &why),
        }
    }

    /// Puts a text in; bytes that are no text are replaced. What is longer than a file may be is cut at a line.
    pub fn text(&mut self, path: &str, bytes: &[u8]) {
        let content = String::from_utf8_lossy(bytes);
        // What is cut off in the middle of an address or a block would no longer be known for a secret: whole first.
        let Redacted { text, count } = redact::text(&content);
        let kept = bounded(&text);
        if kept.len() < text.len() {
            self.miss(path, &format!("it has {} bytes: only the first {} are kept", text.len(), kept.len()));
        }
        let (content, size) = (kept.to_owned(), kept.len());
        self.enter(path, Entry::Text { content, redacted: count }, size);
    }

    /// Puts a document in as JSON.
    pub fn json(&mut self, path: &str, document: &impl Serialize) {
        let written = serde_json::to_value(document).map(|mut value| {
            let redacted = redact::json(&mut value);
            (format!("{value:#}\n"), redacted)
        });
        match written {
            Ok((content, _)) if content.len() > CONTENT_MAX_BYTES / 2 => {
                self.miss(path, &format!("it has {} bytes: too many", content.len()));
            }
            Ok((content, redacted)) => {
                let size = content.len();
                self.enter(path, Entry::Text { content, redacted }, size);
            }
            Err(error) => self.miss(path, &error.to_string()),
        }
    }

    /// Reports that something is not there.
    pub fn miss(&mut self, what: &str, why: &str) {
        let why = redact::text(why).text;
        if self.missed.len() < ENTRIES_MAX {
            self.missed.push(Missed { what: what.to_owned(), why });
        }
    }

    fn enter(&mut self, path: &str, entry: Entry, size: usize) {
        let bytes = self.bytes.saturating_add(size);
        if bytes > CONTENT_MAX_BYTES || self.entries.len() >= ENTRIES_MAX {
            self.miss(path, "the archive is full");
            return;
        }
        self.bytes = bytes;
        self.entries.insert(path.to_owned(), entry);
    }

    /// Every file and link, by path.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        let listed = |(path, entry): (&String, &Entry)| {
            let (bytes, redacted) = match entry {
                Entry::Text { content, redacted } => (u64::try_from(content.len()).unwrap_or(u64::MAX), *redacted),
                Entry::Link(_) => (0, 0),
            };
            Listed { path: path.clone(), bytes, redacted }
        };
        self.entries.iter().map(listed).collect()
    }

    /// What is not there.
    #[must_use]
    pub fn missed(&self) -> &[Missed] {
        &self.missed
    }

    pub(super) const fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }
}

/// As many whole lines as a file may have bytes.
fn bounded(text: &str) -> &str {
    if text.len() <= FILE_MAX_BYTES {
        return text;
    }
    let most = (0..=FILE_MAX_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let head = text.get(..most).unwrap_or_default();
    head.rfind('\n').and_then(|end| head.get(..=end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_at_a_line_and_says_so() {
        let mut basket = Basket::default();
        basket.text("long.txt", "0123456789\n".repeat(FILE_MAX_BYTES / 10).as_bytes());
        let listed = basket.listed();
        let bytes = usize::try_from(listed[0].bytes).unwrap();
        assert!(bytes <= FILE_MAX_BYTES && bytes > FILE_MAX_BYTES - 11 && bytes % 11 == 0, "{bytes}");
        assert!(basket.missed()[0].why.contains("only the first"), "{:?}", basket.missed());
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        let mut basket = Basket::default();
        let file = "x\n".repeat(FILE_MAX_BYTES / 2);
        let fit = CONTENT_MAX_BYTES / FILE_MAX_BYTES;
        (0..fit + 3).for_each(|number| basket.text(&format!("{number:02}"), file.as_bytes()));
        assert_eq!((basket.listed().len(), basket.missed().len()), (fit, 3));
        assert!(basket.missed().iter().all(|missed| missed.why == "the archive is full"));
    }

    #[test]
    fn secrets_go_in_no_way() {
        let secret = "Zx81kQ0pLw27vB5t";
        let mut basket = Basket::default();
        basket.text("a", format!("password={secret}").as_bytes());
        basket.json("b", &serde_json::json!({ "token": secret, "said": format!("--token {secret}") }));
        basket.miss("c", &format!("https://u:{secret}@host refused"));
        assert!(!format!("{basket:?}").contains(secret), "{basket:?}");
        assert_eq!(basket.listed().iter().map(|file| file.redacted).collect::<Vec<_>>(), [1, 2]);
    }
}
