//! Takes values out of a document: what is right, and everything that is wrong with its place.

use super::json_node::{Kind, Node, float, whole};
use model::desired::{Desired, pointer_to};
use model::json::JsonPlace;
use model::printable::printable;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// So many faults are kept; a document with more is no better known by them.
const FAULTS_MOST: usize = 64;
/// So much of a text of the document is repeated in a message.
const SHOWN_CHARS: usize = 64;

/// Something in a document that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredFault {
    /// Its JSON pointer, `/agent/labels/site`; empty for the document as a whole.
    pub pointer: String,
    /// Where it is in the text, where that is known.
    pub at: Option<JsonPlace>,
    /// What was found and what was expected.
    pub message: String,
}

impl std::fmt::Display for DesiredFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.pointer.is_empty() {
            write!(out, "{}: ", self.pointer)?;
        }
        out.write_str(&self.message)
    }
}

/// Who wrote a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredForm {
    /// A manager: it may be newer than this version, so that what is not known is ignored or costs its item alone.
    Manager,
    /// An administrator of this host: a word that is not known is a mistake.
    Local,
}

/// What is wrong with a document, by what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredFaults {
    /// The whole document is refused.
    pub refused: Vec<DesiredFault>,
    /// These items alone are refused, with the code `unsupported_value`.
    pub items: Vec<DesiredFault>,
    /// This version does nothing about them: names that it does not know, and sections that it cannot act on yet.
    pub ignored: Vec<DesiredFault>,
}

