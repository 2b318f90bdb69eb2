//! Device filters: which boards an entry of a file is about, by PCI ids as mig-parted writes them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// PCI device and vendor in one number (`0x233510DE`), and those of the board (the subsystem) where they are known or named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId {
    /// Device in the upper half, vendor in the lower.
    pub device: u32,
    /// The same of the board.
    pub board: Option<u32>,
}

/// A text that is no such id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a PCI id; expected 0xDDDDVVVV or 0xDDDDVVVV:0xSSSSVVVV (device and vendor, then the board's), as 0x20B010DE"
)]
pub struct BadDeviceId {
    /// The text, at most 64 characters of it.
    pub text: String,
}

impl DeviceId {
    /// True where this, taken as a filter, matches a GPU: a filter that names a board matches that board only.
    #[must_use]
    pub fn matches(self, gpu: Self) -> bool {
        self.device == gpu.device && self.board.is_none_or(|board| gpu.board == Some(board))
    }

    /// Without the board.
    #[must_use]
    pub const fn primary(self) -> Self {
        Self { board: None, ..self }
    }
}

/// A number as a filter may hold it: hexadecimal, octal or binary with their prefixes, or decimal.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', b'o' | b'O', ..] => (text.get(2..)?, 8),
        [b'0', b'b' | b'B', ..] => (text.get(2..)?, 2),
        [b'0', _, ..] => return None,
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let bad = || BadDeviceId { text: text.chars().take(64).collect() };
        let (device, board) = match text.split_once(':') {
            Some((device, board)) => (device, Some(number(board).ok_or_else(bad)?)),
            None => (text, None),
        };
        Ok(Self { device: number(device).ok_or_else(bad)?, board })
    }
}

impl TryFrom<String> for DeviceId {
    type Error = BadDeviceId;

    fn try_from(text: String) -> Result<Self, BadDeviceId> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.device)?;
        self.board.map_or(Ok(()), |board| write!(f, ":0x{board:08X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeviceId {
        text.parse().unwrap()
    }

    #[test]
    fn a_filter_matches_by_number_and_by_board() {
        let gpu = id("0x233510DE:0x18BE10DE");
        for filter in ["0x233510DE", "0X233510de", "590680286", "0x233510DE:0x18BE10DE"] {
            assert!(id(filter).matches(gpu), "{filter}");
        }
        for filter in ["0x10DE2335", "0x233B10DE", "0x233510DE:0x18BF10DE"] {
            assert!(!id(filter).matches(gpu), "{filter}");
        }
        assert!(!gpu.matches(gpu.primary()), "a board that could not be read is not the named one");
        assert_eq!(gpu.to_string(), "0x233510DE:0x18BE10DE");
        assert_eq!(gpu.primary().to_string(), "0x233510DE");
    }

    #[test]
    fn what_mig_parted_would_silently_match_with_nothing_is_refused() {
        for text in [
            "",
            " 0x233510DE",
            "0x233510DE:",
            ":0x18BE10DE",
            "0x233510DE:0x18BE10DE:0",
            "NVIDIA H200",
            "233510DE",
            "0x233510DE0",
            "0x",
            "-1",
            "+1",
            "0590680286",
            "0b1000110011010100010000110111 10",
        ] {
            assert!(text.parse::<DeviceId>().is_err(), "{text:?}");
        }
    }
}
