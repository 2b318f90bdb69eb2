//! `desired show`: what is wished of this host, how far it is so, and what prevents the rest.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, ahead, paint, print as print_lines, print_json};
use wire::dbus::desired::{DesiredItemView, DesiredView, EffectiveView, MET};

/// Prints it.
pub(crate) fn print(view: &DesiredView, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(view);
    }
    print_lines(&lines(view))
}

/// It as lines: the documents and files, then the items.
fn lines(view: &DesiredView) -> Vec<String> {
    let mut table = Table::untitled();
    for (title, text, look) in head(view) {
        table.row(vec![Cell::new(title, Look::Dim), Cell::new(text, look)]);
    }
    let mut lines = table.lines();
    lines.push(String::new());
    if view.items.is_empty() {
        lines.push("Nothing is wished of this host.".to_owned());
        return lines;
    }
    lines.extend(items(&view.items));
    let met = view.items.iter().filter(|item| item.state == MET).count();
    let look = if met == view.items.len() { Look::Good } else { Look::Bad };
    lines.extend([String::new(), paint(&format!("{met} of {} items met", view.items.len()), look)]);
    lines
}

/// The items as a table.
pub(crate) fn items(items: &[DesiredItemView]) -> Vec<String> {
    let mut table = Table::new(&["PATH", "SOURCE", "STATE", "SINCE", "NEXT ATTEMPT", "WHY"]);
    for item in items {
        let look = match item.state.as_str() {
            MET => Look::Good,
            "held" | "refused" => Look::Bad,
            _ => Look::Plain,
        };
        let why = match (&item.code, &item.message) {
            (Some(code), Some(message)) => Some(format!("{message} ({code})")),
            (code, message) => message.clone().or_else(|| code.clone()),
        };
        table.row(vec![
            Cell::plain(Some(&item.path)),
            Cell::plain(Some(&item.source)),
            Cell::new(item.state.replace('_', " "), look),
            Cell::plain(item.since.map(ago).as_deref()),
            Cell::plain(item.retry_at.map(ahead).as_deref()),
            Cell::plain(why.as_deref()),
        ]);
    }
    table.lines()
}

fn head(view: &DesiredView) -> Vec<(&'static str, String, Look)> {
    let mut rows = vec![document(view)];
    if view.epoch.is_some() {
        let applied = view.applied_revision.map(|revision| format!("revision {revision}"));
        let is_newest = view.applied_revision == view.revision;
        let look = if is_newest { Look::Good } else { Look::Plain };
        rows.push(("Applied", applied.unwrap_or_else(|| "no revision since the daemon started".to_owned()), look));
    }
    if let Some(refused) = &view.refused {
        let which = refused.document.as_ref().map(|document| format!("{document}: ")).unwrap_or_default();
        let since = refused.since.map(|since| format!(", {}", ago(since))).unwrap_or_default();
        rows.push(("Refused", format!("{which}{} ({}{since})", refused.message, refused.code), Look::Bad));
    }
    if !view.epochs_left.is_empty() {
        let listed = view.epochs_left.join(", ");
        rows.push(("Left epochs", format!("{listed}; see: gpuhostctl desired accept --help"), Look::Plain));
    }
    rows.extend(fetched(view));
    let files = if view.local_files.is_empty() { "none".to_owned() } else { view.local_files.join(", ") };
    rows.push(("Local files", files, Look::Plain));
    let faults = view.local_faults.iter();
    rows.extend(faults.map(|fault| ("Wrong file", format!("{}: {}", fault.place, fault.message), Look::Bad)));
    rows.push(("Settings", settings(&view.effective), Look::Plain));
    rows
}

