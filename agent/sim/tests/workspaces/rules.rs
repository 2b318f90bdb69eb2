//! Docker's rules, one by one, as they were seen on real engines: what the simulated one does not keep, no test over it is worth.

use crate::wishes::{GPUS, container, digest, image, wish, with_gpu};
use model::ids::ContainerId;
use model::image_ref::ImageRef;
use model::nvidia_container::{ContainerRun, ImageSeen};
use model::workspace::WorkspaceContainer;
use model::workspace_life::{WhyNotOurs, WorkspaceDeed, WorkspaceFacts, WorkspaceSeen};
use serde_json::{Value, json};
use sim::workspace_docker::{
    DeedFault, EngineRules, EngineState, PullFate, RegistryImage, SimEngine, SimProgram, SimWorkspaceRun,
};

/// A Docker with images a (serves), b (serves), c (exits at once), i (ignores SIGTERM) and u (cannot be killed).
fn docker() -> SimEngine {
    let mut docker = SimEngine::default();
    let program = |program| RegistryImage { program, ..RegistryImage::SERVES };
    let ignores = SimProgram { ignores_term: true, ..SimProgram::SERVES };
    let unkillable = SimProgram { unkillable: true, ..SimProgram::SERVES };
    for (letter, image) in [
        ('a', RegistryImage::SERVES),
        ('b', RegistryImage::SERVES),
        ('c', RegistryImage::EXITS),
        ('d', program(ignores)),
        ('e', program(unkillable)),
    ] {
        docker.publish(digest(letter), image);
        docker.have(digest(letter));
    }
    docker.card_of = GPUS.iter().map(|(uuid, bdf)| ((*uuid).to_owned(), (*bdf).to_owned())).collect();
    docker
}

fn create(docker: &mut SimEngine, container: &WorkspaceContainer) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Create(Box::new(container.clone())))
}

/// Creates it and returns its id.
fn created(docker: &mut SimEngine, wish: &Value) -> (WorkspaceContainer, ContainerId) {
    let container = container(wish);
    create(docker, &container).unwrap();
    let id = docker.containers.last().unwrap().id.clone();
    (container, id)
}

fn start(docker: &mut SimEngine, one: &(WorkspaceContainer, ContainerId)) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Start { workspace_id: one.0.workspace_id.clone(), id: one.1.clone() })
}

fn stop(docker: &mut SimEngine, one: &(WorkspaceContainer, ContainerId)) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Stop { workspace_id: one.0.workspace_id.clone(), id: one.1.clone(), grace_s: 10 })
}

fn pause(docker: &mut SimEngine, one: &(WorkspaceContainer, ContainerId)) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Pause { workspace_id: one.0.workspace_id.clone(), id: one.1.clone() })
}

fn unpause(docker: &mut SimEngine, one: &(WorkspaceContainer, ContainerId)) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Unpause { workspace_id: one.0.workspace_id.clone(), id: one.1.clone() })
}

fn remove(docker: &mut SimEngine, one: &(WorkspaceContainer, ContainerId)) -> Result<(), String> {
    docker.act(&WorkspaceDeed::Remove { workspace_id: one.0.workspace_id.clone(), id: one.1.clone() })
}

fn running(docker: &mut SimEngine, wish: &Value) -> (WorkspaceContainer, ContainerId) {
    let one = created(docker, wish);
    start(docker, &one).unwrap();
    one
}

fn seen(docker: &mut SimEngine, id: &ContainerId) -> Option<WorkspaceSeen> {
    docker.look(&[]).unwrap().containers.into_iter().find(|one| one.id == *id)
}

fn run(docker: &mut SimEngine, id: &ContainerId) -> Option<ContainerRun> {
    seen(docker, id).map(|one| one.run)
}

fn image_seen(docker: &mut SimEngine, letter: char) -> ImageSeen {
    let image: ImageRef = image(letter).parse().unwrap();
    docker.look(std::slice::from_ref(&image)).unwrap().image(&image)
}

