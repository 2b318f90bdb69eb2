//! Identities: newtypes, so that no bare string or number crosses a module.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: expected {expected}")]
pub struct BadIdentity {
    /// What was expected ("PCI address").
    pub what: &'static str,
    /// The form that it should have.
    pub expected: &'static str,
    /// What was given, at most 64 characters of it.
    pub text: String,
}

fn bad(what: &'static str, expected: &'static str, text: &str) -> BadIdentity {
    BadIdentity { what, expected, text: text.chars().take(64).collect() }
}

/// The address of a PCI function, as sysfs writes it: `0000:41:00.0` (domain:bus:device.function, lower-case hexadecimal;
/// the domain has more than four digits behind a VMD controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// PCI domain (segment), 32 bits.
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device (slot) number, 0..=31.
    pub device: u8,
    /// Function number, 0..=7.
    pub function: u8,
}

impl PciAddress {
    /// True where both functions sit on the same physical card (same domain, bus and device).
    #[must_use]
    pub const fn same_card(self, other: Self) -> bool {
        self.domain == other.domain && self.bus == other.bus && self.device == other.device
    }

    /// The address as an element of a D-Bus object path: `0000_41_00_0`.
    #[must_use]
    pub fn path_element(self) -> String {
        self.to_string().replace([':', '.'], "_")
    }

    /// The address of which [`PciAddress::path_element`] made this text.
    #[must_use]
    pub fn from_path_element(text: &str) -> Option<Self> {
        let (rest, function) = text.rsplit_once('_')?;
        Self::parse(&format!("{}.{function}", rest.replace('_', ":")))
    }

    fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = match text.split(':').count() {
            2 => ("0000", text),
            3 => text.split_once(':')?,
            _ => return None,
        };
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let hex = |digits: &str, least: usize, most: usize| {
            let fits = (least..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        let device = hex(device, 2, 2).filter(|d| *d < 32)?;
        let function = hex(function, 1, 1).filter(|f| *f < 8)?;
        Some(Self {
            domain: hex(domain, 4, 8)?,
            bus: u8::try_from(hex(bus, 2, 2)?).ok()?,
            device: u8::try_from(device).ok()?,
            function: u8::try_from(function).ok()?,
        })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl FromStr for PciAddress {
    type Err = BadIdentity;

    /// Takes sysfs's form, NVML's (`00000000:41:00.0`), upper case, and the short form without a domain (`41:00.0`).
    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        Self::parse(text).ok_or_else(|| bad("PCI address", "domain:bus:device.function, as 0000:41:00.0", text))
    }
}

/// A PCI vendor and device id, `10de:2330`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciId {
    /// Vendor id.
    pub vendor: u16,
    /// Device id within the vendor.
    pub device: u16,
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl FromStr for PciId {
    type Err = BadIdentity;

    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        let part = |digits: &str| (digits.len() == 4).then(|| u16::from_str_radix(digits, 16).ok()).flatten();
        text.split_once(':')
            .and_then(|(vendor, device)| Some(Self { vendor: part(vendor)?, device: part(device)? }))
            .ok_or_else(|| bad("PCI id", "vendor:device, as 10de:2330", text))
    }
}

/// A PCI class code: base class, subclass and programming interface in 24 bits, as sysfs's `class` file holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PciClass(pub u32);

impl PciClass {
    /// Base class and subclass, `0x0302`.
    #[must_use]
    pub const fn base_and_sub(self) -> u32 {
        (self.0 >> 8) & 0xffff
    }

    /// VGA controller, 3D controller, other display controller, or processing accelerator: what can be a GPU.
    #[must_use]
    pub const fn is_gpu(self) -> bool {
        matches!(self.base_and_sub(), 0x0300 | 0x0302 | 0x0380 | 0x1200)
    }

    /// A host bridge or a PCI-to-PCI bridge: these two alone do not count in an IOMMU group. An NVSwitch (0680) does.
    #[must_use]
    pub const fn is_bridge(self) -> bool {
        matches!(self.base_and_sub(), 0x0600 | 0x0604)
    }
}

impl fmt::Display for PciClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}", self.0)
    }
}

