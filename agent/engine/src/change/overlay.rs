//! What is known of GPUs beyond what a look at the host shows: a change is under way, or could not be undone.

use super::records::Records;
use model::change::{Entry, Phase};
use model::condition::{Condition, ConditionStatus};
use model::judge::unschedulable_reason;
use model::observation::{CauseLink, ChainLink, Gpu, GpuUse, HostObservation};

/// The observation as everybody is to see it: GPUs that are being changed are `transitioning`, those whose change could not be
/// undone `quarantined`; `standing` and a condition `gpu_quarantined` stand among the conditions.
#[must_use]
pub fn overlay(seen: &HostObservation, records: &Records, standing: &[Condition]) -> HostObservation {
    let mut shown = seen.clone();
    for gpu in &mut shown.gpus {
        if let Some(usage) = usage(gpu, records) {
            withhold(gpu, usage);
        }
        if records.given(gpu.pci.address).is_some() {
            name_the_way_back(gpu);
        }
    }
    shown.conditions.extend(standing.iter().cloned());
    shown.conditions.extend(quarantined(records));
    shown.conditions.sort_by(|one, other| one.kind.cmp(&other.kind));
    shown
}

fn usage(gpu: &Gpu, records: &Records) -> Option<GpuUse> {
    let address = gpu.pci.address;
    if records.is_under_way(address) {
        return Some(GpuUse::Transitioning);
    }
    let entry = records.of(address)?;
    if why_quarantined(entry).is_some() {
        return Some(GpuUse::Quarantined);
    }
    // Given away a moment ago, and the last look is older: it must not pass for free.
    (entry.is_given() && gpu.usage != GpuUse::Passthrough).then_some(GpuUse::Transitioning)
}

fn withhold(gpu: &mut Gpu, usage: GpuUse) {
    let why = unschedulable_reason(usage, None, &[]).unwrap_or_else(|| usage.code());
    gpu.usage = usage;
    gpu.schedulable = false;
    gpu.unschedulable_reason = Some(why.to_owned());
    gpu.passthrough.eligible = false;
    gpu.passthrough.reasons.push(why.to_owned());
}

/// The binding is one of ours: whoever undid it by hand would leave the record of it behind, and lose what was there before.
fn name_the_way_back(gpu: &mut Gpu) {
    let address = gpu.pci.address;
    let bound = |link: &&mut CauseLink| link.link == ChainLink::KernelDriver && link.ok == Some(false);
    if let Some(link) = gpu.cause_chain.iter_mut().find(bound) {
        link.remedy = Some(format!("when no virtual machine uses it: `gpuhostctl passthrough release {address}`"));
    }
}

fn why_quarantined(entry: &Entry) -> Option<&str> {
    match &entry.phase {
        Phase::Quarantined { why } => Some(why),
        Phase::Open | Phase::Standing | Phase::Unconfirmed { .. } => None,
    }
}

/// One condition for all of them: conditions are told apart by their type.
fn quarantined(records: &Records) -> Option<Condition> {
    let stuck: Vec<(&Entry, &str)> = records.all().filter_map(|entry| Some((entry, why_quarantined(entry)?))).collect();
    let since = stuck.iter().map(|(entry, _)| entry.began_at).min()?;
    let each: Vec<String> = stuck.iter().map(|(entry, why)| format!("{}: {why}", entry.gpu())).collect();
    Some(Condition {
        kind: "gpu_quarantined".to_owned(),
        status: ConditionStatus::True,
        reason: "not_undone".to_owned(),
        message: format!(
            "a change could not be undone, and nobody may use what it left: {}; read journalctl -u gpuhostd, then reboot",
            each.join("; ")
        ),
        since,
    })
}
