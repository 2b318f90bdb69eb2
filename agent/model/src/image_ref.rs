//! References of container images: `[REGISTRY/]PATH[:TAG][@DIGEST]`, as Docker reads them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest reference that Docker takes, without its digest.
const LONGEST_NAME: usize = 255;
/// The registry of references that name none.
const DOCKER_HUB: &str = "docker.io";

/// The digest of an image's manifest, `sha256:` and 64 hexadecimal digits: what identifies an image in a registry and in both of
/// Docker's image stores. The id of an image does not: it is the digest of the configuration in one store and of the manifest in the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageDigest(String);

impl ImageDigest {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageDigest {
    type Err = BadImageRef;

    fn from_str(text: &str) -> Result<Self, BadImageRef> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest =
            text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex));
        if is_digest { Ok(Self(text.to_owned())) } else { Err(BadImageRef::Digest) }
    }
}

impl TryFrom<String> for ImageDigest {
    type Error = BadImageRef;

    fn try_from(text: String) -> Result<Self, BadImageRef> {
        text.parse()
    }
}

impl From<ImageDigest> for String {
    fn from(digest: ImageDigest) -> Self {
        digest.0
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no reference of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadImageRef {
    /// Its form.
    #[error("it is not [REGISTRY/]PATH[:TAG][@sha256:…] in lower case")]
    Form,
    /// Its tag.
    #[error("the tag is not of letters, digits, '_', '.' and '-'")]
    Tag,
    /// Its digest.
    #[error("the digest is not sha256: and 64 hexadecimal digits")]
    Digest,
}

/// A reference. It may have a tag, a digest, both, or none of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    /// As it was written, without its digest.
    name: String,
    tag_at: Option<usize>,
    digest: Option<ImageDigest>,
}

impl ImageRef {
    /// Registry, path and tag, as they were written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry, `nvcr.io`; Docker's own where none is named.
    #[must_use]
    pub fn registry(&self) -> &str {
        split(&self.name).0
    }

    /// A registry is named.
    #[must_use]
    pub fn names_registry(&self) -> bool {
        self.name.split_once('/').is_some_and(|(first, _)| is_registry_name(first))
    }

    /// Registry and path without tag and digest, `nvcr.io/nvidia/driver`: what policies name.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.tag_at.and_then(|at| self.name.get(..at)).unwrap_or(&self.name)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag_at.and_then(|at| self.name.get(at..)?.strip_prefix(':'))
    }

    /// The digest.
    #[must_use]
    pub const fn digest(&self) -> Option<&ImageDigest> {
        self.digest.as_ref()
    }

    /// Of a name that is known to be right: `REPOSITORY:TAG`, split at the colon.
    pub(crate) fn built_in(repository: &str, tag: &str) -> Self {
        Self { name: format!("{repository}:{tag}"), tag_at: Some(repository.len()), digest: None }
    }

    /// The same image with this digest.
    #[must_use]
    pub fn at(&self, digest: ImageDigest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same repository with this tag, and no digest.
    ///
    /// # Errors
    /// The tag is none.
    pub fn tagged(&self, tag: &str) -> Result<Self, BadImageRef> {
        format!("{}:{tag}", self.repository()).parse()
    }
}

impl FromStr for ImageRef {
    type Err = BadImageRef;

    fn from_str(text: &str) -> Result<Self, BadImageRef> {
        let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let digest = digest.map(str::parse).transpose()?;
        let (registry, path) = split(name);
        let (path, tag) = path.rsplit_once(':').map_or((path, None), |(path, tag)| (path, Some(tag)));
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(BadImageRef::Tag);
        }
        if name.len() > LONGEST_NAME || !is_registry(registry) || !path.split('/').all(is_component) {
            return Err(BadImageRef::Form);
        }
        let tag_at = tag.and_then(|tag| name.len().checked_sub(tag.len() + 1));
        Ok(Self { name: name.to_owned(), tag_at, digest })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = BadImageRef;

    fn try_from(text: String) -> Result<Self, BadImageRef> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}@{digest}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Registry and path, as Docker distinguishes them.
fn split(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) if is_registry_name(first) => (first, rest),
        _ => (DOCKER_HUB, name),
    }
}

/// The first part is a registry where it has a dot, a colon, or is `localhost`.
fn is_registry_name(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_component(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(inner) && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(known) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_falls_into_its_parts_and_is_written_as_it_was_read() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!("registry.example:5000/nvidia/driver:580.126.16-ubuntu24.04@{digest}");
        let image: ImageRef = text.parse().unwrap();
        assert_eq!(
            (image.registry(), image.repository()),
            ("registry.example:5000", "registry.example:5000/nvidia/driver")
        );
        assert_eq!((image.tag(), image.digest().unwrap().as_str()), (Some("580.126.16-ubuntu24.04"), digest.as_str()));
        assert_eq!(image.to_string(), text);
        let plain: ImageRef = "library/x".parse().unwrap();
        assert_eq!((plain.registry(), plain.names_registry(), plain.tag()), ("docker.io", false, None));
        assert_eq!(image.tagged("1.2").unwrap().to_string(), "registry.example:5000/nvidia/driver:1.2");
        assert_eq!(plain.at(digest.parse().unwrap()).to_string(), format!("library/x@{digest}"));
    }

    #[test]
    fn what_is_no_reference_is_refused_by_its_part() {
        for text in [
            "",
            "-v",
            "../x",
            "UPPER/x",
            "registry.example/../x",
            "registry.example//x",
            "https://r.example/x",
            "r.example/x\n",
        ] {
            assert!(text.parse::<ImageRef>().is_err(), "{text:?}");
        }
        assert_eq!("r.example/x:a b".parse::<ImageRef>(), Err(BadImageRef::Tag));
        assert_eq!("r.example/x:".parse::<ImageRef>(), Err(BadImageRef::Tag));
        assert_eq!("r.example/x@sha256:short".parse::<ImageRef>(), Err(BadImageRef::Digest));
    }
}
