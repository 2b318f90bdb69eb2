//! A library that lies, dies, hangs or refuses at any of its functions: the GPU is as before or as after, and nobody is overlooked.

use crate::rig::{Rig, create, create_compute, destroy, destroy_compute};
use model::driver::MigMode;
use model::mig::MigStep;
use protocol::child::Task;
use sim::faults::{NvmlFault, Signal};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

/// One of each kind of step, with the function that makes the change, and what has to be there before.
fn steps() -> [(MigStep, &'static str, Vec<MigStep>); 5] {
    let gpu = || create("2g.20gb", 2);
    [
        (gpu(), "nvmlDeviceCreateGpuInstanceWithPlacement", Vec::new()),
        (create_compute("2g.20gb", 2, 2), "nvmlGpuInstanceCreateComputeInstance", vec![gpu()]),
        (
            destroy_compute("2g.20gb", 2, 0, 2),
            "nvmlComputeInstanceDestroy",
            vec![gpu(), create_compute("2g.20gb", 2, 2)],
        ),
        (destroy("2g.20gb", 2), "nvmlGpuInstanceDestroy", vec![gpu()]),
        (MigStep::SetMode { to: MigMode::Disabled }, "nvmlDeviceSetMigMode", Vec::new()),
    ]
}

fn built(before: &[MigStep]) -> Rig {
    let rig = Rig::new("H100-80GB");
    // One that is in use beside it.
    rig.build(&[create("1g.10gb", 0)]);
    rig.build(before);
    rig
}

/// The instance beside would hold up the mode.
fn built_for(step: &MigStep, before: &[MigStep]) -> Rig {
    if matches!(step, MigStep::SetMode { .. }) { Rig::new("H100-80GB") } else { built(before) }
}

pub fn success_without_effect_is_a_failure() {
    for (step, call, before) in steps() {
        let mut rig = built_for(&step, &before);
        let before = rig.state();
        rig.fail(Some(NvmlFault::NoEffect { call: call.to_owned(), skip: 0 }));
        let said = rig.act(&step).unwrap_err().said;
        assert!(said.contains("reports success, and nothing has changed"), "{step}: {said}");
        assert_eq!(rig.state(), before, "{step}");
        rig.fail(None);
        rig.build(std::slice::from_ref(&step));
        assert_ne!(rig.state(), before, "{step}");
    }
}

/// The functions that a step calls, in their order.
fn calls_of(step: &MigStep, before: &[MigStep]) -> Vec<String> {
    let mut rig = built_for(step, before);
    rig.fail(None);
    rig.build(std::slice::from_ref(step));
    rig.calls()
}

pub fn a_crash_at_any_call_leaves_before_or_after() {
    for (step, change, before) in steps() {
        let calls = calls_of(&step, &before);
        let changes_at = calls.iter().position(|call| call == change).unwrap();
        for (at, call) in calls.into_iter().enumerate() {
            let mut rig = built_for(&step, &before);
            let was = rig.state();
            rig.fail(Some(NvmlFault::Crash { call: call.clone(), signal: Signal::Segv }));
            let status = rig.command_for(&step).stderr(Stdio::null()).status().unwrap();
            assert_eq!(status.signal(), Some(11), "{step}: {call}");
            // A function that is called for the first time after the change dies after it.
            assert_eq!(rig.state() == was, at <= changes_at, "{step}: {call}");
        }
        let mut rig = built_for(&step, &before);
        let was = rig.state();
        rig.fail(Some(NvmlFault::CrashAfter { call: change.to_owned() }));
        assert!(!rig.command_for(&step).stderr(Stdio::null()).status().unwrap().success(), "{step}");
        assert_ne!(rig.state(), was, "{step}: the driver had done it");
        rig.fail(None);
        rig.look();
    }
}

pub fn a_hang_at_any_call_leaves_before() {
    let (step, _, before) = &steps()[2];
    for call in calls_of(step, before).into_iter().filter(|call| call != "nvmlShutdown") {
        let mut rig = built_for(step, before);
        let was = rig.state();
        rig.fail(Some(NvmlFault::Hang { call: call.clone() }));
        let mut child = rig.command_for(step).spawn().unwrap();
        while !rig.calls().contains(&call) {
            assert_eq!(child.try_wait().unwrap(), None, "{call}");
            std::thread::yield_now();
        }
        assert_eq!(child.try_wait().unwrap(), None, "{call} does not return");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(rig.state(), was, "{call}");
    }
}

pub fn an_error_of_any_call_hides_no_process() {
    let used = || {
        let rig = built(&[create("2g.20gb", 2), create_compute("2g.20gb", 2, 2)]);
        rig.change(|mig| mig.instances[1].compute[0].processes = vec![4711]);
        rig
    };
    let mut rig = used();
    rig.fail(None);
    rig.look();
    let calls = rig.calls();
    assert!(calls.len() > 15, "{calls:?}");
    let mut refused = 0;
    for call in calls {
        // Invalid argument, not supported, no permission, not found, no data, lost, unknown, one of tomorrow.
        for code in [2, 3, 4, 6, 13, 15, 21, 999, 77] {
            rig.fail(Some(NvmlFault::Return { call: call.clone(), code, skip: 0 }));
            match rig.try_look() {
                Ok(seen) => {
                    let one = seen.instances.iter().find(|one| one.start == 2);
                    // A driver that reports no mode reports no instances either, and that is what is shown of it.
                    assert!(one.is_some() || seen.current.known().is_none(), "{call} {code}: {seen:?}");
                    let is_named = one.is_none_or(|one| one.compute[0].processes == [4711]);
                    assert!(is_named, "{call} {code}: {one:?}");
                }
                Err(cause) => {
                    assert!(cause.said.len() > 20, "{call} {code}: {cause:?}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

pub fn a_function_that_the_library_lacks_is_named() {
    for (step, call, before) in steps() {
        let rig = built_for(&step, &before);
        let was = rig.state();
        rig.without(call);
        let said = rig.act(&step).unwrap_err().said;
        assert!(said.contains("too old") && said.contains(call), "{step}: {said}");
        assert_eq!(rig.state(), was, "{step}");
    }
    for call in
        ["nvmlDeviceGetGpuInstances", "nvmlDeviceGetGpuInstancePossiblePlacements_v2", "nvmlComputeInstanceGetInfo_v2"]
    {
        let rig = built(&[create("2g.20gb", 2), create_compute("2g.20gb", 2, 2)]);
        rig.without(call);
        let said = rig.try_look().unwrap_err().said;
        assert!(said.contains("too old") && said.contains(call), "{said}");
    }
}

pub fn arguments_that_mean_nothing_do_nothing() {
    let rig = built(&[]);
    let was = rig.state();
    for rest in [
        &["{}"][..],
        &["\"reset\""],
        &[r#"{"create_gpu":{"instance":{"profile":"1g.10gb","start":-1}}}"#],
        &[],
        &["1", "2"],
    ] {
        let output = rig.command(Task::MigAct, rest).output().unwrap();
        assert!(!output.status.success() && !output.stderr.is_empty(), "{rest:?}: {output:?}");
    }
    let mut elsewhere = built(&[]);
    elsewhere.gpu = "0000:ff:1f.0".parse().unwrap();
    let said = elsewhere.try_look().unwrap_err().said;
    assert!(said.contains("0000:ff:1f.0"), "{said}");
    assert_eq!(rig.state(), was);
}