/// How documents reach this host, and what of it failed.
fn fetched(view: &DesiredView) -> Option<(&'static str, String, Look)> {
    let way = match view.fetch.as_str() {
        "long_poll" => "a request waits at the manager for the next document",
        "hint" => "the manager's replies name the newest document, which is fetched",
        "embedded" => "documents come with the manager's replies",
        "interval" => "the manager is asked every 30 s",
        "off" => "the manager does not have documents",
        _ => return None,
    };
    let again = view.fetch_off_until.map(|until| format!("; asked again {}", ahead(until))).unwrap_or_default();
    let newest = view.newest.as_ref().map(|newest| format!("; the newest is {newest}")).unwrap_or_default();
    let (error, look) = match &view.fetch_error {
        Some(error) => (format!("; the last request failed: {error}"), Look::Bad),
        None => (String::new(), Look::Plain),
    };
    Some(("Fetched", format!("{way}{newest}{again}{error}"), look))
}

fn document(view: &DesiredView) -> (&'static str, String, Look) {
    let title = "Document";
    match (&view.epoch, view.revision, &view.ledger_fault) {
        (Some(epoch), Some(revision), _) => (title, format!("epoch {epoch}, revision {revision}"), Look::Good),
        (_, _, Some(fault)) => (title, format!("unreadable: {fault}"), Look::Bad),
        _ => (title, "none: no manager has sent one".to_owned(), Look::Plain),
    }
}

/// What is set over the configuration files, in one line.
fn settings(set: &EffectiveView) -> String {
    let labels = set.labels.as_ref().map(|labels| {
        let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if pairs.is_empty() { "no labels".to_owned() } else { format!("labels {}", pairs.join(" ")) }
    });
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {value}"));
    let parts = [
        set.enabled.map(|enabled| if enabled { "enabled" } else { "disabled" }.to_owned()),
        set.draining.then(|| "draining".to_owned()),
        set.drain_at.and_then(|at| i64::try_from(at).ok()).map(|at| format!("drain at {}", utc(at))),
        labels,
        set.zone.as_ref().map(|zone| format!("zone {zone}")),
        set.pool.as_ref().map(|pool| format!("pool {pool}")),
        number("max workspaces", set.max_workspaces.map(u64::from)),
        number("millicores", set.millicores),
        number("memory bytes", set.memory_bytes),
        number("CUDA GPUs", set.cuda_gpus.map(u64::from)),
        number("heartbeat interval s", set.heartbeat_interval_s),
        number("sample interval s", set.sample_interval_s),
        set.log_level.as_ref().map(|level| format!("log level {level}")),
        set.prune.as_ref().map(|mode| format!("prune {mode}")),
        number("disk usage limit %", set.disk_usage_limit_pct),
        number("concurrent pulls", set.concurrent_pulls),
        deployed("driver", set.deploy_driver, set.driver_image.as_deref()),
        deployed("toolkit", set.deploy_toolkit, set.toolkit_image.as_deref()),
        set.driver_root.as_ref().map(|root| format!("driver root {root}")),
        set.docker_restart.as_ref().map(|restart| format!("docker restart {restart}")),
    ];
    let gpus = set.gpus.iter().flat_map(|gpu| {
        let address = &gpu.address;
        let off = gpu.off.then(|| format!("{address} off"));
        let feature =
            move |(feature, on): (&String, &bool)| format!("{address} {feature} {}", if *on { "on" } else { "off" });
        off.into_iter().chain(gpu.features.iter().map(feature))
    });
    let all: Vec<String> = parts.into_iter().flatten().chain(gpus).collect();
    if all.is_empty() { "all as the configuration files have them".to_owned() } else { all.join(", ") }
}

/// Whether one of NVIDIA's containers is deployed, and from what.
fn deployed(role: &str, wished: Option<bool>, image: Option<&str>) -> Option<String> {
    match (wished, image) {
        (None, None) => None,
        (Some(true), None) => Some(format!("{role} container")),
        (Some(false), _) => Some(format!("no {role} container")),
        (Some(true), Some(image)) => Some(format!("{role} container {image}")),
        (None, Some(image)) => Some(format!("{role} image {image}")),
    }
}

fn utc(at: i64) -> String {
    model::time::UnixMillis(at).to_utc()
}
