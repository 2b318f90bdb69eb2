//! Versions of the CDI specification: which exist, and the lowest that a file needs (`specs-go/version.go` of the CDI project).

use std::fmt;

/// A released version of the form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpecVersion {
    /// 0.3.0 and the two before it, which differ in nothing that a reader checks.
    V0_3,
    /// 0.4.0: the type of a mount.
    V0_4,
    /// 0.5.0: names of devices that begin with a digit, the path of a device node on the host.
    V0_5,
    /// 0.6.0: annotations, a class with a dot.
    V0_6,
    /// 0.7.0: additional group ids, Intel RDT.
    V0_7,
    /// 0.8.0: no field of its own.
    V0_8,
    /// 1.0.0: no field of its own.
    V1_0,
    /// 1.1.0: network devices, more of Intel RDT.
    V1_1,
}

impl SpecVersion {
    /// The newest that is known here.
    pub const NEWEST: Self = Self::V1_1;

    /// As it is in a file.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::V0_3 => "0.3.0",
            Self::V0_4 => "0.4.0",
            Self::V0_5 => "0.5.0",
            Self::V0_6 => "0.6.0",
            Self::V0_7 => "0.7.0",
            Self::V0_8 => "0.8.0",
            Self::V1_0 => "1.0.0",
            Self::V1_1 => "1.1.0",
        }
    }

    /// The version of a file; `None` where there is no such version, and then no engine reads the file. A `v` before it is accepted.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.strip_prefix('v').unwrap_or(text) {
            "0.1.0" | "0.2.0" | "0.3.0" => Self::V0_3,
            "0.4.0" => Self::V0_4,
            "0.5.0" => Self::V0_5,
            "0.6.0" => Self::V0_6,
            "0.7.0" => Self::V0_7,
            "0.8.0" => Self::V0_8,
            "1.0.0" => Self::V1_0,
            "1.1.0" => Self::V1_1,
            _ => return None,
        })
    }

    /// The newest version that a Docker reads: 25 was built with 0.6, 26 and 27 with 0.7, 28 with 1.0 (measured: 26.1, 28.5). One
    /// whose version is not known is taken to read everything.
    #[must_use]
    pub fn newest_of_docker(version: Option<&str>) -> Self {
        let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        match major {
            Some(..=25) => Self::V0_6,
            Some(26 | 27) => Self::V0_7,
            Some(28) => Self::V1_0,
            Some(29..) | None => Self::NEWEST,
        }
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SpecVersion; 8] = [
        SpecVersion::V0_3,
        SpecVersion::V0_4,
        SpecVersion::V0_5,
        SpecVersion::V0_6,
        SpecVersion::V0_7,
        SpecVersion::V0_8,
        SpecVersion::V1_0,
        SpecVersion::V1_1,
    ];

    #[test]
    fn each_version_reads_what_it_prints_and_they_are_in_order() {
        for version in ALL {
            assert_eq!(SpecVersion::read(version.code()), Some(version));
            assert_eq!(SpecVersion::read(&format!("v{version}")), Some(version));
        }
        assert!(ALL.is_sorted() && ALL.last() == Some(&SpecVersion::NEWEST));
        for none in ["", "0.5", "0.9.0", "1.2.0", "vv1.0.0", "1.0.0 ", "01.0.0"] {
            assert_eq!(SpecVersion::read(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_an_engine_reads_goes_by_its_major_version() {
        for (docker, newest) in [
            (Some("25.0.3"), SpecVersion::V0_6),
            (Some("26.1.5+dfsg1"), SpecVersion::V0_7),
            (Some("27.5.1"), SpecVersion::V0_7),
            (Some("28.5.2"), SpecVersion::V1_0),
            (Some("29.7.2"), SpecVersion::V1_1),
            (Some("dev"), SpecVersion::V1_1),
            (None, SpecVersion::V1_1),
        ] {
            assert_eq!(SpecVersion::newest_of_docker(docker), newest, "{docker:?}");
        }
    }
}
