//! `gpus`: one row a GPU, and under each that is not usable the reason and the remedy.

use crate::failure::Failure;
use crate::text::{Cell, Look, Table, ago, ahead, clean, paint, print as print_lines, print_json};
use model::verdict_reasons::Unschedulable;
use wire::dbus::gpu::{CauseView, GpuView, HealthReasonView};
use wire::dbus::host::GoneGpuView;
use wire::dbus::metrics::ProcessView;
use wire::dbus::snapshot::Snapshot;

/// Prints the list.
pub(crate) fn print(snapshot: &Snapshot, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&snapshot.gpus);
    }
    print_lines(&lines(snapshot))
}

/// The list as lines.
pub(crate) fn lines(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.gpus.is_empty() {
        let mut lines = nothing(snapshot);
        lines.extend(gone(snapshot));
        return lines;
    }
    let mut table = Table::new(&["ADDRESS", "NAME", "DRIVER", "USE", "HELD BY", "HEALTH", "USABLE"]);
    for gpu in &snapshot.gpus {
        table.row(row(gpu));
    }
    let mut table = table.lines().into_iter();
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (line, gpu) in table.zip(&snapshot.gpus) {
        lines.push(line);
        lines.extend(slices(gpu));
        lines.extend(on_trial(gpu));
        lines.extend(why_not(gpu));
        lines.extend(ills(gpu));
    }
    lines.extend(gone(snapshot));
    lines.push(String::new());
    lines.push(summary(snapshot));
    lines
}

/// GPUs that were here, with what they were.
fn gone(snapshot: &Snapshot) -> Vec<String> {
    let lines = |gpu: &GoneGpuView| {
        let serial = gpu.serial.as_ref().map(|serial| format!("serial number {serial}"));
        let words = [Some(gpu.name.clone().unwrap_or_else(|| gpu.pci_id.clone())), gpu.uuid.clone(), serial];
        let what = words.into_iter().flatten().map(|word| clean(&word).into_owned()).collect::<Vec<_>>().join(", ");
        let seen = gpu.last_seen.map_or_else(String::new, |seen| format!(", last seen {}", ago(seen)));
        let address = clean(&gpu.address);
        let row = format!("{address}  {}  {what}{seen}", paint("gone", Look::Bad));
        let remedy = address.parse().map(|address| format!("    to do: {}", model::roster::remedy(address)));
        [Some(row), remedy.ok()]
    };
    snapshot.host.gone_gpus.iter().flat_map(lines).flatten().collect()
}

/// `2 of 3 GPUs usable`, or that there is none.
pub(crate) fn summary(snapshot: &Snapshot) -> String {
    let all = snapshot.gpus.len();
    if all == 0 {
        return "none on the PCI bus".to_owned();
    }
    let usable = snapshot.gpus.iter().filter(|gpu| gpu.schedulable).count();
    let look = if usable == all { Look::Good } else { Look::Bad };
    paint(&format!("{usable} of {all} {} usable", if all == 1 { "GPU" } else { "GPUs" }), look)
}

fn nothing(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.host.observation_sequence == 0 {
        return vec!["The host has not been observed yet; ask again in a moment.".to_owned()];
    }
    let mut lines = vec!["There is no GPU on the PCI bus.".to_owned()];
    lines.extend(snapshot.host.scan_problems.iter().map(|problem| format!("  {}", clean(problem))));
    lines
}

fn row(gpu: &GpuView) -> Vec<Cell> {
    let usable = if gpu.schedulable { Cell::new("yes", Look::Good) } else { Cell::new("no", Look::Bad) };
    vec![
        Cell::plain(Some(&gpu.address)),
        Cell::plain(gpu.name.as_deref().or(Some(&gpu.pci_id))),
        driver(gpu),
        Cell::plain(Some(&gpu.usage)),
        Cell::plain(Some(&holders(gpu))),
        Cell::new(&gpu.health, health_look(gpu)),
        usable,
    ]
}

fn health_look(gpu: &GpuView) -> Look {
    match gpu.health.as_str() {
        "ok" => Look::Good,
        "unknown" => Look::Dim,
        _ => Look::Bad,
    }
}

