//! A described host whose Docker has workspaces: behind the port that the daemon asks, and as other users of its GPUs see them.

use crate::wishes::{container, digest, image, wish};
use model::nvidia_container::{ContainerRun, ImageSeen};
use model::plan::{Scope, Target};
use model::ports::{ActPort, WorkspacePort};
use model::time::UnixMillis;
use model::workspace_life::{WhyNotOurs, WorkspaceDeed};
use serde_json::{Value, json};
use sim::{Description, SimHost};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The simulated host answers at once, or not before something happens.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn description(workspaces: &Value) -> Description {
    let mut description = sim::load("workstation-rtx").unwrap();
    description.workspaces = serde_json::from_value(workspaces.clone()).unwrap();
    description
}

#[test]
fn a_description_without_workspaces_is_what_it_was_and_has_every_image() {
    for (name, _) in sim::BUILT_IN {
        let description = sim::load(name).unwrap();
        let text = serde_json::to_value(&description).unwrap();
        assert!(text.get("workspaces").is_none(), "{name}: what is not described is not written");
    }
    let host = SimHost::new(sim::load("workstation-rtx").unwrap()).unwrap();
    let wanted: model::image_ref::ImageRef = image('a').parse().unwrap();
    now(host.act_on_workspace(&WorkspaceDeed::Pull { image: wanted.clone(), login: None })).unwrap().unwrap();
    let mut looks = 0;
    while now(host.await_workspace_event(UnixMillis(0))).is_some() {
        now(host.look_at_workspaces(vec![wanted.clone()])).unwrap().unwrap();
        looks += 1;
        assert!(looks < 20, "a pull ends after some looks");
    }
    let look = now(host.look_at_workspaces(vec![wanted.clone()])).unwrap().unwrap();
    assert_eq!(look.image(&wanted), ImageSeen::Present { digests: vec![digest('a')] });
}

#[test]
fn images_strangers_and_what_is_missing_are_as_described() {
    let stranger = json!({ "name": "theirs", "labels": { "org.gpuhost.Agent1.workspace": "w9" } });
    let images = json!([
        { "digest": digest('a'), "pulled": true, "exits_after_ms": 1, "exit": 3 },
        { "digest": digest('b'), "pull": "denied" },
    ]);
    let workspaces = json!({ "every_image": false, "images": images, "strangers": [stranger], "ports_taken": [9000] });
    let host = SimHost::new(description(&workspaces)).unwrap();
    let wanted: Vec<model::image_ref::ImageRef> = "abc".chars().map(|letter| image(letter).parse().unwrap()).collect();
    for image in &wanted {
        now(host.act_on_workspace(&WorkspaceDeed::Pull { image: image.clone(), login: None })).unwrap().unwrap();
    }
    let look = now(host.look_at_workspaces(wanted.clone())).unwrap().unwrap();
    assert!(matches!(look.image(&wanted[0]), ImageSeen::Present { .. }));
    for failed in &wanted[1..] {
        assert!(matches!(look.image(failed), ImageSeen::PullFailed { .. }), "{failed}");
    }
    assert_eq!(look.containers.iter().map(|one| one.foreign).collect::<Vec<_>>(), [Some(WhyNotOurs::Name)]);

    let ported = container(&wish("p", 'a', json!({ "ports": [{ "container": 80, "host": 9000 }] })));
    let free = container(&wish("f", 'a', json!({})));
    for one in [&ported, &free] {
        now(host.act_on_workspace(&WorkspaceDeed::Create(Box::new(one.clone())))).unwrap().unwrap();
        let id = host.workspaces(|engine| engine.containers.last().unwrap().id.clone());
        let deed = WorkspaceDeed::Start { workspace_id: one.workspace_id.clone(), id };
        assert_eq!(now(host.act_on_workspace(&deed)).unwrap().is_ok(), one == &free);
    }
    let look = now(host.look_at_workspaces(Vec::new())).unwrap().unwrap();
    let exit = ContainerRun::Ended { exit: 3, oom: false };
    assert_eq!(look.containers.last().unwrap().run, exit, "its program exits by itself");
}

#[test]
fn who_runs_with_a_gpu_is_seen_by_whoever_wants_to_change_the_gpu() {
    let description = description(&json!({}));
    let address = description.gpus[0].address;
    let host = SimHost::new(description).unwrap();
    let uuid = host.workspaces(|engine| {
        let of_card = engine.card_of.iter().find(|(_, card)| **card == address.to_string());
        of_card.unwrap().0.clone()
    });
    let mut wanted = container(&crate::wishes::with_gpu("w", 'a', "lab", 0));
    let old = std::mem::replace(&mut wanted.gpus, vec![uuid.clone()]);
    assert_eq!(old.len(), 1);
    wanted.way = model::workspace::GpuInjection::Cdi { devices: vec![format!("nvidia.com/gpu={uuid}")] };
    host.workspaces(|engine| engine.have(digest('a')));
    let scope =
        Target::Functions(Scope { lane: model::plan::Lane::Gpu(address), gpu: address, members: vec![address] });
    let holders =
        || now(host.holders(&scope)).unwrap().unwrap().found.into_iter().filter(|one| one.container.is_some()).count();
    now(host.act_on_workspace(&WorkspaceDeed::Create(Box::new(wanted.clone())))).unwrap().unwrap();
    assert_eq!(holders(), 0, "what does not run has nothing");
    let id = host.workspaces(|engine| engine.containers[0].id.clone());
    let workspace_id = wanted.workspace_id;
    now(host.act_on_workspace(&WorkspaceDeed::Start { workspace_id: workspace_id.clone(), id: id.clone() }))
        .unwrap()
        .unwrap();
    assert_eq!(holders(), 1);
    now(host.act_on_workspace(&WorkspaceDeed::Stop { workspace_id, id, grace_s: 10 })).unwrap().unwrap();
    assert_eq!(holders(), 0);
}

#[test]
fn a_docker_that_the_description_takes_away_answers_nothing() {
    let host = SimHost::new(description(&json!({}))).unwrap();
    host.change(|state| state.description.faults.docker = Some(sim::faults::DockerFault::Refused));
    assert!(now(host.look_at_workspaces(Vec::new())).unwrap().is_err());
    assert!(now(host.await_workspace_event(UnixMillis(0))).unwrap().is_err());
    host.change(|state| state.description.faults.docker = None);
    now(host.look_at_workspaces(Vec::new())).unwrap().unwrap();
    assert_eq!(now(host.await_workspace_event(UnixMillis(0))), None, "nothing happens: it waits");
}
