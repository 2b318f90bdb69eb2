//! What is known of GPUs beyond what a look at the host shows: a change is under way, or could not be undone.

use super::records::Records;
use model::blocker::Blocker;
use model::change::{Entry, Phase, Unread};
use model::condition::{Condition, ConditionStatus};
use model::judge::decide;
use model::mig::{MigListed, PlacedMig};
use model::observation::{CauseLink, ChainLink, Gpu, HostObservation, StandingChange};
use model::passthrough::bounds_of;

/// The observation as everybody is to see it: GPUs that are being changed are `transitioning`, those whose change could not be
/// undone, or whose record cannot be read, `quarantined`; `standing` and the conditions `gpu_quarantined`,
/// `passthrough_unconfirmed` and `mig_unconfirmed` are among the conditions.
#[must_use]
pub fn overlay(seen: &HostObservation, records: &Records, standing: &[Condition]) -> HostObservation {
    let mut shown = seen.clone();
    for gpu in &mut shown.gpus {
        gpu.mig_places = mig_places(gpu, seen, records);
        let bounds = bounds_of(seen, gpu.pci.address);
        let unread = bounds.and_then(|bounds| records.unread_that_names(&bounds).map(Unread::blocker));
        gpu.change = if unread.is_some() { StandingChange::Quarantined } else { change(gpu, records) };
        if records.given(gpu.pci.address).is_some() {
            name_the_way_back(gpu);
        }
        gpu.confirm_before = records.confirm_before(gpu.pci.address);
        if let Some(why) = records.of(gpu.pci.address).and_then(why_quarantined) {
            name_the_quarantine(gpu, &Blocker::Quarantined { why: why.to_owned() });
        }
        if let Some(blocker) = unread {
            name_the_quarantine(gpu, &blocker);
        }
    }
    decide(&mut shown);
    shown.conditions.extend(standing.iter().cloned());
    shown.conditions.extend(quarantined(records));
    shown.conditions.extend(unconfirmed(records));
    shown.conditions.extend(mig_unconfirmed(records));
    shown.conditions.sort_by(|one, other| one.kind.cmp(&other.kind));
    shown
}

/// Where its MIG instances are, as long as the driver lists what it listed when they were looked at.
fn mig_places(gpu: &Gpu, seen: &HostObservation, records: &Records) -> Option<Vec<PlacedMig>> {
    let driver = gpu.driver.as_ref()?;
    let uuid = driver.uuid.known()?;
    let listed = MigListed::in_sample(driver, seen.host.stack.module_load.get())?;
    let owned = records.owned(uuid).map(|owned| owned.places()).unwrap_or_default();
    let places = records.places(uuid).filter(|places| places.hold_for(&listed))?;
    Some(places.owned(&owned))
}

fn change(gpu: &Gpu, records: &Records) -> StandingChange {
    let address = gpu.pci.address;
    match records.of(address) {
        Some(entry) if why_quarantined(entry).is_some() => StandingChange::Quarantined,
        _ if records.is_under_way(address) => StandingChange::UnderWay,
        Some(entry) if entry.is_given() => StandingChange::Given,
        Some(_) | None => StandingChange::None,
    }
}

/// Nobody may use it, for this reason: it replaces what else keeps the GPU from being used, unless that is the GPU's
/// own fault.
fn name_the_quarantine(gpu: &mut Gpu, why: &Blocker) {
    let is_broken = |link: &CauseLink| link.link != ChainLink::Pci && link.ok == Some(false);
    let first = gpu.cause_chain.iter().position(is_broken);
    let policy = || gpu.cause_chain.iter().position(|link| link.link == ChainLink::Policy);
    if let Some(link) = first.or_else(policy).and_then(|index| gpu.cause_chain.get_mut(index)) {
        link.ok = Some(false);
        link.reason = Some(why.to_string());
        link.remedy = Some(why.remedy());
    }
}

/// The binding is one of ours: undoing it by hand would leave the record of it behind, and lose what was there before.
fn name_the_way_back(gpu: &mut Gpu) {
    let address = gpu.pci.address;
    let bound = |link: &&mut CauseLink| link.link == ChainLink::KernelDriver && link.ok == Some(false);
    if let Some(link) = gpu.cause_chain.iter_mut().find(bound) {
        link.remedy = Some(format!("when no guest uses it: `gpuhostctl passthrough release {address}`"));
    }
}

fn why_quarantined(entry: &Entry) -> Option<&str> {
    match &entry.phase {
        Phase::Quarantined { why } => Some(why),
        Phase::Open | Phase::Standing | Phase::Unconfirmed { .. } => None,
    }
}

/// Anyone who comes by must see what will happen without anybody doing anything.
fn unconfirmed(records: &Records) -> Option<Condition> {
    let waiting: Vec<&Entry> =
        records.unconfirmed().map(|(_, entry)| entry).filter(|entry| !entry.is_mig_on_trial()).collect();
    let since = waiting.iter().map(|entry| entry.began_at).min()?;
    let each: Vec<String> = waiting.iter().map(|entry| entry.subject().to_string()).collect();
    Some(Condition {
        kind: "passthrough_unconfirmed".to_owned(),
        status: ConditionStatus::True,
        reason: "not_confirmed_yet".to_owned(),
        message: format!(
            "given to a virtual machine on trial: unless confirmed (gpuhostctl passthrough confirm ADDRESS), taken back at \
             the time that `gpuhostctl gpus` shows: {}",
            each.join(", ")
        ),
        since,
    })
}

/// The same of changes of MIG, with what keeps those whose time is over.
fn mig_unconfirmed(records: &Records) -> Option<Condition> {
    let waiting: Vec<&Entry> = records.all().filter(|entry| entry.is_mig_on_trial()).collect();
    let since = waiting.iter().map(|entry| entry.began_at).min()?;
    let each = waiting.iter().map(|entry| match records.not_undone(entry.id) {
        Some(why) => format!("{} (its time is over, and it could not be undone yet: {why})", entry.subject()),
        None => entry.subject().to_string(),
    });
    Some(Condition {
        kind: "mig_unconfirmed".to_owned(),
        status: ConditionStatus::True,
        reason: "not_confirmed_yet".to_owned(),
        message: format!(
            "changed on trial: unless confirmed (gpuhostctl mig confirm ADDRESS), undone at the time that `gpuhostctl gpus` \
             shows, or as soon as nothing uses what would be destroyed: {}",
            each.collect::<Vec<String>>().join(", ")
        ),
        since,
    })
}

/// One condition for all of them: conditions are distinguished by their type.
fn quarantined(records: &Records) -> Option<Condition> {
    let stuck: Vec<(&Entry, &str)> = records.all().filter_map(|entry| Some((entry, why_quarantined(entry)?))).collect();
    let since = stuck.iter().map(|(entry, _)| entry.began_at).min()?;
    let each: Vec<String> = stuck.iter().map(|(entry, why)| format!("{}: {why}", entry.subject())).collect();
    Some(Condition {
        kind: "gpu_quarantined".to_owned(),
        status: ConditionStatus::True,
        reason: "not_undone".to_owned(),
        message: format!(
            "a change could not be undone, and these GPUs may not be used: {}; read journalctl -u gpuhostd, then reboot",
            each.join("; ")
        ),
        since,
    })
}
