//! `DesiredState`: a document of a manager, or of a file of this host in the same shape, from bytes to wishes.
//!
//! Limits come before meaning: size, nesting, names that are there twice, then the number and length of things. Integers may be
//! written as `30.0`. What has another JSON type than in the contract, or breaks a limit, refuses the whole document; a text or
//! number of the right type that this version does not know, or that is out of range, refuses its item alone. Names that are not
//! known are ignored in a manager's document and refused in a file of this host.

mod agent_settings;
mod document_reader;
mod duplicate_names;
mod gpu_wishes;
mod json_node;
mod mig_wishes;
mod nvidia_wishes;
mod proxy_wishes;
#[cfg(test)]
mod tests;

pub use document_reader::{DesiredFault, DesiredFaults, DesiredForm};
pub use json_node::same_json;

use document_reader::Reader;
use json_node::{Kind, Node, whole};
use model::desired::{
    DOCUMENT_MAX_BYTES, DOCUMENT_MAX_DEPTH, Desired, DesiredDocument, DesiredSections, DocumentId, Epoch, Revision,
    TomlDocument, WishText,
};
use model::json::{self, JsonError};
use model::time::UnixMillis;

/// Most entries of `images` and of `workspaces`.
const LISTED_MOST: usize = 4096;
/// Most names in `requires`.
const REQUIRES_MOST: usize = 256;
/// Names that only a manager's document has.
const HEAD: [&str; 5] = ["epoch", "revision", "issued_at", "server_id", "not_after"];

/// A document as it was read, right or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredReading {
    /// Which document it is, where that much could be read.
    pub id: Option<DocumentId>,
    /// When it was made.
    pub issued_at: Option<UnixMillis>,
    /// The host that it is for.
    pub server_id: Option<String>,
    /// When it may be accepted at the latest.
    pub not_after: Option<UnixMillis>,
    /// What it requires.
    pub requires: Vec<String>,
    /// What it wishes.
    pub wishes: DesiredSections,
    /// What is wrong with it.
    pub faults: DesiredFaults,
}

/// A manager's document that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidDocument {
    /// Which document it is, where that much could be read.
    pub id: Option<DocumentId>,
    /// What is wrong, the first first: at least one.
    pub faults: Vec<DesiredFault>,
}

impl std::fmt::Display for InvalidDocument {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, fault) in self.faults.iter().take(3).enumerate() {
            write!(out, "{}{fault}", if at == 0 { "" } else { "; " })?;
        }
        match self.faults.len() {
            0..=3 => Ok(()),
            more => write!(out, "; and {} more faults", more - 3),
        }
    }
}

/// Reads a manager's document.
///
/// # Errors
/// It breaks a limit, or its shape is wrong.
pub fn read(bytes: &[u8]) -> Result<DesiredDocument, InvalidDocument> {
    let DesiredReading { id, issued_at, server_id, not_after, requires, wishes, faults } =
        examine(bytes, DesiredForm::Manager);
    match id {
        Some(id) if faults.refused.is_empty() => {
            Ok(DesiredDocument { id, issued_at, server_id, not_after, requires, wishes })
        }
        id => Err(InvalidDocument { id, faults: faults.refused }),
    }
}

/// Reads a document and finds everything that is wrong with it.
#[must_use]
pub fn examine(bytes: &[u8], form: DesiredForm) -> DesiredReading {
    let text = match checked(bytes) {
        Ok(text) => text,
        Err(fault) => return wrong(fault),
    };
    let mut reader = Reader::new(text, form);
    let mut reading = DesiredReading::default();
    let top = Node::top(text);
    sections(&mut reader, top, &mut reading);
    if form == DesiredForm::Manager && top.is_object() {
        head(&mut reader, top, &mut reading);
    }
    reading.faults = reader.faults;
    reading
}

/// Who wrote a text, by whether it has an epoch or a revision; where it cannot be read, this host.
#[must_use]
pub fn form_of(text: &str) -> DesiredForm {
    let is_json = json::check(text, DOCUMENT_MAX_DEPTH).is_ok();
    let names_one = |document: &str| {
        let top = Node::top(document);
        top.get("epoch").or_else(|| top.get("revision")).is_some()
    };
    let named = if is_json { names_one(text) } else { TomlDocument::read(text).is_ok_and(|it| names_one(&it.json)) };
    if named { DesiredForm::Manager } else { DesiredForm::Local }
}

/// As [`examine`] for a text in TOML: faults have their places in that text.
#[must_use]
pub fn examine_toml(text: &str, form: DesiredForm) -> DesiredReading {
    let document = match TomlDocument::read(text) {
        Ok(document) => document,
        Err(fault) => return wrong(DesiredFault { pointer: fault.pointer, at: Some(fault.at), message: fault.why }),
    };
    let mut reading = examine(document.json.as_bytes(), form);
    let DesiredFaults { refused, items, ignored } = &mut reading.faults;
    for fault in refused.iter_mut().chain(items).chain(ignored) {
        fault.at = document.place(&fault.pointer);
    }
    reading
}

fn wrong(fault: DesiredFault) -> DesiredReading {
    let faults = DesiredFaults { refused: vec![fault], ..DesiredFaults::default() };
    DesiredReading { faults, ..DesiredReading::default() }
}

