//! Workspaces: how many have which state, and what those that run have. Nothing before Docker was asked.

use super::text::{Family, Value};
use model::workspace_life::{WorkspaceState, WorkspacesState};

/// All families.
pub(super) fn families(state: &WorkspacesState) -> [Family; 3] {
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
    [
        by_state,
        // Thousandths of a core have three decimals, as thousandths of a second have.
        cores.with(vec![], given.map(|given| Value::Millis(given.millicores()))),
        memory.in_unit("bytes").with(vec![], given.map(|given| Value::Whole(given.memory_bytes))),
    ]
}
