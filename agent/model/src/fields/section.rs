//! The sections and values of a TOML file, with their places.

use super::config_error::{ConfigError, ConfigPlace, position, shown, without_secret};
use crate::printable::printable;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One file that is being read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Document<'i> {
    file: &'i str,
    text: &'i str,
    faults: Vec<ConfigError>,
    /// Where each field that was right has its value.
    places: BTreeMap<String, Range<usize>>,
}

impl<'i> Document<'i> {
    /// Reads the text of a file: `read` is given its top section. What is wrong, in the order of places.
    pub(crate) fn read(file: &'i str, text: &'i str, read: impl FnOnce(&mut Section<'_, 'i>)) -> Self {
        let mut document = Document { file, text, faults: Vec::new(), places: BTreeMap::new() };
        match DeTable::parse(text) {
            Ok(table) => {
                let table = table.into_inner();
                let mut top = Section { name: String::new(), table, known: Vec::new(), document: &mut document };
                read(&mut top);
                top.refuse_the_rest();
            }
            Err(fault) => {
                // The message alone: the whole error shows the line, which may hold a secret.
                let why = format!("is not valid TOML: {}", fault.message());
                document.refuse(fault.span().unwrap_or_default(), "", why);
            }
        }
        document.faults.sort_by_key(|fault| fault.at);
        document
    }

    fn refuse(&mut self, span: Range<usize>, field: &str, why: String) {
        let field = field.to_owned();
        let at = Some(position(self.text, span.start));
        self.faults.push(ConfigError { file: self.file.to_owned(), at, field, why });
    }

    /// Where each field of this file that was right on its own has its value.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, ConfigPlace)> {
        let place =
            |span: &Range<usize>| ConfigPlace { file: self.file.to_owned(), at: position(self.text, span.start) };
        self.places.iter().map(move |(field, span)| (field.as_str(), place(span)))
    }

    /// What is wrong.
    pub(crate) fn faults(&self) -> &[ConfigError] {
        &self.faults
    }
}

/// A section while it is read: what is taken out of it is known, and what is left at the end is not.
#[derive(Debug)]
pub(crate) struct Section<'d, 'i> {
    name: String,
    table: DeTable<'i>,
    known: Vec<&'static str>,
    document: &'d mut Document<'i>,
}

/// What a field was expected to hold and holds.
pub(crate) type Value<T> = Result<T, String>;