/// The text, where it is JSON within the limits that need no meaning.
fn checked(bytes: &[u8]) -> Result<&str, DesiredFault> {
    let whole = |at, message: String| DesiredFault { pointer: String::new(), at, message };
    if bytes.len() > DOCUMENT_MAX_BYTES {
        return Err(whole(None, format!("has {} bytes, and {DOCUMENT_MAX_BYTES} is the most", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        whole(None, format!("is not UTF-8 text: byte {} does not belong to a character", fault.valid_up_to()))
    })?;
    json::check(text, DOCUMENT_MAX_DEPTH).map_err(|fault| match fault {
        JsonError::Invalid { at, why } => whole(Some(at), format!("is not JSON: {why}")),
        JsonError::TooDeep { at, most } => whole(Some(at), format!("is nested deeper than {most} levels")),
    })?;
    duplicate_names::check(text).map_err(|fault| DesiredFault {
        pointer: fault.pointer,
        at: None,
        message: fault.why,
    })?;
    Ok(text)
}

fn sections<'t>(reader: &mut Reader<'t>, top: Node<'t>, reading: &mut DesiredReading) {
    reader.object(top, |reader, name, value| match name {
        "agent" => reading.wishes.agent = agent_settings::read(reader, value),
        "gpus" => reading.wishes.gpus = gpu_wishes::read(reader, value),
        "nvidia" => reading.wishes.nvidia = nvidia_wishes::read(reader, value),
        "requires" => reading.requires = requires(reader, value),
        "proxy" => reading.wishes.proxy = proxy_wishes::read(reader, value),
        "images" => reading.wishes.images = texts(reader, value),
        "workspaces" => reading.wishes.workspaces = texts(reader, value),
        name if HEAD.contains(&name) => {
            if reader.form == DesiredForm::Local {
                reader.refuse(value, "belongs to a document of a manager; remove it");
            }
        }
        _ => reader.unknown(value),
    });
}

/// Entries that are read later, each by itself: a wrong one refuses nothing but itself.
fn texts<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Desired<Vec<WishText>> {
    if node.is_null() {
        return Desired::LocalDefault;
    }
    let mut all = Vec::new();
    reader.list(node, LISTED_MOST, |reader, one| {
        reader.object(one, |_, _, _| {});
        all.push(WishText::new(one.raw()));
    });
    Desired::Value(all)
}

fn requires<'t>(reader: &mut Reader<'t>, node: Node<'t>) -> Vec<String> {
    let mut names = Vec::new();
    if !node.is_null() {
        reader.list(node, REQUIRES_MOST, |reader, one| match reader.text(one) {
            Some(name) => names.push(name),
            None => reader.refuse(one, "expected a string, found null"),
        });
    }
    names
}

/// Which document it is, and on which conditions it may be accepted.
fn head<'t>(reader: &mut Reader<'t>, top: Node<'t>, reading: &mut DesiredReading) {
    let epoch = required(reader, top, "epoch", epoch);
    let revision = required(reader, top, "revision", revision);
    reading.id = epoch.zip(revision).map(|(epoch, revision)| DocumentId { epoch, revision });
    reading.issued_at = instant(reader, top, "issued_at");
    reading.not_after = instant(reader, top, "not_after");
    reading.server_id = top.get("server_id").and_then(|value| reader.within("server_id", |reader| reader.text(value)));
}

fn required<'t, T>(
    reader: &mut Reader<'t>,
    top: Node<'t>,
    name: &str,
    read: impl FnOnce(Node<'t>) -> Result<T, String>,
) -> Option<T> {
    let value = top.get(name);
    let read = value.map_or_else(|| Err("is missing, and it is required".to_owned()), read);
    read.map_err(|why| reader.within(name, |reader| reader.refuse(value.unwrap_or(top), why))).ok()
}

fn epoch(value: Node<'_>) -> Result<Epoch, String> {
    match value.kind() {
        Kind::Text(text) => Epoch::try_from(text.into_owned()).map_err(|fault| fault.to_string()),
        Kind::Null | Kind::Truth(_) | Kind::Number(_) | Kind::List | Kind::Object => {
            Err(format!("expected a string, found {}", value.words()))
        }
    }
}

fn revision(value: Node<'_>) -> Result<Revision, String> {
    let Kind::Number(raw) = value.kind() else {
        return Err(format!("expected a whole number, found {}", value.words()));
    };
    let expected = || "a revision is a whole number from 1 to 9223372036854775807".to_owned();
    let number = whole(raw).and_then(|number| u64::try_from(number).ok()).ok_or_else(expected)?;
    Revision::try_from(number).map_err(|fault| fault.to_string())
}

/// An instant that may be left out. One that cannot be read refuses the document: a limit must not be lost.
fn instant<'t>(reader: &mut Reader<'t>, top: Node<'t>, name: &str) -> Option<UnixMillis> {
    let value = top.get(name)?;
    reader.within(name, |reader| {
        let text = reader.text(value)?;
        agent_settings::instant(&text).map_err(|expected| reader.refuse(value, expected)).ok()
    })
}
