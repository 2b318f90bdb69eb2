//! Stories of single workspaces, as an operator would tell them.

use crate::life::Life;
use crate::wishes::{desired, image, on_gpu, whole_gpu, wish, with_home};
use model::nvidia_container::ContainerRun;
use model::policy::WorkspaceRepair;
use model::workspace::WorkspaceContainer;
use model::workspace_life::{WorkspaceFacts, WorkspaceReason, WorkspaceState as S};
use serde_json::{Value, json};
use sim::workspace_docker::{PullFate, RegistryImage, SimWorkspaceRun};

fn settled(wishes: &[Value]) -> Life {
    let mut life = Life::new(wishes);
    life.settle(&[]);
    life
}

fn plain(id: &str) -> Value {
    wish(id, 'a', json!({}))
}

/// The deeds of this kind (`create`, `start`), by the number of the deed.
fn deeds(life: &Life, kind: &str) -> Vec<String> {
    life.deeds.iter().filter(|deed| deed.starts_with(kind)).cloned().collect()
}

#[test]
fn a_wish_becomes_a_pull_a_container_and_a_start_and_then_nothing_more() {
    let mut life = settled(&[with_home("w", 'a')]);
    let kinds: Vec<&str> = life.deeds.iter().map(|deed| deed.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["pull", "create", "start"]);
    assert_eq!(life.shows("w"), (S::Running, String::new()));
    let pid = life.seen("w").unwrap().pid;
    life.turns(20);
    assert_eq!((life.deeds.len(), life.seen("w").unwrap().pid), (3, pid));
}

#[test]
fn after_a_daemon_reload_what_has_lost_its_gpu_is_started_again_with_it_as_the_policy_wants() {
    let mut life = settled(&[on_gpu("w", 'a', "lab", 0), plain("none")]);
    let (pid, other) = (life.seen("w").unwrap().pid, life.seen("none").unwrap().pid);
    life.repair = WorkspaceRepair::Never;
    life.docker.lose_gpus();
    life.turns(10);
    assert_eq!((life.shows("w"), life.occurred.len()), ((S::Running, "gpu_lost".to_owned()), 1));
    assert_eq!(life.seen("w").unwrap().pid, pid, "nothing is stopped");
    life.repair = WorkspaceRepair::Restart;
    life.settle(&[]);
    assert_eq!(life.shows("w"), (S::Running, String::new()));
    assert!(
        life.seen("w").unwrap().pid != pid
            && life
                .docker
                .containers
                .iter()
                .all(|one| !one.has_lost_gpus || one.wanted.as_ref().is_some_and(|it| it.gpus.is_empty()))
    );
    assert_eq!((life.seen("none").unwrap().pid, life.occurred.len()), (other, 1));
}

#[test]
fn another_image_is_pulled_while_the_old_container_runs_and_volumes_are_kept() {
    let mut life = settled(&[with_home("w", 'a')]);
    let old = life.seen("w").unwrap();
    life.wish(&[with_home("w", 'b')]);
    life.turns(2);
    assert_eq!(life.run("w"), Some(ContainerRun::Running), "the new image is not here yet");
    assert!(!life.has_image('b'));
    life.settle(&[]);
    let new = life.seen("w").unwrap();
    assert_ne!(new.id, old.id);
    assert_eq!((new.run, new.image, new.volumes), (ContainerRun::Running, image('b'), old.volumes));
    assert!(deeds(&life, "remove the volume").is_empty());
}

#[test]
fn an_image_that_cannot_be_had_takes_nothing_away_and_is_tried_again_for_ever() {
    let mut life = settled(&[plain("w")]);
    let pid = life.seen("w").unwrap().pid;
    life.wish(&[wish("w", '0', json!({})), wish("new", '0', json!({}))]);
    life.turns(60);
    assert_eq!(life.seen("w").unwrap().pid, pid, "what runs goes on");
    assert_eq!(life.shows("w"), (S::Running, "image_not_found".to_owned()));
    assert_eq!(life.shows("new"), (S::Pending, "image_not_found".to_owned()));
    let (pulls, seconds) = (deeds(&life, "pull").len(), life.docker.now.0 / 1_000);
    let at_least_five_minutes_apart = usize::try_from(seconds / 300).unwrap();
    assert!(pulls > 10 && pulls < at_least_five_minutes_apart + 12, "{pulls} pulls in {seconds} s");
    life.docker.publish(crate::wishes::digest('0'), RegistryImage { fate: PullFate::Works, ..RegistryImage::SERVES });
    life.settle(&[]);
    assert_eq!(life.unmet(), Vec::<String>::new());
}