impl<'i> Section<'_, 'i> {
    fn field(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// A field, where it is there: `read` takes its value or shows what was expected.
    fn one<T>(&mut self, key: &'static str, to: &mut T, read: impl FnOnce(&DeValue<'i>) -> Value<T>) {
        let Some(value) = self.take(key) else { return };
        let (span, field) = (value.span(), self.field(key));
        match read(value.get_ref()) {
            Ok(read) => {
                *to = read;
                self.document.places.insert(field, span);
            }
            Err(why) => self.document.refuse(span, &field, why),
        }
    }

    /// A whole number in these bounds; `unit` is in words, and empty where there is none.
    pub(crate) fn whole<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<u64>,
        unit: &str,
        to: &mut T,
    ) {
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        let expected = format!("expected a whole number from {} to {}{unit}", bounds.start(), bounds.end());
        self.one(key, to, |value| {
            let DeValue::Integer(number) = value else { return Err(format!("is {}: {expected}", kind(value))) };
            let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let fits = parsed.filter(|parsed| bounds.contains(parsed)).and_then(|parsed| T::try_from(parsed).ok());
            fits.ok_or_else(|| format!("is {number}: {expected}"))
        });
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str, to: &mut bool) {
        self.one(key, to, |value| value.as_bool().ok_or_else(|| format!("is {}: expected true or false", kind(value))));
    }

    /// A text; `read` shows what was expected where it does not fit, and the message shows the text.
    pub(crate) fn text<T>(&mut self, key: &'static str, to: &mut T, read: impl FnOnce(&str) -> Value<T>) {
        self.one(key, to, |value| {
            let text = value.as_str().ok_or_else(|| format!("is {}: expected a text", kind(value)))?;
            read(text).map_err(|expected| format!("is {}: {expected}", shown(text)))
        });
    }

    /// A text that may be a secret that was pasted into the wrong place: no message shows it.
    pub(crate) fn hidden_text<T>(&mut self, key: &'static str, to: &mut T, read: impl FnOnce(&str) -> Value<T>) {
        self.one(key, to, |value| {
            let text = value.as_str().ok_or_else(|| format!("is {}: expected a text", kind(value)))?;
            read(text).map_err(|expected| format!("does not fit: {expected}"))
        });
    }

    /// One text, or a list of texts; `read` takes all of them at once.
    pub(crate) fn text_or_list<T>(&mut self, key: &'static str, to: &mut T, read: impl FnOnce(&[&str]) -> Value<T>) {
        self.one(key, to, |value| {
            let texts: Option<Vec<&str>> = match value.as_array() {
                Some(items) => items.iter().map(|item| item.get_ref().as_str()).collect(),
                None => value.as_str().map(|text| vec![text]),
            };
            let texts = texts.ok_or_else(|| format!("is {}: expected a text, or a list of texts", kind(value)))?;
            read(&texts).map_err(|expected| format!("is {}: {expected}", shown(&texts.join(", "))))
        });
    }

    /// A list of texts; each that does not fit is named with its own place.
    pub(crate) fn list<T, L: FromIterator<T>>(
        &mut self,
        key: &'static str,
        to: &mut L,
        read: impl Fn(&str) -> Value<T>,
    ) {
        let Some(value) = self.take(key) else { return };
        let (span, field) = (value.span(), self.field(key));
        let DeValue::Array(items) = value.get_ref() else {
            let why = format!("is {}: expected a list of texts, [\"…\", \"…\"]", kind(value.get_ref()));
            return self.document.refuse(span, &field, why);
        };
        let mut taken = Vec::new();
        let mut right = true;
        for item in items {
            let read = match item.get_ref().as_str() {
                Some(text) => read(text).map_err(|expected| format!("has {}: {expected}", shown(text))),
                None => Err(format!("has {} in its list: expected only texts", kind(item.get_ref()))),
            };
            match read {
                Ok(item) => taken.push(item),
                Err(why) => {
                    right = false;
                    self.document.refuse(item.span(), &field, why);
                }
            }
        }
        if right {
            *to = taken.into_iter().collect();
            self.document.places.insert(field, span);
        }
    }

    /// A section of this one, where it is there.
    pub(crate) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 'i>)) {
        let Some(value) = self.take(key) else { return };
        let (span, name, found) = (value.span(), self.field(key), kind(value.get_ref()));
        if let DeValue::Table(table) = value.into_inner() {
            let mut inner = Section { name, table, known: Vec::new(), document: self.document };
            read(&mut inner);
            inner.refuse_the_rest();
        } else {
            self.document.refuse(span, &name, format!("is {found}: expected a section, [{name}]"));
        }
    }

    /// The sections of this one, whose names are free: `name` reads them, or shows what was expected.
    pub(crate) fn sections<K>(
        &mut self,
        name: impl Fn(&str) -> Value<K>,
        mut read: impl FnMut(K, &mut Section<'_, 'i>),
    ) {
        for (key, value) in std::mem::take(&mut self.table) {
            let field = self.field(&format!("{:?}", without_secret(key.get_ref())));
            let (key_span, span) = (key.span(), value.span());
            match (name(key.get_ref()), value.into_inner()) {
                (Ok(key), DeValue::Table(table)) => {
                    let mut inner = Section { name: field, table, known: Vec::new(), document: self.document };
                    read(key, &mut inner);
                    inner.refuse_the_rest();
                }
                (Ok(_), other) => {
                    let why = format!("is {}: expected a section, [{field}]", kind(&other));
                    self.document.refuse(span, &field, why);
                }
                (Err(expected), _) => {
                    let why = format!("has the section {}: {expected}", shown(key.get_ref()));
                    let field = self.name.clone();
                    self.document.refuse(key_span, &field, why);
                }
            }
        }
    }

    /// What nobody has taken is a mistake: a setting that is spelled wrongly must not be ignored.
    fn refuse_the_rest(&mut self) {
        for key in std::mem::take(&mut self.table).into_iter().map(|(key, _)| key) {
            // Somebody who forgot the name of a setting has its value for a name.
            let name: String = printable(&without_secret(key.get_ref()), 60);
            let near = nearest(&name, &self.known).map(|known| format!("; did you mean {known}?"));
            let place = if self.name.is_empty() { "a file".to_owned() } else { format!("[{}]", self.name) };
            let known =
                if near.is_none() { format!("; {place} knows {}", self.known.join(", ")) } else { String::new() };
            let why = format!("is not known{}{known}", near.unwrap_or_default());
            let field = self.field(&name);
            self.document.refuse(key.span(), &field, why);
        }
    }
}

