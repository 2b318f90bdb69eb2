//! One record of the kernel log, as `/dev/kmsg` gives it, and what it says of a GPU.

use crate::PciAddress;
use std::borrow::Cow;

/// Longest text of a record that is looked at, in bytes; the kernel's own records are shorter.
const TEXT_MAX: usize = 2048;

/// One record of the kernel's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Sequence number.
    pub sequence: u64,
    /// When it was written: microseconds since the kernel started. That clock stands still while the machine sleeps.
    pub since_boot_us: u64,
    /// Its text.
    pub text: Cow<'a, str>,
}

/// The longest name of a task, in bytes, and the blanks around it (`TASK_COMM_LEN` of linux/sched.h, with room).
const TASK_COMM_MAX: usize = 20;

/// Reads a record: `priority,sequence,microseconds,flags[,…];text`. `None` for what is no record, and for records that a
/// program wrote: they are not the kernel's word.
#[must_use]
pub fn record(line: &str) -> Option<Record<'_>> {
    let (head, text) = line.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let since_boot_us = fields.next()?.parse().ok()?;
    fields.next()?;
    // The facility stands above the three bits of the level; 0 is the kernel, which no program can claim to be.
    (priority < 8).then(|| Record { sequence, since_boot_us, text: unescaped(cut(text)) })
}

/// At most so many bytes, at a character's end.
fn cut(text: &str) -> &str {
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

/// What can befall a device, as far as the kernel log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// NVIDIA's driver reported this Xid.
    Xid(u32),
    /// NVIDIA's driver wants this done (Xid 154).
    Recovery(Recovery),
    /// NVIDIA's driver finds nobody at the address, without an Xid.
    FallenOffTheBus,
    /// An NVSwitch reported this SXid, as fatal.
    SxidFatal(u32),
    /// An NVSwitch reported this SXid, as not fatal.
    SxidNonFatal(u32),
    /// PCIe: an error that was not corrected, and the link is not reliable.
    PcieFatal,
    /// PCIe: an error that was not corrected; the link holds.
    PcieNonFatal,
    /// A command queue did not end in time (amdgpu), or the GPU hung (i915, xe).
    Hang,
    /// The driver could not reset the GPU, or has given it up.
    ResetFailed,
    /// Uncorrectable memory errors (amdgpu's RAS).
    RasUncorrectable,
}

/// What NVIDIA's driver wants done with a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recovery {
    /// A reset of the GPU.
    Reset,
    /// A reboot of the machine.
    Reboot,
    /// No further peer-to-peer work, then a reset.
    Drain,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Something befell the device at the address. Where the record names a card without a function, that is function 0.
    Fault(PciAddress, Fault),
    /// The device begins anew: it was enumerated, or reset with success. What was said of it before is over.
    Anew(PciAddress),
    /// NVIDIA's driver was loaded: all its GPUs begin anew.
    NvidiaLoaded,
    /// First part of a message in several records: this device, and what of it follows.
    About(PciAddress),
    /// Later part of such a message: the device of the part before has fallen off the bus.
    ItHasFallenOff,
}

/// What a record says of a GPU, if anything.
#[must_use]
pub fn said(text: &str) -> Option<Said> {
    let text = text.trim_start();
    if is_of_a_process(text) {
        return None;
    }
    if let Some(rest) = text.strip_prefix("NVRM:") {
        return nvidia(rest.trim_start());
    }
    if let Some(rest) = text.strip_prefix("nvidia-nvswitch") {
        return nvswitch(rest);
    }
    device(text)
}

/// `name[4711]: segfault at … in file[…]`: the kernel's word, of which a program without any rights chooses the two names. They
/// may read like the report of a driver; no driver begins so.
fn is_of_a_process(text: &str) -> bool {
    let Some((name, rest)) = text.split_once('[') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    name.len() <= TASK_COMM_MAX && digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with(']'))
}

/// What NVIDIA's driver says behind `NVRM: `.
fn nvidia(text: &str) -> Option<Said> {
    if let Some(rest) = text.strip_prefix("Xid (") {
        return xid(rest);
    }
    if text.starts_with("loading NVIDIA") {
        return Some(Said::NvidiaLoaded);
    }
    let fallen = text.contains("fallen off the bus");
    match (address_in(text), fallen) {
        (Some(address), true) => Some(Said::Fault(address, Fault::FallenOffTheBus)),
        (None, true) => Some(Said::ItHasFallenOff),
        (Some(address), false) => Some(Said::About(address)),
        (None, false) => None,
    }
}

/// `PCI:0000:41:00): 79, pid=1, name=x, GPU has …`; before driver 319 without `PCI:`, under MIG with ` GPU-I:05` behind.
fn xid(rest: &str) -> Option<Said> {
    let (place, rest) = rest.split_once("):")?;
    let place = place.split_whitespace().next()?;
    let address = card(place.strip_prefix("PCI:").unwrap_or(place))?;
    let number: u32 = leading_number(rest.trim_start())?;
    if number == 154 {
        return Some(recovery(address, rest));
    }
    Some(Said::Fault(address, Fault::Xid(number)))
}

