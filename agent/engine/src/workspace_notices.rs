//! How far workspaces are, as everybody is shown it: their state, and the conditions that follow from it.

use crate::publish::Publisher;
use model::condition::{Condition, ConditionStatus};
use model::time::UnixMillis;
use model::workspace_life::WorkspacesState;
use std::sync::Arc;

/// Type of the condition while removals wait.
const REMOVALS_HELD: &str = "workspace_removals_held";
/// Type of the condition while containers only look like ours.
const FOREIGN: &str = "workspace_foreign_container";

/// Shows it; a state that lasts keeps its time.
pub(crate) fn show(publisher: &Publisher, now: UnixMillis, mut state: WorkspacesState) {
    let before = Arc::clone(&publisher.workspaces().borrow());
    for one in &mut state.workspaces {
        if let Some(earlier) = before.find(&one.id).filter(|earlier| earlier.state == one.state) {
            one.since = earlier.since;
        }
    }
    let condition = |kind: &str, reason: &str, message: String| Condition {
        kind: kind.to_owned(),
        status: ConditionStatus::True,
        reason: reason.to_owned(),
        message,
        since: now,
    };
    match &state.removals_held {
        Some(held) => publisher.stand(condition(
            REMOVALS_HELD,
            "max_removals",
            format!(
                "the manager's desired state removes {} workspaces, and the policy allows {} at once: it waits for another \
                 revision, or for `gpuhostctl workspaces confirm-removals`",
                held.count, held.most
            ),
        )),
        None => publisher.lift(REMOVALS_HELD),
    }
    match state.foreign.first() {
        Some(first) => publisher.stand(condition(
            FOREIGN,
            "not_ours",
            format!(
                "{} containers have the label of a workspace and are not gpuhostd's; the first is {}: {}; they are left alone",
                state.foreign.len(),
                first.name,
                first.why.why()
            ),
        )),
        None => publisher.lift(FOREIGN),
    }
    publisher.show_workspaces(state);
}