#[test]
fn stopped_paused_resumed_and_deleted_with_its_volume() {
    let one = with_home("w", 'a');
    let mut life = settled(std::slice::from_ref(&one));
    let pid = life.seen("w").unwrap().pid;
    life.wish(&[desired(&one, "paused")]);
    life.settle(&[]);
    assert_eq!((life.run("w"), life.shows("w").0), (Some(ContainerRun::Paused), S::Paused));
    life.wish(std::slice::from_ref(&one));
    life.settle(&[]);
    assert_eq!(
        (life.run("w"), life.seen("w").unwrap().pid),
        (Some(ContainerRun::Running), pid),
        "it was not started again"
    );
    life.wish(&[desired(&one, "paused")]);
    life.settle(&[]);
    life.docker.rules.stops_paused = false;
    life.wish(&[desired(&one, "stopped")]);
    life.settle(&[]);
    assert_eq!((life.run("w"), life.shows("w").0), (Some(ContainerRun::Ended { exit: 143, oom: false }), S::Stopped));
    assert!(life.docker.volumes.contains_key("gpuhost-w-home"));
    life.wish(&[desired(&one, "deleted")]);
    life.settle(&[]);
    assert_eq!((life.run("w"), life.shows("w").0), (None, S::Deleted));
    assert!(life.docker.volumes.is_empty());
}

#[test]
fn a_volume_that_another_workspace_has_stays_until_that_one_is_deleted_too() {
    let of = |id: &str| wish(id, 'a', json!({ "volumes": [{ "name": "data", "target": "/data" }] }));
    let mut life = settled(&[of("one"), of("two")]);
    life.wish(&[desired(&of("one"), "deleted"), of("two")]);
    life.settle(&[]);
    assert_eq!((life.run("one"), life.run("two")), (None, Some(ContainerRun::Running)));
    assert!(life.docker.volumes.contains_key("gpuhost-data"));
    life.wish(&[desired(&of("two"), "deleted")]);
    life.settle(&[]);
    assert!(life.docker.volumes.is_empty());
}

#[test]
fn a_deletion_that_is_taken_back_before_it_was_done_keeps_the_volume_for_good() {
    let one = with_home("w", 'a');
    let mut life = settled(std::slice::from_ref(&one));
    life.wish(&[desired(&one, "deleted")]);
    life.turns(1);
    // It is stopped; its removal is begun, and Docker does not do it.
    life.turn(Some(crate::life_faults::Fault::Deed(sim::workspace_docker::DeedFault::Refused)));
    assert_eq!(life.memory.record.doomed_volumes.len(), 1);
    life.wish(&[desired(&one, "stopped")]);
    life.settle(&[]);
    life.docker.remove_ours();
    life.settle(&[]);
    assert!(
        life.docker.volumes.contains_key("gpuhost-w-home"),
        "another user's removal of the container deletes no files"
    );
}

#[test]
fn what_is_not_listed_any_more_is_stopped_and_never_removed() {
    let mut life = settled(&[with_home("w", 'a'), plain("other")]);
    let id = life.seen("w").unwrap().id;
    life.wish(&[plain("other")]);
    life.settle(&[]);
    let seen = life.seen("w").unwrap();
    assert_eq!((seen.id, life.shows("w")), (id, (S::Stopped, "orphaned".to_owned())));
    assert!(life.docker.volumes.contains_key("gpuhost-w-home"));
    life.wish(&[with_home("w", 'a'), plain("other")]);
    life.settle(&[]);
    assert_eq!(life.unmet(), Vec::<String>::new(), "listed again it is the same one");
    assert_eq!(deeds(&life, "create").len(), 2);
}