/// What is there, in words.
const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// A known name that differs in two letters at most.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let near = known.iter().map(|known| (distance(name, known), *known)).min()?;
    (near.0 <= 2).then_some(near.1)
}

/// Letters that have to be changed, added, left out or swapped with their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let at =
                |row: Option<&Vec<usize>>, column: usize| row.and_then(|row| row.get(column)).copied().unwrap_or(0);
            let above = rows.last();
            let change = at(above, j) + usize::from(a != b);
            let mut least = change.min(at(above, j + 1) + 1).min(row.last().copied().unwrap_or(0) + 1);
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                least = least.min(at(rows.get(i - 1), j - 1) + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let (mut number, mut flag, mut word, mut list) = (7_u16, false, String::new(), Vec::<String>::new());
        let document = Document::read("f", text, |top| {
            top.whole("number", 1..=65_535, "things", &mut number);
            top.section("inner", |inner| {
                inner.flag("flag", &mut flag);
                inner.text("word", &mut word, |text| Ok(text.to_owned()));
                inner.list("list", &mut list, |text| match text {
                    "" => Err("expected letters".to_owned()),
                    _ => Ok(text.to_owned()),
                });
            });
            top.section("free", |free| {
                let name = |text: &str| text.parse::<u8>().map_err(|_| "expected a number".to_owned());
                free.sections(name, |_, section| section.flag("on", &mut flag));
            });
        });
        document.faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_place_and_in_words_of_the_file() {
        let text =
            "number = 70000\n[inner]\nflag = 'yes'\nword = 3.5\nlist = ['a', '', 1]\nwrod = 'x'\n[other]\na = 1\n";
        assert_eq!(
            faults(text),
            [
                "f:1:10: number is 70000: expected a whole number from 1 to 65535 (things)",
                "f:3:8: inner.flag is a text: expected true or false",
                "f:4:8: inner.word is a number with a fraction: expected a text",
                "f:5:14: inner.list has \"\": expected letters",
                "f:5:18: inner.list has a whole number in its list: expected only texts",
                "f:6:1: inner.wrod is not known; did you mean word?",
                "f:7:2: other is not known; a file knows number, inner, free",
            ]
        );
    }

    #[test]
    fn numbers_are_read_in_each_way_to_write_them() {
        for text in ["number = 0xff", "number = 1_000", "number = +5", "number = 0b1"] {
            assert_eq!(faults(text), Vec::<String>::new(), "{text}");
        }
        for (text, shown) in [("number = -1", "is -1"), ("number = 99999999999999999999", "is 99999999999999999999")] {
            assert!(faults(text)[0].contains(shown), "{:?}", faults(text));
        }
    }

    #[test]
    fn sections_and_lists_in_the_wrong_place() {
        assert_eq!(faults("inner = 1")[0], "f:1:9: inner is a whole number: expected a section, [inner]");
        assert!(faults("[inner]\nlist = 'a'")[0].starts_with("f:2:8: inner.list is a text: expected a list of texts"));
        assert_eq!(faults("[free.'x']\n")[0], "f:1:7: free has the section \"x\": expected a number");
        assert_eq!(
            faults("[free]\n'1' = 2\n")[0],
            "f:2:7: free.\"1\" is a whole number: expected a section, [free.\"1\"]"
        );
        assert_eq!(faults("[free.'1']\nof = true\n")[0], "f:2:1: free.\"1\".of is not known; did you mean on?");
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_without_its_lines() {
        let said = faults("[inner]\nword = \"s3cret\n")[0].clone();
        assert!(said.starts_with("f:2:") && said.contains("is not valid TOML") && !said.contains("s3cret"), "{said}");
        let said = faults("a = 1\na = 2\n")[0].clone();
        assert!(said.contains("is not valid TOML: duplicate key"), "{said}");
    }

    #[test]
    fn letters_that_differ() {
        for (one, other, letters) in [("url", "urls", 1), ("wrod", "word", 1), ("", "ab", 2), ("same", "same", 0)] {
            assert_eq!(distance(one, other), letters, "{one} {other}");
        }
    }
}
