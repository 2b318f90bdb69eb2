//! Versions of NVIDIA's Container Toolkit, the security fixes among them, and the oldest one that is run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Versions that fixed a way out of a container, the newest first, with the faults that they fixed (NVIDIA's security bulletins).
pub const TOOLKIT_FIXES: [(ToolkitVersion, &str); 3] = [
    (ToolkitVersion::release(1, 17, 8), "CVE-2025-23266, CVE-2025-23267"),
    (ToolkitVersion::release(1, 17, 4), "CVE-2025-23359"),
    (ToolkitVersion::release(1, 16, 2), "CVE-2024-0132"),
];

/// The oldest version that is run: with older ones an image can break out of its container.
pub const TOOLKIT_FLOOR: ToolkitVersion = TOOLKIT_FIXES[0].0;

/// A version, `1.17.8`. Of what is behind the numbers only whether it is a release candidate counts: that is older than its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolkitVersion {
    major: u32,
    minor: u32,
    patch: u32,
    is_release: bool,
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a version of NVIDIA's Container Toolkit: write it like `1.17.8`, and a tag like `v1.17.8-ubuntu20.04`"
)]
pub struct ToolkitVersionFault(String);

/// The version is older than the floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "version {version} of NVIDIA's Container Toolkit lets an image break out of its container ({open}): use {floor} or newer"
)]
pub struct ToolkitBelowFloor {
    /// The version that was asked for.
    pub version: ToolkitVersion,
    /// The oldest one that is run.
    pub floor: ToolkitVersion,
    /// The faults that it still has.
    pub open: String,
}

impl ToolkitVersion {
    const fn release(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, is_release: true }
    }

    /// The version in the tag of a toolkit image: `v1.17.8-ubuntu20.04`, `v1.19.0-rc.2`, `1.20.0`.
    ///
    /// # Errors
    /// The tag does not begin with a version: what such an image holds is not known.
    pub fn of_tag(tag: &str) -> Result<Self, ToolkitVersionFault> {
        tag.strip_prefix('v').unwrap_or(tag).parse()
    }

    /// Whether it may be run, also in place of a newer one.
    ///
    /// # Errors
    /// It is below the floor.
    pub fn above_floor(self) -> Result<Self, ToolkitBelowFloor> {
        let open: Vec<&str> = self.open_faults().collect();
        if open.is_empty() {
            Ok(self)
        } else {
            Err(ToolkitBelowFloor { version: self, floor: TOOLKIT_FLOOR, open: open.join(", ") })
        }
    }

    /// It knows `NO_RUNTIME_CONFIG`, by which it leaves Docker's configuration alone. Candidates of the first such release are not
    /// counted: the first of them did not know it yet.
    #[must_use]
    pub fn knows_no_runtime_config(self) -> bool {
        self >= Self::release(1, 19, 0)
    }

    /// The ways out of a container that it still has, newest first.
    pub fn open_faults(self) -> impl Iterator<Item = &'static str> {
        TOOLKIT_FIXES.iter().filter(move |(fixed, _)| self < *fixed).map(|(_, names)| *names)
    }
}

impl FromStr for ToolkitVersion {
    type Err = ToolkitVersionFault;

    fn from_str(text: &str) -> Result<Self, ToolkitVersionFault> {
        let fault = || ToolkitVersionFault(crate::printable::printable(text, 64));
        let end = text.find(['-', '+', '~']).unwrap_or(text.len());
        let mut parts = text.split_at(end).0.split('.').map(|part| {
            let is_number = (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| is_number)
        });
        let mut next = || parts.next().flatten();
        let (Some(major), Some(minor), Some(patch)) = (next(), next(), next()) else { return Err(fault()) };
        let is_candidate = text.split(['-', '~']).skip(1).any(|part| part.starts_with("rc"));
        if parts.next().is_some() { Err(fault()) } else { Ok(Self { major, minor, patch, is_release: !is_candidate }) }
    }
}

impl fmt::Display for ToolkitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let candidate = if self.is_release { "" } else { "-rc" };
        write!(f, "{}.{}.{}{candidate}", self.major, self.minor, self.patch)
    }
}

impl TryFrom<String> for ToolkitVersion {
    type Error = ToolkitVersionFault;

    fn try_from(text: String) -> Result<Self, ToolkitVersionFault> {
        text.parse()
    }
}

impl From<ToolkitVersion> for String {
    fn from(version: ToolkitVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_tag(tag: &str) -> String {
        ToolkitVersion::of_tag(tag).map_or_else(|fault| fault.to_string(), |version| version.to_string())
    }

    #[test]
    fn tags_have_their_version_in_front() {
        for (tag, version) in [
            ("v1.17.8-ubuntu20.04", "1.17.8"),
            ("v1.19.0-rc.2", "1.19.0-rc"),
            ("1.20.0", "1.20.0"),
            ("v1.17.8", "1.17.8"),
            ("1.17.8-1", "1.17.8"),
        ] {
            assert_eq!(of_tag(tag), version);
        }
        for tag in [
            "",
            "v",
            "latest",
            "1.17",
            "1.17.x",
            "1.17.8.1",
            "vv1.17.8",
            "1..8",
            "+1.17.8",
            "1.17.99999999999",
            "v1.17.8ubuntu",
        ] {
            assert!(ToolkitVersion::of_tag(tag).is_err(), "{tag:?}");
        }
    }

    #[test]
    fn the_floor_holds_for_candidates_and_names_what_is_open() {
        let judged = |tag: &str| ToolkitVersion::of_tag(tag).unwrap().above_floor();
        for fine in ["v1.17.8-ubuntu20.04", "v1.18.0-rc.1", "v1.20.0", "v2.0.0"] {
            assert!(judged(fine).is_ok(), "{fine}");
        }
        for (old, open) in [
            ("v1.17.7", "CVE-2025-23266, CVE-2025-23267"),
            ("v1.17.8-rc.1", "CVE-2025-23266, CVE-2025-23267"),
            ("v1.17.3", "CVE-2025-23266, CVE-2025-23267, CVE-2025-23359"),
            ("v1.9.0", "CVE-2025-23266, CVE-2025-23267, CVE-2025-23359, CVE-2024-0132"),
        ] {
            assert_eq!(judged(old).unwrap_err().open, open, "{old}");
        }
        let knows = |tag: &str| ToolkitVersion::of_tag(tag).unwrap().knows_no_runtime_config();
        assert!(knows("v1.19.0") && knows("v1.20.0-rc.1") && !knows("v1.19.0-rc.1") && !knows("v1.17.8-ubuntu20.04"));
        assert!(TOOLKIT_FIXES.is_sorted_by(|newer, older| newer.0 > older.0));
    }
}
