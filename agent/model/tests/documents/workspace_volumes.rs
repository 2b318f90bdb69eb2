//! Whose volumes are removed and mounted, whatever removed a container and whichever workspace names a volume.

use crate::workspaces::{said, wish, with_containers, world};
use model::desired::WishText;
use model::nvidia_container::ContainerRun;
use model::workspace::{WorkspaceAction, plan};
use model::workspace_life::{WorkspaceDeed, WorkspaceReason, WorkspaceState, WorkspacesWorld, decide_workspaces};
use serde_json::{Value, json};

fn home(id: &str, volume: &str) -> Value {
    wish(id, &json!({ "volumes": [{ "name": volume, "target": "/home/u" }] }))
}

fn wishes(at: &mut WorkspacesWorld, wishes: &[Value]) {
    at.document.workspaces = wishes.iter().map(WishText::from).collect();
}

fn removed(at: &WorkspacesWorld) -> Vec<String> {
    let of =
        |deed: &WorkspaceDeed| if let WorkspaceDeed::RemoveVolume { name } = deed { Some(name.clone()) } else { None };
    decide_workspaces(at).deeds.iter().filter_map(of).collect()
}

/// It has run, is to be deleted, and another program has removed its container.
fn removed_by_another(change: impl FnOnce(&mut WorkspacesWorld)) -> WorkspacesWorld {
    let mut at = with_containers(world(&[home("w1", "v")]), &ContainerRun::Running);
    at.memory = decide_workspaces(&at).memory;
    at.look.containers.clear();
    let mut deleted = home("w1", "v");
    deleted["desired"] = "deleted".into();
    wishes(&mut at, &[deleted]);
    change(&mut at);
    at
}

#[test]
fn volumes_of_what_is_deleted_go_also_where_another_program_removed_its_container_first() {
    let mut at = removed_by_another(|_| {});
    let turn = decide_workspaces(&at);
    assert_eq!(said(&turn, "w1"), (WorkspaceState::Deleted, None));
    assert_eq!(removed(&at), ["gpuhost-v"]);
    assert!(turn.memory.record.doomed_volumes.contains("gpuhost-v"), "it is on disk before anything is done");
    // Once is enough.
    at.memory = turn.memory;
    at.memory.record.doomed_volumes.clear();
    assert_eq!(removed(&at), Vec::<String>::new());
}

#[test]
fn they_stay_where_the_manager_is_held_another_one_wants_them_or_it_is_not_to_be_deleted() {
    let held = |at: &mut WorkspacesWorld| at.manager_held = Some(WorkspaceReason::new("locked", "by a person"));
    assert_eq!(removed(&removed_by_another(held)), Vec::<String>::new());
    let mut deleted = home("w1", "v");
    deleted["desired"] = "deleted".into();
    let other = |at: &mut WorkspacesWorld| wishes(at, &[deleted, home("w2", "v")]);
    assert_eq!(removed(&removed_by_another(other)), Vec::<String>::new());
    for desired in ["stopped", "running"] {
        let mut kept = home("w1", "v");
        kept["desired"] = desired.into();
        assert_eq!(removed(&removed_by_another(|at| wishes(at, &[kept]))), Vec::<String>::new(), "{desired}");
    }
}

#[test]
fn a_managers_workspace_does_not_see_the_files_of_one_that_was_created_on_this_host() {
    let mut at = world(&[home("own", "v"), home("foreign", "v"), home("other", "w"), home("shares", "w")]);
    at.document.from_local = 1;
    let said: Vec<String> = plan(&at.host, &at.document)
        .into_iter()
        .map(|one| match one.action {
            WorkspaceAction::Create(_) => "created".to_owned(),
            WorkspaceAction::Refusal(why) => format!("{}: {why}", why.code()),
            WorkspaceAction::Nothing => "nothing".to_owned(),
        })
        .collect();
    assert_eq!(said[0], "created");
    assert!(said[1].contains("denied_by_local_policy") && said[1].contains("gpuhost-v"), "{said:?}");
    assert_eq!(said[2..], ["created", "created"], "of one manager two may share one");
}
