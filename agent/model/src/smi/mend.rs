//! Takes the names of processes that nvidia-smi wrote without escaping them out of a document: such a name costs itself only.

use std::borrow::Cow;

const OPEN: &str = "<process_name>";
const CLOSE: &str = "</process_name>";
/// Longest name whose end is looked for, in bytes.
const NAME_MAX_BYTES: usize = 16 * 1024;
/// What is behind a name: by one of these its end is distinguished from an end that is in the name itself.
const BEHIND: [&str; 2] = ["<used_memory>", "</process_info>"];

/// The document with every name that is no text of XML made one that is garbled: a raw `&`, a `<` as in `python <defunct>`.
pub(super) fn mended(document: Cow<'_, str>) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut rest: &str = &document;
    let mut untouched = rest;
    while let Some((_, after)) = rest.split_once(OPEN) {
        let Some(length) = length(after) else { break };
        let (name, behind) = after.split_at(length);
        if !is_escaped(name) {
            let before = untouched.len().saturating_sub(after.len());
            mended.push_str(untouched.get(..before).unwrap_or_default());
            // The character that stands for "no character" makes the name garbled, and the rest of it shows what it was.
            mended.push(char::REPLACEMENT_CHARACTER);
            mended.extend(name.chars().map(|c| if matches!(c, '<' | '>' | '&') { '?' } else { c }));
            untouched = behind;
        }
        rest = behind;
    }
    if mended.is_empty() {
        return document;
    }
    mended.push_str(untouched);
    Cow::Owned(mended)
}

/// Length of the name in bytes; `None` where it does not end.
fn length(after: &str) -> Option<usize> {
    // The end of a name is looked for no further than any name goes, so that a document of names alone costs no more than one.
    let most = (0..=NAME_MAX_BYTES.min(after.len())).rev().find(|at| after.is_char_boundary(*at)).unwrap_or(0);
    let after = after.get(..most).unwrap_or_default();
    let is_end = |at: usize| {
        let behind = after.get(at.saturating_add(CLOSE.len())..).unwrap_or_default().trim_start();
        BEHIND.iter().any(|tag| behind.starts_with(tag))
    };
    let mut ends = after.match_indices(CLOSE).map(|(at, _)| at);
    let first = ends.next()?;
    if is_end(first) {
        return Some(first);
    }
    // Beyond the element that follows every name no end of this one is looked for.
    let limit = BEHIND.iter().filter_map(|tag| after.find(tag)).min().unwrap_or(after.len());
    Some(ends.take_while(|at| *at < limit).find(|at| is_end(*at)).unwrap_or(first))
}

/// No `<`, and each `&` begins a reference.
fn is_escaped(name: &str) -> bool {
    let is_reference = |after: &str| {
        let Some((name, _)) = after.split_once(';') else { return false };
        let is_word = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
        name.len() <= 10 && is_word(name.strip_prefix('#').unwrap_or(name))
    };
    !name.contains('<') && name.split('&').skip(1).all(is_reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> String {
        format!("<a>1</a><process_info>{OPEN}{name}{CLOSE} <used_memory>5 MiB</used_memory></process_info>")
    }

    #[test]
    fn a_document_that_is_right_is_not_touched() {
        for text in ["python", "a &amp; b", "&lt;x&gt; &#38; &#x26;", "", "5 > 4"] {
            let document = name(text);
            assert!(matches!(mended(Cow::Borrowed(&document)), Cow::Borrowed(same) if same == document), "{text}");
        }
        assert_eq!(mended(Cow::Borrowed("<x>a & b</x>")), "<x>a & b</x>", "only names of processes");
        assert_eq!(mended(Cow::Borrowed("<process_name>a & b")), "<process_name>a & b", "cut off");
    }

    #[test]
    fn a_raw_name_is_made_harmless_and_nothing_around_it_moves() {
        for (raw, harmless) in [
            ("/opt/run & go", "\u{fffd}/opt/run ? go"),
            ("python <defunct>", "\u{fffd}python ?defunct?"),
            ("a&b;c", "a&b;c"),
            ("a & b; c", "\u{fffd}a ? b; c"),
            ("&", "\u{fffd}?"),
            ("x</process_name>y", "\u{fffd}x?/process_name?y"),
        ] {
            assert_eq!(mended(Cow::Owned(name(raw))), name(harmless), "{raw}");
        }
        let two = name("a < b") + &name("fine") + &name("c & d");
        let expected = name("\u{fffd}a ? b") + &name("fine") + &name("\u{fffd}c ? d");
        assert_eq!(mended(Cow::Owned(two)), expected);
    }
}
