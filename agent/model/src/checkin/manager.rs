//! Where a manager listens: an address over HTTPS, and nothing in it that could change what a URL means.

use crate::printable::printable;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a manager listens, always over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ManagerAddress {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The zone that it serves, where it shows it.
    #[serde(default)]
    pub zone: Option<String>,
    /// Lower comes first; one without a priority comes after those with one.
    #[serde(default)]
    pub priority: Option<i64>,
}

/// A manager URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a manager URL: {why}; expected https://HOST or https://HOST:PORT")]
pub struct BadManagerUrl {
    /// What was given as far as it may be repeated, see [`shown`].
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What takes the place of what must not be repeated.
const REDACTED: &str = "[redacted]";
/// So many characters of an address that cannot be used are repeated.
const SHOWN_MAX_CHARS: usize = 128;

/// An address as it may be repeated to anybody: without what could be a name and a password, or a token behind `?` or `#`, without
/// control characters, and cut.
#[must_use]
pub fn shown(url: &str) -> String {
    // A password may hold anything, `//`, a slash or a question mark too: only the last @ ends it, and only a scheme is before it.
    let scheme_bytes = url.find("://").map_or(0, |at| at.saturating_add(3));
    let is_scheme =
        |text: &&str| text.trim_end_matches("://").chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let scheme = url.get(..scheme_bytes).filter(is_scheme).unwrap_or_default();
    let rest = url.get(scheme.len()..).unwrap_or_default();
    // In an address, %40 is an @.
    let at = rest.rfind('@').into_iter().map(|at| (at, 1)).chain(rest.rfind("%40").map(|at| (at, 3))).max();
    let host = at.and_then(|(at, bytes)| rest.get(at.saturating_add(bytes)..)).map(|host| format!("{REDACTED}@{host}"));
    let rest = host.unwrap_or_else(|| rest.to_owned());
    let rest = match rest.split_once(['?', '#']) {
        Some((before, _)) => format!("{before}?{REDACTED}"),
        None => rest,
    };
    printable(&format!("{scheme}{rest}"), SHOWN_MAX_CHARS)
}

/// What is behind `https://`, in whatever case the scheme is written.
pub(crate) fn behind_https(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked("https://".len())?;
    scheme.eq_ignore_ascii_case("https://").then_some(rest)
}

impl ManagerAddress {
    /// An address without zone and priority.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, zone: None, priority: None }
    }

    /// True where both name the same host and port.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// `https://host:port`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("https://{self}")
    }

    /// True where the host is a plain name or an address: nothing that could change the meaning of a URL.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let v6 = self.host.parse::<std::net::Ipv6Addr>().is_ok();
        self.port != 0 && self.host.len() <= 253 && !self.host.is_empty() && (v6 || self.host.chars().all(named))
    }
}

impl fmt::Display for ManagerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ManagerAddress {
    type Err = BadManagerUrl;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let bad = |why| BadManagerUrl { url: shown(url), why };
        let rest = behind_https(url.trim()).ok_or_else(|| bad("it does not begin with https://"))?;
        if rest.contains('@') {
            return Err(bad(
                "it must not contain a user name or a password; a manager identifies this host by its credential",
            ));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(|| bad("the bracket is not closed"))?;
                (host, after.strip_prefix(':'))
            }
            None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(text) => text.parse().map_err(|_| bad("the port is not a number from 1 to 65535"))?,
            None => 443,
        };
        let address = Self::new(host, port);
        if address.is_plain() { Ok(address) } else { Err(bad("the host is not a plain name or address")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_refused_and_never_repeated() {
        for url in [
            "https://joe:hunter2@manager.example",
            "https://joe:hunter2@manager.example:8443/",
            "https://joe:hun/ter2@manager.example",
            "https://joe:hunter2@x@manager.example",
            "http://joe:hunter2@manager.example",
            "joe:hunter2@manager.example",
            "https://manager.example?token=hunter2",
            "https://manager.example#hunter2",
        ] {
            let fault = url.parse::<ManagerAddress>().unwrap_err().to_string();
            assert!(!fault.contains("hunter2") && !fault.contains("ter2") && !fault.contains("joe"), "{fault}");
            assert!(fault.contains("manager.example"), "{fault}");
        }
        assert_eq!(shown("https://m.example/x"), "https://m.example/x");
        assert_eq!(shown("m\u{1b}[31m"), "m[31m");
    }
}