fn pull(docker: &mut SimEngine, letter: char) {
    docker.act(&WorkspaceDeed::Pull { image: image(letter).parse().unwrap(), login: None }).unwrap();
}

#[test]
fn what_is_created_of_a_plan_is_seen_as_ours_with_all_that_its_labels_have() {
    let mut docker = docker();
    let (container, id) = created(&mut docker, &with_gpu("w1", 'a', "lab", 0));
    let seen = seen(&mut docker, &id).unwrap();
    assert_eq!(seen.foreign, None);
    assert_eq!(seen.workspace_id.as_ref(), Some(&container.workspace_id));
    assert_eq!((seen.spec_digest, seen.generation), (Some(container.spec_digest), 1));
    assert_eq!((seen.gpus, seen.vfio), (vec![GPUS[0].0.to_owned()], vec![]));
    assert_eq!(seen.security_context.as_deref(), Some("lab"));
    assert_eq!((seen.run, seen.pid, seen.started_at), (ContainerRun::Created, None, None));

    let gpu = json!({ "mode": "passthrough", "devices": [{ "bdf": GPUS[1].1 }] });
    let (_, id) = created(&mut docker, &wish("w2", 'a', json!({ "gpu": gpu })));
    let seen = self::seen(&mut docker, &id).unwrap();
    assert_eq!((seen.foreign, seen.vfio), (None, vec![GPUS[1].1.to_owned()]));
}

#[test]
fn a_create_judges_image_name_cores_runtime_and_folders_and_makes_volumes() {
    let mut docker = docker();
    let unknown = create(&mut docker, &container(&wish("w1", '9', json!({})))).unwrap_err();
    assert!(unknown.starts_with("No such image"), "{unknown}");

    let (first, id) =
        created(&mut docker, &wish("w1", 'a', json!({ "volumes": [{ "name": "home", "target": "/home/u" }] })));
    assert_eq!(docker.volumes.get("gpuhost-home"), Some(&true));
    let conflict = create(&mut docker, &first).unwrap_err();
    assert!(conflict.contains("already in use") && conflict.contains(id.as_str()), "{conflict}");

    docker.rules.cores = 2;
    let cores = create(&mut docker, &container(&wish("w2", 'a', json!({ "cores": 3 })))).unwrap_err();
    assert!(cores.contains("only 2 CPUs available"), "{cores}");

    let folder = json!({ "volumes": [{ "source": "/srv/data", "target": "/data", "read_only": true }] });
    docker.missing.insert("/srv/data".to_owned());
    let folder = create(&mut docker, &container(&wish("w3", 'a', folder))).unwrap_err();
    assert!(folder.contains("bind source path does not exist: /srv/data"), "{folder}");
    assert_eq!(docker.containers.len(), 1, "what was refused is not there");
}

#[test]
fn devices_ports_and_networks_are_judged_at_the_start_and_never_at_the_create() {
    let mut docker = docker();
    docker.missing.insert(format!("nvidia.com/gpu={}", GPUS[0].0));
    let cdi = created(&mut docker, &with_gpu("cdi", 'a', "lab", 0));
    let fault = start(&mut docker, &cdi).unwrap_err();
    assert!(fault.contains("unresolvable CDI devices"), "{fault}");
    assert_eq!(run(&mut docker, &cdi.1), Some(ContainerRun::Created), "it stays what it was");
    docker.missing.clear();
    start(&mut docker, &cdi).unwrap();
    docker.exit_ours(0);
    docker.missing.insert(format!("nvidia.com/gpu={}", GPUS[0].0));
    start(&mut docker, &cdi).unwrap_err();
    assert_eq!(run(&mut docker, &cdi.1), Some(ContainerRun::Ended { exit: 128, oom: false }), "one that ran shows 128");

    let gpu = json!({ "mode": "passthrough", "devices": [{ "bdf": GPUS[1].1 }] });
    let whole = created(&mut docker, &wish("whole", 'a', json!({ "gpu": gpu })));
    docker.missing.insert("/dev/vfio/31".to_owned());
    let fault = start(&mut docker, &whole).unwrap_err();
    assert!(fault.contains("error gathering device information") && fault.contains("/dev/vfio/31"), "{fault}");

    let network = created(&mut docker, &wish("net", 'a', json!({ "networks": ["lab"] })));
    docker.missing.insert("lab".to_owned());
    assert_eq!(start(&mut docker, &network).unwrap_err(), "network lab not found");

    let port = |id: &str| wish(id, 'a', json!({ "ports": [{ "container": 8080, "host": 9000 }] }));
    let first = running(&mut docker, &port("p1"));
    let second = created(&mut docker, &port("p2"));
    let fault = start(&mut docker, &second).unwrap_err();
    assert!(fault.ends_with("Bind for 127.0.0.1:9000 failed: port is already allocated"), "{fault}");
    stop(&mut docker, &first).unwrap();
    docker.ports_taken.insert(9000);
    start(&mut docker, &second).unwrap_err();
    docker.ports_taken.clear();
    start(&mut docker, &second).unwrap();
}

