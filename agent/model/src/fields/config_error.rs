//! What is wrong with a file, and where.

use std::fmt::{Display, Formatter, Result, Write};

/// So many faults are named; the others are counted. Who sees them all mends the first ones first.
const NAMED: usize = 50;
/// No more of a value is shown.
const SHOWN_CHARS: usize = 60;

/// Where the value of a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPlace {
    /// The file.
    pub file: String,
    /// Line and column, from 1.
    pub at: (usize, usize),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Line and column, from 1; none where the whole file is meant.
    pub at: Option<(usize, usize)>,
    /// The field, `manager.urls`; empty where there is none.
    pub field: String,
    /// What is wrong with it, and what was expected.
    pub why: String,
}

impl ConfigError {
    /// A whole file that cannot be used.
    #[must_use]
    pub fn of_file(file: &str, why: &str) -> Self {
        Self { file: file.to_owned(), at: None, field: String::new(), why: why.to_owned() }
    }
}

impl ConfigPlace {
    /// A fault of the field that has its value here.
    #[must_use]
    pub fn fault(&self, field: &str, why: String) -> ConfigError {
        ConfigError { file: self.file.clone(), at: Some(self.at), field: field.to_owned(), why }
    }
}

impl Display for ConfigError {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{}:", self.file)?;
        if let Some((line, column)) = self.at {
            write!(out, "{line}:{column}:")?;
        }
        if !self.field.is_empty() {
            write!(out, " {}", self.field)?;
        }
        write!(out, " {}", self.why)
    }
}

/// Everything that is wrong, in the order of the files and of the places in them. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    named: Vec<ConfigError>,
    more: usize,
}

impl ConfigErrors {
    /// These, where there are any.
    #[must_use]
    pub fn of(mut all: Vec<ConfigError>) -> Option<Self> {
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        (!all.is_empty()).then_some(Self { named: all, more })
    }

    /// Those that are named.
    #[must_use]
    pub fn named(&self) -> &[ConfigError] {
        &self.named
    }

    /// The first, and how many more there are: for a place that has room for one line.
    #[must_use]
    pub fn in_short(&self) -> String {
        let mut text = self.named.first().map(ToString::to_string).unwrap_or_default();
        match self.named.len().saturating_sub(1).saturating_add(self.more) {
            0 => {}
            1 => text.push_str(" (and one more fault)"),
            more => _ = write!(text, " (and {more} more faults)"),
        }
        text
    }
}

impl Display for ConfigErrors {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        for (index, fault) in self.named.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(out, "{line_end}{fault}")?;
        }
        if self.more > 0 {
            write!(out, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// Line and column of a byte, from 1.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count().saturating_add(1), line.chars().count().saturating_add(1))
}

/// A value or a name as it is, and an address without what could be a secret.
pub(super) fn without_secret(text: &str) -> String {
    let is_address = text.contains('@') || text.contains("://");
    if is_address { crate::checkin::manager::shown(text) } else { text.to_owned() }
}

/// A value as a message may show it: in quotation marks, on one line, cut short, and an address without what could be a secret.
pub(super) fn shown(value: &str) -> String {
    let hidden = without_secret(value);
    let short: String = hidden.chars().take(SHOWN_CHARS).collect();
    if short.len() == hidden.len() { format!("{short:?}") } else { format!("{short:?}…") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        for (value, expected) in [
            ("https://joe:hunter2@m.example:443", "\"https://[redacted]@m.example:443\""),
            ("https://hunter2@m", "\"https://[redacted]@m\""),
            ("https://joe:hun@ter2@m", "\"https://[redacted]@m\""),
            ("https://joe:hun/ter2@m", "\"https://[redacted]@m\""),
            ("joe:hunter2@m", "\"[redacted]@m\""),
            ("https://m.example/a", "\"https://m.example/a\""),
            ("a\u{1b}[2J\n", "\"a\\u{1b}[2J\\n\""),
        ] {
            assert_eq!(shown(value), expected);
        }
        assert!(shown(&"x".repeat(100_000)).len() < 80);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let fault =
            |line| ConfigError { file: "f".into(), at: Some((line, 1)), field: "a.b".into(), why: "is 0".into() };
        let faults = ConfigErrors::of((1..=60).map(fault).collect()).unwrap();
        assert_eq!(faults.in_short(), "f:1:1: a.b is 0 (and 59 more faults)");
        assert!(faults.to_string().ends_with("f:50:1: a.b is 0\nand 10 more"));
        assert_eq!(ConfigErrors::of(Vec::new()), None);
        assert_eq!(ConfigError::of_file("f", "is a pipe").to_string(), "f: is a pipe");
    }

    #[test]
    fn places_are_counted_from_one_and_in_characters() {
        assert_eq!([position("", 0), position("a\nü = 1", 2), position("a\nü = 1", 4)], [(1, 1), (2, 1), (2, 2)]);
        assert_eq!(position("a", 9), (1, 2));
    }
}
