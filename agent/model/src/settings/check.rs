//! What the value of a setting may be: each function takes the text or shows what was expected.

use crate::checkin::Pins;
use crate::checkin::manager::behind_https;
use crate::docker_config::DockerRestart;
use crate::features::FeatureName;
use crate::fields::Value;
use crate::ids::PciAddress;
use crate::nvidia_container::{BadNvidiaImage, DriverRootWish, KernelModuleType, NvidiaImage};
use crate::prune_mode::PruneMode;
use crate::readiness::GateName;
use std::net::IpAddr;

/// A socket's path may be no longer than this on Linux, its ending zero included.
const SOCKET_MAX_BYTES: usize = 107;
/// Longer than any name or label that a manager shows.
const LABEL_MAX_CHARS: usize = 255;

/// An address of a manager.
pub(super) fn manager_url(text: &str) -> Value<String> {
    if is_https(text) {
        return Ok(text.to_owned());
    }
    Err(if text.contains('@') {
        "expected https://host or https://host:port; an address must not contain a user or a password: a token belongs in a \
         file of its own (manager.enrolment_token_file)"
            .to_owned()
    } else {
        "expected https://host or https://host:port, without a path".to_owned()
    })
}

/// `https://host` or `https://host:port`, a bracketed IPv6 address included, nothing behind it.
#[must_use]
pub fn is_https(url: &str) -> bool {
    let Some(rest) = behind_https(url) else { return false };
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

/// Fingerprints, or nothing.
pub(super) fn pins(texts: &[&str]) -> Value<Pins> {
    let given: Vec<String> = match texts {
        [""] => Vec::new(),
        texts => texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let pins = Pins::given(given);
    let expected = "expected 64 hexadecimal digits, colons allowed, or a list of two such texts";
    pins.normal().map(|_| pins).map_err(|_| expected.to_owned())
}

/// What an autoscaler's template leaves where it has no value.
fn is_unset(text: &str) -> bool {
    text.is_empty() || text == "None"
}

/// A server id, or what a template leaves where there is none.
pub(super) fn server_id(text: &str) -> Value<Option<String>> {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    match text {
        _ if is_unset(text) => Ok(None),
        _ if parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) => {
            Ok(Some(text.to_owned()))
        }
        _ => Err("expected a UUID, or nothing (\"\" or \"None\")".to_owned()),
    }
}

/// The name of a host or its address, or what a template leaves where there is none.
pub(super) fn host_name(text: &str) -> Value<Option<String>> {
    if is_unset(text) {
        return Ok(None);
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label);
    if is_name || text.parse::<IpAddr>().is_ok() {
        Ok(Some(text.to_owned()))
    } else {
        Err("expected the name of a host, as gpu1.example, or an IP address".to_owned())
    }
}

/// A short text on one line.
pub(super) fn label(text: &str) -> Value<String> {
    let fits = text.chars().count() <= LABEL_MAX_CHARS && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(format!("expected one line of at most {LABEL_MAX_CHARS} characters")) }
}

/// The same, or what a template leaves where there is none.
pub(super) fn optional_label(text: &str) -> Value<Option<String>> {
    if is_unset(text) { Ok(None) } else { label(text).map(Some) }
}

/// Where the readiness call goes, with or without `https://`, as a template fills it in; or what it leaves where there is none.
pub(super) fn upstream(text: &str) -> Value<Option<String>> {
    if is_unset(text) {
        return Ok(None);
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    if is_https(&url) {
        Ok(Some(url))
    } else {
        Err("expected host, host:port or https://host:port, without a path; the token belongs in a file of its own \
             (readiness.jwt_file)"
            .to_owned())
    }
}

/// A gate of the readiness call.
pub(super) fn gate(text: &str) -> Value<GateName> {
    let known = || GateName::ALL.iter().copied().map(GateName::code).collect::<Vec<_>>().join(", ");
    GateName::from_code(text).ok_or_else(|| format!("expected one of {}", known()))
}

/// A directory of the daemon's own.
pub(super) fn directory(text: &str) -> Value<String> {
    let is_plain = !text.split('/').any(|part| [".", ".."].contains(&part));
    if names_file(text) && is_plain {
        Ok(text.to_owned())
    } else {
        Err("expected the path of a directory that begins with /, without . and ..".to_owned())
    }
}

/// A directory of the daemon's own, or nothing.
pub(super) fn optional_directory(text: &str) -> Value<Option<String>> {
    if text.is_empty() { Ok(None) } else { directory(text).map(Some) }
}

/// A path of the manager's API.
pub(super) fn api_path(text: &str) -> Value<String> {
    let fits = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected a path that begins with /, without spaces, ? and #".to_owned())
    }
}

