//! What comes of a wish where nothing goes wrong, and where one thing is in the way.

use crate::life::{Life, both, digest, none};
use model::nvidia_container::{NvidiaAct, NvidiaDeed, NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaRefused, NvidiaRole};
use model::settings::NvidiaOverlay;
use sim::nvidia_docker::{SimContainerRun, SimDockerFile};

fn ready(driver: &str) -> Life {
    let mut life = Life::new(both(driver, "v1.17.8"));
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"), "{:?}", life.shows());
    life
}

fn names(life: &Life, from: usize) -> Vec<String> {
    let word = |act: &NvidiaAct| act.to_string().split(' ').take(4).collect::<Vec<_>>().join(" ");
    life.deeds.iter().skip(from).map(word).collect()
}

#[test]
fn the_driver_is_first_and_then_the_toolkit_and_then_dockers_configuration() {
    let life = ready("1");
    assert_eq!(
        names(&life, 0),
        [
            "pull nvcr.io/nvidia/driver:1",
            "pull nvcr.io/nvidia/k8s/container-toolkit:v1.17.8",
            "create the driver container",
            "mount /run/nvidia on itself,",
            "start the driver container",
            "write the driver's readiness",
            "create the toolkit container",
            "start the toolkit container",
            "add the runtime nvidia",
            "reload Docker's configuration",
            "link NVIDIA's device files",
        ]
    );
    assert_eq!(life.docker.file, SimDockerFile::AsWanted);
}

#[test]
fn what_is_disabled_leaves_nothing() {
    let mut life = ready("1");
    life.wish = none();
    life.settle(&[]);
    assert_eq!(life.phases(), ("disabled", "disabled"));
    assert_eq!((life.docker.containers.len(), life.docker.file), (0, SimDockerFile::Absent));
    assert!(!life.docker.facts().unwrap().has_nvidia_runtime());
    assert_eq!(life.record.driver, Default::default());
}

#[test]
fn nothing_is_stopped_under_a_user() {
    let mut life = ready("1");
    life.docker.holders = vec!["Xorg (pid 7)".to_owned()];
    for wish in [both("2", "v1.17.8"), none()] {
        life.wish = wish;
        life.settle(&[]);
        assert_eq!(life.running(NvidiaRole::Driver), Some(digest('a')));
        assert!(matches!(life.shows().driver.hold, Some(NvidiaHold::DriverBusy { .. })), "{:?}", life.shows());
    }
    life.docker.holders.clear();
    life.settle(&[]);
    assert_eq!(life.docker.containers.len(), 0);
}

#[test]
fn an_upgrade_pulls_and_creates_before_it_stops() {
    let mut life = ready("1");
    let before = life.deeds.len();
    life.wish = both("2", "v1.17.8");
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"));
    assert_eq!(life.running(NvidiaRole::Driver), Some(digest('b')));
    assert_eq!(
        names(&life, before),
        [
            "pull nvcr.io/nvidia/driver:2",
            "create the driver container",
            "stop the driver container",
            "remove the driver's readiness",
            "start the driver container",
            "remove the driver container",
            "write the driver's readiness",
            "link NVIDIA's device files",
        ]
    );
}

#[test]
fn a_failed_upgrade_goes_back_and_is_not_tried_again() {
    for (tag, fault) in [("bad", "exited"), ("stuck", "not_ready_in_time")] {
        let mut life = ready("1");
        life.wish = both(tag, "v1.17.8");
        life.settle(&[]);
        assert_eq!(life.phases(), ("ready", "ready"), "{:?}", life.shows());
        assert_eq!(life.running(NvidiaRole::Driver), Some(digest('a')));
        let Some(NvidiaHold::RolledBack { reason, .. }) = &life.shows().driver.hold else {
            panic!("{:?}", life.shows())
        };
        assert!(reason.starts_with(fault), "{reason}");
        let before = life.deeds.len();
        life.settle(&[]);
        life.docker.reboot();
        life.boots += 1;
        life.settle(&[]);
        let again = life.deeds.iter().skip(before);
        let creates = again.filter(|act| matches!(act, NvidiaAct::Container(NvidiaDeed::Create(_)))).count();
        assert_eq!(creates, 0, "it is not tried again");
        life.wish = both("2", "v1.17.8");
        life.settle(&[]);
        assert_eq!(life.running(NvidiaRole::Driver), Some(digest('b')));
    }
}

#[test]
fn a_container_that_exits_at_once_is_given_up_after_five_tries() {
    let mut life = Life::new(both("bad", "v1.17.8"));
    life.settle(&[]);
    let NvidiaPhase::Failed { fault, retry_at, reason } = &life.shows().driver.phase else {
        panic!("{:?}", life.shows())
    };
    assert_eq!((*fault, *retry_at), (NvidiaFault::Exited, None), "{reason}");
    let starts = life.deeds.iter().filter(|act| matches!(act, NvidiaAct::Container(NvidiaDeed::Start { .. }))).count();
    assert_eq!(starts, 5);
    assert_eq!(life.phases().1, "absent", "the toolkit waits");
}