#[test]
fn a_document_without_a_list_stops_nothing() {
    let mut life = settled(&[plain("w")]);
    let pid = life.seen("w").unwrap().pid;
    life.wishes = None;
    life.revision += 1;
    life.settle(&[]);
    assert_eq!((life.seen("w").unwrap().pid, life.shows("w")), (pid, (S::Running, "unlisted".to_owned())));
}

#[test]
fn more_removals_than_the_policy_allows_wait_for_a_second_revision_or_a_person() {
    let wishes: Vec<Value> = (0..4).map(|number| with_home(&format!("w{number}"), 'a')).collect();
    let runs =
        |life: &Life| (0..4).filter(|number| life.run(&format!("w{number}")) == Some(ContainerRun::Running)).count();
    for (end, confirmed) in [("deleted", false), ("deleted", true), ("unlisted", false), ("unlisted", true)] {
        let mut life = settled(&wishes);
        life.max_removals = 3;
        let wished: Vec<Value> = wishes.iter().filter(|_| end == "deleted").map(|one| desired(one, end)).collect();
        life.wish(&wished);
        life.settle(&[]);
        assert_eq!(runs(&life), 4, "{end}");
        assert_eq!(life.shows("w0").1, "removals_held");
        // A restart of the daemon is no second revision.
        life.settle(&[(0, crate::life_faults::Fault::CrashBeforeRecord)]);
        assert_eq!(runs(&life), 4, "{end}");
        if confirmed {
            life.memory.removals.is_confirmed = true;
        } else {
            life.wish(&wished);
        }
        life.settle(&[]);
        assert_eq!(runs(&life), 0, "{end} {confirmed}");
    }
}

#[test]
fn a_drained_or_disabled_host_takes_nothing_new_and_stops_nothing() {
    for (agent, code) in [(json!({ "draining": true }), "draining"), (json!({ "enabled": false }), "disabled")] {
        let mut life = settled(&[plain("w")]);
        let pid = life.seen("w").unwrap().pid;
        life.agent = agent;
        life.wish(&[plain("w"), plain("new")]);
        life.settle(&[]);
        assert_eq!(life.seen("w").unwrap().pid, pid, "{code}");
        assert_eq!((life.run("new"), life.shows("new").1), (None, code.to_owned()));
        life.agent = json!({});
        life.settle(&[]);
        assert_eq!(life.run("new"), Some(ContainerRun::Running));
    }
}

#[test]
fn what_the_policy_refuses_is_shown_with_its_reason_and_takes_nothing_away() {
    let mut life = settled(&[plain("w")]);
    let pid = life.seen("w").unwrap().pid;
    let elsewhere = image('b').replace("registry.example", "registry.elsewhere");
    life.wish(&[
        wish("w", 'a', json!({ "image": elsewhere })),
        wish("bad", 'a', json!({ "cores": -1 })),
        plain("good"),
    ]);
    life.settle(&[]);
    assert_eq!(
        (life.seen("w").unwrap().pid, life.shows("w")),
        (pid, (S::Running, "denied_by_local_policy".to_owned()))
    );
    assert_eq!(life.shows("bad"), (S::Failed, "invalid_argument".to_owned()));
    assert_eq!(life.run("good"), Some(ContainerRun::Running), "one bad workspace harms no other");
}

#[test]
fn nothing_is_done_for_a_manager_that_may_do_nothing_here() {
    let mut life = settled(&[plain("w")]);
    life.manager_held = Some(WorkspaceReason::new("locked", "an administrator has frozen it"));
    life.wish(&[desired(&plain("w"), "deleted"), plain("new")]);
    life.settle(&[]);
    assert_eq!((life.run("w"), life.run("new")), (Some(ContainerRun::Running), None));
    assert_eq!((life.shows("w").1, life.shows("new").1), ("locked".to_owned(), "locked".to_owned()));
    life.manager_held = None;
    life.settle(&[]);
    assert_eq!((life.run("w"), life.run("new")), (None, Some(ContainerRun::Running)));
}

