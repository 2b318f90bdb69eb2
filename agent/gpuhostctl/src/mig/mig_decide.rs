//! What has to be done on one GPU to reach a goal, or why it cannot be had: computed from the look, before anything is touched.

use super::mig_live::LiveGpu;
use super::usage;
use crate::failure::{Failure, STANDS_IN_THE_WAY};
use model::PciAddress;
use model::blocker::{Blocked, Blocker};
use model::mig::layout::{read_wishes, wishes_text};
use model::mig::{Instance, KeptInstance, MigBlocked, MigPlan, MigRefusal, MigRefused, Present, plan};
use std::fmt;
use wire::dbus::mig_look::MigLookView;

/// What one GPU is to become.
pub(super) struct MigGoal {
    /// Which, by its place among those that the driver answers for.
    pub(super) index: usize,
    /// MIG mode; `None` = as it is.
    pub(super) enabled: Option<bool>,
    /// All its instances, `PROFILE[@START][:COUNT],…`; `None` = as they are.
    pub(super) layout: Option<String>,
}

/// One job of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MigStepWanted {
    /// Switch MIG mode.
    Mode(bool),
    /// Change the layout.
    Layout(String),
}

impl fmt::Display for MigStepWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(true) => f.write_str("MIG mode enabled"),
            Self::Mode(false) => f.write_str("MIG mode disabled"),
            Self::Layout(layout) if layout == "-" => f.write_str("no instance"),
            Self::Layout(layout) => write!(f, "layout {layout}"),
        }
    }
}

/// What has to be done.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Each is a job.
    pub(super) steps: Vec<MigStepWanted>,
    /// Instances that gpuhostd did not create, and that would be destroyed or changed.
    pub(super) foreign: Vec<Instance>,
}

/// Decides it.
pub(super) fn decide(gpu: &LiveGpu, goal: &MigGoal, replace_foreign: bool) -> Result<Decided, Failure> {
    let look = gpu.look()?;
    if goal.enabled == Some(false) {
        return Ok(disabled(look, replace_foreign));
    }
    let is_on = look.is_on() && look.pending() != Some(false);
    let mut decided = Decided::default();
    if goal.enabled == Some(true) && !is_on {
        decided.steps.push(MigStepWanted::Mode(true));
    }
    let Some(layout) = &goal.layout else { return Ok(decided) };
    let catalog = match gpu.catalog() {
        Ok(catalog) => catalog,
        // Drivers before 550 list profiles only while the mode is on: then the daemon checks the layout.
        Err(_) if !is_on => {
            decided.steps.extend((layout != "-").then(|| MigStepWanted::Layout(layout.clone())));
            return Ok(decided);
        }
        Err(failure) => return Err(failure),
    };
    let wishes = read_wishes(layout, catalog).map_err(|fault| usage(&look.gpu, &fault))?;
    let there = if look.is_on() { look.present() } else { Vec::new() };
    let free = |_| plan(catalog, &there, &wishes);
    // Pinned as if it were in use, the search keeps what is somebody else's wherever it can: as the daemon plans it.
    let pinned = if replace_foreign { there.clone() } else { pinned(look, &there) };
    let found = plan(catalog, &pinned, &wishes).or_else(free).map_err(|refused| blocked(look, refused))?;
    if found.is_done() {
        return Ok(decided);
    }
    decided.foreign = foreign(look, &found);
    if !replace_foreign && !decided.foreign.is_empty() {
        return Err(in_the_way(&look.gpu, Blocker::MigForeign { instances: decided.foreign }));
    }
    decided.steps.push(MigStepWanted::Layout(layout.clone()));
    Ok(decided)
}

/// The way to MIG mode off. With the mode the instances go; what others have created goes before it, on request.
fn disabled(look: &MigLookView, replace_foreign: bool) -> Decided {
    if !look.is_on() && look.pending() != Some(true) {
        return Decided::default();
    }
    let foreign = look.instances.iter().filter(|one| !one.ours).map(|one| one.instance());
    let foreign: Vec<Instance> = foreign.collect();
    let cleared = (replace_foreign && !foreign.is_empty()).then(|| MigStepWanted::Layout("-".to_owned()));
    Decided { steps: cleared.into_iter().chain([MigStepWanted::Mode(false)]).collect(), foreign }
}

fn is_ours(look: &MigLookView, instance: &Instance) -> bool {
    look.instances.iter().any(|one| one.ours && one.instance() == *instance)
}

/// What is there, with what is somebody else's marked as if it were in use.
fn pinned(look: &MigLookView, there: &[Present]) -> Vec<Present> {
    let pin = |one: &Present| {
        let mut one = one.clone();
        if !is_ours(look, &one.instance) {
            one.in_use = true;
            one.compute.iter_mut().for_each(|compute| compute.in_use = true);
        }
        one
    };
    there.iter().map(pin).collect()
}

/// What a plan destroys or changes of what others have created.
fn foreign(look: &MigLookView, found: &MigPlan) -> Vec<Instance> {
    let changes = |kept: &&KeptInstance| !kept.destroy_compute.is_empty() || !kept.create_compute.is_empty();
    let changed = found.keep.iter().filter(changes).map(|kept| &kept.instance);
    found.destroy.iter().chain(changed).filter(|instance| !is_ours(look, instance)).cloned().collect()
}

/// A layout that cannot be had, with who has what is in use.
fn blocked(look: &MigLookView, refused: MigRefused) -> Failure {
    let Ok(gpu) = look.gpu.parse::<PciAddress>() else {
        return Failure::Form { why: format!("{:?} is not a PCI address", look.gpu) };
    };
    let in_the_way =
        if let MigRefusal::InUseBlocks { instances } | MigRefusal::InUseNotWanted { instances } = &refused.why {
            instances.as_slice()
        } else {
            &[]
        };
    let holders = look.instances.iter().filter(|one| in_the_way.contains(&one.instance()));
    let holders = holders.flat_map(|one| one.held_by.iter().map(move |by| (one, by)));
    let named: Vec<String> = holders
        .map(|(one, by)| format!("; {} (id {}): {}; to free it: {}", one.instance(), one.id, by.message, by.remedy))
        .collect();
    let largest = wishes_text(&refused.largest);
    let said = MigBlocked { gpu, why: refused.why, largest, holders: Vec::new() };
    Failure::Refused { status: STANDS_IN_THE_WAY, message: format!("{said}{}", named.concat()) }
}

fn in_the_way(gpu: &str, blocker: Blocker) -> Failure {
    let status = STANDS_IN_THE_WAY;
    let said = format!("{gpu}: {blocker}. To do: {}", blocker.remedy());
    let blocked = gpu.parse().ok().and_then(|gpu| Blocked::by(gpu, vec![blocker]));
    Failure::Refused { status, message: blocked.map_or(said, |blocked| blocked.to_string()) }
}