#[test]
fn one_that_never_gets_ready_is_left_running_and_reported() {
    let mut life = Life::new(both("stuck", "v1.17.8"));
    life.settle(&[]);
    assert!(matches!(life.shows().driver.phase, NvidiaPhase::Failed { fault: NvidiaFault::NotReadyInTime, .. }));
    assert!(life.shows().driver.log_of.is_some());
    assert_eq!(life.running(NvidiaRole::Driver), Some(digest('d')));
}

#[test]
fn a_foreign_container_is_left_alone_and_blocks() {
    for run in [SimContainerRun::Ended(0), SimContainerRun::Running(model::time::BootMillis(5))] {
        let mut life = Life::new(both("1", "v1.17.8"));
        life.docker.add_foreign(NvidiaRole::Driver, run);
        life.settle(&[]);
        assert_eq!(life.phases(), ("foreign", "absent"));
        assert!(life.deeds.iter().all(|act| !act.to_string().contains("driver container")));
        life.wish = none();
        life.settle(&[]);
        assert_eq!(life.docker.containers.len(), 1);
        assert!(matches!(life.shows().driver.hold, Some(NvidiaHold::ForeignContainer { .. })));
    }
}

#[test]
fn a_runtime_that_docker_does_not_take_is_removed_again() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.takes_runtimes = false;
    life.settle(&[]);
    assert_eq!(life.docker.file, SimDockerFile::Absent);
    assert!(matches!(life.shows().toolkit.phase, NvidiaPhase::Failed { fault: NvidiaFault::RuntimeNotTaken, .. }));
    let before = life.deeds.len();
    life.settle(&[]);
    assert_eq!(life.deeds.len(), before, "it is not tried again");
    life.docker.takes_runtimes = true;
    life.wish = both("1", "v1.19.0");
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"));
}

#[test]
fn a_file_with_another_runtime_is_left_alone() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.file = SimDockerFile::Other;
    life.settle(&[]);
    assert_eq!((life.docker.file, life.phases().1), (SimDockerFile::Other, "refused"));
    life.wish = none();
    life.settle(&[]);
    assert_eq!((life.docker.file, life.phases().1), (SimDockerFile::Other, "disabled"));
}

#[test]
fn a_runtime_that_a_container_uses_stays() {
    let mut life = ready("1");
    life.docker.runtime_users = vec!["workspace-7".to_owned()];
    life.wish = none();
    life.settle(&[]);
    assert_eq!(life.docker.file, SimDockerFile::AsWanted);
    assert!(matches!(life.shows().toolkit.hold, Some(NvidiaHold::RuntimeInUse { .. })), "{:?}", life.shows());
    life.docker.runtime_users.clear();
    life.settle(&[]);
    assert_eq!(life.docker.file, SimDockerFile::Absent);
}

#[test]
fn a_lost_record_has_nothing_removed_or_replaced() {
    let mut life = ready("1");
    life.record = Default::default();
    let before = life.deeds.len();
    life.settle(&[]);
    assert_eq!((life.phases(), life.deeds.len()), (("ready", "ready"), before), "{:?}", life.deeds);
    life.record = Default::default();
    life.wish = none();
    life.settle(&[]);
    assert_eq!(life.running(NvidiaRole::Driver), Some(digest('a')));
    assert!(matches!(life.shows().driver.hold, Some(NvidiaHold::Unclaimed { .. })));
}

#[test]
fn a_wish_over_the_files_that_is_lost_has_nothing_removed() {
    let enabled = NvidiaOverlay { deploy_driver: Some(true), deploy_toolkit: Some(true), ..NvidiaOverlay::default() };
    let disabled = NvidiaOverlay { deploy_driver: Some(false), deploy_toolkit: Some(false), ..enabled.clone() };
    let mut life = Life::new(both("1", "v1.17.8"));
    life.over_files = enabled;
    life.settle(&[]);
    let before = life.deeds.len();
    (life.wish, life.over_files) = (none(), NvidiaOverlay::default());
    life.settle(&[]);
    assert_eq!(life.deeds.len(), before, "{:?}", life.deeds);
    assert_eq!(life.docker.file, SimDockerFile::AsWanted);
    assert!(matches!(life.shows().toolkit.hold, Some(NvidiaHold::Unclaimed { .. })));
    life.over_files = disabled;
    life.settle(&[]);
    assert_eq!((life.docker.containers.len(), life.docker.file), (0, SimDockerFile::Absent), "that is a wish");
}

#[test]
fn what_speaks_against_a_driver_is_said_before_anything_is_pulled() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.preflight = vec![NvidiaRefused { code: "nouveau_bound".to_owned(), why: "nouveau has it".to_owned() }];
    life.settle(&[]);
    assert_eq!(life.phases(), ("refused", "absent"));
    assert!(life.deeds.iter().all(|act| !act.to_string().contains("driver:1")), "{:?}", life.deeds);
}

