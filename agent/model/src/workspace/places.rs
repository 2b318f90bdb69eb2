//! Ports, volumes and networks: what a workspace may reach of the host, and what of the host it may see.

use super::fields::{Fields, shown};
use super::host::DescribedPolicy;
use super::refused::WorkspaceRefused;
use super::workspace_container::{PREFIX, PortProtocol, PublishedPort as Port, WorkspaceMount as Mount};
use serde_json::Value;
use std::net::IpAddr;

/// Most entries of each list.
const MOST: usize = 64;
/// Ports below this are the host's own.
pub(super) const FIRST_FREE_PORT: u16 = 1024;
/// Folders inside the container that nothing is mounted on or below: the kernel's, and those that tell the NVIDIA runtime which GPUs
/// to give (`/var/run/nvidia-container-devices`).
pub(super) const KEPT_INSIDE: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/var/run"];
/// The libraries of Windows that a workspace with acceleration gets there, read-only.
pub(super) const WSL_LIBRARIES: &str = "/usr/lib/wsl";

/// Reads `ports`.
pub(super) fn ports(list: &[Value], policy: &DescribedPolicy) -> Result<Vec<Port>, WorkspaceRefused> {
    bounded(list, "ports")?;
    let ports: Vec<Port> =
        list.iter().enumerate().map(|(number, value)| port(value, number, policy)).collect::<Result<_, _>>()?;
    let same = |a: &Port, b: &Port| (a.container, a.protocol) == (b.container, b.protocol);
    let overlaps = |a: &IpAddr, b: &IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
    // Docker would take the workspace and fail at each of its starts.
    let collides = |a: &Port, b: &Port| {
        a.host.is_some() && (a.host, a.protocol) == (b.host, b.protocol) && overlaps(&a.listen, &b.listen)
    };
    let earlier = |at: usize, port: &Port| ports.iter().take(at).any(|other| collides(other, port));
    if let Some((at, port)) = ports.iter().enumerate().find(|(at, port)| earlier(*at, port)) {
        let host = port.host.unwrap_or_default();
        return Err(WorkspaceRefused::invalid(format!("ports[{at}].host"), format!("{host} is published twice")));
    }
    match ports.iter().enumerate().find(|(at, port)| ports.iter().take(*at).any(|other| same(other, port))) {
        Some((at, port)) => {
            Err(WorkspaceRefused::invalid(format!("ports[{at}]"), format!("{} is published twice", port.container)))
        }
        None => Ok(ports),
    }
}

fn port(value: &Value, number: usize, policy: &DescribedPolicy) -> Result<Port, WorkspaceRefused> {
    let mut fields = Fields::of(value, &format!("ports[{number}]"))?;
    let one = |count: Option<u64>, path: String| match count.map(u16::try_from) {
        None => Ok(None),
        Some(Ok(port)) if port > 0 => Ok(Some(port)),
        Some(_) => Err(WorkspaceRefused::invalid(path, "a port is from 1 to 65535")),
    };
    let container = one(fields.count("container")?, fields.path("container"))?
        .ok_or_else(|| WorkspaceRefused::invalid(fields.path("container"), "it is missing"))?;
    let host = one(fields.count("host")?, fields.path("host"))?;
    if host.is_some_and(|port| port < FIRST_FREE_PORT) {
        return Err(WorkspaceRefused::denied(
            fields.path("host"),
            format!("ports below {FIRST_FREE_PORT} are the host's own"),
        ));
    }
    let protocol = match fields.text("protocol")? {
        None | Some("tcp") => PortProtocol::Tcp,
        Some("udp") => PortProtocol::Udp,
        Some(other) => {
            return Err(WorkspaceRefused::denied(
                fields.path("protocol"),
                format!("{:?} is neither tcp nor udp", shown(other)),
            ));
        }
    };
    let text = fields.text("listen")?.unwrap_or("127.0.0.1");
    let listen: IpAddr = text.parse().map_err(|_| {
        WorkspaceRefused::invalid(fields.path("listen"), format!("{:?} is not an IP address", shown(text)))
    })?;
    if !listen.is_loopback() && !policy.listen.iter().any(|known| known == text) {
        let why =
            format!("{listen} is not among the addresses that this host allows: Docker publishes past its firewall");
        return Err(WorkspaceRefused::denied(fields.path("listen"), why));
    }
    fields.finish()?;
    Ok(Port { container, protocol, host, listen })
}

/// Reads `volumes`.
pub(super) fn mounts(list: &[Value], policy: &DescribedPolicy) -> Result<Vec<Mount>, WorkspaceRefused> {
    bounded(list, "volumes")?;
    let mounts: Vec<Mount> =
        list.iter().enumerate().map(|(number, value)| mount(value, number, policy)).collect::<Result<_, _>>()?;
    match mounts
        .iter()
        .enumerate()
        .find(|(at, mount)| mounts.iter().take(*at).any(|other| other.target == mount.target))
    {
        Some((at, mount)) => Err(WorkspaceRefused::invalid(
            format!("volumes[{at}].target"),
            format!("{} is mounted on twice", mount.target),
        )),
        None => Ok(mounts),
    }
}

