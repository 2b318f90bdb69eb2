//! Puts one runtime entry into a `daemon.json`: one piece goes in, every other byte stays.

use super::Edited;
use super::edit_refused::Refused;
use super::json_text::Checked;
use super::runtime::RuntimeEntry;
use crate::json::{self, JsonPlace};

/// Puts the entry in; `before` is `None` where there is no file. `reads_mark`: this Docker reads a byte order mark.
///
/// # Errors
/// The file is not one that Docker starts on, or another entry has the name.
pub fn insert(before: Option<&[u8]>, entry: &RuntimeEntry, reads_mark: bool) -> Result<Edited, Refused> {
    let Some(bytes) = before else { return Ok(Edited::Content(new_file(entry).into_bytes())) };
    let file = Checked::read(bytes)?;
    if file.has_mark() && !reads_mark {
        return Err(Refused::Bom);
    }
    let there = file.entries(&entry.name);
    for member in &there {
        let path = file.plain_path(member, &entry.name)?;
        if path != entry.path() {
            let (at, name) = (JsonPlace::of(file.text, member.name.start), entry.name.to_string());
            return Err(Refused::RuntimeExists { at, name, why: format!("its path is {path:?}") });
        }
    }
    if !there.is_empty() {
        return Ok(Edited::Unchanged);
    }
    Ok(Edited::Content(with_piece(&file, entry)))
}

/// A file that holds nothing but the entry.
pub(super) fn new_file(entry: &RuntimeEntry) -> String {
    format!("{{\n    \"runtimes\": {{\n        \"{}\": {{ \"path\": \"{}\" }}\n    }}\n}}\n", entry.name, entry.path())
}

/// The form of the piece distinguishes the ways: with spaces inside the innermost brackets where `runtimes` is ours as well,
/// without them where it was there before.
fn with_piece(file: &Checked<'_>, entry: &RuntimeEntry) -> Vec<u8> {
    let (name, path) = (&entry.name, entry.path());
    let (open, member) = match file.runtimes.first() {
        Some(runtimes) => (runtimes.value.start, format!("\"{name}\": {{\"path\": \"{path}\"}}")),
        None => (file.open, format!("\"runtimes\": {{\"{name}\": {{ \"path\": \"{path}\" }}}}")),
    };
    let (before, after) = file.text.split_at(open + 1);
    let piece = first_member(file, after, &member);
    [before, &piece, after].concat().into_bytes()
}

/// The member as the first one of an object, laid out as the others are; `after` is what follows the opening bracket.
pub(super) fn first_member(file: &Checked<'_>, after: &str, member: &str) -> String {
    let (space, rest) = after.split_at(json::skip_space(after, 0));
    let last_line = from_last_break(space);
    if !rest.starts_with('}') {
        return format!("{}{member},", last_line.unwrap_or(space));
    }
    match last_line {
        Some(closing) => format!("{closing}{}{member}", unit(file)),
        None => member.to_owned(),
    }
}

/// The white space from its last line break on.
fn from_last_break(space: &str) -> Option<&str> {
    let at = space.rfind('\n')?;
    let break_at = if space.get(..at).is_some_and(|before| before.ends_with('\r')) { at - 1 } else { at };
    space.get(break_at..)
}

/// One level of indentation, as the first member of the file has it; four spaces where it has none.
fn unit<'a>(file: &Checked<'a>) -> &'a str {
    let text: &'a str = file.text;
    let (_, after) = text.split_at(file.open + 1);
    let (space, _) = after.split_at(json::skip_space(after, 0));
    let indent = from_last_break(space).map(|line| line.trim_start_matches(['\r', '\n']));
    indent.filter(|indent| !indent.is_empty() && indent.len() <= 8).unwrap_or("    ")
}
