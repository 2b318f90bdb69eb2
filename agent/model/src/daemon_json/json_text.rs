//! The bytes of a `daemon.json` as text that is known to be one JSON object, and the runtimes that it names.

use super::edit_refused::Refused;
use super::runtime::RuntimeName;
use crate::json::{self, JsonError, JsonPlace, Member};
use crate::version::is_older;

/// Longest file that is edited, in bytes: a real one has a few hundred.
pub const MOST_BYTES: usize = 4 << 20;
/// Deepest nesting that is edited: a real one has four levels.
pub const DEEPEST: usize = 64;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Whether an engine of this version starts on a file that begins with a byte order mark: those from 23.0 on do (moby pull
/// request 44777; seen on 26.1 and 28.5, and that 20.10 does not).
#[must_use]
pub fn reads_byte_order_mark(version: &str) -> bool {
    !is_older(version, &[23])
}

/// Whether `dockerd --validate` of this version judges a file without starting: from 23.0 on (moby pull request 42393).
#[must_use]
pub fn can_validate(version: &str) -> bool {
    !is_older(version, &[23])
}

/// A file that is one JSON object.
pub(super) struct Checked<'a> {
    /// Its text, byte order mark included.
    pub(super) text: &'a str,
    /// Where the object begins.
    pub(super) open: usize,
    /// The objects that are named `runtimes`: Docker merges them where there are several.
    pub(super) runtimes: Vec<Member>,
}

impl<'a> Checked<'a> {
    /// Reads the bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let text = utf8(bytes)?;
        let skipped = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let body = text.get(skipped..).unwrap_or_default();
        if body.trim().is_empty() {
            let what = if bytes.is_empty() { "empty" } else { "blank" };
            return Err(Refused::EmptyFile { what: what.to_owned() });
        }
        json::check(body, DEEPEST).map_err(|fault| match fault {
            JsonError::Invalid { at, why } => Refused::InvalidJson { at, why },
            JsonError::TooDeep { at, most } => Refused::TooDeep { at, most },
        })?;
        let open = json::skip_space(text, skipped);
        is_object(text, open, "the file")?;
        let mut file = Self { text, open, runtimes: Vec::new() };
        file.runtimes = file.named("runtimes");
        file.runtimes.iter().try_for_each(|member| is_object(text, member.value.start, "runtimes"))?;
        Ok(file)
    }

    /// The members of the file's object that have this name once their escapes are resolved.
    pub(super) fn named(&self, name: &str) -> Vec<Member> {
        let all = json::members(self.text, self.open).into_iter();
        all.filter(|member| member.name_in(self.text).as_deref() == Some(name)).collect()
    }

    /// Whether it begins with a byte order mark.
    pub(super) fn has_mark(&self) -> bool {
        self.text.starts_with(BYTE_ORDER_MARK)
    }

    /// The members of `runtimes` that have this name once their escapes are resolved.
    pub(super) fn entries(&self, name: &RuntimeName) -> Vec<Member> {
        let all = self.runtimes.iter().flat_map(|runtimes| json::members(self.text, runtimes.value.start));
        all.filter(|member| member.name_in(self.text).as_deref() == Some(name.as_str())).collect()
    }

    /// The path of an entry that holds nothing else of weight.
    ///
    /// # Errors
    /// It is not an object, is named with an escape, or holds more: then it is not ours.
    pub(super) fn plain_path(&self, entry: &Member, name: &RuntimeName) -> Result<String, Refused> {
        let differs = |why: &str| Refused::RuntimeExists {
            at: JsonPlace::of(self.text, entry.name.start),
            name: name.to_string(),
            why: why.to_owned(),
        };
        if self.text.get(entry.name.clone()) != Some(&format!("\"{name}\"")) {
            return Err(differs("its name is written with an escape"));
        }
        is_object(self.text, entry.value.start, &format!("runtimes.{name}"))?;
        let mut path = None;
        for member in json::members(self.text, entry.value.start) {
            let value = self.text.get(member.value.clone()).unwrap_or_default();
            match member.name_in(self.text).as_deref() {
                Some("path") if path.is_none() => path = serde_json::from_str::<String>(value).ok(),
                Some("path") => return Err(differs("it has two paths")),
                // `args` is what NVIDIA's own tool writes; Docker knows `runtimeArgs`. An empty list reports nothing.
                Some("args" | "runtimeArgs") if is_empty_list(value) => {}
                Some(other) => return Err(differs(&format!("it has {other} as well"))),
                None => return Err(differs("it has a member whose name is not a string")),
            }
        }
        path.ok_or_else(|| differs("it has no path"))
    }
}

fn is_empty_list(value: &str) -> bool {
    let inner = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    value == "null" || inner.is_some_and(|inner| inner.trim().is_empty())
}

pub(super) fn is_object(text: &str, at: usize, what: &str) -> Result<(), Refused> {
    match json::kind(text, at) {
        "an object" => Ok(()),
        found => {
            Err(Refused::WrongType { at: JsonPlace::of(text, at), what: what.to_owned(), found: found.to_owned() })
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    if bytes.len() > MOST_BYTES {
        return Err(Refused::TooLarge { most: MOST_BYTES });
    }
    let begin = JsonPlace { line: 1, column: 1 };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Refused::Encoding { at: begin, what: "it is in UTF-16".to_owned() });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let before = String::from_utf8_lossy(valid);
        Refused::Encoding { at: JsonPlace::of(&before, before.len()), what: "a byte that is not UTF-8".to_owned() }
    })
}