#[test]
fn start_and_stop_of_what_is_so_already_are_no_faults() {
    let mut docker = docker();
    let one = running(&mut docker, &wish("w", 'a', json!({})));
    let pid = seen(&mut docker, &one.1).unwrap().pid;
    start(&mut docker, &one).unwrap();
    assert_eq!(seen(&mut docker, &one.1).unwrap().pid, pid, "it was not started again");
    stop(&mut docker, &one).unwrap();
    stop(&mut docker, &one).unwrap();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Ended { exit: 143, oom: false }));
    assert_eq!(seen(&mut docker, &one.1).unwrap().pid, None);
    start(&mut docker, &one).unwrap();
    assert_ne!(seen(&mut docker, &one.1).unwrap().pid, pid, "another process");
}

#[test]
fn what_ignores_sigterm_is_killed_and_what_cannot_be_killed_goes_on() {
    let mut docker = docker();
    let deaf = running(&mut docker, &wish("deaf", 'd', json!({})));
    stop(&mut docker, &deaf).unwrap();
    assert_eq!(run(&mut docker, &deaf.1), Some(ContainerRun::Ended { exit: 137, oom: false }));
    let stuck = running(&mut docker, &wish("stuck", 'e', json!({})));
    let fault = stop(&mut docker, &stuck).unwrap_err();
    assert!(fault.contains("did not receive an exit event"), "{fault}");
    assert_eq!(run(&mut docker, &stuck.1), Some(ContainerRun::Running));
}

#[test]
fn only_what_runs_is_frozen_and_only_what_is_frozen_resumed() {
    let mut docker = docker();
    let one = created(&mut docker, &wish("w", 'a', json!({})));
    assert!(pause(&mut docker, &one).unwrap_err().contains("is not running"));
    start(&mut docker, &one).unwrap();
    assert!(unpause(&mut docker, &one).unwrap_err().contains("is not paused"));
    let pid = seen(&mut docker, &one.1).unwrap().pid;
    pause(&mut docker, &one).unwrap();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Paused));
    assert_eq!(seen(&mut docker, &one.1).unwrap().pid, pid);
    assert!(pause(&mut docker, &one).unwrap_err().contains("is already paused"));
    assert!(start(&mut docker, &one).unwrap_err().contains("cannot start a paused container"));
    unpause(&mut docker, &one).unwrap();
    pause(&mut docker, &one).unwrap();
    docker.rules.stops_paused = false;
    assert!(stop(&mut docker, &one).unwrap_err().contains("it is paused"), "as Podman");
    docker.rules.stops_paused = true;
    stop(&mut docker, &one).unwrap();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Ended { exit: 143, oom: false }));
}