/// `GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)`.
fn recovery(address: PciAddress, rest: &str) -> Said {
    let wanted = rest.rsplit_once('(').map(|(_, last)| last.to_ascii_lowercase()).unwrap_or_default();
    if wanted.starts_with("none") {
        Said::Anew(address)
    } else if wanted.contains("reboot") {
        Said::Fault(address, Fault::Recovery(Recovery::Reboot))
    } else if wanted.contains("drain") {
        Said::Fault(address, Fault::Recovery(Recovery::Drain))
    } else {
        Said::Fault(address, Fault::Recovery(Recovery::Reset))
    }
}

/// `nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44 …`; the words are `Fatal` and `Non-fatal`.
fn nvswitch(text: &str) -> Option<Said> {
    let text = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let (place, rest) = text.strip_prefix(": SXid (")?.split_once("):")?;
    let address = card(place.strip_prefix("PCI:").unwrap_or(place))?;
    let rest = rest.trim_start();
    let number = leading_number(rest)?;
    let fatal = rest.split(',').nth(1).is_some_and(|word| word.trim().eq_ignore_ascii_case("fatal"));
    Some(Said::Fault(address, if fatal { Fault::SxidFatal(number) } else { Fault::SxidNonFatal(number) }))
}

/// `driver 0000:41:00.0: what happened`, the form of every driver that speaks of its device.
fn device(text: &str) -> Option<Said> {
    let (head, rest) = text.split_once(": ")?;
    let (driver, place) = head.rsplit_once(' ')?;
    let address: PciAddress = full(place)?;
    let fault = |fault| Some(Said::Fault(address, fault));
    if let Some((_, severity)) = rest.split_once("PCIe Bus Error: severity=") {
        return pcie(severity).and_then(fault);
    }
    match driver.rsplit(' ').next()? {
        "pci" if rest.starts_with('[') && rest.contains("] type ") => Some(Said::Anew(address)),
        "vfio-pci" if rest.contains("reset done") => Some(Said::Anew(address)),
        "pcieport" => reported_by_port(rest),
        "amdgpu" => amd(rest).and_then(fault),
        "i915" | "xe" => intel(rest).and_then(fault),
        _ => None,
    }
}

fn pcie(severity: &str) -> Option<Fault> {
    let word = severity.split(',').next().unwrap_or_default();
    match (word.starts_with("Uncorrect"), word.contains("Non-Fatal")) {
        (true, true) => Some(Fault::PcieNonFatal),
        (true, false) => Some(Fault::PcieFatal),
        (false, _) => None,
    }
}

/// `AER: Uncorrected (Fatal) error received: 0000:41:00.0`, since 6.8 `… error message received from 0000:41:00.0`.
fn reported_by_port(rest: &str) -> Option<Said> {
    let what = rest.strip_prefix("AER: ")?;
    let what = what.strip_prefix("Multiple ").unwrap_or(what);
    let address = full(what.split_whitespace().next_back()?)?;
    pcie(what).map(|fault| Said::Fault(address, fault))
}

fn amd(rest: &str) -> Option<Fault> {
    if rest.contains("GPU reset") && (rest.contains("failed") || rest.contains("end with ret")) {
        return Some(Fault::ResetFailed);
    }
    let uncorrectable = rest.contains("uncorrectable hardware errors detected") && !is_none_of(rest);
    if uncorrectable || rest.contains("poison is consumed") || rest.contains("Uncorrectable error") {
        return Some(Fault::RasUncorrectable);
    }
    let hang = (rest.contains("ring ") && rest.contains(" timeout, ")) || rest.contains("GPU reset begin");
    hang.then_some(Fault::Hang)
}

/// `0 uncorrectable hardware errors detected in umc block`: a count of none is no error.
fn is_none_of(rest: &str) -> bool {
    let before = rest.split("uncorrectable hardware errors").next().unwrap_or_default();
    before.split_whitespace().next_back() == Some("0")
}

fn intel(rest: &str) -> Option<Fault> {
    let lower = rest.to_ascii_lowercase();
    let given_up = lower.contains("wedged") && !lower.contains("recovered");
    if given_up || lower.contains("reset failed") || lower.contains("failed to reset chip") {
        return Some(Fault::ResetFailed);
    }
    let hang = rest.contains("GPU HANG") || rest.contains("Timedout job") || lower.contains("wedged");
    hang.then_some(Fault::Hang)
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// A full address, with its domain: a record that leaves the domain out is not one of the kernel's.
fn full(text: &str) -> Option<PciAddress> {
    let text = text.trim_end_matches([':', ',', '.', ')']);
    (text.matches(':').count() == 2).then(|| text.parse().ok()).flatten()
}

/// An address with or without its function (`0000:41:00`).
fn card(text: &str) -> Option<PciAddress> {
    full(text).or_else(|| full(&format!("{text}.0")))
}

/// The first full address among the words.
fn address_in(text: &str) -> Option<PciAddress> {
    text.split_whitespace().find_map(full)
}
