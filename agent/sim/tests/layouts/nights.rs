//! Nights that others lost to changes of MIG layouts, each on the simulated driver: the plan is tried, and what the host shows afterwards counts.

use crate::cards::{Card, gpu, mig_step};
use model::JobId;
use model::change::{Aftermath, ChangeId, ChangeMachine, Effect, Entry, Event, Outcome, Phase};
use model::driver::MigMode;
use model::holders::Holders;
use model::mig::products::Product;
use model::mig::{MigFacts, MigModeRequest, MigStep, plan_mode};
use model::plan::Plan;
use model::policy::Act;
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use model::{Absence, Reading};
use sim::step_faults::StepFault;

fn a100() -> Card {
    Card::empty(Product::find("A100-40GB").unwrap())
}

/// An A100 with `1g.5gb@0`, `2g.10gb@2` and `3g.20gb@4`.
fn cut() -> Card {
    let mut card = a100();
    for (profile, start, slices) in [("1g.5gb", 0, 1), ("2g.10gb", 2, 2), ("3g.20gb", 4, 3)] {
        card.create(profile, start, &[slices]).unwrap();
    }
    card
}

/// Makes the change on the card; the step of that number goes wrong.
fn change(card: &mut Card, plan: &Plan, fault: Option<(usize, StepFault)>) -> Outcome {
    let before = card.look().former(plan).unwrap();
    let entry = Entry {
        id: ChangeId::Number(7),
        operation: Act::MigLayout,
        job: JobId(7),
        actor_uid: Some(0),
        began_at: UnixMillis(1_700_000_000_000),
        boot_id: "the-first-boot".to_owned(),
        plan: plan.clone(),
        home: before.clone(),
        before,
        confirm_within_ms: None,
        aftermath: Aftermath::of(Act::MigLayout),
        phase: Phase::Open,
    };
    let mut machine = ChangeMachine::begin(entry, BootMillis(1_000));
    let mut taken = 0;
    for _ in 0..100 {
        let happened = match machine.to_do() {
            Effect::End(outcome) => return outcome,
            Effect::Journal(_) | Effect::Forget => Event::Journaled(Ok(())),
            Effect::Look => Event::Looked(Ok(Box::new(card.look()))),
            Effect::Take(step) => {
                let fault = fault.filter(|(number, _)| *number == taken).map(|(_, fault)| fault);
                taken += 1;
                Event::Took(card.take(&step, fault))
            }
        };
        machine.happened(happened);
    }
    panic!("the change never ends")
}

fn restored(outcome: Outcome) -> String {
    let Outcome::Restored(cause) = outcome else { panic!("{outcome:?}") };
    cause.to_string()
}

/// NVIDIA/go-nvml#146: the driver says that it is in use, and no process is to be found.
#[test]
fn in_use_by_nobody_undoes_what_was_done_and_shows_the_drivers_words() {
    let mut card = cut();
    card.compute(2, 0).is_haunted = true;
    let before = card.shown();
    let plan = card.plan("3g.20gb:2", false).unwrap();
    let said = restored(change(&mut card, &plan, None));
    assert!(said.contains("2g.10gb@2") && said.contains("In use by another client"), "{said}");
    assert_eq!(card.shown(), before, "the idle one that had gone before is back at its place");
}

/// NVIDIA/gpu-operator#603: every call reported success, and the GPU was as before.
#[test]
fn success_and_nothing_changed_is_never_believed() {
    let plan = cut().plan("3g.20gb:2", false).unwrap();
    assert_eq!(plan.steps.len(), 6);
    for number in 0..plan.steps.len() {
        let mut card = cut();
        let said = restored(change(&mut card, &plan, Some((number, StepFault::NoEffect))));
        assert_eq!(card.shown(), cut().shown(), "{}", plan.steps[number]);
        assert!(!said.is_empty());
    }
    // The last one is found by nothing but a look.
    let said = restored(change(&mut cut(), &plan, Some((5, StepFault::NoEffect))));
    let words = "GPU instance 3g.20gb@0 is there without compute instances and should be there with 3c";
    assert!(said.contains(words), "{said}");
}

/// NVIDIA/mig-parted#97: room is shown, and nothing can be created, by a rule of the driver that none of its numbers shows.
#[test]
fn what_the_driver_refuses_though_the_numbers_allow_it_leaves_the_layout_before() {
    let mut card = Card::empty(Product::find("RTX-PRO-6000-96GB").unwrap());
    card.mig_mut().is_one_of_each = true;
    card.create("1g.24gb", 0, &[1]).unwrap();
    let before = card.shown();
    let plan = card.plan("2g.48gb:2", false).unwrap();
    let said = restored(change(&mut card, &plan, None));
    assert!(said.contains("create GPU instance 2g.48gb@6") && said.contains("Insufficient Resources"), "{said}");
    assert_eq!(card.shown(), before, "what had come is gone, and what had gone is back");
}

