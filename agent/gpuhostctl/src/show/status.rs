//! `status`: one screen.

use super::gpus::summary;
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, ahead, clean, paint, print as print_lines, print_json};
use wire::dbus::host::HostView;
use wire::dbus::snapshot::Snapshot;
use wire::dbus::workspaces::WorkspacesView;

/// Prints the screen.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.host);
    }
    print_lines(&lines(snapshot))
}

/// The screen as lines.
pub(crate) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let host = &snapshot.host;
    let name = host.hostname.as_deref().unwrap_or("this host");
    let system = [host.operating_system.as_deref(), host.kernel.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    let mut lines =
        vec![format!("{}  gpuhostd {}", paint(&clean(name), Look::Bold), clean(&host.version)), String::new()];
    let mut table = Table::untitled();
    let mut row = |title: &str, text: String, look| table.row(vec![Cell::new(title, Look::Dim), Cell::new(text, look)]);
    row("Host", if system.is_empty() { "unknown".to_owned() } else { system.join(", ") }, Look::Plain);
    row("GPUs", anstream::adapter::strip_str(&summary(snapshot)).to_string(), gpu_look(snapshot));
    let (driver, look) = driver(host);
    row("Driver", driver, look);
    let (docker, look) = docker(host);
    row("Docker", docker, look);
    row("IOMMU", iommu(host), Look::Plain);
    if let Some(workspaces) = snapshot.workspaces_summary.as_ref().and_then(workspaces) {
        row("Workspaces", workspaces, Look::Plain);
    }
    let (manager, look) = manager(host);
    row("Manager", manager, look);
    if let Some((readiness, look)) = readiness(host) {
        row("Readiness", readiness, look);
    }
    row("Observed", host.observed_at.map_or_else(|| "not yet".to_owned(), ago), Look::Plain);
    lines.extend(table.lines());
    lines.extend(conditions(host));
    lines
}

fn gpu_look(snapshot: &Snapshot) -> Look {
    match snapshot.gpus.as_slice() {
        [] => Look::Plain,
        gpus if gpus.iter().all(|gpu| gpu.schedulable) => Look::Good,
        _ => Look::Bad,
    }
}

fn driver(host: &HostView) -> (String, Look) {
    match (&host.driver_version, &host.cuda_version) {
        (Some(driver), Some(cuda)) => (format!("NVIDIA {driver}, CUDA {cuda}"), Look::Good),
        (Some(driver), None) => (format!("NVIDIA {driver}"), Look::Good),
        (None, _) => {
            let fault = host.probes.iter().find_map(|probe| probe.message.clone());
            (fault.unwrap_or_else(|| "the NVIDIA driver was not queried".to_owned()), Look::Dim)
        }
    }
}

fn docker(host: &HostView) -> (String, Look) {
    match (&host.docker_version, &host.docker_fault) {
        (Some(version), _) if host.container_engine.as_deref() == Some("podman") => {
            (format!("Podman {version} answers at Docker's socket"), Look::Plain)
        }
        (Some(version), _) => (version.clone(), Look::Good),
        (None, Some(fault)) => (fault.clone(), Look::Bad),
        (None, None) => ("its version is unknown".to_owned(), Look::Plain),
    }
}

fn iommu(host: &HostView) -> String {
    match host.iommu_group_count {
        0 => "off".to_owned(),
        1 => "on, 1 group".to_owned(),
        count => format!("on, {count} groups"),
    }
}

/// How many there are and run; nothing where there are none and the host takes some.
fn workspaces(all: &WorkspacesView) -> Option<String> {
    let count = match (all.count, all.running_count) {
        (0, _) => "none".to_owned(),
        (count, running) => format!("{running} of {count} running"),
    };
    match (all.drained, all.draining) {
        (true, _) => Some(format!("{count}; the host is drained and takes no new ones")),
        (false, true) => Some(format!("{count}; the host drains and takes no new ones")),
        (false, false) => (all.count > 0).then_some(count),
    }
}

fn manager(host: &HostView) -> (String, Look) {
    let who = host.manager.as_deref().map(|manager| format!(" with {manager}")).unwrap_or_default();
    let beat = host.last_heartbeat.map(|when| format!(", last heartbeat accepted {}", ago(when))).unwrap_or_default();
    let wait = host.manager_wait_until.map(|until| format!("; asked to wait {}", ahead(until))).unwrap_or_default();
    let error = host.manager_error.as_deref().map(|error| format!("; {error}")).unwrap_or_default();
    match host.manager_state.as_str() {
        "ok" if wait.is_empty() => (format!("ok{who}{beat}"), Look::Good),
        "ok" => (format!("ok{who}{beat}{wait}"), Look::Plain),
        "not_enrolled" => ("not enrolled; enrol with: gpuhostctl enroll URL --token-file FILE".to_owned(), Look::Plain),
        state => (format!("{}{who}{beat}{wait}{error}", state.replace('_', " ")), Look::Bad),
    }
}

/// Only where it is configured: a host without it has nothing to show.
fn readiness(host: &HostView) -> Option<(String, Look)> {
    let detail = host.readiness_detail.as_deref().map(|detail| format!("; {}", clean(detail))).unwrap_or_default();
    Some(match host.readiness.as_str() {
        "" => return None,
        "off" if detail.is_empty() => return None,
        "reported" => ("reported to the upstream in this boot".to_owned(), Look::Good),
        "reporting" => (format!("all gates are met, not reported yet{detail}"), Look::Plain),
        "failed" => (format!("not reported{detail}"), Look::Bad),
        state => (format!("{}{detail}", clean(state)), Look::Plain),
    })
}

fn conditions(host: &HostView) -> Vec<String> {
    let mut lines = Vec::new();
    for condition in host.conditions.iter().filter(|condition| condition.status == "true") {
        if lines.is_empty() {
            lines.extend([String::new(), paint("What is wrong", Look::Bold)]);
        }
        let since = condition.since.map(|when| format!(" ({})", ago(when))).unwrap_or_default();
        lines.push(format!("  {}{since}", paint(&clean(&condition.kind), Look::Bad)));
        lines.push(format!("    {}", clean(&condition.message)));
    }
    lines
}
