//! `workspaces`, `workspaces show` and `drain --status`: GPU workspaces and how far they are.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, ahead, clean, paint, print as print_lines, print_json};
use crate::workspaces::wait_workspace::pulled;
use model::workspace::WorkspaceId;
use model::workspace_life::StaleDriver;
use wire::dbus::snapshot::Snapshot;
use wire::dbus::workspace::WorkspaceView;
use wire::dbus::workspaces::WorkspacesView;

/// Prints the list.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.workspaces);
    }
    print_lines(&lines(snapshot))
}

/// Prints one.
pub(crate) fn print_one(view: &WorkspaceView, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(view);
    }
    print_lines(&one(view))
}

/// Prints whether the host is drained, and what still runs.
pub(crate) fn print_drain(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.workspaces_summary);
    }
    print_lines(&drain_lines(snapshot))
}

/// The colour of a state.
fn look(view: &WorkspaceView) -> Look {
    match view.state.as_str() {
        "running" if view.reason_code.is_none() && view.gpu_ok != Some(false) => Look::Good,
        "failed" => Look::Bad,
        "pending" => Look::Bad,
        _ if view.gpu_ok == Some(false) => Look::Bad,
        _ => Look::Plain,
    }
}

/// Bytes as a person reads them.
fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib >= 1024 && mib.is_multiple_of(1024) => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    }
}

/// Its GPUs, shared or whole.
pub(crate) fn gpus(view: &WorkspaceView) -> String {
    let whole = view.vfio.iter().map(|address| format!("{address} (whole)"));
    let all: Vec<String> = view.gpus.iter().cloned().chain(whole).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

/// The list as lines.
pub(crate) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    if snapshot.workspaces.is_empty() {
        lines.push("There is no workspace.".to_owned());
    } else {
        let mut table = Table::new(&["ID", "KIND", "STATE", "CORES", "MEMORY", "GPUS", "SOURCE"]);
        for view in &snapshot.workspaces {
            table.row(vec![
                Cell::plain(Some(&view.workspace_id)),
                Cell::plain(Some(&view.kind)),
                Cell::new(&view.state, look(view)),
                Cell::plain(Some(&view.cores.to_string())),
                Cell::plain(Some(&mib(view.memory_bytes))),
                Cell::plain(Some(&gpus(view))),
                Cell::plain(Some(&view.source)),
            ]);
        }
        let mut rows = table.lines().into_iter();
        lines.extend(rows.next());
        for (row, view) in rows.zip(&snapshot.workspaces) {
            lines.push(row);
            lines.extend(why_not(view));
        }
    }
    lines.extend(snapshot.workspaces_summary.iter().flat_map(notes));
    lines
}

/// Why it is not as it is wanted, indented under it.
fn why_not(view: &WorkspaceView) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &view.reason {
        let code = view.reason_code.as_deref().unwrap_or_default();
        let retry = view.retry_at.map(|at| format!("; tried again: {}", ahead(at))).unwrap_or_default();
        lines.push(format!("    {} {} ({}){retry}", paint("why:  ", Look::Bad), clean(reason), clean(code)));
    }
    if view.gpu_ok == Some(false) && view.reason_code.as_deref() != Some("gpu_lost") {
        lines.push(format!("    {} its GPU is lost inside the container (gpu_lost)", paint("why:  ", Look::Bad)));
    }
    if let Some(stale) = stale_driver(view) {
        lines.push(format!("    {} {} (stale_driver)", paint("note: ", Look::Bold), clean(&stale)));
    }
    lines
}

/// What a workspace that keeps the libraries of another driver will fail of, and what to do.
pub(super) fn stale_driver(view: &WorkspaceView) -> Option<String> {
    let (has, loaded) = (view.stale_driver.clone()?, view.loaded_driver.clone()?);
    let id = view.workspace_id.parse::<WorkspaceId>().ok()?;
    Some(StaleDriver { has, loaded }.reason(&id).message)
}

/// What concerns all of them.
fn notes(all: &WorkspacesView) -> Vec<String> {
    let mut lines = Vec::new();
    if !all.known {
        lines.push("Docker has not been asked yet; ask again in a moment.".to_owned());
    }
    if let Some(fault) = &all.docker_fault {
        lines.push(format!("Docker does not answer, so this is what it showed last: {}", clean(fault)));
    }
    if let (Some(count), Some(most)) = (all.removals_held, all.removals_most) {
        lines.push(format!(
            "{count} removals wait, since one revision may remove {most}: another revision or `gpuhostctl workspaces \
             confirm-removals` lets them go on."
        ));
    }
    for unread in &all.unread {
        let (name, reason) = (clean(&unread.name), clean(&unread.reason));
        lines.push(format!(
            "{name} ({}) cannot be read as a workspace: {reason} ({}).",
            unread.source, unread.reason_code
        ));
    }
    for foreign in &all.foreign {
        let (name, message) = (clean(&foreign.name), clean(&foreign.message));
        lines.push(format!("The container {name} only looks like a workspace and is left alone: {message}."));
    }
    if all.draining {
        lines.extend(drain_note(all));
    }
    lines
}

