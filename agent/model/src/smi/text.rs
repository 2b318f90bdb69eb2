//! Finds the XML in what nvidia-smi printed: byte order mark, foreign text around it, bytes that are no UTF-8.

use super::mend::mended;
use super::{failure, garbled};
use crate::driver::ProbeError;
use std::borrow::Cow;

/// The text of one document.
pub(super) struct Document<'a> {
    /// Everything that was printed.
    pub(super) all: Cow<'a, str>,
    /// Where the XML begins in it.
    pub(super) start: usize,
    /// Some bytes were no UTF-8 and have been replaced.
    pub(super) is_lossy: bool,
    /// Text in front of the XML.
    pub(super) before: Option<&'a str>,
}

impl Document<'_> {
    /// The XML and whatever follows it.
    pub(super) fn xml(&self) -> &str {
        self.all.get(self.start..).unwrap_or_default()
    }

    /// Line and byte of an offset into [`Document::xml`], as people count them (from 1).
    pub(super) fn position(&self, offset: u64) -> String {
        let end = usize::try_from(offset).map_or(self.all.len(), |offset| self.start.saturating_add(offset));
        let end = end.min(self.all.len());
        let lines = self.all.bytes().take(end).filter(|byte| *byte == b'\n').count();
        format!("line {}, byte {end}", lines.saturating_add(1))
    }
}

/// What can stand at the beginning of the XML, the likeliest first.
const BEGINNINGS: [&str; 3] = ["<?xml", "<!DOCTYPE nvidia_smi_log", "<nvidia_smi_log"];

/// Takes the bytes as text and finds where the XML begins.
pub(super) fn document(bytes: &[u8]) -> Result<Document<'_>, ProbeError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(garbled("it is UTF-16; save it as UTF-8".to_owned()));
    }
    let all = String::from_utf8_lossy(bytes);
    let is_lossy = matches!(all, Cow::Owned(_));
    let all = mended(all);
    let start = all.find(|c: char| !c.is_whitespace()).unwrap_or(all.len());
    let xml = all.get(start..).unwrap_or_default();
    if xml.starts_with('<') {
        return Ok(Document { start, is_lossy, before: None, all });
    }
    let Some(found) = BEGINNINGS.iter().filter_map(|beginning| xml.find(beginning)).min() else {
        return Err(failure::no_xml(xml));
    };
    let begin = start.saturating_add(found);
    let before = std::str::from_utf8(bytes).ok().and_then(|text| text.get(start..begin)).map(str::trim);
    Ok(Document { start: begin, is_lossy, before: before.or(Some("(not UTF-8)")), all })
}
