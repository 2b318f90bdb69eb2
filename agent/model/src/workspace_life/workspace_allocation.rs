//! What the containers of workspaces that run have of this host.

use super::workspace_status::{WorkspaceState, WorkspaceStatus, WorkspacesState};

/// What is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkspaceAllocation {
    /// Cores, in billionths.
    pub nano_cpus: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Shares of whole NVIDIA GPUs: a GPU that two workspaces share counts twice, as it does against an override. MIG devices and GPUs
    /// given to virtual machines are not among the CUDA GPUs of a host.
    pub cuda_gpus: u64,
}

impl WorkspaceAllocation {
    /// Cores in thousandths, rounded up: what is allocated is never shown as free.
    #[must_use]
    pub const fn millicores(self) -> u64 {
        self.nano_cpus.div_ceil(1_000_000)
    }
}

impl WorkspaceStatus {
    /// It has a container that runs or is frozen: what it was given it has.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.pid.is_some()
            || matches!(
                self.state,
                WorkspaceState::Running | WorkspaceState::Pausing | WorkspaceState::Paused | WorkspaceState::Stopping
            )
    }
}

impl WorkspacesState {
    /// Workspaces with a container that runs or is frozen.
    pub fn live(&self) -> impl Iterator<Item = &WorkspaceStatus> {
        self.workspaces.iter().filter(|one| one.is_live())
    }

    /// What they have.
    #[must_use]
    pub fn allocation(&self) -> WorkspaceAllocation {
        self.live().fold(WorkspaceAllocation::default(), |sum, one| {
            let gpus = one.gpus.iter().filter(|name| name.starts_with("GPU-")).count();
            WorkspaceAllocation {
                nano_cpus: sum.nano_cpus.saturating_add(one.nano_cpus),
                memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
                cuda_gpus: sum.cuda_gpus.saturating_add(u64::try_from(gpus).unwrap_or(u64::MAX)),
            }
        })
    }

    /// No workspace has a container that runs, which was found by a look at Docker: what Docker does not show may run.
    #[must_use]
    pub fn is_empty_of_containers(&self) -> bool {
        self.is_looked && self.unknown.is_none() && self.live().next().is_none()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::Requester;
    use crate::time::UnixMillis;
    use crate::workspace::WorkspaceKind;

    pub(in crate::workspace_life) fn workspace(
        id: &str,
        state: WorkspaceState,
        cores: u64,
        gpus: &[&str],
    ) -> WorkspaceStatus {
        WorkspaceStatus {
            id: id.parse().unwrap(),
            requester: Requester::Manager,
            kind: WorkspaceKind::User,
            desired: None,
            state,
            reason: None,
            retry_at: None,
            since: UnixMillis(0),
            container: None,
            image: None,
            gpus: gpus.iter().map(|&name| name.to_owned()).collect(),
            vfio: Vec::new(),
            gpu_ok: None,
            gpu_unknown: None,
            stale_driver: None,
            figures: None,
            nano_cpus: cores * 1_000_000_000,
            memory_bytes: cores << 30,
            generation: 1,
            pid: None,
            started_at: None,
            pull_progress: None,
        }
    }

    #[test]
    fn what_runs_or_is_frozen_is_allocated_and_what_does_not_is_not() {
        use WorkspaceState::{Failed, Paused, Pending, Running, Stopped};
        let workspaces = vec![
            workspace("a", Running, 2, &["GPU-1"]),
            workspace("b", Paused, 3, &["GPU-1", "MIG-2"]),
            workspace("c", Stopped, 4, &["GPU-1"]),
            workspace("d", Pending, 8, &[]),
            WorkspaceStatus { pid: Some(77), ..workspace("e", Failed, 1, &[]) },
        ];
        let state = WorkspacesState { is_looked: true, workspaces, ..WorkspacesState::default() };
        let expected = WorkspaceAllocation { nano_cpus: 6_000_000_000, memory_bytes: 6 << 30, cuda_gpus: 2 };
        assert_eq!(state.allocation(), expected);
        assert_eq!(WorkspaceAllocation { nano_cpus: 1, ..expected }.millicores(), 1);
    }

    #[test]
    fn a_host_is_empty_only_where_docker_was_seen_to_run_nothing() {
        let stopped = vec![workspace("a", WorkspaceState::Stopped, 1, &[])];
        let seen = WorkspacesState { is_looked: true, workspaces: stopped, ..WorkspacesState::default() };
        assert!(seen.is_empty_of_containers());
        assert!(!WorkspacesState { is_looked: false, ..seen.clone() }.is_empty_of_containers());
        assert!(!WorkspacesState { unknown: Some("away".into()), ..seen.clone() }.is_empty_of_containers());
        let runs = vec![workspace("a", WorkspaceState::Running, 1, &[])];
        assert!(!WorkspacesState { workspaces: runs, ..seen }.is_empty_of_containers());
    }
}
