//! CDI in an engine that has it disabled: when Docker is restarted for it, and what is in its file afterwards.

use crate::gpu_access::gpu;
use crate::life::{FAULTS, Fault, Life, both};
use model::docker_config::{DockerConfigStep, DockerRestart};
use model::nvidia_container::{NvidiaAct, NvidiaHold, NvidiaRole, ToolkitWay};
use sim::nvidia_docker::{SimContainerRun, SimDockerFile};

/// A Docker 26.1 on a host with two GPUs.
fn life(live_restore: bool) -> Life {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.gpu_access.gpus = vec![gpu(0), gpu(1)];
    life.docker.gpu_access.reads_cdi = true;
    life.docker.cdi.version = "26.1.5";
    life.docker.cdi.live_restore = live_restore;
    life
}

fn toolkit_alone(live_restore: bool) -> Life {
    let mut life = life(live_restore);
    life.wish.deploy_driver = false;
    life
}

fn hold(life: &Life) -> Option<&'static str> {
    life.shows().toolkit.hold.as_ref().map(NvidiaHold::code)
}

#[test]
fn an_idle_docker_is_restarted_once_and_gives_gpus_by_cdi_from_then_on() {
    for mut life in [life(true), toolkit_alone(false), toolkit_alone(true)] {
        life.settle(&[]);
        let cdi = life.docker.cdi;
        assert_eq!((cdi.in_file, cdi.in_force, cdi.restarts, hold(&life)), (true, true, 1, None), "{:?}", life.shows());
        assert_eq!(life.phases().1, "ready");
        assert!(life.running(NvidiaRole::Toolkit).is_some(), "what had ended with Docker runs again");
        if life.wish.deploy_driver {
            assert_eq!(life.docker.gpu_access.probes.last(), Some(&ToolkitWay::Cdi));
        }
        life.forget_answers();
        life.settle(&[]);
        assert_eq!(life.docker.cdi.restarts, 1, "it is not done again");
    }
}

#[test]
fn no_container_ends_for_it_and_meanwhile_the_runtime_serves() {
    // The driver container, or a container of another program, would end with Docker.
    let mut with_another = toolkit_alone(false);
    with_another.docker.cdi.others = 1;
    for mut life in [life(false), with_another] {
        life.policy.docker_restart = DockerRestart::Always;
        life.wish.docker_restart = DockerRestart::Always;
        life.settle(&[]);
        assert_eq!((life.phases().1, hold(&life)), ("ready", Some("docker_restart_waits")), "{:?}", life.shows());
        assert_eq!(
            (life.docker.cdi.restarts, life.docker.cdi.in_file),
            (0, false),
            "the file stays as Docker runs with it"
        );
        // What ran has ended, or would live on.
        (life.docker.cdi.others, life.docker.cdi.live_restore) = (0, life.wish.deploy_driver);
        life.settle(&[]);
        assert_eq!((life.docker.cdi.restarts, hold(&life)), (1, None), "it is idle now: {:?}", life.shows());
    }
}

#[test]
fn with_live_restore_the_lower_of_wish_and_policy_decides_whether_containers_may_run() {
    use DockerRestart::{Always, Never, WhenIdle};
    for (wish, policy, others, restarts) in [
        (Always, Always, 3, 1),
        (Always, WhenIdle, 3, 0),
        (WhenIdle, Always, 3, 0),
        (WhenIdle, WhenIdle, 0, 1),
        (Never, Always, 0, 0),
        (Always, Never, 0, 0),
    ] {
        let mut life = life(true);
        (life.wish.docker_restart, life.policy.docker_restart, life.docker.cdi.others) = (wish, policy, others);
        life.settle(&[]);
        assert_eq!(life.docker.cdi.restarts, restarts, "{wish} {policy}");
        assert_eq!((life.docker.cdi.others, life.phases()), (others, ("ready", "ready")));
        assert_eq!(hold(&life).is_some(), restarts == 0);
    }
}

#[test]
fn an_engine_that_has_cdi_or_none_at_all_is_not_restarted() {
    for version in ["20.10.24", "24.0.9", "28.2.2", "28.5.2", "29.0.1"] {
        let mut life = life(true);
        life.docker.cdi.version = version;
        life.settle(&[]);
        assert_eq!((life.docker.cdi.restarts, life.docker.cdi.in_file, hold(&life)), (0, false, None), "{version}");
    }
}

#[test]
fn what_docker_does_not_take_is_taken_out_again_and_not_tried_a_second_time() {
    for does_not_start in [false, true] {
        let mut life = life(true);
        (life.docker.cdi.takes, life.docker.cdi.does_not_start) = (false, does_not_start);
        life.settle(&[]);
        assert_eq!((life.docker.cdi.in_file, hold(&life)), (false, Some("cdi_not_taken")), "{:?}", life.shows());
        assert_eq!((life.docker.cdi.restarts, life.phases()), (1, ("ready", "ready")));
        life.settle(&[]);
        assert_eq!(life.docker.cdi.restarts, 1);
        // Somebody asks for another try, and now it works.
        (life.docker.cdi.takes, life.docker.cdi.does_not_start) = (true, false);
        life.ask_again();
        life.settle(&[]);
        assert_eq!((life.docker.cdi.restarts, life.docker.cdi.in_force, hold(&life)), (2, true, None));
    }
}

