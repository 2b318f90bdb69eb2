//! Which driver image fits this host: the OS suffix of its tag is composed from os-release, and what a tag names is read from it.

use crate::image_ref::{BadImageRef, ImageRef};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the version of a distribution is written in a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TagVersion {
    /// As os-release has it, `24.04`.
    Whole,
    /// The first number, `9` of `9.4`.
    Major,
    /// The first number, and there are images from this one on.
    MajorFrom(u32),
}

/// Distributions that NVIDIA's recipes build driver images for (gpu-driver-container, one folder each), by os-release ID, and how
/// the GPU operator writes their version in a tag (`getOSTag`).
const DISTRIBUTIONS: [(&str, TagVersion); 9] = [
    ("ubuntu", TagVersion::Whole),
    ("rhel", TagVersion::Major),
    ("rocky", TagVersion::Major),
    ("ol", TagVersion::Major),
    ("debian", TagVersion::MajorFrom(13)),
    ("sles", TagVersion::Whole),
    ("fedora", TagVersion::Major),
    ("amzn", TagVersion::Major),
    ("azurelinux", TagVersion::Whole),
];

/// Other names that stand in tags of older driver images, or of images that an administrator has built.
const OTHER_NAMES: [&str; 6] = ["rhcos", "centos", "coreos", "flatcar", "sle", "almalinux"];

/// A distribution with its version as a tag has it, `ubuntu24.04`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OsTag(String);

impl OsTag {
    /// The tag of a host by its os-release; `None` where NVIDIA's recipes build no image for it.
    #[must_use]
    pub fn of_host(id: &str, version: &str) -> Option<Self> {
        let (_, form) = DISTRIBUTIONS.iter().find(|(name, _)| *name == id)?;
        let is_version = !version.is_empty()
            && version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let major = version.split('.').next().filter(|_| is_version)?;
        let written = match form {
            TagVersion::Whole => version,
            TagVersion::Major => major,
            TagVersion::MajorFrom(first) => {
                major.parse::<u32>().is_ok_and(|number| number >= *first).then_some(major)?
            }
        };
        Some(Self(format!("{id}{written}")))
    }

    /// As it is in a tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of a tag where it names a distribution. `host_id` counts as one too: an image that was built for just this host.
    fn of_part(part: &str, host_id: Option<&str>) -> Option<Self> {
        let end = part.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(part.len());
        let (name, version) = part.split_at(end);
        let is_version = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let is_known = DISTRIBUTIONS.iter().any(|(id, _)| *id == name)
            || OTHER_NAMES.contains(&name)
            || host_id.is_some_and(|id| id == name && !id.is_empty());
        (is_version && is_known).then(|| Self(part.to_owned()))
    }

    fn name(&self) -> &str {
        self.0.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.0.get(self.name().len()..).unwrap_or_default()
    }

    /// True where an image of this tag fits a host of the other: the same distribution, and no version that contradicts. `rhel9.4`
    /// fits `rhel9`, since the tags of older images have the minor version too.
    #[must_use]
    pub fn fits(&self, host: &Self) -> bool {
        let (ours, theirs) = (self.version().split('.'), host.version().split('.'));
        let unversioned = self.version().is_empty();
        self.name() == host.name() && (unversioned || ours.zip(theirs).all(|(one, other)| one == other))
    }
}

impl fmt::Display for OsTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the tag of a driver image shows about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DriverImageTag {
    /// It has no tag: nothing is known but the digest.
    Untagged,
    /// `580.126.16`: it builds the module at its start, and names no distribution.
    Version,
    /// `580.126.16-ubuntu24.04`: it builds the module at its start.
    ForOs {
        /// The distribution.
        os: OsTag,
    },
    /// `580-6.8.0-45-generic-ubuntu24.04`: it holds modules for one kernel, signed by the distribution or by who built the image.
    Precompiled {
        /// The kernel, as `uname -r` prints it, some without the architecture at its end.
        kernel: String,
        /// The distribution.
        os: OsTag,
    },
}