#[test]
fn a_strangers_container_under_our_name_or_label_is_left_alone_and_said() {
    let mut life = settled(&[plain("other")]);
    let wanted = crate::wishes::container(&plain("w"));
    let name = wanted.name();
    // With our name alone it is not even shown: Docker refuses the name.
    let facts = WorkspaceFacts { name: name.clone(), ..WorkspaceFacts::default() };
    let id = life.docker.add_stranger(facts, SimWorkspaceRun::Running(life.docker.now));
    life.wish(&[plain("w"), plain("other")]);
    life.go_on(60);
    assert_eq!(life.shows("w"), (S::Pending, "docker_refused".to_owned()));
    let tries = deeds(&life, "create the container of workspace w ").len();
    assert!((5..40).contains(&tries), "{tries}");
    assert!(life.docker.containers.iter().any(|one| one.id == id && one.is_live()));

    // With our label, the privileges that ours never have, and a GPU: it counts as having it.
    let mut life = settled(&[plain("other")]);
    let gpu = crate::host_seen::gpus()[0].0.clone().unwrap();
    let mut labels = wanted.labels();
    labels.insert(WorkspaceContainer::GPUS_LABEL.to_owned(), gpu);
    labels.insert(WorkspaceContainer::CONTEXT_LABEL.to_owned(), "theirs".to_owned());
    let facts = WorkspaceFacts { name, labels, is_privileged: true, ..WorkspaceFacts::default() };
    let id = life.docker.add_stranger(facts, SimWorkspaceRun::Running(life.docker.now));
    life.wish(&[plain("w"), plain("other"), on_gpu("g", 'a', "lab", 0)]);
    life.settle(&[]);
    assert_eq!(life.shows("w"), (S::Failed, "foreign_container".to_owned()));
    assert_eq!(life.shows("g").1, "no_gpu");
    assert_eq!(life.shown.as_ref().unwrap().state.foreign.len(), 1);
    life.docker.containers.retain(|one| one.id != id);
    life.settle(&[]);
    assert_eq!(life.unmet(), Vec::<String>::new(), "its owner has removed it");
}

#[test]
fn a_container_of_ours_that_was_renamed_is_a_strangers_from_then_on() {
    let mut life = settled(&[on_gpu("w", 'a', "lab", 0)]);
    let id = life.seen("w").unwrap().id;
    life.docker.rename(&id, "kept-by-a-user");
    life.wish(&[on_gpu("w", 'a', "lab", 0), on_gpu("next", 'a', "other", 0)]);
    life.settle(&[]);
    assert!(life.docker.containers.iter().any(|one| one.id == id && one.is_live()), "it is left alone");
    assert_eq!(life.shows("next").1, "no_gpu", "it still has the GPU");
}

#[test]
fn after_a_reboot_all_are_started_again_in_the_order_of_the_document_and_few_at_once() {
    let numbers: Vec<u32> = (0..18).map(|place| 10 + place * 7 % 18).collect();
    let wishes: Vec<Value> = numbers.iter().map(|number| plain(&format!("w{number}"))).collect();
    let mut life = settled(&wishes);
    let before = life.deeds.len();
    life.turn(Some(crate::life_faults::Fault::Reboot));
    assert_eq!(life.deeds.len() - before, 16, "sixteen at once");
    life.settle(&[]);
    let started: Vec<&str> = life.deeds[before..].iter().map(|deed| &deed[..19]).collect();
    let expected: Vec<String> = numbers.iter().map(|number| format!("start workspace w{number}")).collect();
    assert_eq!(started, expected);
}

#[test]
fn after_a_reboot_nothing_with_a_gpu_starts_before_the_driver_is_ready() {
    let mut life = settled(&[on_gpu("g", 'a', "lab", 0), plain("w")]);
    life.driver_changing = Some("the driver container is not ready yet".to_owned());
    life.turn(Some(crate::life_faults::Fault::Reboot));
    life.settle(&[]);
    assert_eq!((life.run("w"), life.shows("g").1), (Some(ContainerRun::Running), "driver_changing".to_owned()));
    life.driver_changing = None;
    life.settle(&[]);
    assert_eq!(life.unmet(), Vec::<String>::new());
}

