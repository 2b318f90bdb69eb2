//! The code broken on purpose: what a mutant plans, remembers and undoes in place of what it should.

use crate::explore::Mutant;
use crate::mig_worlds::every_place;
use crate::worlds::{World, look};
use model::PciAddress;
use model::change::{ChangeMachine, Effect, Entry, Event};
use model::mig::MigStep;
use model::plan::{Former, FunctionSettings, PlanStep, Step};
use sim::state::HostState;

/// The entry of a world, as a mutant would have it.
pub(crate) fn spoil(world: &World, mutant: Mutant) -> Entry {
    let mut entry = world.entry.clone();
    match mutant {
        Mutant::OverrideAfterUnbind => entry.plan.steps.sort_by_key(|step| match of_functions(step) {
            Step::LoadModule { .. } | Step::Unbind { .. } => 0,
            Step::SetDriverOverride { .. } => 1,
            Step::Probe { .. } => 2,
            Step::SetD3cold { .. } | Step::SetPowerControl { .. } => 3,
        }),
        Mutant::CreateFirst => entry.plan.steps.sort_by_key(|step| match of_mig(step) {
            MigStep::SetMode { .. } => 0,
            MigStep::CreateGpu { .. } | MigStep::CreateCompute { .. } => 1,
            MigStep::DestroyCompute { .. } | MigStep::DestroyGpu { .. } => 2,
        }),
        Mutant::DestroyUsed => {
            entry.plan = world.careless.clone().unwrap();
            entry.before = look(&world.host, &entry.plan.bounds.target).former(&entry.plan).unwrap();
        }
        Mutant::UndoEverything => {
            let Former::Mig(wanted) = &mut entry.before else { panic!("it is of functions") };
            wanted.touched = every_place(&world.host);
            let seen = world.host.mig_state(world.entry.subject().gpu().unwrap()).unwrap();
            *wanted = wanted.as_seen(&seen).unwrap();
        }
        Mutant::None
        | Mutant::NoVerify
        | Mutant::UndoStack
        | Mutant::JournalLate
        | Mutant::RestoreNotVerified
        | Mutant::ForgetUnread => {}
    }
    entry
}

fn of_functions(step: &PlanStep) -> &Step {
    match step {
        PlanStep::Functions(step) => step,
        PlanStep::Mig(step) => panic!("{step}"),
    }
}

fn of_mig(step: &PlanStep) -> &MigStep {
    match step {
        PlanStep::Mig(step) => step,
        PlanStep::Functions(step) => panic!("{step}"),
    }
}

/// What other tools do: the inverse of each step, last first, until one fails.
pub(crate) fn undo_by_inverses(host: &mut HostState, taken: &[PlanStep], before: &[FunctionSettings]) {
    let was = |address: PciAddress| before.iter().find(|settled| settled.address == address).unwrap().clone();
    for step in taken.iter().rev() {
        let inverse = match of_functions(step) {
            Step::LoadModule { .. } => continue,
            Step::SetDriverOverride { address, .. } => {
                Step::SetDriverOverride { address: *address, to: was(*address).driver_override }
            }
            Step::Unbind { address, .. } => Step::Probe { address: *address },
            Step::Probe { address } => Step::Unbind { address: *address, driver: "vfio-pci".parse().unwrap() },
            Step::SetD3cold { address, .. } => {
                Step::SetD3cold { address: *address, allowed: was(*address).d3cold_allowed.unwrap() }
            }
            Step::SetPowerControl { address, .. } => {
                Step::SetPowerControl { address: *address, to: was(*address).power_control.unwrap() }
            }
        };
        if host.act_with(&inverse, None).is_err() {
            return;
        }
    }
}

/// A machine that says that it restored: it is shown the state from before until it believes it.
pub(crate) fn ended_restored(machine: &ChangeMachine, world: &World) -> ChangeMachine {
    let mut machine = machine.clone();
    for _ in 0..20 {
        match machine.to_do() {
            Effect::Look => {
                let seen = look(&world.host, &world.entry.plan.bounds.target);
                machine.happened(Event::Looked(Ok(Box::new(seen))));
            }
            Effect::Take(_) => machine.happened(Event::Took(Ok(()))),
            Effect::Journal(_) | Effect::Forget => machine.happened(Event::Journaled(Ok(()))),
            Effect::End(_) => break,
        }
    }
    machine
}
