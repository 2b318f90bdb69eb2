//! Changes of MIG mode: idle only, without a reset only, and never at the cost of what gpuhostd did not create.

use crate::mig_world::{MigCase, compute, container, cut, instance, steps, told, wanted};
use model::driver::MigMode;
use model::holders::UnreadableProcess;
use model::mig::{MigGpuInstance, MigStep, MigWanted, StayingCompute};
use model::plan::Plan;
use model::{Absence, Reading};

const RTX: &str = "RTX-PRO-6000-96GB";
const ON: MigMode = MigMode::Enabled;
const OFF: MigMode = MigMode::Disabled;

/// A GPU that switches without a reset.
fn case(mode: MigMode, layout: &str) -> MigCase {
    let mut case = MigCase::on(RTX, layout);
    (case.seen.current, case.seen.pending) = (Reading::Known(mode), Reading::Known(mode));
    case.seen.switches_without_reset = Reading::Known(true);
    case
}

fn words(plan: &Plan) -> Vec<String> {
    steps(plan).iter().map(ToString::to_string).collect()
}

#[test]
fn an_idle_gpu_switches_and_its_instances_go_first() {
    assert_eq!(words(&case(OFF, "-").mode(ON).unwrap()), ["set MIG mode to enabled"]);
    let plan = case(ON, "1g.24gb@0").mode(OFF).unwrap();
    let all = ["destroy compute instance 0 (1 slice) of 1g.24gb@0", "destroy GPU instance 1g.24gb@0"];
    assert_eq!(words(&plan), [all[0], all[1], "set MIG mode to disabled"]);
    let former = wanted(&plan).as_seen(&case(ON, "1g.24gb@0").seen).unwrap();
    let back = former.steps_from(&case(OFF, "-").seen);
    let back: Vec<String> = back.iter().map(ToString::to_string).collect();
    let comes = ["create GPU instance 1g.24gb@0", "create a compute instance of 1 slice in 1g.24gb@0"];
    assert_eq!(back, ["set MIG mode to enabled", comes[0], comes[1]]);
}

#[test]
fn a_mode_that_is_on_already_needs_nothing_whoever_uses_the_gpu() {
    for mode in [ON, OFF] {
        let mut case = case(mode, "-").held_by(container(1, None));
        case.seen.switches_without_reset = Reading::Known(false);
        assert_eq!(words(&case.mode(mode).unwrap()), [""; 0]);
        case.seen.pending = Reading::Absent(Absence::NotReported);
        assert_eq!(words(&case.mode(mode).unwrap()), [""; 0], "a driver that reports no pending mode");
    }
}

type Spoil = fn(&mut MigCase);

#[test]
fn each_thing_in_the_way_of_a_mode_has_its_code() {
    let spoils: [(&str, Spoil); 8] = [
        ("given_away", |case| case.is_given = true),
        ("mig_unknown", |case| case.seen.current = Reading::Absent(Absence::NotSupported)),
        ("in_use", |case| case.seen.instances[0].compute[0].processes.push(4711)),
        ("in_use", |case| case.holders.found.push(container(1, Some(0)))),
        ("unknown_holder", |case| {
            let said = "Permission denied".to_owned();
            case.holders.unreadable.push(UnreadableProcess { pid: Some(9), command: None, said });
        }),
        ("mig_needs_reset", |case| case.seen.switches_without_reset = Reading::Known(false)),
        ("mig_needs_reset", |case| case.seen.switches_without_reset = Reading::Absent(Absence::NotSupported)),
        ("mig_foreign", |case| case.owned.clear()),
    ];
    for (code, spoil) in spoils {
        let mut case = case(ON, "1g.24gb@0");
        assert!(case.mode(OFF).is_ok());
        spoil(&mut case);
        let (found, said) = told(case.mode(OFF));
        assert_eq!(found, code, "{said}");
        assert!(said.contains("To do: "), "{said}");
    }
}

#[test]
fn who_uses_an_instance_is_named_once_with_what_is_known_of_the_process() {
    let mut case = case(ON, "1g.24gb@0,1g.24gb@3");
    case.seen.instances[0].compute[0].processes = vec![7, 8];
    case.holders.found.push(model::holders::Holder {
        pid: Some(7),
        command: Some("python3".to_owned()),
        instance: None,
        container: None,
        ..container(1, None)
    });
    let users = case.seen.users(&case.holders);
    let named: Vec<(Option<u32>, Option<&str>, bool)> =
        users.iter().map(|user| (user.pid, user.command.as_deref(), user.has_instance(1, Some(0)))).collect();
    assert_eq!(named, [(Some(7), Some("python3"), false), (Some(7), Some("python3"), true), (Some(8), None, true)]);
    case.holders.found.push(model::holders::Holder { pid: Some(8), ..container(1, Some(0)) });
    assert_eq!(case.seen.users(&case.holders).len(), 3, "pid 8 is known with its instance");
}

