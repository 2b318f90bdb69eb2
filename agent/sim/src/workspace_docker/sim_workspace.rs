//! A container of the simulated Docker: one of a workspace, or of another user of this Docker.

use model::ids::ContainerId;
use model::nvidia_container::ContainerRun;
use model::time::{BootMillis, UnixMillis};
use model::workspace::WorkspaceContainer;
use model::workspace_life::{WorkspaceFacts, WorkspaceSeen};

/// How the first process of a container behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SimProgram {
    /// So many milliseconds after its start it exits by itself, with this status.
    pub exits: Option<(u64, i64)>,
    /// Where it exits by itself, the kernel killed it for want of memory.
    pub oom: bool,
    /// It ignores SIGTERM: the kernel has to kill it after the grace.
    pub ignores_term: bool,
    /// Not even SIGKILL ends it: it waits in the kernel, as for a device that does not answer.
    pub unkillable: bool,
}

impl SimProgram {
    /// Runs until it is stopped.
    pub const SERVES: Self = Self { exits: None, oom: false, ignores_term: false, unkillable: false };
    /// Exits as soon as it has started.
    pub const EXITS: Self = Self { exits: Some((1_500, 1)), ..Self::SERVES };
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimWorkspaceRun {
    /// It was never started.
    Created,
    /// It runs since then.
    Running(BootMillis),
    /// It is frozen.
    Paused,
    /// It has ended.
    Ended {
        /// Its exit status.
        exit: i64,
        /// The kernel ended it for want of memory.
        oom: bool,
    },
    /// Docker removes it until then.
    Removing(BootMillis),
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimWorkspace {
    /// Its id.
    pub id: ContainerId,
    /// What `GET /containers/ID/json` shows.
    pub facts: WorkspaceFacts,
    /// What it was created from; `None` = another user of this Docker created it.
    pub wanted: Option<Box<WorkspaceContainer>>,
    /// How its program behaves.
    pub program: SimProgram,
    /// What it does.
    pub run: SimWorkspaceRun,
    /// Its first process; another one after each start.
    pub pid: u32,
    /// How often it was started.
    pub starts: u32,
    /// When it was last started.
    pub started_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Its control group does not let it open its GPUs any more; another start brings them back.
    pub has_lost_gpus: bool,
}

impl SimWorkspace {
    /// It runs or is frozen: its ports, GPUs and names are in use.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.run, SimWorkspaceRun::Running(_) | SimWorkspaceRun::Paused)
    }

    /// It was created from the specification of a workspace.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.wanted.is_some()
    }

    pub(super) fn end(&mut self, exit: i64, oom: bool, at: UnixMillis) {
        if self.is_live() {
            self.run = SimWorkspaceRun::Ended { exit, oom };
            self.ended_at = Some(at);
        }
    }

    /// Whether anything of it changes with time alone.
    pub(super) const fn is_moving(&self) -> bool {
        match self.run {
            SimWorkspaceRun::Running(_) => self.program.exits.is_some(),
            SimWorkspaceRun::Removing(_) => true,
            SimWorkspaceRun::Created | SimWorkspaceRun::Paused | SimWorkspaceRun::Ended { .. } => false,
        }
    }

    pub(super) fn seen(&self) -> Option<WorkspaceSeen> {
        let run = match self.run {
            SimWorkspaceRun::Created => ContainerRun::Created,
            SimWorkspaceRun::Running(_) => ContainerRun::Running,
            SimWorkspaceRun::Paused => ContainerRun::Paused,
            SimWorkspaceRun::Ended { exit, oom } => ContainerRun::Ended { exit, oom },
            SimWorkspaceRun::Removing(_) => ContainerRun::Other("removing".to_owned()),
        };
        let pid = self.is_live().then_some(self.pid);
        self.facts.clone().seen(self.id.clone(), (run, pid), (self.started_at, self.ended_at))
    }
}
