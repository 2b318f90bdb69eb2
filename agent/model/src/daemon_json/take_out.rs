//! Takes a runtime entry out of the `daemon.json` of a Docker that runs, in one or two writes with a reload between them.
//!
//! Docker forgets a runtime at a reload only while the file has an object `runtimes` (`reloadPlatform` asks `IsValueSet("runtimes")`;
//! seen on 20.10). Where `runtimes` came with the entry, the first write leaves that object empty, and the second removes it.

use super::Edited;
use super::edit_refused::Refused;
use super::insert::{insert, new_file};
use super::json_text::Checked;
use super::remove::{cut, piece, remove};
use super::runtime::{RuntimeEntry, RuntimeName};

/// What is left of `runtimes` where it came with the entry: the number of spaces shows that it was not there before, and does not
/// occur in what [`insert`] writes.
const EMPTIED: &str = "\"runtimes\": {  }";
/// The whole file where it came with the entry.
const EMPTIED_FILE: &str = "{\n    \"runtimes\": {   }\n}\n";

/// The next write on the way to a file without the entry; `now` is `None` where there is no file. `Unchanged` = it is out.
///
/// # Errors
/// As [`remove`].
pub fn take_out(now: Option<&[u8]>, name: &RuntimeName) -> Result<Edited, Refused> {
    let Some(bytes) = now else { return Ok(Edited::Unchanged) };
    let removed = remove(Some(bytes), name)?;
    match &removed {
        Edited::Unchanged => Ok(emptied_before(bytes, name)?.unwrap_or(Edited::Unchanged)),
        Edited::NoFile => Ok(Edited::Content(EMPTIED_FILE.as_bytes().to_vec())),
        Edited::Content(before) => Ok(emptied(before, bytes, name).map_or(removed, Edited::Content)),
    }
}

/// Whether the file has what [`take_out`] leaves between its two writes.
#[must_use]
pub fn is_emptied(now: &[u8], name: &RuntimeName) -> bool {
    matches!(take_out(Some(now), name), Ok(Edited::Content(_) | Edited::NoFile))
        && matches!(remove(Some(now), name), Ok(Edited::Unchanged))
}

/// The file with an empty `runtimes` in the place of ours; `None` where `before` had one.
fn emptied(before: &[u8], now: &[u8], name: &RuntimeName) -> Option<Vec<u8>> {
    if !Checked::read(before).ok()?.runtimes.is_empty() {
        return None;
    }
    let file = Checked::read(now).ok()?;
    let runtimes = file.runtimes.first()?;
    let (head, _) = now.split_at_checked(runtimes.name.start)?;
    let (_, tail) = now.split_at_checked(runtimes.value.end)?;
    let emptied = [head, EMPTIED.as_bytes(), tail].concat();
    // Somebody may have laid the file out again: then one write has to do, for the second would not know what was there before.
    let again = emptied_before(&emptied, name).ok().flatten();
    (again.as_ref() == Some(&Edited::Content(before.to_vec()))).then_some(emptied)
}

/// The file that was there before the entry came, from the one with the empty `runtimes`; `None` where that is not ours.
fn emptied_before(now: &[u8], name: &RuntimeName) -> Result<Option<Edited>, Refused> {
    if now == EMPTIED_FILE.as_bytes() {
        return Ok(Some(Edited::NoFile));
    }
    let file = Checked::read(now)?;
    let Some(runtimes) = file.runtimes.first() else { return Ok(None) };
    if file.text.get(runtimes.name.start..runtimes.value.end) != Some(EMPTIED) {
        return Ok(None);
    }
    let Some(before) = piece(file.text, file.open, runtimes).map(|piece| cut(now, piece)) else { return Ok(None) };
    // Any path will do: its length is not part of what is compared.
    let Ok(entry) = RuntimeEntry::new(name.clone(), "x") else { return Ok(None) };
    let Ok(Edited::Content(with_entry)) = insert(Some(&before), &entry, true) else { return Ok(None) };
    let ours = format!("\"runtimes\": {{\"{name}\": {{ \"path\": \"x\" }}}}");
    let again = String::from_utf8_lossy(&with_entry).replacen(&ours, EMPTIED, 1);
    let is_ours = again.as_bytes() == now && new_file(&entry).as_bytes() != with_entry;
    Ok(is_ours.then_some(Edited::Content(before)))
}
