//! What becomes of the output of `nvidia-ctk cdi generate` before it is a file: one document, only devices that no other file of its
//! directory defines, and the lowest version that its content needs.

use super::cdi_spec::{FILE_MAX_BYTES, KIND, Spec};
use super::spec_text::parse;
use super::spec_version::SpecVersion;
use crate::json;
use crate::printable::printable;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeSet;
use std::ops::Range;

/// Deeper nesting than this has no specification.
const DEPTH_MAX: usize = 24;
/// More documents than this are not written by one run: it writes one for each kind, and knows three.
const DOCUMENTS_MAX: usize = 8;

/// A specification that is ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// What they say.
    pub spec: Spec,
    /// Devices that were left out because another file defines them.
    pub left_out: Vec<String>,
}

/// Why the output of the generator is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeneratedError {
    /// It is larger than any engine's file would be.
    #[error("it is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It has no document of GPUs, or several.
    #[error("it has {found} documents of kind {KIND}, and one is expected")]
    Documents {
        /// How many there are.
        found: usize,
    },
    /// An engine would not take it.
    #[error("{0}")]
    Refused(String),
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Prepares the output for an engine that reads up to `newest`, without the devices `taken` that other files define. On GPUs with
/// coherent memory the generator writes documents of other kinds behind the first; they are not passed on. `None` if no device is
/// left.
///
/// # Errors
/// It is not one specification, or the engine would not take it.
pub fn prepared(
    output: &[u8],
    newest: SpecVersion,
    taken: &BTreeSet<String>,
) -> Result<Option<Generated>, GeneratedError> {
    let text = gpu_document(output)?;
    let read = |text: &str| parse("generated.json", text.as_bytes()).map_err(GeneratedError::Refused);
    let whole = read(text)?.ok_or(GeneratedError::Documents { found: 0 })?;
    // A version that is not known here may stand for content that is not known either. One that is too low is only wrong.
    if SpecVersion::read(&whole.version).is_none() {
        let why = whole.refused_by(SpecVersion::NEWEST).unwrap_or_default();
        return Err(GeneratedError::Refused(why));
    }
    let left_out = whole.devices.iter().map(|device| &device.name).filter(|name| taken.contains(*name));
    let left_out: Vec<String> = left_out.cloned().collect();
    if left_out.len() == whole.devices.len() {
        return Ok(None);
    }
    let text = without(text, taken);
    let needs = read(&text)?.and_then(|spec| spec.needs).unwrap_or(SpecVersion::NEWEST);
    let mut text = with_version(&text, needs);
    text.push('\n');
    let spec = read(&text)?.ok_or(GeneratedError::Documents { found: 0 })?;
    if let Some(why) = spec.refused_by(newest) {
        return Err(GeneratedError::Refused(why));
    }
    Ok(Some(Generated { bytes: text.into_bytes(), spec, left_out }))
}

fn not_json(error: &impl ToString) -> GeneratedError {
    GeneratedError::NotJson(printable(&error.to_string(), 200))
}

/// The one document of [`KIND`] in the output.
fn gpu_document(output: &[u8]) -> Result<&str, GeneratedError> {
    if output.len() > FILE_MAX_BYTES {
        return Err(GeneratedError::TooLarge);
    }
    let text = std::str::from_utf8(output).map_err(|error| not_json(&error))?;
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut found, mut begin) = (Vec::new(), 0);
    for _ in 0..DOCUMENTS_MAX {
        match documents.next() {
            None => break,
            Some(Err(error)) => return Err(not_json(&error)),
            Some(Ok(_)) => {}
        }
        let end = documents.byte_offset();
        let document = text.get(begin..end).unwrap_or_default().trim();
        begin = end;
        json::check(document, DEPTH_MAX).map_err(|error| not_json(&error))?;
        if serde_json::from_str::<Kind>(document).is_ok_and(|known| known.kind.as_deref() == Some(KIND)) {
            found.push(document);
        }
    }
    match found.as_slice() {
        [one] if text.get(begin..).is_none_or(|rest| rest.trim().is_empty()) => Ok(one),
        other => Err(GeneratedError::Documents { found: other.len() }),
    }
}

/// The value of a member of the outermost object; of a repeated one, the last.
fn value_of(text: &str, name: &str) -> Option<Range<usize>> {
    let members = json::members(text, 0);
    members.into_iter().rev().find(|member| member.name_in(text).as_deref() == Some(name)).map(|member| member.value)
}

/// The text without these devices; everything else is as it was.
fn without(text: &str, taken: &BTreeSet<String>) -> String {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let Some(devices) = value_of(text, "devices") else { return text.to_owned() };
    let is_taken = |device: &&str| serde_json::from_str::<Named>(device).is_ok_and(|named| taken.contains(&named.name));
    let all: Vec<&str> = json::elements(text, devices.start).into_iter().filter_map(|place| text.get(place)).collect();
    if !all.iter().any(is_taken) {
        return text.to_owned();
    }
    let kept: Vec<&str> = all.into_iter().filter(|device| !is_taken(device)).collect();
    let (before, behind) = (text.get(..devices.start), text.get(devices.end..));
    format!("{}[{}]{}", before.unwrap_or_default(), kept.join(","), behind.unwrap_or_default())
}

fn with_version(text: &str, version: SpecVersion) -> String {
    let Some(place) = value_of(text, "cdiVersion") else { return text.to_owned() };
    let mut text = text.to_owned();
    text.replace_range(place, &format!("\"{version}\""));
    text
}
