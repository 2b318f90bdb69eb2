//! What the text of one element means: a number in its unit, a word, or the reason why there is none.

use crate::absence::{Absence, Reading};
use crate::driver::MigMode;
use crate::ids::PciId;
use crate::metric::Unit;
use std::str::FromStr;

/// Longest text that is a value and no garbage, in bytes.
const WORD_MAX_BYTES: usize = 256;
/// Longest command line of a process that is kept, in bytes.
const COMMAND_MAX_BYTES: usize = 4096;
/// More than this is the driver's "not available" (all bits set) turned into MiB.
const MIB_MAX: u64 = 1 << 40;

/// The reason that this text stands for, where it is one of the driver's words for "no value". Case and square brackets do
/// not matter: `N/A`, `[N/A]`, `[Not Supported]`. The words are those of NVML's `nvmlErrorString` and of nvidia-smi itself.
#[must_use]
pub fn absence_of(text: &str) -> Option<Absence> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).trim();
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(bare));
    if bare.is_empty() {
        return Some(Absence::NotReported);
    }
    // The driver's own reasons are short; a long text cannot be one.
    if bare.len() > 64 {
        return None;
    }
    if is(&["N/A", "Not Supported", "Not Available", "Not Active - N/A"]) {
        return Some(Absence::NotSupported);
    }
    if is(&["Requested functionality has been deprecated", "Deprecated"]) {
        return Some(Absence::Deprecated);
    }
    if is(&["GPU is lost", "GPU lost"]) {
        return Some(Absence::GpuLost);
    }
    if is(&["GPU requires reset", "GPU reset required", "Reset Required"]) {
        return Some(Absence::ResetRequired);
    }
    if is(&["Insufficient Permissions", "No Permission", "GPU access blocked by the operating system"]) {
        return Some(Absence::NoPermission);
    }
    if is(&["Not Found"]) {
        return Some(Absence::None);
    }
    if is(&["No data", "Function Not Found", "Argument version mismatch"]) {
        return Some(Absence::NotReported);
    }
    is(&NVML_ERRORS).then_some(Absence::UnknownError)
}

const NVML_ERRORS: [&str; 17] = [
    "Unknown Error",
    "ERR!",
    "Error",
    "Uninitialized",
    "Invalid Argument",
    "Insufficient Size",
    "Insufficient External Power",
    "Insufficient Memory",
    "Insufficient Resources",
    "Driver Not Loaded",
    "Driver/library version mismatch",
    "Timeout",
    "Interrupt Request Issue",
    "Corrupted infoROM",
    "In use by another client",
    "Operating system call failed",
    "System is not in ready state",
];

/// Runs `read` on a text that is a value; a text that it does not take is garbage.
fn value<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    match read(text) {
        Some(value) => Reading::Known(value),
        None => Reading::Absent(absence_of(text).unwrap_or_else(|| Absence::garbled(text))),
    }
}

/// The number in front of a unit, where there is one. White space between them does not matter.
fn before_unit<'a>(text: &'a str, unit: &str) -> Option<&'a str> {
    if unit.is_empty() { Some(text) } else { text.strip_suffix(unit).map(str::trim_end) }
}

/// Digits, perhaps a sign and a fraction: no `inf`, no `nan`, no exponent.
fn decimal(digits: &str) -> Option<f64> {
    let bare = digits.strip_prefix('-').unwrap_or(digits);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, "0"));
    let all_digits = |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (all_digits(whole) && all_digits(fraction)).then(|| digits.parse().ok()).flatten()
}

fn integer<T: FromStr>(digits: &str) -> Option<T> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// `38 C`, `68.92 W`: a number in its unit.
pub(super) fn real(text: &str, unit: Unit) -> Reading<f64> {
    value(text, |text| decimal(before_unit(text, unit.suffix())?).filter(|number| unit.admits(*number)))
}

/// `1410 MHz`, `16x`: a whole number below 2³² in its unit.
pub(super) fn small(text: &str, unit: Unit) -> Reading<u32> {
    value(text, |text| integer(before_unit(text, unit.suffix())?))
}

/// `81559 MiB`; drivers before 331 wrote `MB` and meant the same.
pub(super) fn mib(text: &str) -> Reading<u64> {
    value(text, |text| {
        let number = before_unit(text, "MiB").or_else(|| before_unit(text, "MB"))?;
        integer(number).filter(|mib| *mib < MIB_MAX)
    })
}

/// A plain count below 2³².
pub(super) fn number(text: &str) -> Reading<u32> {
    value(text, integer)
}

/// A counter; all bits set is the driver's "not available".
pub(super) fn counter(text: &str) -> Reading<u64> {
    value(text, |text| integer(text).filter(|count| *count != u64::MAX))
}

/// `Enabled` or `Disabled`.
pub(super) fn enabled(text: &str) -> Reading<bool> {
    value(text, |text| match text {
        "Enabled" => Some(true),
        "Disabled" => Some(false),
        _ => None,
    })
}

