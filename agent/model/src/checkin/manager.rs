//! The managers of a host: which one is asked first, which one next, and which one is kept.

use crate::time::BootMillis;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A manager that failed stands behind the others for so long, in milliseconds.
pub const FAILED_FOR_MS: u64 = 60_000;
/// More managers than this are not taken from a reply.
pub const MANAGERS_MAX: usize = 32;

/// Where a manager listens, always over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ManagerAddress {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The zone that it serves, where it says so.
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

/// What stands in for what must not be repeated.
const REDACTED: &str = "[redacted]";
/// So many characters of an address that cannot be used are repeated.
const SHOWN_MAX_CHARS: usize = 128;

/// An address as it may be repeated to anybody: without what could be a name and a password, or a token behind `?` or `#`, without
/// control characters, and cut.
#[must_use]
pub fn shown(url: &str) -> String {
    // A password may hold anything, `//`, a slash or a question mark too: only the last @ ends it, and only a scheme stands before it.
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
    format!("{scheme}{rest}").chars().filter(|c| !c.is_control()).take(SHOWN_MAX_CHARS).collect()
}

/// What stands behind `https://`, in whatever case the scheme is written.
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

#[derive(Debug, Clone)]
struct Entry {
    address: ManagerAddress,
    failed_at: Option<BootMillis>,
    tried: bool,
}

/// The list with what is known of each: same zone first, then priority, then order; one that failed goes behind the others
/// for a minute; the one that works is kept.
#[derive(Debug, Clone)]
pub struct Managers {
    zone: Option<String>,
    entries: Vec<Entry>,
    current: Option<ManagerAddress>,
}

impl Managers {
    /// A fresh list for a host of that zone.
    #[must_use]
    pub fn new(addresses: &[ManagerAddress], zone: Option<String>) -> Self {
        let mut list = Self { zone, entries: Vec::new(), current: None };
        list.replace(addresses);
        list
    }

    /// Takes another list; what is known of those that stay is kept, and so is the one in use where it stays.
    pub fn replace(&mut self, addresses: &[ManagerAddress]) {
        let old = std::mem::take(&mut self.entries);
        for address in addresses {
            let twice = self.entries.iter().any(|e| e.address.same_place(address));
            if twice || self.entries.len() >= MANAGERS_MAX {
                continue;
            }
            let known = old.iter().find(|e| e.address.same_place(address));
            self.entries.push(Entry {
                address: address.clone(),
                failed_at: known.and_then(|e| e.failed_at),
                tried: known.is_some_and(|e| e.tried),
            });
        }
        let stays = |c: &ManagerAddress| self.entries.iter().any(|e| e.address.same_place(c));
        self.current = self.current.take().filter(stays);
    }

    /// The addresses in the order in which they came.
    #[must_use]
    pub fn addresses(&self) -> Vec<ManagerAddress> {
        self.entries.iter().map(|e| e.address.clone()).collect()
    }

    /// The one in use.
    #[must_use]
    pub const fn current(&self) -> Option<&ManagerAddress> {
        self.current.as_ref()
    }

    /// A new round: each may be tried once more.
    pub fn begin_round(&mut self) {
        for entry in &mut self.entries {
            entry.tried = false;
        }
    }

    /// The one to ask now, which becomes the one in use; `None` where the round is over.
    pub fn pick(&mut self, now: BootMillis) -> Option<ManagerAddress> {
        let kept =
            self.current.as_ref().and_then(|c| self.entries.iter().find(|e| e.address.same_place(c) && !e.tried));
        let next = kept.or_else(|| {
            let rank = |(order, entry): &(usize, &Entry)| {
                let resting = entry.failed_at.is_some_and(|at| now.since(at) < FAILED_FOR_MS);
                let elsewhere = self.zone.is_some() && entry.address.zone != self.zone;
                (resting, elsewhere, entry.address.priority.unwrap_or(i64::MAX), *order)
            };
            self.entries.iter().enumerate().filter(|(_, e)| !e.tried).min_by_key(rank).map(|(_, e)| e)
        });
        self.current = next.map(|e| e.address.clone());
        self.current.clone()
    }

    /// The one in use failed. True where another one is left in this round.
    pub fn failed(&mut self, now: BootMillis) -> bool {
        if let Some(current) = self.current.take() {
            for entry in self.entries.iter_mut().filter(|e| e.address.same_place(&current)) {
                entry.failed_at = Some(now);
                entry.tried = true;
            }
        }
        self.entries.iter().any(|e| !e.tried)
    }

    /// The one in use answered.
    pub fn worked(&mut self) {
        if let Some(current) = &self.current {
            for entry in self.entries.iter_mut().filter(|e| e.address.same_place(current)) {
                entry.failed_at = None;
            }
        }
        self.begin_round();
    }
}