/// The number of an IOMMU group (0 is a valid group).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IommuGroupId(pub u32);

impl fmt::Display for IommuGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a job; never used twice in one run of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_identity {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $test:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadIdentity;

            fn from_str(text: &str) -> Result<Self, BadIdentity> {
                let fits: fn(&str) -> bool = $test;
                if fits(text) { Ok(Self(text.to_owned())) } else { Err(bad($what, $expected, text)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadIdentity;

            fn try_from(text: String) -> Result<Self, BadIdentity> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

fn is_word(text: &str, most: usize, also: &str) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

text_identity!(
    /// The UUID of a GPU as NVIDIA writes it: `GPU-` and hexadecimal digits with dashes.
    GpuUuid, "GPU UUID", "GPU-… with hexadecimal digits and dashes",
    |text| text.starts_with("GPU-") && text.len() > 4 && is_word(text, 80, "-")
);
text_identity!(
    /// The UUID of a MIG device: `MIG-…`.
    MigUuid, "MIG UUID", "MIG-… with hexadecimal digits, dashes and slashes",
    |text| text.starts_with("MIG-") && text.len() > 4 && is_word(text, 120, "-/")
);
text_identity!(
    /// The name of a kernel driver as its folder under `/sys/bus/pci/drivers` is called.
    DriverName, "kernel driver name", "letters, digits, '-', '_', '.' and ':' (at most 64)",
    |text| is_word(text, 64, "-_.:") && text != "." && text != ".."
);
text_identity!(
    /// The manager's id of a workspace.
    WorkspaceId, "workspace id", "letters, digits, '-', '_' and '.' (at most 128)",
    |text| is_word(text, 128, "-_.") && !text.starts_with('.')
);

macro_rules! serde_by_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_by_text!(PciAddress);
serde_by_text!(PciId);

/// The full id of a container, 64 hexadecimal digits. Never a prefix of it: Docker takes a container that is *named* like another's
/// short id for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as `docker ps` shows them: for people alone.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = BadIdentity;

    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(bad("container id", "64 hexadecimal digits", text))
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = BadIdentity;

    fn try_from(text: String) -> Result<Self, BadIdentity> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nvml_and_sysfs_forms_are_one_address() {
        let sysfs: PciAddress = "0000:41:00.0".parse().unwrap();
        for text in ["00000000:41:00.0", "41:00.0", "0000:41:00.0"] {
            assert_eq!(text.parse::<PciAddress>().unwrap(), sysfs, "{text}");
        }
        assert_eq!("00001580:0A:1F.7".parse::<PciAddress>().unwrap().to_string(), "1580:0a:1f.7");
        assert_eq!("10000:01:00.0".parse::<PciAddress>().unwrap().to_string(), "10000:01:00.0");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "0000:41:00", "0000:41:20.0", "0000:41:00.8", "0:41:00.0", "0000:41:00.0/../x", "+000:41:00.0"]
        {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_nvswitch_is_no_bridge_and_no_gpu() {
        let nvswitch = PciClass(0x06_8000);
        assert!(!nvswitch.is_bridge() && !nvswitch.is_gpu());
        assert!(PciClass(0x06_0400).is_bridge() && PciClass(0x03_0200).is_gpu() && PciClass(0x12_0000).is_gpu());
    }

    #[test]
    fn a_driver_name_cannot_leave_its_folder() {
        for text in ["..", "a/b", "", "x\n", "é"] {
            assert!(text.parse::<DriverName>().is_err(), "{text:?}");
        }
        assert!("vfio-pci".parse::<DriverName>().is_ok());
    }

    proptest! {
        #[test]
        fn every_address_survives_print_and_parse(domain: u32, bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = PciAddress { domain, bus, device, function };
            prop_assert_eq!(address.to_string().parse::<PciAddress>().unwrap(), address);
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = text.parse::<PciAddress>();
            let _ = text.parse::<PciId>();
            let _ = text.parse::<GpuUuid>();
        }
    }
}