/// `Active` or `Not Active`.
pub(super) fn active(text: &str) -> Reading<bool> {
    value(text, |text| match text {
        "Active" => Some(true),
        "Not Active" => Some(false),
        _ => None,
    })
}

/// `Yes` or `No`.
pub(super) fn yes(text: &str) -> Reading<bool> {
    value(text, |text| match text {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    })
}

/// `Enabled` or `Disabled`, as a MIG mode.
pub(super) fn mig_mode(text: &str) -> Reading<MigMode> {
    enabled(text).map(|on| if on { MigMode::Enabled } else { MigMode::Disabled })
}

/// `P0` to `P15`.
pub(super) fn performance_state(text: &str) -> Reading<String> {
    value(text, |text| {
        let state: u32 = integer(text.strip_prefix('P')?)?;
        (state <= 15).then(|| format!("P{state}"))
    })
}

/// `233010DE`: device and vendor glued together, as the driver prints the PCI configuration word.
pub(super) fn glued_pci_id(text: &str) -> Reading<PciId> {
    value(text, |text| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let fits = (5..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let word = fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
        Some(PciId { vendor: u16::try_from(word & 0xffff).ok()?, device: u16::try_from(word >> 16).ok()? })
    })
}

/// An identity with a form of its own.
pub(super) fn identity<T: FromStr>(text: &str) -> Reading<T> {
    value(text, |text| text.parse().ok())
}

/// Words of the driver, kept as they are.
pub(super) fn words(text: &str) -> Reading<String> {
    text_up_to(text, WORD_MAX_BYTES)
}

/// A command line, kept as it is.
pub(super) fn command(text: &str) -> Reading<String> {
    text_up_to(text, COMMAND_MAX_BYTES)
}

/// The driver's words for "no value" come first: here they would pass as a value.
fn text_up_to(text: &str, most: usize) -> Reading<String> {
    if let Some(why) = absence_of(text) {
        return Reading::Absent(why);
    }
    let is_text = text.len() <= most && !text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    if is_text { Reading::Known(text.to_owned()) } else { Reading::Absent(Absence::garbled(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn celsius(text: &str) -> Reading<f64> {
        real(text, Unit::Celsius)
    }

    fn watts(text: &str) -> Reading<f64> {
        real(text, Unit::Watts)
    }

    fn lanes(text: &str) -> Reading<u32> {
        small(text, Unit::Lanes)
    }

    #[test]
    fn numbers_need_their_unit_and_plain_digits() {
        assert_eq!(celsius("-5 C"), Reading::Known(-5.0));
        assert_eq!(watts("68.92 W"), Reading::Known(68.92));
        assert_eq!(watts("68.92W"), Reading::Known(68.92));
        assert_eq!(mib("81559 MiB"), Reading::Known(81559));
        assert_eq!(mib("4799 MB"), Reading::Known(4799));
        assert_eq!(lanes("16x"), Reading::Known(16));
        assert_eq!(number("0"), Reading::Known(0));
        for text in ["68.92", "-1 W", "6 8 W", "1e3 W", "nan W", ". W", "1. W", "1.2.3 W", "1,5 W", "99999999999999 W"]
        {
            assert_eq!(watts(text), Reading::Absent(Absence::garbled(text)), "{text}");
        }
        for text in ["+5", "5 ", "0x5", "4294967296", "-1", "٣"] {
            assert!(number(text).known().is_none(), "{text}");
        }
        assert!(mib("1 GiB").known().is_none() && mib("1.5 MiB").known().is_none() && lanes("16").known().is_none());
    }

    #[test]
    fn a_glued_pci_id_is_taken_apart() {
        let id = |text| glued_pci_id(text).into_known().map(|id| id.to_string());
        assert_eq!(id("233010DE").as_deref(), Some("10de:2330"));
        assert_eq!(id("0x20B010DE").as_deref(), Some("10de:20b0"));
        assert_eq!(id("CE10DE").as_deref(), Some("10de:00ce"), "printed without leading zeros");
        for text in ["[REDACTED]", "10DE", "233010DE0", "+33010DE", "2330:10DE"] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn words_are_kept_unless_they_stand_for_no_value() {
        assert_eq!(words("None"), Reading::Known("None".to_owned()));
        assert_eq!(words("Unknown"), Reading::Known("Unknown".to_owned()));
        assert_eq!(words("n/a"), Reading::Absent(Absence::NotSupported));
        assert_eq!(words("a\u{1b}[31m"), Reading::Absent(Absence::Garbled("a[31m".to_owned())));
        assert!(words(&"x".repeat(257)).known().is_none() && command(&"x".repeat(257)).known().is_some());
        assert_eq!(performance_state("P08"), Reading::Known("P8".to_owned()));
        assert_eq!(enabled("enabled").known(), None);
    }
}