/// An absolute path whose last element is a name.
fn names_file(path: &str) -> bool {
    path.starts_with('/')
        && path.rsplit('/').next().is_some_and(|name| !["", ".", ".."].contains(&name))
        && !path.chars().any(char::is_control)
}

/// A file, or nothing.
pub(super) fn optional_file(text: &str) -> Value<Option<String>> {
    match text {
        "" => Ok(None),
        _ if names_file(text) => Ok(Some(text.to_owned())),
        _ => Err("expected the path of a file that begins with /".to_owned()),
    }
}

/// A file with a token, or nothing. What is there instead may be the token itself.
pub(super) fn token_file(text: &str) -> Value<Option<String>> {
    let expected = |_| "expected the path of a file that begins with /; the token itself is in that file".to_owned();
    optional_file(text).map_err(expected)
}

/// A Unix socket.
pub(super) fn socket(text: &str) -> Value<String> {
    if names_file(text) && text.len() <= SOCKET_MAX_BYTES {
        return Ok(text.to_owned());
    }
    Err(format!("expected the path of a socket that begins with /, of at most {SOCKET_MAX_BYTES} bytes"))
}

/// A Unix socket, or nothing.
pub(super) fn optional_socket(text: &str) -> Value<Option<String>> {
    if text.is_empty() { Ok(None) } else { socket(text).map(Some) }
}

/// A file for node_exporter, or nothing.
pub(super) fn textfile(text: &str) -> Value<Option<String>> {
    match text {
        "" => Ok(None),
        _ if names_file(text) && text.ends_with(".prom") => Ok(Some(text.to_owned())),
        _ => Err("expected the path of a file that begins with / and ends in .prom".to_owned()),
    }
}

/// A program.
pub(super) fn program(text: &str) -> Value<String> {
    if names_file(text) { Ok(text.to_owned()) } else { Err("expected a path that begins with /".to_owned()) }
}

/// A library: a file, or a name for the dynamic linker.
pub(super) fn library(text: &str) -> Value<String> {
    let is_name = !text.is_empty() && !text.contains('/') && !text.chars().any(char::is_control) && text != "..";
    if is_name || names_file(text) {
        Ok(text.to_owned())
    } else {
        Err("expected a path that begins with /, or the bare name of a library".to_owned())
    }
}

/// A feature of a GPU.
pub(super) fn feature(text: &str) -> Value<FeatureName> {
    let known = || FeatureName::ALL.iter().copied().map(FeatureName::code).collect::<Vec<_>>().join(", ");
    FeatureName::from_code(text).ok_or_else(|| format!("expected one of {}", known()))
}

/// A GPU.
pub(super) fn gpu(text: &str) -> Value<PciAddress> {
    text.parse().map_err(|_| "expected a PCI address, as in [gpu.\"0000:41:00.0\"]".to_owned())
}

/// An image of NVIDIA's driver or toolkit container.
pub(super) fn nvidia_image(text: &str) -> Value<NvidiaImage> {
    text.parse().map_err(|fault: BadNvidiaImage| fault.to_string())
}

/// Which kernel modules a driver container builds.
pub(super) fn kernel_modules(text: &str) -> Value<KernelModuleType> {
    text.parse().map_err(|_| "expected auto, open or proprietary".to_owned())
}

/// Where a toolkit container looks for the driver's files.
pub(super) fn docker_restart(text: &str) -> Value<DockerRestart> {
    text.parse().map_err(|_| format!("expected one of {}", DockerRestart::VALUES.join(", ")))
}

pub(super) fn driver_root(text: &str) -> Value<DriverRootWish> {
    text.parse().map_err(|_| format!("expected one of {}", DriverRootWish::VALUES.join(", ")))
}

/// How much of the images that gpuhostd has pulled is removed.
pub(super) fn prune_mode(text: &str) -> Value<PruneMode> {
    let known = || PruneMode::ALL.iter().copied().map(PruneMode::code).collect::<Vec<_>>().join(", ");
    PruneMode::from_code(text).ok_or_else(|| format!("expected one of {}", known()))
}
