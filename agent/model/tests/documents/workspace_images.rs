//! What is decided about images: which are pulled, within the reserve of the disk, and what is shown of those that a document wishes.

use crate::workspaces::{image, wish, world};
use model::image_ref::ImageRef;
use model::nvidia_container::ImageSeen;
use model::policy::Requester;
use model::workspace_life::{
    DiskRoom, ImageStatus, ImageWish, WorkspaceDeed, WorkspaceReason, WorkspacesMemory, WorkspacesTurn,
    WorkspacesWorld, decide_workspaces,
};
use serde_json::{Value, json};

/// A disk with so much free, of which a tenth of 100 GB is the reserve.
fn room(available_gb: u64) -> DiskRoom {
    let gb = 1_000_000_000;
    let (available_bytes, reserve_bytes) = (available_gb * gb, 10 * gb);
    DiskRoom { path: "/d".to_owned(), available_bytes, reserve_bytes, has_few_inodes: false }
}

fn entry(id: &str, image: &ImageRef, size_gb: u64) -> Value {
    json!({ "image_id": id, "name": image.to_string(), "enabled": true, "uncompressed_size_mb": size_gb * 1000,
            "docker_user": "u", "docker_token": "canary" })
}

#[test]
fn an_image_is_pulled_only_where_the_reserve_stays_free_with_it_and_the_refusal_has_the_numbers() {
    let wish = wish("w", &json!({}));
    let at = |available_gb, is_store_doubled| {
        let mut world = world(std::slice::from_ref(&wish));
        world.document.images = vec![serde_json::from_value(entry("i", &image(), 5)).unwrap()];
        world.look.images = vec![(image(), ImageSeen::Absent)];
        (world.room, world.is_store_doubled) = (Some(room(available_gb)), is_store_doubled);
        world
    };
    for (available, doubled, is_pulled) in
        [(15, false, true), (14, false, false), (20, true, true), (19, true, false), (9, false, false)]
    {
        let turn = decide_workspaces(&at(available, doubled));
        assert_eq!(turn.deeds.len(), usize::from(is_pulled), "{available} GB, {doubled}: {turn:?}");
        let status = &turn.state.workspaces[0];
        if is_pulled {
            let [WorkspaceDeed::Pull { login: Some(login), .. }] = &turn.deeds[..] else { panic!("{turn:?}") };
            assert_eq!((login.registry.as_str(), login.password.as_str()), ("registry.example", "canary"));
            assert!(!format!("{turn:?} {}", turn.deeds[0]).contains("canary"), "no login is ever shown");
        } else {
            let reason = status.reason.as_ref().unwrap();
            assert_eq!(reason.code, "disk_short");
            let needed = if doubled { "9536 MiB, packed and unpacked" } else { "4768 MiB" };
            assert!(
                reason.message.contains(needed) && reason.message.contains("9536 MiB are its reserve"),
                "{reason:?}"
            );
            let wanted = 10_000_000_000 + if doubled { 10_000_000_000 } else { 5_000_000_000 };
            assert_eq!(turn.state.disk_wanted_bytes, wanted);
        }
    }
    // Without a size the reserve counts all the same, and without a known disk nothing is refused.
    let mut sizeless = at(9, false);
    sizeless.document.images.clear();
    assert_eq!(decide_workspaces(&sizeless).state.workspaces[0].reason.as_ref().unwrap().code, "disk_short");
    sizeless.room = None;
    assert_eq!(decide_workspaces(&sizeless).deeds.len(), 1);
    // What is being pulled has its room already.
    let other: ImageRef = image().to_string().replace("desktop", "other").replace("5e", "6f").parse().unwrap();
    let mut busy = at(18, false);
    busy.document.images.push(serde_json::from_value(entry("j", &other, 4)).unwrap());
    busy.look.images.push((other.clone(), ImageSeen::Pulling { done_bytes: 0, total_bytes: 0 }));
    busy.memory.images.entry(other.clone()).or_default().is_begun = true;
    assert!(decide_workspaces(&busy).deeds.is_empty());
    busy.look.images[1].1 = ImageSeen::Pulling { done_bytes: 2_000_000_000, total_bytes: 4_000_000_000 };
    assert_eq!(decide_workspaces(&busy).deeds.len(), 1);
}