/// A mode that was only to come with the next reset is taken back where that was asked for, and where a change is undone: else the
/// GPU would change its mode at the next reset, long after somebody was told that nothing has changed.
#[test]
fn a_pending_mode_is_taken_back() {
    let mut waiting = MigCase::on("A100-40GB", "-");
    waiting.seen.current = Reading::Known(OFF);
    let plan = waiting.mode(OFF).unwrap();
    assert_eq!(words(&plan), ["set MIG mode to disabled"]);
    assert!(wanted(&plan).unmet(&waiting.seen)[0].to_string().contains("after the next reset"));
    let former = MigWanted { mode: Some(OFF), ..MigWanted::default() };
    assert_eq!(former.steps_from(&waiting.seen), [MigStep::SetMode { to: OFF }]);

    let mut leaving = MigCase::on("A100-40GB", "1g.5gb@0").owning(&[]);
    leaving.seen.pending = Reading::Known(OFF);
    let plan = leaving.mode(ON).unwrap();
    assert_eq!(words(&plan), ["set MIG mode to enabled"], "its instances stay");
    let mut gone = cut("A100-40GB", "-");
    gone.pending = Reading::Known(ON);
    assert!(!wanted(&plan).unmet(&gone).is_empty(), "and whether they did is looked at");
    assert_eq!(told(leaving.held_by(container(1, None)).mode(ON)).0, "in_use");
}

/// Undoing an enabled mode would take what somebody has created in the meantime.
#[test]
fn a_mode_is_not_switched_off_under_what_others_have_created() {
    let plan = case(OFF, "-").mode(ON).unwrap();
    let former = wanted(&plan).as_seen(&case(OFF, "-").seen).unwrap();
    assert_eq!(former.steps_from(&case(ON, "-").seen), [MigStep::SetMode { to: OFF }]);
    assert_eq!(former.steps_from(&case(ON, "1g.24gb@0").seen), []);
    let mut bare = case(ON, "1g.24gb@0").seen;
    bare.instances[0].compute.clear();
    assert_eq!(former.steps_from(&bare), [], "nor under a GPU instance without compute instances");
    assert!(!former.unmet(&bare).is_empty());
}

#[test]
fn what_is_used_now_or_stays_is_never_among_the_steps() {
    let place = || instance("2g.48gb@6");
    let nothing = MigWanted { touched: vec![place()], ..MigWanted::default() };
    assert_eq!(nothing.steps_from(&cut(RTX, "2g.48gb@6")).len(), 2);
    assert_eq!(nothing.steps_from(&cut(RTX, "2g.48gb@6:in-use")), [], "somebody came after the plan");
    assert!(!nothing.unmet(&cut(RTX, "2g.48gb@6:in-use")).is_empty());
    let stays = MigWanted { stays: vec![StayingCompute { within: place(), id: 0 }], ..nothing.clone() };
    assert_eq!(stays.steps_from(&cut(RTX, "2g.48gb@6")), []);
    let mut seen = cut(RTX, "2g.48gb@6");
    seen.instances[0].compute = vec![compute(0, 1, false), compute(1, 1, true)];
    let one = model::mig::plan::LaidOut { instance: place(), compute: vec![1] };
    let steps = MigWanted { instances: vec![one], ..nothing }.steps_from(&seen);
    assert_eq!(steps, [MigStep::DestroyCompute { within: place(), id: 0, slices: 1 }]);
}

#[test]
fn what_is_not_touched_is_neither_judged_nor_named() {
    let wanted = MigWanted { touched: vec![instance("1g.24gb@0")], ..MigWanted::default() };
    let seen = cut(RTX, "1g.24gb@3,2g.48gb@6");
    assert_eq!((wanted.steps_from(&seen), wanted.unmet(&seen)), (Vec::new(), Vec::new()));
    let former = wanted.as_seen(&cut(RTX, "1g.24gb@0,1g.24gb@3")).unwrap();
    assert_eq!(former.instances.len(), 1);
    let instances: Vec<_> = seen.instances.iter().map(MigGpuInstance::instance).collect();
    assert!(former.instances.iter().all(|one| !instances.contains(&one.instance)));
    assert_eq!(former.steps_from(&seen).len(), 2, "it comes back, and the others stay");
    let unmet = former.unmet(&seen)[0].to_string();
    assert_eq!(unmet, "GPU instance 1g.24gb@0 is absent and should be there with 1c");
}
