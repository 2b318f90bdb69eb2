//! Which values make sense.

use super::{ManagerSettings, Settings};
use crate::checkin::manager::shown;

type Senseless = (&'static str, String, &'static str);

/// Refuses values that cannot work: field, value, and what was expected.
pub(super) fn sensible(settings: &Settings) -> Result<(), Senseless> {
    let Settings { agent, manager, docker, nvidia, metrics, gpu: _ } = settings;
    within("agent.sample_interval_s", agent.sample_interval_s, 5, 3600, "expected 5..=3600 seconds")?;
    within("manager.heartbeat_interval_s", manager.heartbeat_interval_s, 5, 300, "expected 5..=300 seconds")?;
    within("nvidia.probe_timeout_ms", nvidia.probe_timeout_ms, 500, 600_000, "expected 500..=600000 milliseconds")?;
    if let Some(url) = manager.urls.iter().find(|url| !is_https(url)) {
        let why = "expected https://host or https://host:port, without a path, a user name or a password";
        return Err(("manager.urls", shown(url), why));
    }
    if manager.pin_sha256.normal().is_err() {
        let why = "expected 64 hexadecimal digits, colons allowed, or a list of two such texts";
        return Err(("manager.pin_sha256", manager.pin_sha256.to_string(), why));
    }
    if let Some(id) = manager.server_id_set().filter(|id| !is_uuid(id)) {
        return Err(("manager.server_id", id.to_owned(), "expected a UUID, or None"));
    }
    if !docker.socket.starts_with('/') {
        return Err(("docker.socket", docker.socket.clone(), "expected an absolute path"));
    }
    // A socket's path may be no longer than this on Linux, its ending zero included.
    if let Some(socket) = metrics.socket.as_ref().filter(|path| !names_file(path) || path.len() > 107) {
        return Err(("metrics.socket", socket.clone(), "expected an absolute path of at most 107 bytes"));
    }
    if let Some(file) = metrics.textfile.as_ref().filter(|path| !names_file(path) || !path.ends_with(".prom")) {
        return Err(("metrics.textfile", file.clone(), "expected an absolute path that ends in .prom"));
    }
    Ok(())
}

/// An absolute path whose last element is a name.
fn names_file(path: &str) -> bool {
    path.starts_with('/') && path.rsplit('/').next().is_some_and(|name| !["", ".", ".."].contains(&name))
}

fn within(field: &'static str, value: u64, least: u64, most: u64, why: &'static str) -> Result<(), Senseless> {
    if (least..=most).contains(&value) { Ok(()) } else { Err((field, value.to_string(), why)) }
}

/// `https://host` or `https://host:port`, a bracketed IPv6 address included, nothing behind it.
#[must_use]
pub fn is_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (rest, None),
    };
    let host_fits = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c))
        && (host.starts_with('[') || !host.contains(':'));
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// What an autoscaler's template leaves where it has no value.
fn set(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|text| !text.is_empty() && *text != "None")
}

impl ManagerSettings {
    /// The server id, unless it is empty or `None` as a template leaves it.
    #[must_use]
    pub fn server_id_set(&self) -> Option<&str> {
        set(self.server_id.as_ref())
    }

    /// The public host name, unless it is empty or `None` as a template leaves it.
    #[must_use]
    pub fn public_hostname_set(&self) -> Option<&str> {
        set(self.public_hostname.as_ref())
    }

    /// The zone, unless it is empty or `None` as a template leaves it.
    #[must_use]
    pub fn zone_set(&self) -> Option<&str> {
        set(self.zone.as_ref())
    }
}