/// kubernetes-sigs/dra-driver-nvidia-gpu#933: idle ones were destroyed first, and then there was no room.
#[test]
fn nothing_is_destroyed_before_it_is_known_that_the_rest_fits() {
    let mut card = cut();
    card.compute(1, 0).processes.push(4711);
    let Err(Refusal::Mig(blocked)) = card.plan("7g.40gb", false) else { panic!("it is planned") };
    assert_eq!((blocked.why.code(), blocked.largest.as_str()), ("in_use_not_wanted", "-"));
    let Err(Refusal::Mig(blocked)) = card.plan("1g.5gb,4g.20gb", false) else { panic!("it is planned") };
    assert_eq!((blocked.why.code(), blocked.largest.as_str()), ("in_use_blocks", "1g.5gb"), "{blocked}");
    assert_eq!(blocked.holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [Some(4711)]);
    assert!(card.plan(&blocked.largest, false).is_ok(), "what is offered can be had");
}

/// NVIDIA/mig-parted#357, #8: one wish reset every GPU. A layout never asks for a mode, nor for what stays.
#[test]
fn a_layout_switches_no_mode_and_names_nothing_that_stays() {
    let card = cut();
    for layout in ["-", "3g.20gb:2", "7g.40gb", "1g.5gb:2,2g.10gb,3g.20gb"] {
        let plan = card.plan(layout, false).unwrap();
        assert!(plan.steps.iter().all(|step| !matches!(mig_step(step), MigStep::SetMode { .. })), "{layout}");
    }
    let one_more = card.plan("1g.5gb:2,2g.10gb,3g.20gb", false).unwrap();
    assert_eq!(one_more.in_words().len(), 2, "{:?}", one_more.in_words());
}

/// kubernetes-sigs/dra-driver-nvidia-gpu#883: MIG was switched off at start where no reset was possible, and the GPU was lost.
#[test]
fn a_mode_that_needs_a_reset_is_refused_before_anything_is_destroyed() {
    let card = cut();
    let mut seen = card.host.mig_state(gpu()).unwrap();
    for switches in [Reading::Known(false), Reading::Absent(Absence::NotSupported)] {
        seen.switches_without_reset = switches;
        let holders = Holders::default();
        let facts = MigFacts { seen: &seen, holders: &holders, owned: &card.owned, is_given: false, blockers: &[] };
        let bounds = card.plan("-", true).unwrap().bounds;
        let refused =
            plan_mode(bounds, &MigModeRequest { gpu: gpu(), to: MigMode::Disabled, confirm_within_ms: None }, &facts)
                .unwrap_err();
        assert_eq!(refused.code(), "mig_needs_reset", "{refused}");
    }
}

/// NVIDIA/k8s-device-plugin#225: the layout was gone after a reboot. Asked for by its places, what is missing comes back where it was.
#[test]
fn what_is_missing_comes_back_at_its_place_and_what_a_driver_has_brought_back_stays() {
    let layout = "1g.5gb@0,2g.10gb@2,3g.20gb@4";
    let mut rebooted = a100();
    let all = rebooted.plan(layout, false).unwrap();
    assert_eq!(change(&mut rebooted, &all, None), Outcome::Done);
    assert_eq!(rebooted.shown(), cut().shown());
    let mut partly = a100();
    partly.create("2g.10gb", 2, &[2]).unwrap();
    let rest = partly.plan(layout, false).unwrap();
    assert!(
        rest.steps.iter().all(|step| mig_step(step).place().unwrap().profile != "2g.10gb"),
        "{:?}",
        rest.in_words()
    );
    assert_eq!(change(&mut partly, &rest, None), Outcome::Done);
    assert_eq!(partly.shown(), cut().shown());
}

/// NVIDIA/gpu-operator#2155: a call on a dense GPU takes long. One that never returns may have its effect later: nothing is written over it.
#[test]
fn a_call_that_does_not_return_is_not_undone_over() {
    let plan = cut().plan("3g.20gb:2", false).unwrap();
    for number in 0..plan.steps.len() {
        for hang in [StepFault::Hang, StepFault::HangWithEffect] {
            let mut card = cut();
            card.compute(3, 0).processes.push(4711);
            let used = card.guarded(false);
            let outcome = change(&mut card, &plan, Some((number, hang)));
            assert!(matches!(outcome, Outcome::Quarantined(_)), "{outcome:?}");
            assert!(used.is_subset(&card.identities()), "what is in use is there all the same");
        }
    }
}
