//! One record of the kernel log, as `/dev/kmsg` gives it: who wrote it, when, its text, and the device that it is about.

use super::address;
use crate::PciAddress;
use std::borrow::Cow;

/// Longest text of a record that is looked at, in bytes; the kernel's own records are shorter.
const TEXT_MAX: usize = 2048;

/// One record of the kernel's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Sequence number.
    pub sequence: u64,
    /// When it was written: microseconds since the kernel started. That clock stops while the machine sleeps.
    pub since_boot_us: u64,
    /// Its text.
    pub text: Cow<'a, str>,
    /// The PCI function of the kernel's own note beside the text (`DEVICE=+pci:0000:41:00.0`).
    pub device: Option<PciAddress>,
}

/// The longest name of a task, in bytes, and the blanks around it (`TASK_COMM_LEN` of linux/sched.h, with room).
const TASK_COMM_MAX: usize = 20;

/// Reads a record: `priority,sequence,microseconds,flags[,…];text`, and lines of notes that begin with a blank. `None` for what
/// is no record, and for records that a program wrote: they are not the kernel's word.
#[must_use]
pub fn record(lines: &str) -> Option<Record<'_>> {
    let (line, notes) = lines.split_once('\n').unwrap_or((lines, ""));
    let (priority, sequence, since_boot_us, text) = head(line)?;
    let device = notes.lines().find_map(|note| note.trim_start().strip_prefix("DEVICE=+pci:")).and_then(address::full);
    // The facility is above the three bits of the level; 0 is the kernel, which no program can claim to be.
    (priority < 8).then(|| Record { sequence, since_boot_us, text: unescaped(cut(text)), device })
}

/// Whether this is the first line of a record, by any writer.
#[must_use]
pub fn is_record(line: &str) -> bool {
    head(line).is_some()
}

/// Priority, sequence number, microseconds and text.
fn head(line: &str) -> Option<(u32, u64, u64, &str)> {
    let (head, text) = line.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let since_boot_us = fields.next()?.parse().ok()?;
    fields.next()?;
    Some((priority, sequence, since_boot_us, text))
}

/// At most so many bytes, at a character's end.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// The kernel writes bytes that are not printable, and the backslash, as `\xNN`.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains("\\x") {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// `name[4711]: segfault at … in file[…]`, `name[4711] trap …`: the kernel's word, of which a program without any rights chooses
/// the two names. They may read like the report of a driver, and the name may hold brackets itself; no driver begins so.
pub(crate) fn is_of_a_process(text: &str) -> bool {
    text.bytes().enumerate().take(TASK_COMM_MAX + 1).any(|(at, byte)| {
        let rest = text.as_bytes().get(at + 1..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        byte == b'[' && digits > 0 && rest.get(digits) == Some(&b']')
    })
}