#[test]
fn what_runs_is_not_removed_and_what_is_gone_or_going_is_no_fault() {
    let mut docker = docker();
    let one = running(&mut docker, &wish("w", 'a', json!({ "volumes": [{ "name": "home", "target": "/home/u" }] })));
    assert!(remove(&mut docker, &one).unwrap_err().contains("is running"));
    assert_eq!(docker.violations.len(), 1, "and to want it is a fault of ours");
    docker.violations.clear();
    pause(&mut docker, &one).unwrap();
    remove(&mut docker, &one).unwrap_err();
    docker.violations.clear();
    stop(&mut docker, &one).unwrap();
    let volume = || WorkspaceDeed::RemoveVolume { name: "gpuhost-home".to_owned() };
    assert!(docker.act(&volume()).unwrap_err().contains("volume is in use"), "one that ended has it as well");

    docker.rules.removal_takes_ms = 3_000;
    remove(&mut docker, &one).unwrap();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Other("removing".to_owned())));
    remove(&mut docker, &one).unwrap();
    assert!(start(&mut docker, &one).unwrap_err().contains("marked for removal"));
    create(&mut docker, &one.0).unwrap_err();
    docker.pass(3_000);
    assert_eq!(run(&mut docker, &one.1), None);
    remove(&mut docker, &one).unwrap();
    stop(&mut docker, &one).unwrap();
    assert!(start(&mut docker, &one).unwrap_err().contains("No such container"));
    assert!(docker.volumes.contains_key("gpuhost-home"), "a volume outlives its container");
    docker.act(&volume()).unwrap();
    docker.act(&volume()).unwrap();
    assert!(docker.volumes.is_empty());
    assert!(docker.violations.is_empty(), "{:?}", docker.violations);
}

#[test]
fn a_pull_goes_on_in_the_background_and_shows_how_far_it_is() {
    let mut docker = docker();
    docker.publish(digest('1'), RegistryImage::SERVES);
    pull(&mut docker, '1');
    assert_eq!(image_seen(&mut docker, '1'), ImageSeen::Pulling { done_bytes: 0, total_bytes: 0 });
    docker.pass(10_000);
    pull(&mut docker, '1');
    let half = ImageSeen::Pulling { done_bytes: 200_000_000, total_bytes: 400_000_000 };
    assert_eq!(image_seen(&mut docker, '1'), half, "a second wish for it does not begin again");
    docker.pass(10_000);
    assert_eq!(image_seen(&mut docker, '1'), ImageSeen::Present { digests: vec![digest('1')] });
    docker.prune_images();
    assert_eq!(image_seen(&mut docker, '1'), ImageSeen::Absent);
}

#[test]
fn a_pull_fails_with_the_words_of_its_cause_and_a_stalled_one_is_closed() {
    for (fate, after_ms, words) in [
        (PullFate::Unknown, 0, "manifest unknown"),
        (PullFate::Denied, 0, "authentication required"),
        (PullFate::Cut, 10_000, "unexpected EOF"),
        (PullFate::NoSpace, 10_000, "no space left on device"),
        (PullFate::Stalls, 70_000, "no byte was received"),
    ] {
        let mut docker = docker();
        docker.publish(digest('1'), RegistryImage { fate, ..RegistryImage::SERVES });
        pull(&mut docker, '1');
        if after_ms > 0 {
            docker.pass(after_ms - 1);
            assert!(matches!(image_seen(&mut docker, '1'), ImageSeen::Pulling { .. }), "{fate:?}");
        }
        docker.pass(1);
        let ImageSeen::PullFailed { why } = image_seen(&mut docker, '1') else { panic!("{fate:?}") };
        assert!(why.contains(words), "{why}");
        docker.publish(digest('1'), RegistryImage::SERVES);
        pull(&mut docker, '1');
        docker.pass(20_000);
        assert!(matches!(image_seen(&mut docker, '1'), ImageSeen::Present { .. }), "{fate:?}: the next one works");
    }
    let mut docker = docker();
    docker.publish(digest('1'), RegistryImage::SERVES);
    docker.set_registry_away(true);
    pull(&mut docker, '1');
    docker.pass(1);
    assert!(matches!(image_seen(&mut docker, '1'), ImageSeen::PullFailed { .. }));
}

