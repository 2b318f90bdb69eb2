//! The login to a registry of images, as a document of a manager has it, and which registry each of its names means.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Docker's own registry, as references name it.
const DOCKER_HUB: &str = "docker.io";
/// The other names of it.
const DOCKER_HUB_TOO: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// A user and a password for one registry. It is shown nowhere: neither here nor in what has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// The registry, as references name it: for no other one is it used.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password, or a token in its place.
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryLogin({})", self.registry)
    }
}

/// What is known of the logins that an administrator has put on this host. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLoginsSeen {
    /// The file.
    pub place: String,
    /// The registries, and repositories of them, for which it has a login.
    pub registries: Vec<String>,
    /// What is wrong with it, with what to do: what is wrong is not used.
    pub faults: Vec<String>,
}

/// The registry of a name in a file of logins or in a document, `https://index.docker.io/v1/`, as references name it, and the path
/// behind it that is not one of an API's versions.
#[must_use]
pub fn registry_of(name: &str) -> (String, Option<&str>) {
    let name = name.trim();
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    let host = if DOCKER_HUB_TOO.contains(&host.as_str()) { DOCKER_HUB.to_owned() } else { host };
    let path = path.trim_end_matches('/');
    (host, (!["", "v1", "v2"].contains(&path)).then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name_however_it_is_written() {
        for (name, host, path) in [
            ("https://index.docker.io/v1/", "docker.io", None),
            ("registry-1.docker.io", "docker.io", None),
            ("docker.io", "docker.io", None),
            ("R.Example:5000", "r.example:5000", None),
            ("http://r.example/v2/", "r.example", None),
            ("quay.io/team/desktops/", "quay.io", Some("team/desktops")),
            (" r.example ", "r.example", None),
            ("", "", None),
        ] {
            assert_eq!(registry_of(name), (host.to_owned(), path), "{name:?}");
        }
    }

    #[test]
    fn a_login_is_never_shown() {
        let (registry, username) = ("r.example".to_owned(), "canary-user".to_owned());
        let login = RegistryLogin { registry, username, password: "canary-password".to_owned() };
        assert_eq!(format!("{login:?}"), "RegistryLogin(r.example)");
    }
}