#[test]
fn a_restart_that_the_hand_refuses_is_waited_for_however_often_and_done_when_it_can_be() {
    let mut life = life(true);
    life.docker.cdi.refuses_restart = true;
    let mut asked_at = Vec::new();
    for _ in 0..2_000 {
        let before = life.deeds.len();
        let wake = life.turn(None);
        let is_restart = |act: &NvidiaAct| matches!(act, NvidiaAct::DockerConfig(DockerConfigStep::Restart { .. }));
        if life.deeds[before..].iter().any(is_restart) {
            asked_at.push(life.docker.now.0);
        }
        let now = life.docker.now;
        life.docker.advance_to(wake.unwrap_or_else(|| now.plus(60_000)));
        if asked_at.len() == 10 {
            break;
        }
    }
    let pauses: Vec<u64> = asked_at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(asked_at.len() == 10 && pauses[0] < 60_000 && pauses[8] > 240_000, "they grow: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 6 * 60_000), "{pauses:?}");
    life.turn(None);
    let cdi = life.docker.cdi;
    assert_eq!((cdi.in_file, cdi.restarts, life.record.runtime.cdi.ours), (true, 0, true), "{:?}", life.shows());
    assert_eq!((life.phases(), hold(&life)), (("ready", "ready"), Some("docker_restart_waits")));
    // The build has ended.
    life.docker.cdi.refuses_restart = false;
    let pause_ends = life.docker.now.plus(6 * 60_000);
    life.docker.advance_to(pause_ends);
    life.settle(&[]);
    let cdi = life.docker.cdi;
    assert_eq!((cdi.in_file, cdi.in_force, cdi.restarts, hold(&life)), (true, true, 1, None), "{:?}", life.shows());
    assert!(life.record.runtime.cdi.refusals.is_nothing() && life.record.runtime.cdi.not_taken.is_none());
}

#[test]
fn one_that_systemd_does_not_run_is_not_even_tried() {
    let mut life = life(true);
    life.docker.cdi.is_service = false;
    life.settle(&[]);
    assert_eq!((life.docker.cdi.in_file, hold(&life)), (false, Some("docker_restart_waits")));
    assert!(life.deeds.iter().all(|deed| !deed.to_string().contains("CDI in Docker")), "{:?}", life.deeds);
}

#[test]
fn after_disable_the_file_is_as_before() {
    let mut life = life(true);
    life.settle(&[]);
    (life.wish.deploy_driver, life.wish.deploy_toolkit) = (false, false);
    life.settle(&[]);
    assert_eq!(life.phases(), ("disabled", "disabled"), "{:?}", life.shows());
    assert_eq!((life.docker.cdi.in_file, life.docker.file), (false, SimDockerFile::Absent));
    assert_eq!(life.docker.cdi.restarts, 1, "nothing is restarted for that");
    assert!(life.record.runtime.cdi.is_nothing());
}

#[test]
fn whatever_goes_wrong_at_any_moment_no_container_of_others_ends() {
    let moments = {
        let mut life = life(true);
        life.settle(&[]);
        life.moments.clone()
    };
    assert!(moments.len() > 10);
    for fault in FAULTS {
        for at in &moments {
            let mut life = life(true);
            life.docker.cdi.others = 2;
            (life.wish.docker_restart, life.policy.docker_restart) = (DockerRestart::Always, DockerRestart::Always);
            life.settle(&[(*at, fault)]);
            let cdi = life.docker.cdi;
            assert!(cdi.others == 2 || fault == Fault::Reboot, "{fault:?} at {at}");
            let is_done = cdi.in_file && cdi.in_force && hold(&life).is_none();
            // What was put in before the record was lost is not known to be ours.
            assert!(is_done || fault == Fault::RecordLost, "{fault:?} at {at}: {cdi:?} {:?}", life.shows());
            assert!(life.phases().1 == "ready", "{fault:?} at {at}: {:?}", life.shows());
            let runs = |one: &sim::nvidia_docker::SimContainer| matches!(one.run, SimContainerRun::Running(_));
            assert!(life.docker.containers.iter().any(runs));
        }
    }
}

#[test]
fn without_live_restore_docker_is_never_restarted_under_containers_whatever_goes_wrong() {
    use DockerRestart::{Always, WhenIdle};
    let begun = |allowed| {
        let mut life = life(false);
        life.docker.cdi.others = 2;
        (life.wish.docker_restart, life.policy.docker_restart) = (allowed, allowed);
        life
    };
    // These start Docker again themselves, which ends every container.
    let ends_them = |fault: &Fault| matches!(fault, Fault::DockerDown | Fault::DockerRestarted | Fault::Reboot);
    for allowed in [Always, WhenIdle] {
        let moments = {
            let mut life = begun(allowed);
            life.settle(&[]);
            life.moments.clone()
        };
        assert!(moments.len() > 5, "{moments:?}");
        for fault in FAULTS.into_iter().filter(|fault| !ends_them(fault)) {
            for at in &moments {
                let mut life = begun(allowed);
                life.settle(&[(*at, fault)]);
                let cdi = life.docker.cdi;
                assert_eq!((cdi.restarts, cdi.others), (0, 2), "{allowed}, {fault:?} at {at}: {:?}", life.deeds);
                assert!(!cdi.in_file, "{allowed}, {fault:?} at {at}: the file is not as Docker runs with it");
                assert!(life.docker.containers.iter().any(|one| one.is_running()), "{allowed}, {fault:?} at {at}");
            }
        }
    }
}