impl DriverImageTag {
    /// Reads a tag; `host_id` is the os-release ID of this host.
    #[must_use]
    pub fn read(tag: Option<&str>, host_id: Option<&str>) -> Self {
        let Some(tag) = tag else { return Self::Untagged };
        let Some((before, part)) = tag.rsplit_once('-') else { return Self::Version };
        let Some(os) = OsTag::of_part(part, host_id) else { return Self::Version };
        // Ubuntu 20.04's are called signed-ubuntu20.04.
        let before = before.strip_suffix("-signed").unwrap_or(before);
        match before.split_once('-') {
            Some((_, kernel)) if is_kernel(kernel) => Self::Precompiled { kernel: kernel.to_owned(), os },
            _ => Self::ForOs { os },
        }
    }

    /// The distribution that the tag names.
    #[must_use]
    pub const fn os(&self) -> Option<&OsTag> {
        match self {
            Self::Untagged | Self::Version => None,
            Self::ForOs { os } | Self::Precompiled { os, .. } => Some(os),
        }
    }
}

/// `6.8.0-45-generic`: a kernel has one or two digits in front of its first dot, a branch of the driver three.
fn is_kernel(text: &str) -> bool {
    let major = text.split('.').next().unwrap_or_default();
    text.contains('.') && (1..=2).contains(&major.len()) && major.bytes().all(|byte| byte.is_ascii_digit())
}

/// True where modules for `kernel` of a tag fit the running one: some tags leave the architecture out.
pub(super) fn is_for_kernel(kernel: &str, running: &str) -> bool {
    running.strip_prefix(kernel).is_some_and(|rest| rest.is_empty() || rest == ".x86_64" || rest == ".aarch64")
}

/// A driver image for this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverImage {
    /// The name to pull, with the suffix where one was added.
    pub name: ImageRef,
    /// What its tag shows.
    pub tag: DriverImageTag,
}

/// Why no name could be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverImageFault {
    /// NVIDIA builds none for this distribution, or os-release could not be read.
    #[error("no driver image for {} {}", id.as_deref().unwrap_or("an unknown distribution"), version.as_deref().unwrap_or("of unknown version"))]
    NoImageForOs {
        /// os-release ID.
        id: Option<String>,
        /// os-release VERSION_ID.
        version: Option<String>,
    },
    /// The tag with its suffix is not a tag.
    #[error("{0}")]
    Name(BadImageRef),
}