fn mount(value: &Value, number: usize, policy: &DescribedPolicy) -> Result<Mount, WorkspaceRefused> {
    let mut fields = Fields::of(value, &format!("volumes[{number}]"))?;
    let (name, source) = (fields.text("name")?, fields.text("source")?);
    let target = fields.text("target")?.unwrap_or_default();
    let read_only = fields.boolean("read_only")?;
    if !is_plain_path(target) || target == "/" {
        let why = format!("{:?} is not an absolute path without '.' and '..'", shown(target));
        return Err(WorkspaceRefused::invalid(fields.path("target"), why));
    }
    if KEPT_INSIDE.iter().any(|kept| is_within(target, kept)) {
        return Err(WorkspaceRefused::denied(fields.path("target"), format!("nothing is mounted on {target}")));
    }
    let (is_volume, source) = match (name, source) {
        (Some(name), None) => (true, volume(name, &fields)?),
        (None, Some(source)) => (false, folder(source, read_only, policy, &fields)?),
        _ => return Err(WorkspaceRefused::invalid(fields.path("name"), "a volume has either a name or a source")),
    };
    let mount = Mount { is_volume, source, target: target.to_owned(), read_only };
    fields.finish()?;
    Ok(mount)
}

fn volume(name: &str, fields: &Fields<'_>) -> Result<String, WorkspaceRefused> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(known) {
        let why = format!("{:?} is not of letters, digits, '_', '.' and '-', at most 64", shown(name));
        return Err(WorkspaceRefused::invalid(fields.path("name"), why));
    }
    Ok(format!("{PREFIX}{name}"))
}

fn folder(
    source: &str,
    read_only: bool,
    policy: &DescribedPolicy,
    fields: &Fields<'_>,
) -> Result<String, WorkspaceRefused> {
    if !is_plain_path(source) {
        let why = format!("{:?} is not an absolute path without '.' and '..'", shown(source));
        return Err(WorkspaceRefused::denied(fields.path("source"), why));
    }
    let denied = |why| WorkspaceRefused::denied(fields.path("source"), format!("{source}: {why}"));
    check_bind_source(source, read_only, &policy.host_paths, &policy.host_paths_writable).map_err(denied)?;
    Ok(source.to_owned())
}

/// A plain path of the host is mounted only if the policy lists it. Whatever is below a directory that workspaces may write is not mounted
/// even so, and not read-only either: a workspace can replace it with a symbolic link between the check and the mount.
pub(super) fn check_bind_source(
    source: &str,
    read_only: bool,
    host_paths: &[String],
    host_paths_writable: &[String],
) -> Result<(), String> {
    let is_below = |folder: &&String| source != folder.as_str() && is_within(source, folder);
    if let Some(folder) = host_paths_writable.iter().find(is_below) {
        return Err(format!(
            "workspaces may write {folder}, so that only {folder} itself can be mounted; mount that, or list a \
             directory outside it in host.workspaces of the policy"
        ));
    }
    let is_readable = host_paths.iter().any(|folder| is_within(source, folder));
    if host_paths_writable.iter().any(|folder| folder == source) || (read_only && is_readable) {
        return Ok(());
    }
    Err(if is_readable {
        "the policy lists it in host.workspaces.host_paths, which is only for mounts with read_only; list it in \
         host_paths_writable to let workspaces write it"
            .to_owned()
    } else {
        "neither host.workspaces.host_paths nor host_paths_writable of the policy lists it".to_owned()
    })
}

/// Reads `networks`.
pub(super) fn networks(names: &[&str], policy: &DescribedPolicy) -> Result<Vec<String>, WorkspaceRefused> {
    if names.len() > MOST {
        return Err(WorkspaceRefused::invalid("networks", format!("more than {MOST}")));
    }
    let known = |(number, name): (usize, &&str)| match policy.networks.iter().find(|known| known == name) {
        Some(known) => Ok(known.clone()),
        None => {
            let why = format!("{:?} is not among the networks that this host allows", shown(name));
            Err(WorkspaceRefused::denied(format!("networks[{number}]"), why))
        }
    };
    names.iter().enumerate().map(known).collect()
}

fn bounded(list: &[Value], field: &str) -> Result<(), WorkspaceRefused> {
    if list.len() > MOST {
        return Err(WorkspaceRefused::invalid(field, format!("more than {MOST} entries")));
    }
    Ok(())
}

/// Absolute, each part a name, no control character.
pub(super) fn is_plain_path(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(|c: char| c.is_control());
    path == "/" || (path.len() <= 4096 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part)))
}

pub(super) fn is_within(path: &str, folder: &str) -> bool {
    path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
