//! `gpu show`: all that is known of one GPU, and the reason beside all that is not.

use super::gpus::{holders, ills, on_trial, slices, why_not};
use crate::failure::Failure;
use crate::text::{Cell, Look, Table, clean, paint, print as print_lines, print_json};
use model::PciAddress;
use serde_json::Value;
use wire::dbus::absent::Absent;
use wire::dbus::feature::FeatureView;
use wire::dbus::gpu::{CauseView, GpuView};
use wire::dbus::snapshot::Snapshot;

/// What a UUID of NVIDIA begins with.
const UUID_BEGINS: &str = "GPU-";

/// Prints one GPU, named by PCI address or UUID.
pub(crate) fn print(snapshot: &Snapshot, name: &str, json: bool) -> Result<(), Failure> {
    let gpu = find(snapshot, name)?;
    if json {
        return print_json(gpu);
    }
    print_lines(&lines(gpu)?)
}

/// The GPU of that PCI address or UUID.
pub(crate) fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a GpuView, Failure> {
    let address = name.parse::<PciAddress>().map(|address| address.to_string());
    let is_uuid = name.get(..UUID_BEGINS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(UUID_BEGINS));
    if address.is_err() && !is_uuid {
        // The number that nvidia-smi counts with changes when a card is added, dies or is given away.
        let is_index = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let what = if is_index { "is an index; GPUs are not named by index here" } else { "names no GPU" };
        let why = format!(
            "{name:?} {what}: expected a PCI address (0000:41:00.0) or a UUID (GPU-…); gpuhostctl gpus lists both"
        );
        return Err(Failure::Usage { why });
    }
    let has_uuid = |gpu: &GpuView| gpu.uuid.as_ref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(name));
    let is_it = |gpu: &&GpuView| address.as_ref() == Ok(&gpu.address) || has_uuid(gpu);
    let missing = || Failure::NotFound { what: "GPU", name: name.to_owned(), see: "gpuhostctl gpus" };
    snapshot.gpus.iter().find(is_it).ok_or_else(missing)
}

/// The GPU as lines: the values under their D-Bus names, the chain, the metrics.
pub(crate) fn lines(gpu: &GpuView) -> Result<Vec<String>, Failure> {
    let title = gpu.name.as_deref().unwrap_or(&gpu.pci_id);
    let mut lines = vec![paint(&format!("{}  {}", gpu.address, clean(title)), Look::Bold)];
    lines.extend(on_trial(gpu));
    lines.extend(why_not(gpu));
    lines.extend(ills(gpu));
    lines.push(String::new());
    let view = serde_json::to_value(gpu).map_err(|source| Failure::Answer { source })?;
    let mut table = Table::untitled();
    rows(
        &mut table,
        &view,
        &gpu.absent,
        &["Path", "Absent", "CauseChain", "HealthReasons", "MigDevices", "Features", "Metrics"],
    );
    table.row(vec![Cell::plain(Some("HeldBy")), Cell::plain(Some(&holders(gpu)))]);
    lines.extend(table.lines());
    if !gpu.mig_devices.is_empty() {
        lines.extend([String::new(), paint("MIG devices", Look::Bold)]);
        lines.extend(slices(gpu));
    }
    lines.push(String::new());
    lines.push(paint("From the bus to a usable GPU", Look::Bold));
    lines.extend(chain(&gpu.cause_chain).lines());
    lines.push(String::new());
    lines.push(paint("Features", Look::Bold));
    lines.extend(features(&gpu.features).lines());
    lines.push(String::new());
    lines.push(paint("Metrics", Look::Bold));
    let metrics = serde_json::to_value(&gpu.metrics).map_err(|source| Failure::Answer { source })?;
    let mut table = Table::untitled();
    rows(&mut table, &metrics, &gpu.metrics.absent, &["Absent", "Processes"]);
    lines.extend(table.lines());
    Ok(lines)
}

fn rows(table: &mut Table, view: &Value, absent: &Absent, but: &[&str]) {
    for (name, value) in view.as_object().into_iter().flatten().filter(|(name, _)| !but.contains(&name.as_str())) {
        let (text, look) = match (value_text(value), absent.reason(name)) {
            (Some(text), _) => (text, Look::Plain),
            (None, Some("none") | None) => ("none".to_owned(), Look::Dim),
            (None, Some(why)) => (format!("unknown ({why})"), Look::Dim),
        };
        table.row(vec![Cell::plain(Some(name)), Cell::new(text, look)]);
    }
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.iter().filter_map(value_text).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let pair = |(key, value)| value_text(value).map(|value| format!("{key} {value}"));
            Some(fields.iter().filter_map(pair).collect::<Vec<_>>().join(" "))
        }
    }
}

/// Each feature with yes, or no and why.
fn features(features: &[FeatureView]) -> Table {
    let mut table = Table::untitled();
    for feature in features {
        let (mark, look) = match (feature.enabled, feature.supported) {
            (true, _) => ("yes", Look::Good),
            (false, true) => ("not now", Look::Bad),
            (false, false) => ("no", Look::Dim),
        };
        let why = feature.detail.as_deref().or(feature.reason.as_deref()).unwrap_or_default();
        table.row(vec![Cell::plain(Some(&feature.feature)), Cell::new(mark, look), Cell::new(why, Look::Plain)]);
    }
    table
}

fn chain(links: &[CauseView]) -> Table {
    let mut table = Table::untitled();
    for link in links {
        let (mark, look) = match link.ok {
            Some(true) => ("ok", Look::Good),
            Some(false) => ("broken", Look::Bad),
            None => ("unknown", Look::Dim),
        };
        let why = [link.reason.as_deref(), link.remedy.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        table.row(vec![Cell::plain(Some(&link.link)), Cell::new(mark, look), Cell::new(why, Look::Plain)]);
    }
    table
}