/// Reads one document.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) form: DesiredForm,
    pub(super) faults: DesiredFaults,
    pointer: String,
    /// Values whose fault was noted: one is enough for each.
    noted: BTreeSet<String>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, form: DesiredForm) -> Self {
        Self { text, form, faults: DesiredFaults::default(), pointer: String::new(), noted: BTreeSet::new() }
    }

    /// Looks at a member or an element; its name becomes the last of the pointer.
    pub(super) fn within<T>(&mut self, name: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let below = pointer_to(&self.pointer, &printable(name, SHOWN_CHARS));
        let above = std::mem::replace(&mut self.pointer, below);
        let looked = look(self);
        self.pointer = above;
        looked
    }

    fn fault(&self, node: Node<'_>, message: String) -> DesiredFault {
        DesiredFault { pointer: self.pointer.clone(), at: Some(JsonPlace::of(self.text, node.at())), message }
    }

    /// It refuses the whole document.
    pub(super) fn refuse(&mut self, node: Node<'_>, message: impl Into<String>) {
        if self.faults.refused.len() < FAULTS_MOST && self.noted.insert(self.pointer.clone()) {
            let fault = self.fault(node, message.into());
            self.faults.refused.push(fault);
        }
    }

    /// It refuses its item; in a file of this host it refuses the file.
    pub(super) fn item(&mut self, node: Node<'_>, message: &str) {
        match self.form {
            DesiredForm::Local => self.refuse(node, message),
            DesiredForm::Manager if self.faults.items.len() < FAULTS_MOST => {
                let fault = self.fault(node, message.to_owned());
                self.faults.items.push(fault);
            }
            DesiredForm::Manager => {}
        }
    }

    /// A name that this version does not know.
    pub(super) fn unknown(&mut self, node: Node<'_>) {
        match self.form {
            DesiredForm::Local => self.refuse(node, "this name is not known; remove it, or correct it"),
            DesiredForm::Manager => self.ignore(node, "this name is not known"),
        }
    }

    /// This version can do nothing about it.
    pub(super) fn inert(&mut self, node: Node<'_>) {
        self.ignore(node, "this version does nothing about it");
    }

    fn ignore(&mut self, node: Node<'_>, why: &str) {
        if self.faults.ignored.len() < FAULTS_MOST {
            let fault = self.fault(node, why.to_owned());
            self.faults.ignored.push(fault);
        }
    }

    /// The members of an object, one after the other; whatever else it is refuses the document.
    pub(super) fn object(&mut self, node: Node<'t>, mut look: impl FnMut(&mut Self, &str, Node<'t>)) {
        if !node.is_object() {
            return self.refuse(node, format!("expected an object, found {}", node.words()));
        }
        for (name, value) in node.members() {
            self.within(&name, |reader| look(reader, &name, value));
        }
    }

    /// At most `most` elements of a list, one after the other; whatever else it is, and a longer one, refuses the document.
    pub(super) fn list(&mut self, node: Node<'t>, most: usize, mut look: impl FnMut(&mut Self, Node<'t>)) {
        if !node.is_list() {
            return self.refuse(node, format!("expected a list, found {}", node.words()));
        }
        let count = node.elements().count();
        if count > most {
            return self.refuse(node, format!("has {count} entries, and {most} is the most"));
        }
        for (at, value) in node.elements().enumerate() {
            self.within(&at.to_string(), |reader| look(reader, value));
        }
    }

    /// A text; anything else refuses the document. `null` is none.
    pub(super) fn text(&mut self, node: Node<'t>) -> Option<String> {
        match node.kind() {
            Kind::Text(text) => Some(text.into_owned()),
            Kind::Null => None,
            Kind::Truth(_) | Kind::Number(_) | Kind::List | Kind::Object => {
                self.refuse(node, format!("expected a string, found {}", node.words()));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn wish_truth(&mut self, node: Node<'t>) -> Desired<bool> {
        match node.kind() {
            Kind::Truth(truth) => Desired::Value(truth),
            Kind::Null => Desired::LocalDefault,
            Kind::Text(_) | Kind::Number(_) | Kind::List | Kind::Object => {
                self.refuse(node, format!("expected true, false or null, found {}", node.words()));
                Desired::Absent
            }
        }
    }

    /// A text with a meaning; `read` returns what was expected where it has none.
    pub(super) fn wish_text<T>(&mut self, node: Node<'t>, read: impl FnOnce(&str) -> Result<T, String>) -> Desired<T> {
        if node.is_null() {
            return Desired::LocalDefault;
        }
        let Some(text) = self.text(node) else { return Desired::Absent };
        match read(&text) {
            Ok(value) => Desired::Value(value),
            Err(expected) => self.unsupported(node, &format!("is {:?}: {expected}", printable(&text, SHOWN_CHARS))),
        }
    }

    /// A whole number within bounds.
    pub(super) fn wish_whole(&mut self, node: Node<'t>, range: RangeInclusive<u64>) -> Desired<u64> {
        self.wish_number(node, |raw| {
            let number = whole(raw).and_then(|number| u64::try_from(number).ok());
            let (least, most) = (range.start(), range.end());
            number
                .filter(|number| range.contains(number))
                .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
        })
    }

    /// A number of cores, in thousandths.
    pub(super) fn wish_millicores(&mut self, node: Node<'t>, most_cores: u32) -> Desired<u64> {
        self.wish_number(node, |raw| {
            let cores = float(raw).filter(|cores| (0.0..=f64::from(most_cores)).contains(cores));
            let millis = cores.and_then(|cores| format!("{:.0}", cores * 1000.0).parse().ok());
            millis.ok_or_else(|| format!("expected a number of cores from 0 to {most_cores}"))
        })
    }

    /// A share of a whole, in per cent, rounded down.
    pub(super) fn wish_share_pct(&mut self, node: Node<'t>, least_pct: u64) -> Desired<u64> {
        self.wish_number(node, |raw| {
            let share = float(raw).filter(|share| (0.0..=1.0).contains(share));
            // A thousandth of a per cent is less than what rounding a decimal fraction costs.
            let pct = share.and_then(|share| format!("{:.0}", (share * 100.0 + 0.001).floor()).parse().ok());
            let least = f64::from(u32::try_from(least_pct).unwrap_or(0)) / 100.0;
            pct.filter(|pct| *pct >= least_pct).ok_or_else(|| format!("expected a share from {least} to 1"))
        })
    }

    fn wish_number<T>(&mut self, node: Node<'t>, read: impl FnOnce(&str) -> Result<T, String>) -> Desired<T> {
        match node.kind() {
            Kind::Number(raw) => match read(raw) {
                Ok(value) => Desired::Value(value),
                Err(expected) => self.unsupported(node, &format!("is {}: {expected}", printable(raw, SHOWN_CHARS))),
            },
            Kind::Null => Desired::LocalDefault,
            Kind::Truth(_) | Kind::Text(_) | Kind::List | Kind::Object => {
                self.refuse(node, format!("expected a number or null, found {}", node.words()));
                Desired::Absent
            }
        }
    }

    /// The item is refused with these words.
    pub(super) fn unsupported<T>(&mut self, node: Node<'t>, message: &str) -> Desired<T> {
        self.item(node, message);
        Desired::Unsupported(message.to_owned())
    }
}