#[test]
fn without_live_restore_a_restart_of_docker_ends_what_runs_and_starts_nothing() {
    for (killed, exit) in [(false, 143), (true, 255)] {
        let mut docker = docker();
        let one = running(&mut docker, &wish("w", 'a', json!({})));
        if killed {
            docker.kill();
            assert!(docker.containers[0].is_live(), "its shim goes on while Docker is away");
        } else {
            docker.stop();
        }
        assert!(docker.look(&[]).is_err());
        docker.come_up();
        assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Ended { exit, oom: false }));
        start(&mut docker, &one).unwrap();
    }
}

#[test]
fn with_live_restore_containers_keep_their_pids_and_one_that_ended_meanwhile_shows_an_invented_status() {
    let mut docker = docker();
    docker.rules = EngineRules { live_restore: true, ..EngineRules::default() };
    let (runs, frozen) =
        (running(&mut docker, &wish("w", 'a', json!({}))), running(&mut docker, &wish("f", 'a', json!({}))));
    let ends = running(&mut docker, &wish("c", 'c', json!({})));
    pause(&mut docker, &frozen).unwrap();
    let pids = [&runs, &frozen].map(|one| seen(&mut docker, &one.1).unwrap().pid);
    docker.kill();
    docker.pass(5_000);
    docker.come_up();
    assert_eq!([&runs, &frozen].map(|one| seen(&mut docker, &one.1).unwrap().pid), pids);
    assert_eq!(run(&mut docker, &frozen.1), Some(ContainerRun::Paused));
    assert_eq!(run(&mut docker, &ends.1), Some(ContainerRun::Ended { exit: 255, oom: false }), "not its own status 1");
}

#[test]
fn a_restart_of_docker_cuts_pulls_and_a_restart_of_the_hand_forgets_them() {
    let mut docker = docker();
    docker.publish(digest('1'), RegistryImage::SERVES);
    pull(&mut docker, '1');
    docker.restart();
    assert!(matches!(image_seen(&mut docker, '1'), ImageSeen::PullFailed { .. }));
    pull(&mut docker, '1');
    docker.forget_pulls();
    assert_eq!(image_seen(&mut docker, '1'), ImageSeen::Absent);
}

#[test]
fn a_reboot_ends_everything_and_starts_nothing() {
    let mut docker = docker();
    docker.rules.live_restore = true;
    let one = running(&mut docker, &wish("w", 'a', json!({})));
    let frozen = running(&mut docker, &wish("f", 'a', json!({})));
    pause(&mut docker, &frozen).unwrap();
    docker.pass(60_000);
    docker.reboot();
    for one in [&one, &frozen] {
        assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Ended { exit: 255, oom: false }));
    }
    assert_eq!(docker.now.0, 1_000);
}

#[test]
fn with_containerd_killed_docker_shows_what_it_cannot_end() {
    let mut docker = docker();
    let one = running(&mut docker, &wish("w", 'a', json!({})));
    docker.state = EngineState::Deaf;
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Running));
    assert!(stop(&mut docker, &one).unwrap_err().contains("did not receive an exit event"));
    docker.come_up();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Ended { exit: 255, oom: false }));
}

#[test]
fn a_docker_that_hangs_or_is_away_answers_nothing_and_events_of_that_time_are_lost() {
    for state in [EngineState::Away, EngineState::Killed, EngineState::Hangs] {
        let mut docker = docker();
        let one = created(&mut docker, &wish("w", 'a', json!({})));
        docker.look(&[]).unwrap();
        assert_eq!(docker.has_event(), Ok(false));
        docker.state = state;
        assert!(docker.has_event().is_err() && docker.look(&[]).is_err() && start(&mut docker, &one).is_err());
        docker.come_up();
        assert_eq!(docker.has_event(), Ok(true), "who waits has to list again");
    }
}

