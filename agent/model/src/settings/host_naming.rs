//! What an autoscaler knows of a host and its template fills in: kept with the enrolment, over the settings of the files.

use super::ManagerSettings;
use super::check;
use crate::printable::printable;
use serde::{Deserialize, Serialize};

/// So many characters of a value that does not fit are repeated.
const SHOWN_MOST_CHARS: usize = 64;
/// Longest name of a provider.
const PROVIDER_MOST_BYTES: usize = 64;

/// Who a host is, as far as it was given at enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostNaming {
    /// Its id with the manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Provider name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Name under which users reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_hostname: Option<String>,
}

impl HostNaming {
    /// What was given.
    ///
    /// # Errors
    /// The name of the value that does not fit, and what was expected.
    pub fn given(
        server_id: Option<&str>,
        provider: Option<&str>,
        public_hostname: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        let read = |name: &'static str, text: Option<&str>, read: Read| {
            let fault = |text: &str, expected: String| {
                (name, format!("is {:?}: {expected}", printable(text, SHOWN_MOST_CHARS)))
            };
            text.map(|text| read(text).map_err(|expected| fault(text, expected))).transpose()
        };
        Ok(Self {
            server_id: read("server-id", server_id, |text| {
                let id = check::server_id(text).ok().flatten().ok_or("expected a UUID")?;
                Ok(id.to_ascii_lowercase())
            })?,
            provider: read("provider", provider, provider_name)?,
            public_hostname: read("public-hostname", public_hostname, |text| {
                let expected = "expected the name of a host, as gpu1.example, or an IP address";
                Ok(check::host_name(text).ok().flatten().ok_or(expected)?)
            })?,
        })
    }

    /// Nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads one value.
type Read = fn(&str) -> Result<String, String>;

/// A name of a provider: letters, digits, dots, hyphens and underscores.
fn provider_name(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if text.len() <= PROVIDER_MOST_BYTES && is_plain && text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected at most {PROVIDER_MOST_BYTES} letters, digits, dots, hyphens and underscores, as aws"))
}

/// A value of a template: nothing, white space and `None` are what it leaves where it has none.
#[must_use]
pub fn of_template(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty() && *text != "None")
}

impl ManagerSettings {
    /// The same with what was given at enrolment in its place.
    #[must_use]
    pub fn named(&self, named: &HostNaming) -> Self {
        let HostNaming { server_id, provider, public_hostname } = named.clone();
        Self {
            server_id: server_id.or_else(|| self.server_id.clone()),
            provider: provider.unwrap_or_else(|| self.provider.clone()),
            public_hostname: public_hostname.or_else(|| self.public_hostname.clone()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7b0f42a1-58a4-4b13-9f3d-0a1b2c3d4e5f";

    #[test]
    fn what_a_template_leaves_is_not_given_and_what_it_forgot_is_refused() {
        for unset in ["", "None", " ", "None\n"] {
            assert_eq!(of_template(unset), None, "{unset:?}");
        }
        assert_eq!(of_template(" aws\n"), Some("aws"));
        assert!(HostNaming::given(None, None, None).unwrap().is_empty());
        let named = HostNaming::given(Some(&ID.to_uppercase()), Some("aws"), Some("gpu-1.example")).unwrap();
        assert_eq!(named.server_id.as_deref(), Some(ID));
        for (server_id, provider, name, field) in [
            ("{server_id}", "aws", "h", "server-id"),
            ("null", "aws", "h", "server-id"),
            ("", "aws", "h", "server-id"),
            (ID, "a\nb", "h", "provider"),
            (ID, "{provider_name}", "h", "provider"),
            (ID, "", "h", "provider"),
            (ID, "aws", "a b", "public-hostname"),
            (ID, "aws", "{server_external_fqdn}", "public-hostname"),
        ] {
            let fault = HostNaming::given(Some(server_id), Some(provider), Some(name)).unwrap_err();
            assert_eq!(fault.0, field, "{fault:?}");
        }
    }

    #[test]
    fn what_was_given_comes_before_the_files_and_the_rest_stays() {
        let files =
            ManagerSettings { provider: "hardware".into(), zone: Some("z".into()), ..ManagerSettings::default() };
        let named = files.named(&HostNaming { provider: Some("aws".into()), ..HostNaming::default() });
        assert_eq!((named.provider.as_str(), named.zone.as_deref(), named.server_id), ("aws", Some("z"), None));
        assert_eq!(files.named(&HostNaming::default()), files);
    }
}
