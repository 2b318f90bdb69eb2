//! What a manager learns about its wishes: what is met and what is not, and what is in effect.

use super::epoch::DocumentId;
use crate::time::UnixMillis;
use crate::workspace_life::{WorkspaceStatus, WorkspacesState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// No more unmet items than this go with a heartbeat; [`Observed::unmet_total`] counts all of them.
pub const UNMET_MAX: usize = 64;

/// How far the host is from what is wished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The newest document for which an observation newer than the document found every item met.
    pub applied: Option<DocumentId>,
    /// Items that are not met, in the order of their paths; [`UNMET_MAX`] at most.
    pub unmet: Vec<UnmetItem>,
    /// How many there are.
    pub unmet_total: usize,
}

/// One item that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmetItem {
    /// Its stable path: `gpus[0000:41:00.0].use`.
    pub path: String,
    /// Stable code: `not_found`, `denied_by_local_policy`, `in_progress`, …
    pub code: String,
    /// Why, and what would change it.
    pub message: String,
    /// Since when it has not been met.
    pub since: UnixMillis,
    /// When it is tried again; `None` = not before something changes.
    pub retry_at: Option<UnixMillis>,
}

/// What is in effect of the settings of this host, by file or by document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// Cores that are offered, in thousandths; `None` = not overridden.
    pub millicores: Option<u64>,
    /// Memory that is offered, in bytes; `None` = not overridden.
    pub memory_bytes: Option<u64>,
    /// CUDA GPUs that are offered; `None` = not overridden.
    pub cuda_gpus: Option<u32>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Zone; `None` = none.
    pub zone: Option<String>,
    /// Pool; `None` = none.
    pub pool: Option<String>,
    /// Work may be placed here; `None` = no document has set it, so what the manager's last reply reported counts.
    pub enabled: Option<bool>,
    /// No new work; what runs may finish.
    pub draining: bool,
}

/// What the reconciler has to report with the next heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredReport {
    /// How far the host is from what is wished.
    pub observed: Observed,
    /// What is in effect; `None` before the reconciler has looked once.
    pub effective: Option<Effective>,
    /// The workspaces of this host.
    pub workspaces: Arc<WorkspacesState>,
}

impl DesiredReport {
    /// Whether a manager should not have to wait for what is new since `before`: another document is applied, other items are unmet,
    /// the host is enabled, disabled, drained or no longer drained, or a workspace has come, gone, or has another state, reason,
    /// container or GPU. Times, messages and how far a pull is are no news.
    #[must_use]
    pub fn is_news_since(&self, before: &Self) -> bool {
        let paths = |report: &Self| -> BTreeSet<String> {
            report.observed.unmet.iter().map(|item| item.path.clone()).collect()
        };
        let mode = |report: &Self| report.effective.as_ref().map(|effective| (effective.enabled, effective.draining));
        self.observed.applied != before.observed.applied
            || self.observed.unmet_total != before.observed.unmet_total
            || mode(self) != mode(before)
            || paths(self) != paths(before)
            || self.has_other_workspaces_than(before)
    }

    fn has_other_workspaces_than(&self, before: &Self) -> bool {
        let (one, other) = (&self.workspaces, &before.workspaces);
        let gist = |state: &'_ WorkspacesState| (state.is_looked, state.workspaces.len());
        let is_same = |(one, other): (&WorkspaceStatus, &WorkspaceStatus)| {
            let code = |status: &WorkspaceStatus| status.reason.as_ref().map(|reason| reason.code.clone());
            (&one.id, one.state, &one.container, one.gpu_ok) == (&other.id, other.state, &other.container, other.gpu_ok)
                && (&one.gpus, &one.vfio, code(one)) == (&other.gpus, &other.vfio, code(other))
        };
        gist(one) != gist(other) || !one.workspaces.iter().zip(&other.workspaces).all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Epoch;

    fn item(path: &str, message: &str) -> UnmetItem {
        UnmetItem {
            path: path.to_owned(),
            code: "not_found".to_owned(),
            message: message.to_owned(),
            since: UnixMillis(0),
            retry_at: None,
        }
    }

    fn with(unmet: Vec<UnmetItem>) -> DesiredReport {
        let observed = Observed { applied: None, unmet_total: unmet.len(), unmet };
        DesiredReport { observed, ..DesiredReport::default() }
    }

    #[test]
    fn other_paths_another_document_and_another_mode_are_news_and_words_and_times_are_not() {
        let before = with(vec![item("agent.labels", "a")]);
        let later = UnmetItem { retry_at: Some(UnixMillis(9)), ..item("agent.labels", "b") };
        assert!(!with(vec![later]).is_news_since(&before));
        assert!(with(vec![item("agent.zone", "a")]).is_news_since(&before));
        assert!(with(Vec::new()).is_news_since(&before));
        let id = DocumentId { epoch: Epoch::try_from("e".to_owned()).unwrap(), revision: 7.try_into().unwrap() };
        let mut applied = before.clone();
        applied.observed.applied = Some(id);
        assert!(applied.is_news_since(&before));
        let effective = |draining| DesiredReport {
            effective: Some(Effective { draining, ..Effective::default() }),
            ..before.clone()
        };
        assert!(effective(true).is_news_since(&effective(false)));
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let labelled =
            DesiredReport { effective: Some(Effective { labels, ..Effective::default() }), ..before.clone() };
        assert!(!labelled.is_news_since(&effective(false)));
    }
}