fn drain_note(all: &WorkspacesView) -> Vec<String> {
    let line = match (all.drained, all.running_count) {
        (true, _) => "The host is drained: no workspace runs, and it takes no new ones.".to_owned(),
        (false, 0) => "The host takes no new workspaces; whether some still run is not known.".to_owned(),
        (false, 1) => "The host takes no new workspaces; 1 still runs.".to_owned(),
        (false, count) => format!("The host takes no new workspaces; {count} still run."),
    };
    vec![line]
}

fn drain_lines(snapshot: &Snapshot) -> Vec<String> {
    let Some(all) = &snapshot.workspaces_summary else {
        return vec!["This daemon is too old to show its workspaces.".to_owned()];
    };
    if !all.draining {
        return vec![format!("The host takes new workspaces; {} run.", all.running_count)];
    }
    let live = snapshot.workspaces.iter().filter(|view| view.pid.is_some());
    let row = |view: &WorkspaceView| format!("    {} ({})", clean(&view.workspace_id), clean(&view.state));
    let mut lines = drain_note(all);
    lines.extend(live.map(row));
    lines
}

/// What it uses.
fn uses(view: &WorkspaceView) -> Option<String> {
    let cpu = view.cpu_percent.map(|percent| format!("{percent:.0} % of a core"));
    let memory = view.memory_used_bytes.map(mib);
    let gpu = view.gpu_memory_used_bytes.map(|bytes| format!("{} on GPUs", mib(bytes)));
    let network = view.net_received_bytes.zip(view.net_sent_bytes);
    let network = network.map(|(received, sent)| format!("{} received, {} sent", mib(received), mib(sent)));
    let pids = view.pids.map(|count| format!("{count} processes"));
    let all: Vec<String> = [cpu, memory, gpu, network, pids].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// One as lines.
pub(crate) fn one(view: &WorkspaceView) -> Vec<String> {
    let state = match view.since.map(ago) {
        Some(since) => format!("{}, since {since}", view.state),
        None => view.state.clone(),
    };
    let code = view.reason_code.as_deref().unwrap_or_default();
    let wanted = view.desired.clone().unwrap_or_else(|| "by no document or file: it is orphaned".to_owned());
    let gpu_ok = view.gpu_ok.map(|ok| if ok { "there and usable" } else { "lost inside the container" }.to_owned());
    let container = view.container.as_deref().map(|id| id.get(..12).unwrap_or(id).to_owned());
    let rows = [
        ("Workspace", Some(view.workspace_id.clone()), Look::Bold),
        ("Kind", Some(view.kind.clone()), Look::Plain),
        ("State", Some(state), look(view)),
        ("Wanted", Some(wanted), Look::Plain),
        ("Why", view.reason.as_ref().map(|reason| format!("{reason} ({code})")), Look::Bad),
        ("Tried again", view.retry_at.map(ahead), Look::Plain),
        ("Source", Some(view.source.clone()), Look::Plain),
        ("Image", view.image.clone(), Look::Plain),
        ("Pulled", pulled(view), Look::Plain),
        ("Container", container, Look::Plain),
        ("Process", view.pid.map(|pid| pid.to_string()), Look::Plain),
        ("Started", view.started_at.map(ago), Look::Plain),
        ("Cores", Some(view.cores.to_string()), Look::Plain),
        ("Memory", Some(mib(view.memory_bytes)), Look::Plain),
        ("Uses", uses(view), Look::Plain),
        ("GPUs", Some(gpus(view)), Look::Plain),
        ("GPU state", gpu_ok, if view.gpu_ok == Some(false) { Look::Bad } else { Look::Plain }),
        ("Libraries", stale_driver(view).map(|stale| format!("{stale} (stale_driver)")), Look::Bad),
        ("Generation", Some(view.generation.to_string()), Look::Plain),
    ];
    let mut table = Table::untitled();
    for (title, text, look) in rows {
        if let Some(text) = text {
            table.row(vec![Cell::new(title, Look::Dim), Cell::new(text, look)]);
        }
    }
    table.lines()
}
