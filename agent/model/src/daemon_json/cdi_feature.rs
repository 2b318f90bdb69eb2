//! Enables CDI in a `daemon.json`, for engines that have it disabled: one piece goes in and comes out, every other byte stays.

use super::Edited;
use super::edit_refused::Refused;
use super::insert::first_member;
use super::json_text::{Checked, is_object};
use super::remove::{cut, member_with_comma, piece};
use crate::json::{self, JsonPlace, Member};
use crate::version::is_older;

/// Where `features` came with it: the white space inside the brackets distinguishes it.
const OWN: &str = "\"features\": { \"cdi\": true }";
/// Where `features` was there before.
const INNER: &str = "\"cdi\": true";

/// Whether an engine of this version reads CDI specifications only where `features.cdi` enables it: 25.0 to 28.1. Older ones have no
/// CDI, and from 28.2 on it is enabled by default.
#[must_use]
pub fn needs_cdi_feature(version: &str) -> bool {
    !is_older(version, &[25]) && is_older(version, &[28, 2])
}

/// Puts it in.
///
/// # Errors
/// The file is not one that Docker starts on, or has `features.cdi` with another value.
pub fn insert_cdi(before: &[u8], reads_mark: bool) -> Result<Edited, Refused> {
    let file = Checked::read(before)?;
    if file.has_mark() && !reads_mark {
        return Err(Refused::Bom);
    }
    if ours_in(&file)?.is_some() {
        return Ok(Edited::Unchanged);
    }
    let (open, member) = match features(&file)?.first() {
        Some(features) => (features.value.start, INNER),
        None => (file.open, OWN),
    };
    let (head, tail) = file.text.split_at(open + 1);
    Ok(Edited::Content([head, &first_member(&file, tail, member), tail].concat().into_bytes()))
}

/// Takes it out. What [`insert_cdi`] made gives the file that was there before, byte for byte; where somebody has laid the file out again
/// since, the member goes and all else stays.
///
/// # Errors
/// As [`insert_cdi`].
pub fn remove_cdi(now: &[u8]) -> Result<Edited, Refused> {
    let file = Checked::read(now)?;
    let Some((holder, member)) = ours_in(&file)? else { return Ok(Edited::Unchanged) };
    let is_own = file.text.get(holder.name.start..holder.value.end) == Some(OWN);
    let whole = piece(file.text, file.open, &holder).filter(|_| is_own);
    let inner = piece(file.text, holder.value.start, &member);
    let gives_now = |before: &Vec<u8>| insert_cdi(before, true) == Ok(Edited::Content(now.to_vec()));
    let before = [whole, inner].into_iter().flatten().map(|piece| cut(now, piece)).find(gives_now);
    Ok(Edited::Content(before.unwrap_or_else(|| {
        let members = json::members(file.text, if is_own { file.open } else { holder.value.start });
        cut(now, member_with_comma(&members, if is_own { &holder } else { &member }))
    })))
}

/// Whether the file enables it.
///
/// # Errors
/// As [`insert_cdi`].
pub fn enables_cdi(now: &[u8]) -> Result<bool, Refused> {
    ours_in(&Checked::read(now)?).map(|found| found.is_some())
}

/// The objects that are named `features`: Docker merges them where there are several.
fn features(file: &Checked<'_>) -> Result<Vec<Member>, Refused> {
    let found = file.named("features");
    found.iter().try_for_each(|member| is_object(file.text, member.value.start, "features"))?;
    Ok(found)
}

/// The member that enables it, with the object that holds it.
fn ours_in(file: &Checked<'_>) -> Result<Option<(Member, Member)>, Refused> {
    let mut found = None;
    for holder in features(file)? {
        for member in json::members(file.text, holder.value.start) {
            if member.name_in(file.text).as_deref() != Some("cdi") {
                continue;
            }
            let value = file.text.get(member.value.clone()).unwrap_or_default();
            let is_plain = file.text.get(member.name.clone()) == Some("\"cdi\"");
            if value != "true" || !is_plain || found.is_some() {
                let why = if value != "true" {
                    format!("it is {}", short(value))
                } else {
                    "it is written in another way".to_owned()
                };
                return Err(Refused::FeatureSet { at: JsonPlace::of(file.text, member.name.start), why });
            }
            found = Some((holder.clone(), member));
        }
    }
    Ok(found)
}