/// What speaks against the health of the GPU, each with its remedy, indented under it.
pub(crate) fn ills(gpu: &GpuView) -> Vec<String> {
    let told = |reason: &HealthReasonView| {
        let title = paint(&clean(&reason.state), Look::Bad);
        let when = ago(reason.since);
        [
            format!("    {title} {}: {} ({when})", clean(&reason.code), clean(&reason.message)),
            format!("    {} {}", paint("to do:", Look::Bold), clean(&reason.remedy)),
        ]
    };
    gpu.health_reasons.iter().flat_map(told).collect()
}

/// That it is given away, or its MIG was changed, for a while only, and what makes that stay.
pub(crate) fn on_trial(gpu: &GpuView) -> Option<String> {
    let before = gpu.confirm_before?;
    let address = clean(&gpu.address);
    let title = paint("on trial:", Look::Bold);
    let (undone, command) = match gpu.usage.as_str() {
        "passthrough" => ("taken back", "passthrough"),
        _ => ("the change of MIG is undone", "mig"),
    };
    Some(format!("    {title} {undone} unless confirmed ({}): gpuhostctl {command} confirm {address}", ahead(before)))
}

/// The MIG devices of the GPU as rows under it: place, profile, memory, UUID.
pub(crate) fn slices(gpu: &GpuView) -> Vec<String> {
    let mut table = Table::untitled();
    for mig in &gpu.mig_devices {
        let memory = mig.memory_total_mib.map(|mib| format!("{mib} MiB"));
        table.row(vec![
            Cell::plain(Some(&format!("  MIG {}/{}", mig.gpu_instance, mig.compute_instance))),
            Cell::plain(mig.profile.as_deref()),
            Cell::plain(memory.as_deref()),
            Cell::plain(mig.uuid.as_deref()),
        ]);
    }
    table.lines()
}

/// The bound driver; no driver and an unreadable one are two things.
fn driver(gpu: &GpuView) -> Cell {
    match (&gpu.driver, gpu.absent.reason("Driver")) {
        (Some(name), _) => Cell::plain(Some(name)),
        (None, Some("none") | None) => Cell::new("none", Look::Dim),
        (None, Some(_)) => Cell::new("unknown", Look::Dim),
    }
}

/// Who has the GPU, as far as the driver reports. Whether a virtual machine has what is with a vfio driver, nobody was asked.
pub(crate) fn holders(gpu: &GpuView) -> String {
    let name = |process: &ProcessView| {
        let path = process.name.as_deref().unwrap_or("?");
        format!("{} ({})", path.rsplit('/').next().unwrap_or(path), process.pid)
    };
    match (gpu.usage.as_str(), gpu.metrics.processes.as_deref()) {
        ("passthrough", _) => gpu.driver.clone().unwrap_or_else(|| "vfio".to_owned()),
        (_, None) => "unknown".to_owned(),
        (_, Some([])) => "none".to_owned(),
        (_, Some([one])) => name(one),
        (_, Some([first, rest @ ..])) => format!("{} and {} more", name(first), rest.len()),
    }
}

/// The first broken link with its remedy, indented under the GPU.
pub(crate) fn why_not(gpu: &GpuView) -> Vec<String> {
    if gpu.schedulable {
        return Vec::new();
    }
    let broken = gpu.cause_chain.iter().find(|link| link.ok == Some(false));
    let Some(CauseView { link, reason, remedy, .. }) = broken else { return unbroken(gpu) };
    let reason = reason.as_deref().or(gpu.unschedulable_reason.as_deref()).unwrap_or("no reason is known");
    let mut lines = vec![format!("    {} {}: {}", paint("why:  ", Look::Bad), clean(link), clean(reason))];
    lines.extend(remedy.as_ref().map(|what| format!("    {} {}", paint("to do:", Look::Bold), clean(what))));
    lines
}

/// Where every link holds the reason lies in what the GPU is used for or in the GPU itself.
fn unbroken(gpu: &GpuView) -> Vec<String> {
    let code = gpu.unschedulable_reason.as_deref().unwrap_or("no reason is known");
    let Some((why, remedy)) = Unschedulable::from_code(code).and_then(Unschedulable::explanation) else {
        return vec![format!("    {} {}", paint("why:  ", Look::Bad), clean(code))];
    };
    let remedy = remedy.replace("ADDRESS", &clean(&gpu.address));
    vec![
        format!("    {} {} ({})", paint("why:  ", Look::Bad), why, clean(code)),
        format!("    {} {}", paint("to do:", Look::Bold), remedy),
    ]
}