#[test]
fn an_image_of_the_document_is_pulled_after_those_of_workspaces_and_met_by_its_digest_alone() {
    let other: ImageRef = image().to_string().replace("desktop", "other").replace("5e", "6f").parse().unwrap();
    let wish = |id: &str, image: Result<ImageRef, WorkspaceReason>| ImageWish {
        id: id.to_owned(),
        requester: Requester::Manager,
        image,
    };
    let mut world = world(&[crate::workspaces::wish("w", &json!({}))]);
    world.limits.pulls = 1;
    let evil: ImageRef = other.to_string().replace("registry.example", "evil.example").parse().unwrap();
    world.images =
        vec![wish("a", Ok(other.clone())), wish("b", Ok(evil)), wish("c", Err(WorkspaceReason::new("conflict", "c")))];
    let absent = |image: &ImageRef| (image.clone(), ImageSeen::Absent);
    world.look.images = vec![absent(&image()), absent(&other)];
    let codes = |turn: &WorkspacesTurn| -> Vec<String> {
        let code = |one: &ImageStatus| one.reason.as_ref().map_or("met", |reason| &reason.code).to_owned();
        turn.state.images.iter().map(code).collect()
    };
    let turn = decide_workspaces(&world);
    assert!(matches!(&turn.deeds[..], [WorkspaceDeed::Pull { image: one, .. }] if *one == image()), "{turn:?}");
    assert_eq!(codes(&turn), ["pull_waits", "denied_by_local_policy", "conflict"]);
    world.look.images[0].1 = ImageSeen::Present { digests: Vec::new() };
    let turn = decide_workspaces(&world);
    let pulls = |turn: &WorkspacesTurn| turn.deeds.iter().any(|deed| matches!(deed, WorkspaceDeed::Pull { .. }));
    assert!(pulls(&turn), "{turn:?}");
    world.look.images[1].1 = ImageSeen::PullFailed { why: "unauthorized: authentication required".to_owned() };
    world.memory = turn.memory;
    let turn = decide_workspaces(&world);
    assert_eq!((codes(&turn)[0].as_str(), pulls(&turn)), ("registry_auth", false));
    assert!(turn.state.images[0].retry_at.is_some());
    world.look.images[1].1 = ImageSeen::Present { digests: Vec::new() };
    assert_eq!(codes(&decide_workspaces(&world))[0], "met");

    // A manager that is held, and a host that takes no work, pull nothing.
    world.look.images[1].1 = ImageSeen::Absent;
    world.memory = WorkspacesMemory::default();
    world.manager_held = Some(WorkspaceReason::new("remote_locked", "locked"));
    let turn = decide_workspaces(&world);
    assert_eq!((codes(&turn)[0].as_str(), pulls(&turn)), ("remote_locked", false));
    (world.manager_held, world.document.agent.draining) = (None, true);
    let turn = decide_workspaces(&world);
    assert_eq!((codes(&turn)[0].as_str(), pulls(&turn)), ("draining", false));
}

#[test]
fn what_may_not_be_pulled_wants_no_room_and_a_pull_ahead_leaves_workspaces_twice_the_reserve() {
    let other: ImageRef = image().to_string().replace("desktop", "other").replace("5e", "6f").parse().unwrap();
    let mut world = world(&[wish("w", &json!({}))]);
    world.document.images = vec![serde_json::from_value(entry("j", &other, 5)).unwrap()];
    world.images = vec![ImageWish { id: "j".to_owned(), requester: Requester::Manager, image: Ok(other.clone()) }];
    world.look.images = vec![(image(), ImageSeen::Present { digests: Vec::new() }), (other.clone(), ImageSeen::Absent)];
    let pulls = |turn: &WorkspacesTurn| turn.deeds.iter().any(|deed| matches!(deed, WorkspaceDeed::Pull { .. }));
    let code = |turn: &WorkspacesTurn| turn.state.images[0].reason.as_ref().map(|reason| reason.code.clone()).unwrap();
    for (available, is_pulled, ahead) in [(25, true, 0), (24, false, 25_000_000_000), (9, false, 25_000_000_000)] {
        world.room = Some(room(available));
        let turn = decide_workspaces(&world);
        assert_eq!((pulls(&turn), turn.state.disk_wanted_ahead_bytes), (is_pulled, ahead), "{available} GB");
        assert_eq!(code(&turn), if is_pulled { "pulling" } else { "disk_short" });
        assert_eq!(turn.state.disk_wanted_bytes, 0);
    }
    // Denied, held, draining, switched off: it wants nothing, however large it is.
    type Change = fn(&mut WorkspacesWorld);
    let changes: [(Change, &str); 5] = [
        (|world| world.host.policy.forbidden = true, "denied_by_local_policy"),
        (|world| world.host.policy.registries = Some(Vec::new()), "denied_by_local_policy"),
        (|world| world.manager_held = Some(WorkspaceReason::new("remote_locked", "locked")), "remote_locked"),
        (|world| world.document.agent.enabled = false, "disabled"),
        (|world| world.document.agent.draining = true, "draining"),
    ];
    for (change, expected) in changes {
        let mut world = world.clone();
        // The image of the workspace is not there either.
        world.look.images[0].1 = ImageSeen::Absent;
        change(&mut world);
        let turn = decide_workspaces(&world);
        let wanted = (turn.state.disk_wanted_bytes, turn.state.disk_wanted_ahead_bytes);
        assert_eq!((code(&turn).as_str(), wanted), (expected, (0, 0)), "{turn:?}");
    }
    // A workspace waits for room: nothing is pulled ahead, and the room is the workspace's.
    world.look.images[0].1 = ImageSeen::Absent;
    let turn = decide_workspaces(&world);
    assert_eq!((code(&turn).as_str(), pulls(&turn), turn.state.disk_wanted_ahead_bytes), ("disk_short", false, 0));
    assert_eq!(turn.state.disk_wanted_bytes, 10_000_000_000);
}