/// The image to pull on a host with this os-release: `-<os-id><version>` is added where the tag names no distribution. A name with a
/// digest stays as it is.
///
/// # Errors
/// A suffix is needed and there is none for this host.
pub fn driver_image(
    image: &ImageRef,
    id: Option<&str>,
    version: Option<&str>,
) -> Result<DriverImage, DriverImageFault> {
    let tag = DriverImageTag::read(image.tag(), id);
    if image.digest().is_some() || tag.os().is_some() {
        return Ok(DriverImage { name: image.clone(), tag });
    }
    let os = id.and_then(|id| OsTag::of_host(id, version.unwrap_or_default()));
    let os = os.ok_or_else(|| DriverImageFault::NoImageForOs {
        id: id.map(str::to_owned),
        version: version.map(str::to_owned),
    })?;
    let tag = image.tag().ok_or(DriverImageFault::Name(BadImageRef::Tag))?;
    let name = image.tagged(&format!("{tag}-{os}")).map_err(DriverImageFault::Name)?;
    Ok(DriverImage { name, tag: DriverImageTag::ForOs { os } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "nvcr.io/nvidia/driver:580.126.16";

    fn composed(image: &str, id: &str, version: &str) -> Result<String, DriverImageFault> {
        driver_image(&image.parse().unwrap(), Some(id), Some(version)).map(|image| image.name.to_string())
    }

    #[test]
    fn a_tag_without_a_distribution_gets_the_one_of_the_host() {
        for (id, version, suffix) in [
            ("ubuntu", "24.04", "ubuntu24.04"),
            ("ubuntu", "22.04", "ubuntu22.04"),
            ("rhel", "9.4", "rhel9"),
            ("rhel", "10.0", "rhel10"),
            ("rocky", "8.10", "rocky8"),
            ("ol", "9.5", "ol9"),
            ("debian", "13", "debian13"),
            ("sles", "15.6", "sles15.6"),
            ("fedora", "41", "fedora41"),
            ("amzn", "2023", "amzn2023"),
            ("azurelinux", "3.0", "azurelinux3.0"),
        ] {
            assert_eq!(composed(DEFAULT, id, version).unwrap(), format!("{DEFAULT}-{suffix}"));
        }
    }

    #[test]
    fn a_tag_that_names_one_and_a_digest_stay_as_they_are() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for image in [
            format!("{DEFAULT}-ubuntu22.04"),
            format!("{DEFAULT}@{digest}"),
            format!("nvcr.io/nvidia/driver@{digest}"),
            "nvcr.io/nvidia/driver:535-5.15.0-113-generic-ubuntu22.04".to_owned(),
            "registry.example/driver:580-flatcar".to_owned(),
        ] {
            assert_eq!(composed(&image, "ubuntu", "24.04").unwrap(), image);
            assert_eq!(composed(&image, "nixos", "25.11").unwrap(), image, "and no distribution is needed");
        }
        assert_eq!(composed("r.example/d:580-nixos25.11", "nixos", "25.11").unwrap(), "r.example/d:580-nixos25.11");
    }

    #[test]
    fn a_host_that_nvidia_builds_for_is_needed_where_the_tag_names_none() {
        for (id, version) in [
            ("nixos", "25.11"),
            ("debian", "12"),
            ("arch", ""),
            ("ubuntu", ""),
            ("ubuntu", "24.04 LTS"),
            ("rhel", ".9"),
            ("", ""),
        ] {
            let fault = composed(DEFAULT, id, version).unwrap_err();
            assert_eq!(
                fault,
                DriverImageFault::NoImageForOs { id: Some(id.to_owned()), version: Some(version.to_owned()) }
            );
        }
        assert!(driver_image(&DEFAULT.parse().unwrap(), None, None).is_err());
        // A suffix of another kind is not a distribution.
        assert_eq!(composed("r.example/d:580-rc1", "ubuntu", "24.04").unwrap(), "r.example/d:580-rc1-ubuntu24.04");
    }

    #[test]
    fn precompiled_images_are_known_by_the_kernel_in_their_tag() {
        let read = |tag: &str| DriverImageTag::read(Some(tag), Some("ubuntu"));
        let precompiled = |kernel: &str, os: &str| DriverImageTag::Precompiled {
            kernel: kernel.to_owned(),
            os: OsTag(os.to_owned()),
        };
        assert_eq!(read("535-5.15.0-113-generic-ubuntu22.04"), precompiled("5.15.0-113-generic", "ubuntu22.04"));
        assert_eq!(read("580-6.8.0-1029-aws-ubuntu24.04"), precompiled("6.8.0-1029-aws", "ubuntu24.04"));
        assert_eq!(read("550.54.15-5.14.0-427.el9-rhel9.4"), precompiled("5.14.0-427.el9", "rhel9.4"));
        assert_eq!(read("535-5.4.0-150-generic-signed-ubuntu20.04"), precompiled("5.4.0-150-generic", "ubuntu20.04"));
        for built in [
            "580.126.16-ubuntu24.04",
            "a1b2c3d-580.126.16-ubuntu24.04",
            "1234567-580.126.16-ubuntu24.04",
            "x-ubuntu24.04",
        ] {
            assert_eq!(read(built), DriverImageTag::ForOs { os: OsTag("ubuntu24.04".to_owned()) }, "{built}");
        }
        for bare in ["580.126.16", "580", "580-beta2", "580-6.8.0-45-generic"] {
            assert_eq!(read(bare), DriverImageTag::Version, "{bare}");
        }
        assert_eq!(DriverImageTag::read(None, None), DriverImageTag::Untagged);
    }

    #[test]
    fn an_image_fits_its_distribution_and_kernel() {
        let fits = |image: &str, host: &str| OsTag(image.to_owned()).fits(&OsTag(host.to_owned()));
        assert!(fits("ubuntu24.04", "ubuntu24.04") && fits("rhel9.4", "rhel9") && fits("flatcar", "flatcar3510"));
        assert!(!fits("ubuntu22.04", "ubuntu24.04") && !fits("rhel8", "rhel9") && !fits("rhel9", "rocky9"));
        assert!(!fits("ubuntu24.10", "ubuntu24.04") && !fits("ubuntu2", "ubuntu24.04"));
        assert!(is_for_kernel("6.8.0-45-generic", "6.8.0-45-generic"));
        assert!(is_for_kernel("5.14.0-427.el9", "5.14.0-427.el9.x86_64"));
        assert!(
            !is_for_kernel("6.8.0-45-generic", "6.8.0-47-generic") && !is_for_kernel("6.8.0-4", "6.8.0-45-generic")
        );
    }
}
