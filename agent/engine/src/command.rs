//! The only entrance to a change: a command, whose wish it is, and the proof that the gate of its source let it pass.

use model::PciAddress;
use model::blocker::{Blocked, Blocker};
use model::change::Change;
use model::desired::{DocumentId, Epoch};
use model::enrol::EnrolSpec;
use model::enrol::EnrolmentEdit;
use model::mig::{MigReturnRequest, MigTakeBackRequest};
use model::plan::Subject;
use model::policy::{Explanation, Policy, Requester};
use model::prune_mode::PruneMode;
use model::reconcile::ItemPath;
use model::refusal::Refusal;
use model::settings::HostSetting;
use model::workspace::{DesiredRun, WorkspaceId};
use model::workspace_life::WorkspaceAsk;
use serde::{Deserialize, Serialize};

/// Everything that can be asked of the running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Scan the PCI bus and ask all sources again.
    Rescan,
    /// Enrol with a manager.
    Enrol(Box<EnrolSpec>),
    /// Leave the manager and wipe the credential.
    Leave,
    /// Change the enrolment: trust, or the token.
    EditEnrolment(Box<EnrolmentEdit>),
    /// Change the host.
    Change(Change),
    /// Make the plan of a change, and change nothing.
    Plan(Change),
    /// Set settings of this host over those of its files, all or none.
    Configure(Vec<HostSetting>),
    /// Let a binding stand that would be undone otherwise.
    Confirm(PciAddress),
    /// Let a change of MIG stand that would be undone otherwise.
    ConfirmMig(PciAddress),
    /// Freeze what a manager asks for, or lift that.
    Lock(bool),
    /// Somebody knows of a GPU that is gone.
    AcknowledgeGone(PciAddress),
    /// Documents of an epoch that was left are judged again as if it had never been left.
    AcceptEpoch(Epoch),
    /// Ask for something about a workspace.
    Workspace(Box<WorkspaceAsk>),
    /// Delete these staged workspaces.
    DeleteStaged(Vec<WorkspaceId>),
    /// Remove the images that gpuhostd has pulled and this mode does not keep.
    PruneImages(PruneMode),
}

impl Command {
    /// Stable name of the operation, as it is in jobs, logs and polkit details.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Rescan => "rescan",
            Self::Enrol(_) => "enrol",
            Self::Leave => "leave",
            Self::EditEnrolment(edit) => edit.operation(),
            Self::Change(change) | Self::Plan(change) => change.act().code(),
            Self::Configure(_) => "configure",
            Self::Confirm(_) => "passthrough-confirm",
            Self::ConfirmMig(_) => "mig-confirm",
            Self::Lock(true) => "lock",
            Self::Lock(false) => "unlock",
            Self::AcknowledgeGone(_) => "acknowledge-gone-gpu",
            Self::AcceptEpoch(_) => "accept-epoch",
            Self::Workspace(ask) => workspace_operation(ask),
            Self::DeleteStaged(_) => "workspaces-delete-staged",
            Self::PruneImages(_) => "images-prune",
        }
    }

    /// The GPU that it is about.
    #[must_use]
    pub const fn gpu(&self) -> Option<PciAddress> {
        match self {
            Self::Change(change) | Self::Plan(change) => change.subject().gpu(),
            Self::Confirm(gpu) | Self::ConfirmMig(gpu) | Self::AcknowledgeGone(gpu) => Some(*gpu),
            Self::Rescan
            | Self::Enrol(_)
            | Self::Leave
            | Self::EditEnrolment(_)
            | Self::Configure(_)
            | Self::Lock(_)
            | Self::AcceptEpoch(_)
            | Self::Workspace(_)
            | Self::DeleteStaged(_)
            | Self::PruneImages(_) => None,
        }
    }

    /// Only the plan is asked for: nothing is changed.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        matches!(self, Self::Plan(_))
    }
}

/// Stable name of what is asked of workspaces.
const fn workspace_operation(ask: &WorkspaceAsk) -> &'static str {
    match ask {
        WorkspaceAsk::Set { .. } => "workspace-create",
        WorkspaceAsk::Want { desired: DesiredRun::Running, .. } => "workspace-start",
        WorkspaceAsk::Want { desired: DesiredRun::Paused, .. } => "workspace-pause",
        WorkspaceAsk::Want { desired: DesiredRun::Stopped, .. } => "workspace-stop",
        WorkspaceAsk::Want { desired: DesiredRun::Deleted, .. } => "workspace-delete",
        WorkspaceAsk::Again { .. } => "workspace-retry",
        WorkspaceAsk::Recreate { .. } => "workspace-recreate",
        WorkspaceAsk::ConfirmRemovals => "workspaces-confirm-removals",
    }
}

/// Whose wish a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A local user, over D-Bus. polkit has reported success.
    LocalUser,
    /// A file that root placed on this host.
    LocalFile,
    /// The manager's document.
    Manager,
    /// The daemon itself, which takes back what nobody has confirmed in time, brings its MIG instances back after a boot, and does
    /// nothing else of its own will.
    Daemon,
}

