//! Changes of a MIG layout: each thing in the way has its code, and the steps are the fewest and never touch what is in use.

use crate::mig_world::{MigCase, bounds, compute, container, cut, gpu, instance, steps, told, uuid, wanted};
use crate::world::{judged, nvidia, raw};
use model::blocker::Blocker;
use model::change::{Change, ChangeFacts};
use model::driver::MigMode;
use model::holders::{Hold, Holder, Holders, UnreadableProcess};
use model::mig::{Instance, MigFacts, MigLayoutRequest, MigStep, plan_layout};
use model::plan::{Look, Plan};
use model::policy::{Policy, Requester};
use model::refusal::Refusal;
use model::{Absence, Reading};

const A100: &str = "A100-40GB";

fn words(plan: &Plan) -> Vec<String> {
    steps(plan).iter().map(ToString::to_string).collect()
}

type Spoil = fn(&mut MigCase);

const SPOILT: [(&str, Spoil); 7] = [
    ("given_away", |case| case.is_given = true),
    ("mig_off", |case| case.seen.current = Reading::Known(MigMode::Disabled)),
    ("mig_off", |case| case.seen.pending = Reading::Known(MigMode::Disabled)),
    ("mig_unknown", |case| case.seen.current = Reading::Absent(Absence::NotSupported)),
    ("mig_unknown", |case| case.seen.catalog = Reading::Absent(Absence::NotReported)),
    ("mig_foreign", |case| case.owned.clear()),
    ("unknown_holder", |case| {
        let said = "Permission denied".to_owned();
        case.holders.unreadable.push(UnreadableProcess { pid: Some(9), command: None, said });
    }),
];

#[test]
fn each_thing_in_the_way_of_a_layout_has_its_code_and_a_remedy() {
    let good = MigCase::on(A100, "1g.5gb@0");
    assert!(good.layout("3g.20gb@0").is_ok());
    for (code, spoil) in SPOILT {
        let mut case = good.clone();
        spoil(&mut case);
        let (found, said) = case.refused("3g.20gb@0");
        assert_eq!(found, code, "{said}");
        assert!(said.contains("To do: ") && said.contains("0000:41:00.0"), "{said}");
    }
}

#[test]
fn everything_in_the_way_of_a_layout_is_reported_at_once() {
    let mut case = MigCase::on(A100, "-");
    (case.is_given, case.seen.current) = (true, Reading::Known(MigMode::Disabled));
    let (_, said) = case.refused("3g.20gb");
    assert!(said.contains("given to a virtual machine") && said.contains("MIG mode is off"), "{said}");
}

#[test]
fn the_policy_decides_who_may_change_a_layout() {
    let address = "0000:41:00.0";
    let mut host = judged(raw(vec![nvidia(address, "nvidia", 23)], &[address]));
    host.gpus[0].driver.as_mut().unwrap().uuid = Reading::Known(uuid("0"));
    let look = Look::Mig(Box::new(cut(A100, "-")));
    let request =
        MigLayoutRequest { gpu: gpu(), layout: "1g.5gb".to_owned(), replace_foreign: false, confirm_within_ms: None };
    let plan = |policy: &Policy, requester: Requester| {
        let facts = ChangeFacts {
            host: &host,
            look: &look,
            holders: &Holders::default(),
            given: None,
            owned: &[],
            policy,
            requester,
        };
        Change::MigLayout(request.clone()).plan(&facts)
    };
    let denied = |policy: &Policy, requester| {
        let refusal = plan(policy, requester).expect_err("it is allowed");
        assert_eq!(refusal.code(), "denied_by_policy", "{refusal}");
        refusal.to_string()
    };
    let mut policy = Policy::default();
    assert!(plan(&policy, Requester::Local).is_ok());
    assert!(denied(&policy, Requester::Manager).contains("manager.mig"));
    policy.manager.mig = true;
    policy.manager.changes_per_minute = 5;
    policy.manager.mig_gpus = vec!["0000:42:00.0".parse().unwrap()];
    assert!(denied(&policy, Requester::Manager).contains("manager.mig_gpus"));
    policy.manager.mig_gpus.push(gpu());
    assert!(plan(&policy, Requester::Manager).is_ok());
    policy.host.mig.never.push(gpu());
    assert!(denied(&policy, Requester::Local).contains("host.mig.never"));
    policy.host.mig.allowed = false;
    assert!(denied(&policy, Requester::Manager).contains("host.mig.allowed"));
}

