//! Workspaces: how many have which state, what those that run have, and what each of them uses. Nothing before Docker was asked.

use super::text::{Family, Value};
use model::workspace_life::{WorkspaceFigures, WorkspaceState, WorkspacesState};

/// A figure of a workspace that runs; `None` where it is not known.
type FigureOf = fn(&WorkspaceFigures) -> Option<u64>;

/// All families.
pub(super) fn families(state: &WorkspacesState) -> Vec<Family> {
    let mut by_state = Family::gauge("gpuhostd_workspaces", "Workspaces, by their state.");
    let cores = Family::gauge("gpuhostd_workspaces_allocated_cores", "Cores of the workspaces that run or are frozen.");
    let memory =
        Family::gauge("gpuhostd_workspaces_allocated_memory_bytes", "Memory of the workspaces that run or are frozen.");
    if state.is_looked {
        for one in WorkspaceState::ALL {
            let count = state.workspaces.iter().filter(|workspace| workspace.state == *one).count();
            by_state.push(vec![("state", Some(one.code().to_owned()))], u64::try_from(count).ok().map(Value::Whole));
        }
    }
    let given = Some(state.allocation()).filter(|_| state.is_looked);
    let mut families = vec![
        by_state,
        // Thousandths of a core have three decimals, as thousandths of a second have.
        cores.with(vec![], given.map(|given| Value::Millis(given.millicores()))),
        memory.in_unit("bytes").with(vec![], given.map(|given| Value::Whole(given.memory_bytes))),
    ];
    families.extend(figures().into_iter().map(|(family, figure)| of_each(state, family.in_unit("bytes"), figure)));
    let mut stale = Family::gauge(
        "gpuhostd_workspace_stale_driver",
        "1 while a workspace that shares a GPU keeps the libraries of another driver than the one that is loaded.",
    );
    for one in state.live().filter(|one| !one.gpus.is_empty()) {
        let labels = vec![("workspace", Some(one.id.to_string()))];
        stale.push(labels, Some(Value::flag(one.stale_driver.is_some())));
    }
    families.push(stale);
    families
}

/// What each uses, in bytes.
fn figures() -> [(Family, FigureOf); 4] {
    [
        (Family::gauge("gpuhostd_workspace_memory_used_bytes", "Memory in use, without caches."), |figures| {
            figures.cgroup.memory_bytes
        }),
        (
            Family::gauge("gpuhostd_workspace_gpu_memory_used_bytes", "Memory of its processes on the GPUs it shares."),
            |figures| figures.gpu_memory_bytes.get(),
        ),
        (Family::counter("gpuhostd_workspace_network_receive_bytes", "Bytes received over its network."), |figures| {
            figures.network.map(|network| network.received_bytes)
        }),
        (Family::counter("gpuhostd_workspace_network_transmit_bytes", "Bytes sent over its network."), |figures| {
            figures.network.map(|network| network.sent_bytes)
        }),
    ]
}

/// A sample for each workspace that runs and whose figure is known.
fn of_each(state: &WorkspacesState, mut family: Family, figure: FigureOf) -> Family {
    for one in state.live() {
        let value = one.figures.as_ref().and_then(figure);
        family.push(vec![("workspace", Some(one.id.to_string()))], value.map(Value::Whole));
    }
    family
}