impl Origin {
    /// How the policy sees it.
    #[must_use]
    pub const fn requester(self) -> Requester {
        match self {
            Self::LocalUser | Self::LocalFile | Self::Daemon => Requester::Local,
            Self::Manager => Requester::Manager,
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Numeric user id, where the caller is a local user.
    pub uid: Option<u32>,
    /// Whose wish it is.
    pub origin: Origin,
}

/// What the authority (polkit) reported about one command of a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, and why.
    Denied(Refusal),
}

/// A change that nobody has confirmed in time. It can be made by the part of the engine that keeps the records, and by nobody else.
#[derive(Debug)]
pub struct Overdue(pub(crate) Unconfirmed);

/// What has to be undone.
#[derive(Debug)]
pub(crate) enum Unconfirmed {
    /// The binding of that GPU.
    Binding(PciAddress),
    /// A change of MIG.
    Mig(Box<MigTakeBackRequest>),
}

/// Where in a desired state a command comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wished {
    /// The manager's document; `None` = files of this host.
    pub document: Option<DocumentId>,
    /// The items.
    pub paths: Vec<ItemPath>,
    /// 1 for the first attempt at them, more where nothing has changed since an earlier one failed.
    pub attempt: u32,
}

/// A command that has passed the gate of its source. It cannot be made in another way, and each gate sets the origin itself.
#[derive(Debug)]
pub struct Authorized {
    command: Command,
    actor: Actor,
    wished: Option<Wished>,
}

impl Authorized {
    /// The gate for a local user: turns the verdict into the token, or into the refusal.
    ///
    /// # Errors
    /// The refusal of the verdict.
    pub fn by_local_user(verdict: Verdict, command: Command, uid: Option<u32>) -> Result<Self, Refusal> {
        match verdict {
            Verdict::Allowed => Ok(Self { command, actor: Actor { uid, origin: Origin::LocalUser }, wished: None }),
            Verdict::Denied(refusal) => Err(refusal),
        }
    }

    /// The gate for the manager's document: what it wishes passes where the policy allows it to a manager and no administrator has
    /// frozen changes from remote.
    ///
    /// # Errors
    /// What prevents it. A manager may neither rescan, enrol, leave, change the enrolment, confirm, lock, acknowledge nor accept an epoch: those are for this host.
    pub fn by_manager(policy: &Policy, locked: bool, command: Command) -> Result<Self, Refusal> {
        let first = locked.then_some(Blocker::RemoteLocked);
        Self::by_document(policy, first, command, Origin::Manager, "a manager may not do this")
    }

    /// The gate for a local file: what it wishes passes where the policy allows it to this host. The lock is about what comes from
    /// remote, and a file of root's does not.
    ///
    /// # Errors
    /// What prevents it. A file wishes changes, and nothing else.
    pub fn by_local_file(policy: &Policy, command: Command) -> Result<Self, Refusal> {
        Self::by_document(policy, None, command, Origin::LocalFile, "a file may not do this")
    }

    fn by_document(
        policy: &Policy,
        first: Option<Blocker>,
        command: Command,
        origin: Origin,
        never: &str,
    ) -> Result<Self, Refusal> {
        match &command {
            Command::Change(change) | Command::Plan(change) => {
                let gpu = change.subject().gpu();
                let said = policy.explain(change.act(), origin.requester(), gpu);
                let blockers = first.into_iter().chain(said.blocker()).collect();
                refused(change.subject(), blockers).map_or(Ok(()), Err)
            }
            Command::Configure(settings) => {
                let acts = settings.iter().map(HostSetting::act);
                let said = acts.map(|act| policy.explain_setting(act, origin.requester()));
                let blockers = first.into_iter().chain(said.filter_map(Explanation::blocker));
                blockers
                    .take(1)
                    .map(|blocker| Refusal::Conflict { why: blocker.to_string() })
                    .next()
                    .map_or(Ok(()), Err)
            }
            Command::Rescan
            | Command::Enrol(_)
            | Command::Leave
            | Command::EditEnrolment(_)
            | Command::Confirm(_)
            | Command::ConfirmMig(_)
            | Command::Lock(_)
            | Command::AcknowledgeGone(_)
            | Command::AcceptEpoch(_)
            | Command::Workspace(_)
            | Command::DeleteStaged(_)
            | Command::PruneImages(_) => {
                let action = command.operation().to_owned();
                Err(Refusal::NotAuthorized { action, why: never.to_owned() })
            }
        }?;
        Ok(Self { command, actor: Actor { uid: None, origin }, wished: None })
    }

    /// The same, with where in a desired state it comes from: for the audit records of its job.
    #[must_use]
    pub fn wished(self, wished: Wished) -> Self {
        Self { wished: Some(wished), ..self }
    }

