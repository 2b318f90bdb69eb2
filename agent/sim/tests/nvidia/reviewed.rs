//! Faults that reviews have found, each with a test of its own.

use crate::life::{Life, both, digest, image, none};
use model::nvidia_container::{NvidiaAct, NvidiaDeed, NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaRefused, NvidiaRole};
use model::settings::NvidiaOverlay;
use sim::nvidia_docker::{SimDockerFile, SimImage};

fn ready() -> Life {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"), "{:?}", life.shows());
    life
}

fn count(life: &Life, is_it: impl Fn(&NvidiaAct) -> bool) -> usize {
    life.deeds.iter().filter(|act| is_it(act)).count()
}

#[test]
fn an_image_that_was_loaded_without_a_digest_is_not_pulled_without_end() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.load(&image("nvcr.io/nvidia/driver:1"));
    let begun = life.docker.now;
    while life.docker.now.since(begun) < 3_600_000 {
        let wake = life.turn(None);
        life.docker.advance_to(wake.unwrap_or(life.docker.now.plus(60_000)));
    }
    let is_pull = |act: &NvidiaAct| act.to_string() == "pull nvcr.io/nvidia/driver:1";
    let pulls = count(&life, is_pull);
    assert!((2..30).contains(&pulls), "{pulls} pulls in an hour");
    // While it is being pulled again that is shown, and between it why it failed.
    let reason = loop {
        if let NvidiaPhase::Failed { fault: NvidiaFault::PullFailed, reason, .. } = &life.shows().driver.phase {
            break reason.clone();
        }
        let wake = life.turn(None);
        life.docker.advance_to(wake.unwrap_or(life.docker.now.plus(60_000)));
    };
    assert!(reason.contains("docker load"), "{reason}");
}

#[test]
fn dockers_time_for_a_runtime_begins_when_its_reload_was_answered() {
    let mut life = Life::new(both("1", "v1.17.8"));
    (life.docker.reload_takes_ms, life.docker.shows_after_ms) = (20_000, 3_000);
    life.settle(&[]);
    assert_eq!((life.phases(), life.docker.file), (("ready", "ready"), SimDockerFile::AsWanted), "{:?}", life.shows());
}

#[test]
fn a_new_toolkit_that_exits_after_some_seconds_gives_way_to_the_one_before() {
    let mut life = ready();
    let late = SimImage { exits: Some((8_000, 1)), ..SimImage::GOOD };
    life.docker.publish(&image("nvcr.io/nvidia/k8s/container-toolkit:v1.18.0"), &digest('9'), late);
    life.wish = both("1", "v1.18.0");
    life.settle(&[]);
    assert_eq!((life.phases(), life.running(NvidiaRole::Toolkit)), (("ready", "ready"), Some(digest('e'))));
    assert!(matches!(life.shows().toolkit.hold, Some(NvidiaHold::RolledBack { .. })), "{:?}", life.shows());
}

#[test]
fn what_only_an_installation_needs_does_not_keep_a_container_from_its_next_start() {
    let refused = |code: &str| vec![NvidiaRefused { code: code.to_owned(), why: "it is so".to_owned() }];
    for (code, starts) in [("disk_short", true), ("modules_in_the_way", true), ("nouveau_bound", false)] {
        let mut life = ready();
        life.preflight = refused(code);
        life.docker.restart();
        life.settle(&[]);
        assert_eq!(life.running(NvidiaRole::Driver).is_some(), starts, "{code}: {:?}", life.shows());
        // A container that is not there yet is not created.
        let mut new = Life::new(both("1", "v1.17.8"));
        new.preflight = refused(code);
        new.settle(&[]);
        assert_eq!((new.phases().0, new.docker.containers.len()), ("refused", 0), "{code}");
    }
}

#[test]
fn an_entry_of_ours_is_come_back_to_for_as_long_as_it_is_there() {
    let mut life = ready();
    life.docker.runtime_users = vec!["workspace-7".to_owned()];
    life.wish = none();
    life.settle(&[]);
    assert!(life.docker.containers.is_empty() && life.docker.file == SimDockerFile::AsWanted);
    let wake = life.turn(None).expect("nothing else would wake it");
    life.docker.runtime_users.clear();
    life.docker.advance_to(wake);
    life.settle(&[]);
    assert_eq!(life.docker.file, SimDockerFile::Absent);
}

#[test]
fn a_reload_that_the_policy_forbids_is_not_asked_for() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.policy.docker_config = false;
    life.docker.file = SimDockerFile::AsWanted;
    life.settle(&[]);
    assert_eq!(life.phases(), ("ready", "ready"));
    assert_eq!(life.shows().toolkit.hold, Some(NvidiaHold::DockerConfigDenied));
    assert_eq!(count(&life, |act| matches!(act, NvidiaAct::DockerConfig(_))), 0);
}

#[test]
fn a_lost_wish_whose_containers_are_gone_too_leaves_what_they_have_set_up() {
    let enabled = NvidiaOverlay { deploy_driver: Some(true), deploy_toolkit: Some(true), ..NvidiaOverlay::default() };
    let disabled = NvidiaOverlay { deploy_driver: Some(false), deploy_toolkit: Some(false), ..enabled.clone() };
    let mut life = Life::new(both("1", "v1.17.8"));
    life.over_files = enabled;
    life.settle(&[]);
    let host = life.docker.driver_host.clone();
    let before = life.deeds.len();
    (life.wish, life.over_files) = (none(), NvidiaOverlay::default());
    life.docker.containers.clear();
    life.settle(&[]);
    life.forget_answers();
    life.settle(&[]);
    assert_eq!((life.deeds.len(), life.docker.file), (before, SimDockerFile::AsWanted), "{:?}", life.deeds);
    assert_eq!(life.docker.driver_host, host);
    for role in NvidiaRole::ALL {
        assert_eq!(life.shows().of(*role).hold, Some(NvidiaHold::UnclaimedOnHost), "{role}");
    }
    life.over_files = disabled;
    life.settle(&[]);
    assert_eq!((life.docker.file, life.docker.driver_host.clone()), (SimDockerFile::Absent, Default::default()));
    assert_eq!(
        life.record,
        model::nvidia_container::NvidiaRecord { boot_id: life.record.boot_id.clone(), ..Default::default() }
    );
}

#[test]
fn a_disabled_container_is_removed_with_its_runtime_also_where_it_was_enabled_over_the_files() {
    let over = |deploy| NvidiaOverlay {
        deploy_driver: Some(deploy),
        deploy_toolkit: Some(deploy),
        ..NvidiaOverlay::default()
    };
    let mut life = Life::new(both("1", "v1.17.8"));
    life.over_files = over(true);
    life.settle(&[]);
    (life.wish, life.over_files) = (none(), over(false));
    life.settle(&[]);
    assert_eq!((life.docker.containers.len(), life.docker.file), (0, SimDockerFile::Absent));
    assert_eq!(count(&life, |act| matches!(act, NvidiaAct::Container(NvidiaDeed::Remove { .. }))), 2);
}
