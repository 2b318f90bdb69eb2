//! A kernel log in a file: what each of its records means, and the health of each function that it names.

use super::HealthState;
use super::address::named;
use super::device_fault::Fault;
use super::kernel_log::{Finding, KernelLog, Took};
use super::line::{Record, cut, is_of_a_process, is_record, record};
use super::plain::plain;
use super::xid;
use crate::PciAddress;
use crate::time::BootMillis;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Most functions of which the health is reported.
pub const FUNCTIONS_MAX: usize = 16_384;
/// A record takes no more notes when it has so many bytes.
const NOTES_MAX: usize = 16 * 1024;

/// What one record of a file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Number of its line in the file, from 1 on.
    pub line: u64,
    /// The function that it speaks of.
    pub address: Option<PciAddress>,
    /// Stable code of the fault that it reports, or of what it ends.
    pub finding: Option<String>,
    /// The same in words.
    pub meaning: Option<String>,
    /// Its text.
    pub text: String,
}

/// The health of one function at the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionHealth {
    /// The gravest of the reasons.
    pub state: HealthState,
    /// Their stable codes, the gravest first.
    pub reasons: Vec<String>,
}

/// A file that is read line by line: bounded, whatever it holds.
#[derive(Debug, Default)]
pub struct LogFile {
    log: KernelLog,
    named: BTreeSet<PciAddress>,
    /// The record that may still get notes, with the number of its line.
    open: Option<(u64, String)>,
    /// The kernel wrote the plain line before, so that an indented line goes on with it.
    goes_on: bool,
    last_us: u64,
    line: u64,
    left_out: bool,
}

impl LogFile {
    /// Takes the next line, without its end. Gives the record that ends before it, and the line's own where no notes can follow.
    pub fn take(&mut self, line: &str) -> Vec<Explained> {
        self.line = self.line.saturating_add(1);
        if let Some((_, open)) = self.open.as_mut().filter(|_| line.starts_with(' ')) {
            if open.len() < NOTES_MAX {
                open.push('\n');
                open.push_str(cut(line));
            }
            return Vec::new();
        }
        let before = self.finish();
        let own = if is_record(line) {
            self.goes_on = false;
            self.open = Some((self.line, line.to_owned()));
            None
        } else {
            self.take_plain(line)
        };
        before.into_iter().chain(own).collect()
    }

    /// The last record, at the end of the file.
    pub fn finish(&mut self) -> Option<Explained> {
        let (line, lines) = self.open.take()?;
        Some(match record(&lines) {
            Some(record) => self.explain(line, &record),
            None => {
                let (first, _) = lines.split_once('\n').unwrap_or((&lines, ""));
                silent(line, first.split_once(';').map_or("", |(_, text)| text))
            }
        })
    }

    fn take_plain(&mut self, line: &str) -> Option<Explained> {
        let indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if let Some(plain) = plain(line).filter(|_| !indented) {
            self.goes_on = plain.is_kernels;
            self.last_us = plain.since_boot_us.unwrap_or(self.last_us);
            return Some(self.explain_text(plain.is_kernels, plain.text));
        }
        // dmesg prints the further lines of a message below the first.
        (indented && self.goes_on).then(|| self.explain_text(true, line.trim()))
    }

    fn explain_text(&mut self, is_kernels: bool, text: &str) -> Explained {
        let line = self.line;
        if !is_kernels {
            return silent(line, text);
        }
        let text = Cow::Borrowed(cut(text));
        self.explain(line, &Record { sequence: 0, since_boot_us: self.last_us, text, device: None })
    }

    fn explain(&mut self, line: u64, record: &Record<'_>) -> Explained {
        self.last_us = record.since_boot_us;
        let took = self.log.hear_record(record);
        let names: Vec<PciAddress> = if is_of_a_process(record.text.trim_start()) {
            Vec::new()
        } else {
            took.address.into_iter().chain(named(&record.text)).chain(record.device).collect()
        };
        for name in &names {
            if self.named.len() < FUNCTIONS_MAX {
                self.named.insert(*name);
            } else {
                self.left_out |= !self.named.contains(name);
            }
        }
        let (finding, meaning) = meaning(took).unzip();
        Explained {
            line,
            address: took.address.or(names.first().copied()),
            finding,
            meaning,
            text: record.text.to_string(),
        }
    }

    /// The health of each function that the log names, at the time of its last record.
    pub fn functions(&self) -> impl Iterator<Item = (PciAddress, FunctionHealth)> {
        let now = BootMillis(self.last_us / 1000);
        self.named.iter().map(move |address| {
            // Function 0 stands for its card, as a GPU does.
            let is_meant =
                |it: &&Finding| address.function == 0 || it.address == *address || !it.address.same_card(*address);
            let mut found: Vec<Fault> = self.log.against(*address, now).filter(is_meant).map(|it| it.fault).collect();
            found.sort_by_key(|fault| (std::cmp::Reverse(fault.weight()), fault.code()));
            let mut reasons: Vec<String> = Vec::new();
            for code in found.iter().map(|fault| fault.code()) {
                if !reasons.contains(&code) {
                    reasons.push(code);
                }
            }
            let state = found.first().map_or(HealthState::Ok, |gravest| gravest.weight());
            (*address, FunctionHealth { state, reasons })
        })
    }

    /// The log names more functions than [`FUNCTIONS_MAX`].
    #[must_use]
    pub const fn has_left_out(&self) -> bool {
        self.left_out
    }
}

/// A record that is not the kernel's word.
fn silent(line: u64, text: &str) -> Explained {
    Explained { line, address: None, finding: None, meaning: None, text: cut(text).to_owned() }
}

/// What a fault is.
fn words(fault: Fault) -> String {
    if let Some(number) = fault.xid() {
        return format!("Xid {number}: {}", xid::look_up(number).meaning);
    }
    if let Fault::SxidFatal(number) | Fault::SxidNonFatal(number) = fault {
        return format!("SXid {number} of an NVSwitch");
    }
    fault.words().1.to_owned()
}

/// Code and words of what a record did.
fn meaning(took: Took) -> Option<(String, String)> {
    if let Some(fault) = took.fault {
        return Some((fault.code(), format!("{} ({})", words(fault), fault.weight().code())));
    }
    let evidence = took.ended?;
    let row = evidence.row()?;
    Some((row.code.to_owned(), "ends what was reported before it".to_owned()))
}