#[test]
fn a_policy_that_denies_leaves_what_runs() {
    let mut life = ready("1");
    life.policy.driver = false;
    life.policy.images = Vec::new();
    life.wish = both("2", "v1.19.0");
    let before = life.deeds.len();
    life.settle(&[]);
    assert_eq!((life.phases(), life.deeds.len()), (("ready", "ready"), before));
    assert!(
        matches!(&life.shows().driver.hold, Some(NvidiaHold::UpgradeRefused { code, .. }) if code == "denied_by_local_policy")
    );
}

#[test]
fn a_host_driver_is_not_waited_for() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.wish.deploy_driver = false;
    life.settle(&[]);
    assert_eq!(life.phases(), ("disabled", "ready"));
}

#[test]
fn the_host_of_a_driver_container_is_as_before_once_it_is_disabled() {
    for is_run_shared in [false, true] {
        let mut life = Life::new(both("1", "v1.17.8"));
        life.docker.driver_host.is_run_shared = is_run_shared;
        let before = life.docker.driver_host.clone();
        life.settle(&[]);
        assert_eq!(life.docker.driver_host.is_bound, !is_run_shared, "what is shared is not shared again");
        assert!(life.docker.driver_host.is_marked_ready);
        // Each start stacks a further root.
        for _ in 0..3 {
            life.docker.restart();
            life.settle(&[]);
        }
        assert_eq!((life.docker.driver_host.layers, life.phases()), (4, ("ready", "ready")));
        life.wish = none();
        life.settle(&[]);
        assert_eq!((&life.docker.driver_host, life.phases()), (&before, ("disabled", "disabled")));
        assert_eq!(life.record.driver_host, Default::default());
    }
}

#[test]
fn a_mount_in_use_is_refused_once_and_then_detached() {
    let mut life = ready("1");
    (life.docker.driver_host.is_in_use, life.wish) = (true, none());
    let from = life.deeds.len();
    life.settle(&[]);
    assert_eq!((life.phases().0, life.docker.driver_host.layers), ("disabled", 0));
    assert_eq!(life.docker.driver_host.refused_unmounts, 1);
    let unmounts: Vec<String> = names(&life, from).into_iter().filter(|name| name.contains("/driver")).collect();
    assert_eq!(unmounts, ["unmount /run/nvidia/driver", "detach /run/nvidia/driver (a process"]);
}

#[test]
fn a_host_that_takes_no_step_is_asked_with_pauses_and_then_left() {
    let mut life = ready("1");
    life.docker.host_refuses = Some("cannot remove /run/nvidia/validations: Read-only file system".to_owned());
    let from = life.deeds.len();
    life.wish = none();
    life.settle(&[]);
    assert_eq!(life.phases().0, "disabled");
    assert!(
        matches!(&life.shows().driver.hold, Some(NvidiaHold::Leftover { reason }) if reason.contains("Read-only")),
        "{:?}",
        life.shows()
    );
    let steps = life.deeds.iter().skip(from).filter(|act| matches!(act, NvidiaAct::DriverHost(_))).count();
    assert_eq!(steps, 5, "given up after five tries");
    life.docker.host_refuses = None;
    life.ask_again();
    life.settle(&[]);
    assert_eq!(life.docker.driver_host, Default::default());
}

#[test]
fn no_driver_is_started_on_a_host_that_cannot_be_prepared() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.host_refuses = Some("systemd does not run this machine".to_owned());
    life.settle(&[]);
    assert!(
        matches!(&life.shows().driver.phase, NvidiaPhase::Failed { fault: NvidiaFault::HostStep, retry_at: None, .. }),
        "{:?}",
        life.shows()
    );
    assert_eq!(life.running(NvidiaRole::Driver), None);
    (life.docker.host_refuses, life.is_host_unread) = (None, true);
    life.ask_again();
    life.settle(&[]);
    assert_eq!((life.phases().0, life.running(NvidiaRole::Driver)), ("absent", None), "nor on one not looked at");
    life.is_host_unread = false;
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"));
}

#[test]
fn a_driver_that_has_exited_is_not_marked_as_ready() {
    let mut life = ready("1");
    life.policy.driver = false;
    life.docker.restart();
    life.settle(&[]);
    assert_eq!((life.running(NvidiaRole::Driver), life.docker.driver_host.is_marked_ready), (None, false));
}

#[test]
fn what_is_mounted_under_another_programs_driver_container_stays() {
    let mut life = ready("1");
    let from = life.deeds.len();
    life.docker.driver_host.layers += 1;
    life.docker.add_foreign(NvidiaRole::Driver, SimContainerRun::Running(model::time::BootMillis(5)));
    life.wish = none();
    life.settle(&[]);
    assert_eq!(life.docker.driver_host.layers, 2);
    assert!(life.shows().driver.hold.is_some());
    assert!(
        !life.deeds.iter().skip(from).any(|act| matches!(act, NvidiaAct::DriverHost(_))),
        "nothing is tried either"
    );
}
