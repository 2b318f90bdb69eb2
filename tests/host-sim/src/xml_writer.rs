//! Writes XML as nvidia-smi does: a tab for each level, one leaf to a line.

use model::{Absence, Reading};
use std::fmt::Write as _;

/// The text that nvidia-smi has where there is no value; `None` where it leaves the element out.
#[must_use]
pub fn absence_text(why: &Absence) -> Option<&str> {
    match why {
        Absence::NotReported => None,
        Absence::None | Absence::NotSupported => Some("N/A"),
        Absence::Deprecated => Some("Requested functionality has been deprecated"),
        Absence::GpuLost => Some("GPU is lost"),
        Absence::ResetRequired => Some("GPU requires reset"),
        Absence::NoPermission => Some("Insufficient Permissions"),
        Absence::Garbled(text) => Some(text),
        Absence::UnknownError
        | Absence::Unreadable(_)
        | Absence::DriverAbsent
        | Absence::ProbeTimeout
        | Absence::ProbeFailed
        | Absence::GpuAsleep
        | Absence::NotRead
        | Absence::NotProbed => Some("Unknown Error"),
    }
}

/// The document so far, and how deep it is.
#[derive(Debug, Default)]
pub struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    /// A raw line, as the declaration.
    pub fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// `<name>text</name>`.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.indent();
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "<{name}>{}</{name}>", escaped(text));
    }

    /// Leaves without a value.
    pub fn na(&mut self, names: &[&str]) {
        for name in names {
            self.leaf(name, "N/A");
        }
    }

    /// A leaf with a value, with what the driver says in its place, or not at all.
    pub fn say<T>(&mut self, name: &str, reading: &Reading<T>, show: impl FnOnce(&T) -> String) {
        match reading {
            Reading::Known(value) => self.leaf(name, &show(value)),
            Reading::Absent(why) => {
                if let Some(text) = absence_text(why) {
                    self.leaf(name, text);
                }
            }
        }
    }

    /// As [`Xml::say`]; where the source is not described to say it, the text of a GPU that is well.
    pub fn say_or<T>(&mut self, name: &str, reading: &Reading<T>, show: impl FnOnce(&T) -> String, well: &str) {
        if reading.absence() == Some(&Absence::NotReported) {
            self.leaf(name, well);
        } else {
            self.say(name, reading, show);
        }
    }

    /// `<opening>` … `</name>`; the opening tag may have attributes.
    pub fn within(&mut self, opening: &str, inside: impl FnOnce(&mut Self)) {
        self.indent();
        let _ = writeln!(self.text, "<{opening}>");
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.indent();
        let name = opening.split(' ').next().unwrap_or(opening);
        let _ = writeln!(self.text, "</{name}>");
    }

    /// An element with the word on a line of its own, as `mig_devices` without devices.
    pub fn word_within(&mut self, name: &str, word: &str) {
        self.within(name, |x| {
            x.indent();
            x.raw(word);
        });
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n('\t', self.depth));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