fn short(value: &str) -> String {
    crate::printable::printable(value, 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon_json::{RuntimeEntry, insert, remove, take_out};

    fn text(edited: Result<Edited, Refused>) -> String {
        match edited {
            Ok(Edited::Content(bytes)) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_goes_in_as_its_neighbours_are_laid_out_and_comes_out_byte_for_byte() {
        for (before, after) in [
            ("{}", format!("{{{OWN}}}")),
            ("{\n}\n", format!("{{\n    {OWN}\n}}\n")),
            ("{\"debug\":true}", format!("{{{OWN},\"debug\":true}}")),
            ("{\r\n\t\"a\": 1\r\n}", format!("{{\r\n\t{OWN},\r\n\t\"a\": 1\r\n}}")),
            ("{\"features\": {}}", format!("{{\"features\": {{{INNER}}}}}")),
            ("{\"features\": {\"buildkit\": true}}", format!("{{\"features\": {{{INNER},\"buildkit\": true}}}}")),
            (
                "{\n  \"features\": {\n    \"buildkit\": true\n  }\n}",
                format!("{{\n  \"features\": {{\n    {INNER},\n    \"buildkit\": true\n  }}\n}}"),
            ),
            ("{\"a\": 12345678901234567890, \"a\": 2}", format!("{{{OWN},\"a\": 12345678901234567890, \"a\": 2}}")),
            ("\u{feff}{}", format!("\u{feff}{{{OWN}}}")),
        ] {
            assert_eq!(text(insert_cdi(before.as_bytes(), true)), after, "{before:?}");
            assert_eq!(text(remove_cdi(after.as_bytes())), before, "{after:?}");
            assert_eq!(enables_cdi(after.as_bytes()), Ok(true));
            assert_eq!(insert_cdi(after.as_bytes(), true), Ok(Edited::Unchanged));
        }
        assert_eq!(remove_cdi(b"{\"debug\": true}"), Ok(Edited::Unchanged));
    }

    #[test]
    fn both_pieces_go_in_and_out_in_turn() {
        let entry: RuntimeEntry = "nvidia=nvidia-container-runtime".parse().unwrap();
        for before in [
            "{}",
            "{\n}\n",
            "{\n  \"debug\": true\n}\n",
            "{\"runtimes\": {}}",
            "{\"runtimes\":{\"a\":{\"path\":\"/a\"}},\"features\":{}}",
        ] {
            let one = text(insert(Some(before.as_bytes()), &entry, true));
            let both = text(insert_cdi(one.as_bytes(), true));
            assert_eq!(text(remove_cdi(both.as_bytes())), one, "{both}");
            assert_eq!(text(remove(Some(one.as_bytes()), &entry.name)), before);
            // In the other order the file is valid and has neither.
            let out = text(take_out(Some(both.as_bytes()), &entry.name));
            assert_eq!(enables_cdi(out.as_bytes()), Ok(true), "{out}");
            let out = text(remove_cdi(out.as_bytes()));
            assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok() && !out.contains("nvidia"), "{out}");
        }
        let alone = text(insert(None, &entry, true));
        let both = text(insert_cdi(alone.as_bytes(), true));
        assert_eq!(text(remove_cdi(both.as_bytes())), alone);
    }

    #[test]
    fn what_an_administrator_has_set_is_left_alone() {
        for (file, code) in [
            ("{\"features\": {\"cdi\": false}}", "feature_set"),
            ("{\"features\": {\"cdi\": \"true\"}}", "feature_set"),
            ("{\"features\": {\"c\\u0064i\": true}}", "feature_set"),
            ("{\"features\": {\"cdi\": true}, \"features\": {\"cdi\": true}}", "feature_set"),
            ("{\"features\": []}", "wrong_type"),
            ("", "empty_file"),
            ("{\"a\": 1,}", "invalid_json"),
        ] {
            for edited in [insert_cdi(file.as_bytes(), true), remove_cdi(file.as_bytes())] {
                assert_eq!(edited.expect_err(file).code(), code, "{file}");
            }
        }
        assert_eq!(insert_cdi("\u{feff}{}".as_bytes(), false), Err(Refused::Bom));
        // Laid out again by a person: the member goes, and everything else stays.
        assert_eq!(text(remove_cdi(b"{\"a\": 1, \"features\": { \"cdi\": true }}")), "{\"a\": 1}");
        assert_eq!(text(remove_cdi(b"{\"features\": {\"x\": true, \"cdi\": true}}")), "{\"features\": {\"x\": true}}");
    }

    #[test]
    fn only_engines_that_have_cdi_disabled_need_it() {
        for (version, needs) in [
            ("20.10.24", false),
            ("24.0.9", false),
            ("25.0.0", true),
            ("26.1.5", true),
            ("28.1.1", true),
            ("28.2.0", false),
            ("29.0.1", false),
        ] {
            assert_eq!(needs_cdi_feature(version), needs, "{version}");
        }
        assert!(!needs_cdi_feature("dev"), "an unknown one is not restarted for it");
    }
}
