//! Takes a runtime entry out of a `daemon.json` again.

use super::Edited;
use super::edit_refused::Refused;
use super::insert::{insert, new_file};
use super::json_text::Checked;
use super::runtime::{RuntimeEntry, RuntimeName};
use crate::json::{self, JsonPlace, Member};
use std::ops::Range;

/// Takes the entry of that name out; `now` is `None` where there is no file. Whether it was ours to take out the caller knows: an
/// administrator may have written the very same entry before.
///
/// An entry that [`insert`](super::insert) put in leaves the file that was there before, byte for byte. Where somebody has
/// laid the file out again since, the member goes and all else stays.
///
/// # Errors
/// The file is not one that Docker starts on, or the entry holds more than a path: then it is not ours.
pub fn remove(now: Option<&[u8]>, name: &RuntimeName) -> Result<Edited, Refused> {
    let Some(bytes) = now else { return Ok(Edited::Unchanged) };
    let file = Checked::read(bytes)?;
    let entries = file.entries(name);
    let (Some(entry), others) = (entries.first(), entries.len().saturating_sub(1)) else {
        return Ok(Edited::Unchanged);
    };
    let path = file.plain_path(entry, name)?;
    if others > 0 {
        let at = JsonPlace::of(file.text, entry.name.start);
        return Err(Refused::RuntimeExists { at, name: name.to_string(), why: "it occurs twice".to_owned() });
    }
    let ours = RuntimeEntry::new(name.clone(), &path).ok();
    if ours.as_ref().is_some_and(|ours| new_file(ours).as_bytes() == bytes) {
        return Ok(Edited::NoFile);
    }
    let before = ours.and_then(|ours| as_before(&file, bytes, entry, &ours));
    Ok(Edited::Content(before.unwrap_or_else(|| {
        let all = holder(&file, entry).map(|holder| json::members(file.text, holder.value.start)).unwrap_or_default();
        cut(bytes, member_with_comma(&all, entry))
    })))
}

/// The file from which [`insert`] makes this one; `None` where it makes it of none.
fn as_before(file: &Checked<'_>, bytes: &[u8], entry: &Member, ours: &RuntimeEntry) -> Option<Vec<u8>> {
    let holder = holder(file, entry)?;
    let ways = [piece(file.text, holder.value.start, entry), piece(file.text, file.open, holder)];
    ways.into_iter()
        .flatten()
        .map(|piece| cut(bytes, piece))
        .find(|before| matches!(insert(Some(before), ours, true), Ok(Edited::Content(again)) if again == bytes))
}

/// The object `runtimes` that holds the entry.
fn holder<'a>(file: &'a Checked<'_>, entry: &Member) -> Option<&'a Member> {
    file.runtimes.iter().find(|runtimes| runtimes.value.contains(&entry.name.start))
}

/// From behind the bracket to the end of the object's first member, its comma included; `None` where another is the first.
pub(super) fn piece(text: &str, open: usize, member: &Member) -> Option<Range<usize>> {
    let first = json::skip_space(text, open + 1) == member.name.start;
    let comma = text.get(member.value.end..).is_some_and(|rest| rest.starts_with(','));
    first.then(|| open + 1..member.value.end + usize::from(comma))
}

/// One of the members of an object with the comma that goes with it.
pub(super) fn member_with_comma(all: &[Member], entry: &Member) -> Range<usize> {
    let at = all.iter().position(|member| member == entry).unwrap_or(0);
    match (at.checked_sub(1).and_then(|before| all.get(before)), all.get(at + 1)) {
        (Some(before), _) => before.value.end..entry.value.end,
        (None, Some(next)) => entry.name.start..next.name.start,
        (None, None) => entry.name.start..entry.value.end,
    }
}

pub(super) fn cut(bytes: &[u8], piece: Range<usize>) -> Vec<u8> {
    let (before, _) = bytes.split_at(piece.start.min(bytes.len()));
    let (_, after) = bytes.split_at(piece.end.min(bytes.len()));
    [before, after].concat()
}