#[test]
fn every_change_is_an_event_and_a_look_takes_them_all() {
    let mut docker = docker();
    let mut changes = |what: &str, how: &mut dyn FnMut(&mut SimEngine)| {
        docker.look(&[]).unwrap();
        assert_eq!(docker.has_event(), Ok(false), "before {what}");
        how(&mut docker);
        assert_eq!(docker.has_event(), Ok(true), "{what}");
    };
    let container = container(&wish("w", 'a', json!({})));
    let id = |docker: &SimEngine| docker.containers[0].id.clone();
    changes("create", &mut |docker| create(docker, &container).unwrap());
    changes("start", &mut |docker| start(docker, &(container.clone(), id(docker))).unwrap());
    changes("exit", &mut |docker| docker.exit_ours(1));
    changes("rename", &mut |docker| docker.rename(&id(docker), "another"));
    changes("removal by another user", &mut SimEngine::remove_ours);
    changes("a stranger", &mut |docker| {
        docker.add_stranger(WorkspaceFacts::default(), SimWorkspaceRun::Created);
    });
    changes("images pruned", &mut SimEngine::prune_images);
}

#[test]
fn what_is_not_the_container_of_the_workspace_is_refused_and_left_alone() {
    let mut docker = docker();
    let one = running(&mut docker, &wish("w", 'a', json!({})));
    let other = container(&wish("other", 'a', json!({})));
    let mixed = (other.clone(), one.1.clone());
    stop(&mut docker, &mixed).unwrap_err();
    assert_eq!(run(&mut docker, &one.1), Some(ContainerRun::Running));
    let facts = WorkspaceFacts { name: "somebodys".to_owned(), labels: other.labels(), ..WorkspaceFacts::default() };
    let stranger = docker.add_stranger(facts, SimWorkspaceRun::Created);
    assert_eq!(seen(&mut docker, &stranger).unwrap().foreign, Some(WhyNotOurs::Name));
    remove(&mut docker, &(other.clone(), stranger.clone())).unwrap_err();
    assert!(seen(&mut docker, &stranger).is_some());
    docker.rename(&one.1, "renamed");
    stop(&mut docker, &one).unwrap_err();
    docker.volumes.insert("gpuhost-theirs".to_owned(), false);
    docker.act(&WorkspaceDeed::RemoveVolume { name: "gpuhost-theirs".to_owned() }).unwrap_err();
    assert_eq!(docker.volumes.len(), 1);
    assert_eq!(docker.violations.len(), 4, "each is noted: {:?}", docker.violations);
}

#[test]
fn a_gpu_in_two_contexts_or_both_shared_and_passed_through_is_noted() {
    let whole =
        |id: &str| wish(id, 'a', json!({ "gpu": { "mode": "passthrough", "devices": [{ "bdf": GPUS[0].1 }] } }));
    let (lab, home) = (with_gpu("l", 'a', "lab", 0), with_gpu("h", 'a', "home", 0));
    let (again, elsewhere) = (with_gpu("l2", 'a', "lab", 0), with_gpu("h2", 'a', "home", 1));
    for (one, other, is_wrong) in [
        (&lab, &home, true),
        (&lab, &whole("v"), true),
        (&whole("v"), &lab, true),
        (&whole("v"), &whole("v2"), true),
        (&lab, &again, false),
        (&lab, &elsewhere, false),
    ] {
        let mut docker = docker();
        running(&mut docker, one);
        running(&mut docker, other);
        assert_eq!(docker.violations.len(), usize::from(is_wrong), "{one} {other}: {:?}", docker.violations);
    }
}

#[test]
fn a_deed_goes_wrong_wholly_or_not_at_all_and_leaves_docker_as_its_fault_says() {
    for fault in DeedFault::ALL {
        let mut docker = docker();
        let one = created(&mut docker, &wish("w", 'a', json!({})));
        let deed = WorkspaceDeed::Start { workspace_id: one.0.workspace_id.clone(), id: one.1.clone() };
        assert!(docker.act_with(&deed, fault).is_err());
        let done = [DeedFault::AnswerLost, DeedFault::HangsAndDoesIt, DeedFault::KilledAfter].contains(&fault);
        assert_eq!(docker.containers[0].is_live(), done, "{fault:?}");
        let killed = [DeedFault::KilledBefore, DeedFault::KilledAfter].contains(&fault);
        assert_eq!(docker.state == EngineState::Killed, killed, "{fault:?}");
    }
}
