//! What an autoscaler knows of a host and its template fills in: kept with the enrolment, over the settings of the files.

use super::ManagerSettings;
use super::check;
use crate::printable::printable;
use serde::{Deserialize, Serialize};

/// So many characters of a value that does not fit are repeated.
const SHOWN_MOST_CHARS: usize = 64;

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
    /// What was given; nothing and `None` count as not given.
    ///
    /// # Errors
    /// The name of the value that does not fit, and what was expected.
    pub fn given(
        server_id: Option<&str>,
        provider: Option<&str>,
        public_hostname: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        let fault = |name, text: &str, expected: String| {
            (name, format!("is {:?}: {expected}", printable(text, SHOWN_MOST_CHARS)))
        };
        let read = |name: &'static str, text: Option<&str>, read: fn(&str) -> Result<Option<String>, String>| {
            let text = text.map(str::trim).unwrap_or_default();
            read(text).map_err(|expected| fault(name, text, expected))
        };
        Ok(Self {
            server_id: read("server-id", server_id, check::server_id)?.map(|id| id.to_ascii_lowercase()),
            provider: read("provider", provider, check::optional_label)?,
            public_hostname: read("public-hostname", public_hostname, check::host_name)?,
        })
    }

    /// Nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
        for unset in [None, Some(""), Some("None"), Some(" "), Some("None\n")] {
            assert!(HostNaming::given(unset, unset, unset).unwrap().is_empty(), "{unset:?}");
        }
        let named = HostNaming::given(Some(&ID.to_uppercase()), Some("aws"), Some("gpu-1.example")).unwrap();
        assert_eq!(named.server_id.as_deref(), Some(ID));
        for (server_id, provider, name, field) in [
            ("{server_id}", "", "", "server-id"),
            ("null", "", "", "server-id"),
            ("", "a\nb", "", "provider"),
            ("", "", "a b", "public-hostname"),
            ("", "", "{server_external_fqdn}", "public-hostname"),
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