#[test]
fn one_that_exits_again_and_again_is_given_up_with_its_reason_until_another_one_is_wished() {
    let mut life = Life::new(&[wish("w", 'e', json!({})), plain("good")]);
    life.settle(&[]);
    assert_eq!(deeds(&life, "start workspace w ").len(), 5);
    assert_eq!(life.shows("w"), (S::Failed, "ended".to_owned()));
    assert!(life.docker.now.0 > 15_000, "with pauses between");
    life.turns(10);
    assert_eq!(deeds(&life, "start workspace w ").len(), 5);
    life.memory.try_again(&"w".parse().unwrap());
    life.turns(1);
    assert_eq!(deeds(&life, "start workspace w ").len(), 6, "a person may ask for it");
    life.wish(&[plain("w"), plain("good")]);
    life.settle(&[]);
    assert_eq!(life.unmet(), Vec::<String>::new());
}

#[test]
fn a_start_that_lacks_a_port_is_tried_again_after_pauses_and_shows_dockers_words() {
    let ported = |id: &str| wish(id, 'a', json!({ "ports": [{ "container": 80, "host": 9000 }] }));
    let mut life = Life::new(&[ported("first"), ported("second")]);
    life.go_on(60);
    assert_eq!(life.run("first"), Some(ContainerRun::Running));
    assert_eq!(life.shows("second"), (S::Pending, "docker_refused".to_owned()));
    let (tries, before) = (deeds(&life, "start workspace second ").len(), life.docker.now);
    assert!((5..40).contains(&tries), "{tries} until {before:?}");
    let turn = life.shown.as_ref().unwrap();
    let message = turn.state.find(&"second".parse().unwrap()).unwrap().reason.clone().unwrap().message;
    assert!(message.contains("port is already allocated"), "{message}");
    life.wish(&[ported("second")]);
    life.go_on(120);
    assert_eq!(life.run("second"), Some(ContainerRun::Running), "the port is free again");
}

#[test]
fn a_lost_memory_and_a_restart_of_the_daemon_adopt_what_runs() {
    let mut life = settled(&[with_home("w", 'a'), on_gpu("g", 'b', "lab", 0), whole_gpu("v", 'a', 2)]);
    let pids = |life: &Life| ["w", "g", "v"].map(|id| life.seen(id).unwrap().pid);
    let (before, deeds) = (pids(&life), life.deeds.len());
    life.settle(&[(0, crate::life_faults::Fault::CrashBeforeRecord), (2, crate::life_faults::Fault::RecordLost)]);
    assert_eq!((pids(&life), life.deeds.len()), (before, deeds));
    assert_eq!(life.unmet(), Vec::<String>::new());
}

#[test]
fn with_live_restore_twenty_kills_of_docker_change_no_pid() {
    let mut life = Life::new(&[plain("w"), on_gpu("g", 'b', "lab", 0)]);
    life.docker.rules.live_restore = true;
    life.settle(&[]);
    let (pids, deeds) = (["w", "g"].map(|id| life.seen(id).unwrap().pid), life.deeds.len());
    for _ in 0..20 {
        life.settle(&[(0, crate::life_faults::Fault::DockerKilled)]);
    }
    assert_eq!((["w", "g"].map(|id| life.seen(id).unwrap().pid), life.deeds.len()), (pids, deeds));
}

#[test]
fn without_live_restore_workspaces_return_after_each_of_twenty_restarts_of_docker() {
    for is_killed in [true, false] {
        let mut life = settled(&[plain("w")]);
        for number in 0..20 {
            if is_killed {
                life.docker.kill()
            } else {
                life.docker.stop()
            }
            life.turn(None);
            life.docker.pass(1_000);
            life.docker.come_up();
            for _ in 0..4 {
                life.turn(None);
                life.docker.pass(5_000);
            }
            assert_eq!(life.run("w"), Some(ContainerRun::Running), "{number}: {:?}", life.shows("w"));
        }
    }
}
