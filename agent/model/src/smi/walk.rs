//! Walks through the events of a document and hands each value that is wanted, with its place, to the report.

use super::one_line::one_line;
use super::read_report::Report;
use super::text::Document;
use super::xml_place::{Place, child};
use super::{DEPTH_MAX, garbled};
use crate::driver::ProbeError;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;

/// Longest text of one element that is looked at, in bytes.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// Most of the tokeniser's own words that a fault repeats.
const SAID_MAX_CHARS: usize = 300;

/// The text of the innermost open element.
#[derive(Default)]
struct Text<'a> {
    said: Cow<'a, str>,
    /// It holds an entity that is not one of XML's own, or it is too long: whatever it states, it is not a value.
    is_odd: bool,
}

impl<'a> Text<'a> {
    fn add(&mut self, piece: Cow<'a, str>) {
        if self.said.is_empty() {
            self.said = piece;
        } else if self.said.len().saturating_add(piece.len()) > TEXT_MAX_BYTES {
            self.is_odd = true;
        } else {
            self.said.to_mut().push_str(&piece);
        }
    }

    /// Entities of the document's own are never looked up: so there is nothing that could expand.
    fn add_reference(&mut self, reference: &BytesRef<'_>) {
        let name: &str = reference;
        let resolved = match name {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => reference.resolve_char_ref().ok().flatten(),
        };
        self.is_odd = self.is_odd || resolved.is_none();
        let shown = resolved.map_or_else(|| "&…;".to_owned(), |c| c.to_string());
        self.add(Cow::Owned(shown));
    }
}

/// Walks from the XML declaration to the end of the root element, and gives back what follows it.
///
/// # Errors
/// The XML is cut off, its tags do not match, it is nested too deeply, or its root is not nvidia-smi's.
pub(super) fn walk<'d>(document: &'d Document<'_>, report: &mut Report) -> Result<&'d str, ProbeError> {
    let xml = document.xml();
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk { open: Vec::with_capacity(DEPTH_MAX), text: Text::default(), report };
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| {
            let inside = walk.innermost(xml);
            // The tokeniser repeats names of elements, however long.
            let said = one_line(&error.to_string(), SAID_MAX_CHARS);
            garbled(format!("{}, {inside}: {said}", document.position(reader.error_position())))
        })?;
        if matches!(event, Event::Eof) {
            let inside = walk.innermost(xml);
            return Err(garbled(format!("{}, {inside}: the document is cut off here", document.position(at))));
        }
        let was_last = walk.step(event, at).map_err(|why| garbled(format!("{}: {why}", document.position(at))))?;
        if was_last {
            let end = usize::try_from(reader.buffer_position()).unwrap_or(xml.len());
            return Ok(xml.get(end..).unwrap_or_default());
        }
    }
}

/// An open element.
struct Open {
    /// Where its tag begins.
    at: u64,
    /// `None` = nobody wants it or anything below it.
    place: Option<Place>,
    has_children: bool,
}

/// One walk through a document.
struct Walk<'a, 'r> {
    open: Vec<Open>,
    text: Text<'a>,
    report: &'r mut Report,
}

impl<'a> Walk<'a, '_> {
    /// Takes one event; true where it closed the root.
    fn step(&mut self, event: Event<'a>, at: u64) -> Result<bool, String> {
        match event {
            Event::Start(start) => self.start(&start, at)?,
            Event::End(end) => {
                self.end(end.name().as_ref());
                return Ok(self.open.is_empty());
            }
            Event::Text(text) => self.add_text(text.into_inner()),
            Event::CData(text) => self.add_text(text.into_inner()),
            Event::GeneralRef(reference) => {
                if self.is_wanted() {
                    self.text.add_reference(&reference);
                }
            }
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => {}
        }
        Ok(false)
    }

    /// Text is wanted where an element is, as long as it has no children: between children there is white space only.
    fn is_wanted(&self) -> bool {
        self.open.last().is_some_and(|open| open.place.is_some() && !open.has_children)
    }

    fn add_text(&mut self, text: Cow<'a, str>) {
        if self.is_wanted() {
            self.text.add(text);
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, at: u64) -> Result<(), String> {
        let name = start.name();
        let name: &str = name.as_ref();
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("<{}> is nested deeper than {DEPTH_MAX} elements", super::one_line::excerpt(name)));
        }
        let place = match self.open.last_mut() {
            Some(parent) => {
                parent.has_children = true;
                parent.place.and_then(|place| child(place, name))
            }
            None => Some(child(Place::Outside, name).ok_or_else(|| {
                format!("the root is <{}>, not <nvidia_smi_log> of NVIDIA's tool", super::one_line::excerpt(name))
            })?),
        };
        if place.is_some() {
            self.text = Text::default();
            if place == Some(Place::Gpu) {
                self.report.enter_gpu(start.try_get_attribute("id").ok().flatten().map(|id| id.value));
            } else if let Some(place) = place {
                self.report.enter(place);
            }
        }
        self.open.push(Open { at, place, has_children: false });
        Ok(())
    }

    fn end(&mut self, name: &str) {
        let Some(open) = self.open.pop() else { return };
        let Some(place) = open.place else { return };
        let text = std::mem::take(&mut self.text);
        let said = text.said.trim();
        if let Place::Value(field) = place {
            // A value that grew children is no value any more, and so is one that must be expanded first.
            if open.has_children || text.is_odd {
                self.report.spoil(field, said);
            } else {
                self.report.value(field, name, said);
            }
        } else if !open.has_children && !said.is_empty() {
            self.report.instead(place, said);
        }
        self.report.leave(place);
    }

    /// The innermost open element, in words.
    fn innermost(&self, xml: &str) -> String {
        let at = self.open.last().and_then(|open| usize::try_from(open.at).ok());
        let tag = at.and_then(|at| xml.get(at.saturating_add(1)..)).unwrap_or_default();
        let name: String =
            tag.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')).take(64).collect();
        if name.is_empty() { "outside of all elements".to_owned() } else { format!("in <{name}>") }
    }
}