    /// The daemon's own undo of a change that nobody has confirmed in time: all that it does without being asked.
    pub(crate) fn undo(Overdue(what): Overdue) -> Self {
        let change = match what {
            Unconfirmed::Binding(gpu) => Change::PassthroughRelease(gpu),
            Unconfirmed::Mig(request) => Change::MigTakeBack(request),
        };
        let command = Command::Change(change);
        Self { command, actor: Actor { uid: None, origin: Origin::Daemon }, wished: None }
    }

    /// The daemon's own return of the MIG instances that it had created before a boot: nothing is destroyed for it.
    pub(crate) const fn bring_back(request: MigReturnRequest) -> Self {
        let command = Command::Change(Change::MigReturn(request));
        Self { command, actor: Actor { uid: None, origin: Origin::Daemon }, wished: None }
    }

    /// What was asked.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// Where in a desired state it comes from, where it does.
    #[must_use]
    pub const fn wish(&self) -> Option<&Wished> {
        self.wished.as_ref()
    }

    /// What was asked, taken out to be done.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Who asked.
    #[must_use]
    pub const fn actor(&self) -> Actor {
        self.actor
    }
}

/// The refusal where there is at least one blocker.
pub(crate) fn refused(subject: Subject, blockers: Vec<Blocker>) -> Option<Refusal> {
    let why = format!("{subject}: {}", blockers.first()?);
    let blocked = subject.gpu().and_then(|gpu| Blocked::by(gpu, blockers));
    Some(blocked.map_or(Refusal::Conflict { why }, Refusal::Blocked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::change::Bind;
    use model::policy::read;

    fn bind() -> Change {
        let gpu = "0000:41:00.0".parse().unwrap();
        Change::PassthroughBind(Bind { gpu, confirm_within_ms: None, guest_memory_mib: None })
    }

    /// What neither a manager's document nor a file can wish.
    fn for_people() -> [Command; 11] {
        let gpu = "0000:41:00.0".parse().unwrap();
        let epoch = "e".to_owned().try_into().unwrap();
        [
            Command::Rescan,
            Command::Leave,
            Command::EditEnrolment(Box::new(EnrolmentEdit::Token(model::enrol::Secret::new("t")))),
            Command::Confirm(gpu),
            Command::ConfirmMig(gpu),
            Command::Lock(false),
            Command::AcknowledgeGone(gpu),
            Command::AcceptEpoch(epoch),
            Command::Workspace(Box::new(WorkspaceAsk::ConfirmRemovals)),
            Command::DeleteStaged(Vec::new()),
            Command::PruneImages(PruneMode::Normal),
        ]
    }

    fn code(token: Result<Authorized, Refusal>) -> Result<Origin, &'static str> {
        token.map(|token| token.actor().origin).map_err(|refusal| refusal.code())
    }

    #[test]
    fn a_manager_may_what_the_policy_says_and_nothing_while_locked() {
        let unsaid = Policy::default();
        let open = read("p", "[manager]\npassthrough = true\nchanges_per_minute = 1").unwrap();
        let closed = read("p", "[host.passthrough]\nallowed = false\n[manager]\npassthrough = true").unwrap();
        for command in [Command::Change(bind()), Command::Plan(bind())] {
            let code = |policy, locked| code(Authorized::by_manager(policy, locked, command.clone()));
            assert_eq!(code(&unsaid, false), Err("denied_by_policy"));
            assert_eq!(code(&open, false), Ok(Origin::Manager));
            assert_eq!(code(&open, true), Err("remote_locked"));
            assert_eq!(code(&closed, false), Err("denied_by_policy"), "the ceiling is for everybody");
        }
        for command in for_people() {
            assert_eq!(code(Authorized::by_manager(&open, false, command)), Err("not_authorized"));
        }
    }

    #[test]
    fn a_file_may_what_the_policy_says_of_this_host() {
        let (unsaid, strictest) = (Policy::default(), Policy::strictest());
        let closed = read("p", "[host.passthrough]\nnever = ['0000:41:00.0']").unwrap();
        for command in [Command::Change(bind()), Command::Plan(bind())] {
            let code = |policy| code(Authorized::by_local_file(policy, command.clone()));
            assert_eq!(code(&unsaid), Ok(Origin::LocalFile));
            assert_eq!(code(&closed), Err("denied_by_policy"));
            assert_eq!(code(&strictest), Err("denied_by_policy"));
        }
        for command in for_people() {
            assert_eq!(code(Authorized::by_local_file(&Policy::default(), command)), Err("not_authorized"));
        }
    }

    #[test]
    fn the_daemon_of_itself_can_only_take_back() {
        let token = Authorized::undo(Overdue(Unconfirmed::Binding("0000:41:00.0".parse().unwrap())));
        assert_eq!(token.actor(), Actor { uid: None, origin: Origin::Daemon });
        assert_eq!(token.command().operation(), "passthrough-release");
    }
}