#[test]
fn a_layout_that_cannot_be_read_is_the_callers_mistake() {
    for layout in ["", "3g.20gb@", "1g.5gb:010", "3g.20gb, 1g.5gb", "0c.1g.5gb", "1g.5gb:18446744073709551616"] {
        let (code, said) = MigCase::on(A100, "-").refused(layout);
        assert_eq!(code, "invalid_argument", "{layout:?}: {said}");
        assert!(said.contains("layout"), "{said}");
    }
    assert_eq!(MigCase::on(A100, "-").refused("1g.6gb").0, "unknown_profile");
    assert_eq!(MigCase::on(A100, "-").refused("3g.20gb@2").0, "placement_unknown");
    assert_eq!(MigCase::on(A100, "-").refused("4g.20gb:2").0, "maximum");
}

#[test]
fn what_is_already_so_needs_no_step_and_touches_nothing() {
    for layout in ["3g.20gb@4:in-use,1g.5gb@0", "-"] {
        let case = MigCase::on(A100, layout).owning(&[]);
        let plan = case.layout(if layout == "-" { "-" } else { "1g.5gb,3g.20gb" }).unwrap();
        assert_eq!(words(&plan), [""; 0]);
        assert_eq!(wanted(&plan).touched, []);
    }
}

#[test]
fn what_goes_goes_before_anything_comes_and_compute_instances_before_their_gpu_instance() {
    let plan = MigCase::on(A100, "1g.5gb@0,2g.10gb@2,3g.20gb@4:in-use").layout("3g.20gb:2").unwrap();
    let all = [
        "destroy compute instance 0 (1 slice) of 1g.5gb@0",
        "destroy GPU instance 1g.5gb@0",
        "destroy compute instance 0 (2 slices) of 2g.10gb@2",
        "destroy GPU instance 2g.10gb@2",
        "create GPU instance 3g.20gb@0",
        "create a compute instance of 3 slices in 3g.20gb@0",
    ];
    assert_eq!(words(&plan), all);
    let touched: Vec<String> = wanted(&plan).touched.iter().map(ToString::to_string).collect();
    assert_eq!(touched, ["1g.5gb@0", "2g.10gb@2", "3g.20gb@0"], "what stays is not named");
}

#[test]
fn a_gpu_instance_without_compute_instances_goes_without_ado_and_one_that_stays_gets_its_own() {
    let mut case = MigCase::on(A100, "2g.10gb@2");
    case.seen.instances[0].compute.clear();
    assert_eq!(words(&case.layout("-").unwrap()), ["destroy GPU instance 2g.10gb@2"]);
    assert_eq!(words(&case.layout("2g.10gb").unwrap()), ["create a compute instance of 2 slices in 2g.10gb@2"]);
}

#[test]
fn compute_instances_change_inside_a_gpu_instance_that_stays() {
    let case = MigCase::on(A100, "2c.3g.20gb@4,1c.3g.20gb@4:in-use,1g.5gb@0");
    let plan = case.layout("1c.3g.20gb:3,1g.5gb").unwrap();
    let all = [
        "destroy compute instance 0 (2 slices) of 3g.20gb@4",
        "create a compute instance of 1 slice in 3g.20gb@4",
        "create a compute instance of 1 slice in 3g.20gb@4",
    ];
    assert_eq!(words(&plan), all);
    assert_eq!(wanted(&plan).touched, [instance("3g.20gb@4")]);
    assert_eq!(wanted(&plan).instances[0].compute, [1, 1, 1]);
}

/// Two compute instances are alike, and one of them is in use: the other one goes, whatever their order.
#[test]
fn of_two_compute_instances_alike_the_idle_one_goes() {
    for used in [0, 1] {
        let mut case = MigCase::on(A100, "1c.3g.20gb@4,1c.3g.20gb@4");
        case.seen.instances[0].compute[used].processes.push(4711);
        let held = MigCase::on(A100, "1c.3g.20gb@4,1c.3g.20gb@4").held_by(container(1, Some(used.try_into().unwrap())));
        for case in [case, held] {
            let plan = case.layout("1c.3g.20gb,2c.3g.20gb").unwrap();
            let destroyed = steps(&plan).into_iter().find(|step| step.destroys()).cloned();
            let idle = u32::try_from(1 - used).unwrap();
            let only = MigStep::DestroyCompute { within: instance("3g.20gb@4"), id: idle, slices: 1 };
            assert_eq!(destroyed, Some(only), "{:?}", words(&plan));
        }
    }
}

/// The new compute instance gets the free id 0, and the one in use has id 1: undoing takes back the new one.
#[test]
fn undoing_takes_back_what_came_and_never_what_was_there() {
    let mut case = MigCase::on(A100, "1c.3g.20gb@4").held_by(container(1, Some(1)));
    case.seen.instances[0].compute[0].id = 1;
    let plan = case.layout("1c.3g.20gb:2").unwrap();
    let former = wanted(&plan).as_seen(&case.seen).unwrap();
    let mut after = case.seen.clone();
    after.instances[0].compute.insert(0, compute(0, 1, false));
    assert_eq!(wanted(&plan).unmet(&after), []);
    let back = former.steps_from(&after);
    assert_eq!(back, [MigStep::DestroyCompute { within: instance("3g.20gb@4"), id: 0, slices: 1 }]);
}

