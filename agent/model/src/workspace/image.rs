//! References of images: a registry, a path and a digest, nothing else.

use super::refused::WorkspaceRefused;

/// Longest reference that Docker takes, without its digest.
const LONGEST_NAME: usize = 255;
/// The registry of references that name none.
const DOCKER_HUB: &str = "docker.io";

/// A reference with its digest, `registry.example/ws/desktop@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageReference(String);

impl ImageReference {
    /// As Docker is asked for it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a reference; `digest` is used where it has none. `field` names it in refusals.
    pub(super) fn read(
        text: &str,
        digest: Option<&str>,
        registries: Option<&[String]>,
        field: &str,
    ) -> Result<Self, WorkspaceRefused> {
        let (name, own) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let wrong = |why: &str| WorkspaceRefused::invalid(field, why);
        let digest = own.or(digest).ok_or_else(|| {
            WorkspaceRefused::denied(
                field,
                "an image is named with its digest, NAME@sha256:…: a tag can be moved to another image",
            )
        })?;
        if !is_digest(digest) {
            return Err(wrong("the digest is not sha256: and 64 hexadecimal digits"));
        }
        let (registry, path) = split(name);
        let path = match path.rsplit_once(':') {
            Some((path, tag)) if is_tag(tag) => path,
            Some(_) => return Err(wrong("the tag is not of letters, digits, '_', '.' and '-'")),
            None => path,
        };
        if name.len() > LONGEST_NAME || !is_registry(registry) || !path.split('/').all(is_component) {
            return Err(wrong("it is not [REGISTRY/]PATH@sha256:… in lower case"));
        }
        if registries.is_some_and(|known| !known.iter().any(|one| one == registry)) {
            return Err(WorkspaceRefused::denied(
                field,
                format!("the registry {registry} is not among those that this host allows"),
            ));
        }
        Ok(Self(format!("{name}@{digest}")))
    }
}

/// Registry and path, as Docker distinguishes them: the first part is a registry where it has a dot, a colon, or is `localhost`.
fn split(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DOCKER_HUB, name),
    }
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

fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "a".repeat(64))
    }

    #[test]
    fn a_reference_has_a_digest_of_its_own_or_is_given_one() {
        let own = format!("registry.example:5000/ws/desktop@{}", digest());
        assert_eq!(ImageReference::read(&own, None, None, "image").unwrap().as_str(), own);
        let given = ImageReference::read("ws/desktop:1.9", Some(&digest()), None, "image").unwrap();
        assert_eq!(given.as_str(), format!("ws/desktop:1.9@{}", digest()));
        assert_eq!(
            ImageReference::read("ws/desktop:1.9", None, None, "i").unwrap_err().code(),
            "denied_by_local_policy"
        );
    }

    #[test]
    fn what_is_no_reference_and_what_is_of_another_registry_is_refused() {
        let known = ["registry.example".to_owned()];
        let read = |name: &str| ImageReference::read(name, Some(&digest()), Some(&known), "image");
        assert!(read("registry.example/a/b").is_ok());
        for (name, code) in [
            ("", "invalid_argument"),
            ("-v", "invalid_argument"),
            ("../x", "invalid_argument"),
            ("UPPER/x", "invalid_argument"),
            ("registry.example/../evil/x", "invalid_argument"),
            ("registry.example//x", "invalid_argument"),
            ("https://registry.example/x", "invalid_argument"),
            ("registry.example/x:a b", "invalid_argument"),
            ("registry.example/x\n", "invalid_argument"),
            ("docker.io/library/x", "denied_by_local_policy"),
            ("library/x", "denied_by_local_policy"),
            ("localhost:5000/x", "denied_by_local_policy"),
            ("registry.example.evil/x", "denied_by_local_policy"),
        ] {
            assert_eq!(read(name).unwrap_err().code(), code, "{name:?}");
        }
        for digest in ["", "sha256:short", "md5:abc", "sha256:AAAA", &format!("{}a", digest())] {
            let refused = ImageReference::read("registry.example/x", Some(digest), None, "image").unwrap_err();
            assert_eq!(refused.code(), "invalid_argument", "{digest:?}");
        }
    }
}