fn holders() -> [(&'static str, MigCase); 4] {
    let there = "1g.5gb@0,1c.3g.20gb@4,2c.3g.20gb@4";
    let device = Hold::OpenDevice { path: "/dev/nvidia-caps/nvidia-cap30".to_owned() };
    let opened = Holder { pid: Some(7), hold: device, ..container(2, Some(1)) };
    [
        ("pid 4711", MigCase::on(A100, "1g.5gb@0,1c.3g.20gb@4,2c.3g.20gb@4:in-use")),
        ("container notebook", MigCase::on(A100, there).held_by(container(2, None))),
        ("container notebook", MigCase::on(A100, there).held_by(container(2, Some(0)))),
        ("pid 7", MigCase::on(A100, there).held_by(opened)),
    ]
}

#[test]
fn what_is_in_use_in_any_way_is_never_touched_and_its_holder_is_named() {
    for (name, case) in holders() {
        let (code, said) = case.refused("1g.5gb:7");
        assert_eq!(code, "in_use_not_wanted", "{said}");
        assert!(said.contains("3g.20gb@4") && said.contains(name) && said.contains("GPU instance 2"), "{said}");
        assert!(said.contains("To do: "), "{said}");
        let (code, said) = case.refused("4g.20gb,3g.20gb");
        assert_eq!(code, "in_use_blocks", "{name}: the split cannot become whole: {said}");
        // Beside it everything goes.
        let plan = case.layout("1c.3g.20gb,2c.3g.20gb,4g.20gb").unwrap();
        assert!(steps(&plan).iter().all(|step| step.place() != Some(&instance("3g.20gb@4"))), "{:?}", words(&plan));
    }
}

/// A holder of one compute instance leaves the others in the GPU instance free; who has the GPU instance as a whole has them all.
#[test]
fn a_holder_of_a_compute_instance_holds_no_other_one() {
    let there = "1c.3g.20gb@4,2c.3g.20gb@4";
    let one = MigCase::on(A100, there).held_by(container(1, Some(0)));
    let plan = one.layout("1c.3g.20gb:3").unwrap();
    assert_eq!(words(&plan)[0], "destroy compute instance 1 (2 slices) of 3g.20gb@4");
    let whole = MigCase::on(A100, there).held_by(container(1, None));
    assert_eq!(whole.refused("1c.3g.20gb:3").0, "in_use_blocks");
    // Another GPU instance is nobody's concern, nor is who has the GPU open without an instance.
    let other = MigCase::on(A100, there).held_by(container(2, None));
    let monitor = MigCase::on(A100, there).held_by(Holder { instance: None, ..container(1, None) });
    assert!(other.layout("-").is_ok() && monitor.layout("-").is_ok());
}

#[test]
fn only_the_holders_of_what_is_in_the_way_are_named() {
    let mut case = MigCase::on(A100, "1g.5gb@0,3g.20gb@4").held_by(container(2, None));
    case.holders.found.push(Holder { container: Some("other".to_owned()), ..container(1, None) });
    let (_, said) = case.refused("1g.5gb:7");
    assert!(said.contains("notebook") && !said.contains("other"), "{said}");
    let (code, said) = case.refused("1g.5gb,4g.20gb,2g.10gb");
    assert_eq!(code, "in_use_not_wanted", "{said}");
}

#[test]
fn a_process_that_could_not_be_looked_into_is_in_the_way_of_destroying_alone() {
    let mut case = MigCase::on(A100, "1g.5gb@0");
    let said = "Permission denied".to_owned();
    case.holders.unreadable.push(UnreadableProcess { pid: Some(9), command: Some("sshd".to_owned()), said });
    assert!(case.layout("1g.5gb:2").is_ok(), "nothing goes");
    let (code, said) = case.refused("2g.10gb");
    assert!(code == "unknown_holder" && said.contains("sshd"), "{said}");
    let mut split = MigCase::on(A100, "2c.3g.20gb@4");
    split.holders = case.holders.clone();
    assert!(split.layout("2c.3g.20gb,1c.3g.20gb").is_ok());
    assert_eq!(split.refused("1c.3g.20gb:3").0, "unknown_holder");
}

#[test]
fn the_largest_part_that_fits_is_in_the_refusal() {
    let case = MigCase::on(A100, "1g.5gb@5:in-use");
    let Err(Refusal::Mig(blocked)) = case.layout("4g.20gb,3g.20gb,1g.5gb") else { panic!("it is planned") };
    assert_eq!((blocked.why.code(), blocked.gpu), ("memory", gpu()));
    let case = MigCase::on(A100, "1g.5gb@5:in-use");
    let Err(Refusal::Mig(blocked)) = case.layout("3g.20gb:2,1g.5gb") else { panic!("it is planned") };
    assert_eq!(blocked.largest, "1g.5gb,3g.20gb", "{blocked}");
    assert!(blocked.to_string().contains("fits now: 1g.5gb,3g.20gb"), "{blocked}");
    assert!(case.layout(&blocked.largest).is_ok(), "what is offered can be had");
    let (_, said) = MigCase::on(A100, "7g.40gb@0:in-use").refused("1g.5gb");
    assert!(said.contains("Nothing of it fits now"), "{said}");
}

#[test]
fn what_gpuhostd_did_not_create_stays_unless_it_may_be_replaced() {
    // Of two that could go, ours goes.
    let case = MigCase::on(A100, "1g.5gb@0,1g.5gb@1").owning(&["1g.5gb@0"]);
    let plan = case.layout("1g.5gb").unwrap();
    assert!(steps(&plan).iter().all(|step| step.place() == Some(&instance("1g.5gb@0"))), "{:?}", words(&plan));
    // Where only somebody else's could go, it is named, and no other one.
    let mut case = MigCase::on(A100, "1g.5gb@0,3g.20gb@4").owning(&["1g.5gb@0"]);
    let Err(Refusal::Blocked(blocked)) = case.layout("7g.40gb") else { panic!("it is planned") };
    assert!(blocked.to_string().contains("3g.20gb@4") && !blocked.to_string().contains("1g.5gb@0"), "{blocked}");
    case.replace_foreign = true;
    assert!(case.layout("7g.40gb").is_ok());
    // Replaced or not: what is in use stays.
    let mut used = MigCase::on(A100, "3g.20gb@4:in-use").owning(&[]);
    used.replace_foreign = true;
    assert_eq!(used.refused("7g.40gb").0, "in_use_not_wanted");
}

#[test]
fn inside_what_gpuhostd_did_not_create_nothing_changes_either() {
    let mut case = MigCase::on(A100, "2c.3g.20gb@4").owning(&[]);
    assert_eq!(case.refused("2c.3g.20gb,1c.3g.20gb").0, "mig_foreign", "a compute instance is not added");
    assert_eq!(case.refused("1c.3g.20gb:3").0, "mig_foreign", "nor exchanged");
    case.seen.instances[0].compute.clear();
    let (code, said) = case.refused("3g.20gb");
    assert!(code == "mig_foreign" && said.contains("would be changed: 3g.20gb@4"), "{said}");
    case.replace_foreign = true;
    assert_eq!(words(&case.layout("3g.20gb").unwrap()), ["create a compute instance of 3 slices in 3g.20gb@4"]);
}

/// Nothing in the plan names a GPU instance of the profile at another place, or another profile at the place.
#[test]
fn ownership_is_by_profile_and_place() {
    for owned in ["1g.5gb@1", "1g.5gb+me@0"] {
        assert_eq!(MigCase::on(A100, "1g.5gb@0").owning(&[owned]).refused("-").0, "mig_foreign");
    }
}

#[test]
fn what_others_have_against_it_comes_first() {
    let case = MigCase::on(A100, "-");
    let facts = MigFacts {
        seen: &case.seen,
        holders: &case.holders,
        owned: &[],
        is_given: false,
        blockers: &[Blocker::RemoteLocked],
    };
    let request =
        MigLayoutRequest { gpu: gpu(), layout: "nonsense".to_owned(), replace_foreign: false, confirm_within_ms: None };
    assert_eq!(told(plan_layout(bounds(), &request, &facts)).0, "remote_locked");
}

/// The host was observed, then the card was exchanged: what is on the new one is nobody's that we know.
#[test]
fn another_card_at_the_address_is_another_gpu() {
    let mut case = MigCase::on(A100, "1g.5gb@0");
    case.seen.uuid = Reading::Known(uuid("1"));
    let (code, said) = case.refused("-");
    assert!(code == "conflict" && said.contains("another card"), "{said}");
}

/// A host where the driver reports an instance that its own profiles do not have: it is not guessed what that takes.
#[test]
fn an_instance_that_the_profiles_do_not_know_is_refused_by_name() {
    let mut case = MigCase::on(A100, "1g.5gb@0");
    case.seen.instances[0].profile = "1g.5gb+tomorrow".to_owned();
    case.owned = vec![Instance { profile: "1g.5gb+tomorrow".to_owned(), start: 0 }];
    let (code, said) = case.refused("1g.5gb");
    assert!(code == "unknown_profile" && said.contains("1g.5gb+tomorrow"), "{said}");
}
