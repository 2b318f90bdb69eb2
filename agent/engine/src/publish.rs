//! Publishes what everybody is shown: the latest look at the host, with the changes that are under way and what else holds.

use crate::change::{Records, overlay};
use crate::event_port::{EventEnds, EventPort};
use crate::image_board::ImageBoard;
use model::condition::Condition;
use model::driver_libraries::StaleWorkspace;
use model::event::Occurrence;
use model::nvidia_container::{NvidiaRole, NvidiaState};
use model::observation::HostObservation;
use model::proxy_cert::ProxyState;
use model::readiness::ReadinessStatus;
use model::refusal::Refusal;
use model::roster::{Known, Sight};
use model::time::whole_millis;
use model::workspace::WorkspaceId;
use model::workspace_life::{MigLeaves, StaleDriver, WorkspaceAsk, WorkspaceFigures, WorkspaceStatus, WorkspacesState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// So many things can be asked of workspaces before the first is taken.
const WORKSPACE_ASKS_MOST: usize = 256;
/// So many events can wait to be written.
const EVENTS_MOST: usize = 1024;
/// For an answer it is waited so long: a look at Docker comes first, with its own deadline.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// What somebody asks of workspaces, and where the answer goes.
#[derive(Debug)]
pub struct WorkspaceQuestion {
    /// What is asked.
    pub ask: WorkspaceAsk,
    /// Gets the answer once what was asked is on disk.
    pub answer: oneshot::Sender<Result<(), Refusal>>,
}

/// The one writer of the observation that the faces see. Anyone who has called it finds the result published.
#[derive(Debug)]
pub struct Publisher {
    /// As the host showed it: what plans are made from.
    raw: watch::Sender<Arc<HostObservation>>,
    /// As everybody is to see it.
    shown: watch::Sender<Arc<HostObservation>>,
    records: watch::Sender<Arc<Records>>,
    /// The GPUs of the latest scan that worked; `None` until one has.
    sight: watch::Sender<Option<Arc<Sight>>>,
    /// The GPUs that this host has had.
    known: watch::Sender<Arc<Vec<Known>>>,
    /// GPUs that are gone.
    gone: watch::Sender<Arc<Vec<Known>>>,
    standing: watch::Sender<Arc<BTreeMap<String, Condition>>>,
    /// NVIDIA's driver container and toolkit container.
    nvidia: watch::Sender<Arc<NvidiaState>>,
    /// Workspaces.
    workspaces: watch::Sender<Arc<WorkspacesState>>,
    /// Changes of MIG that wait for workspaces.
    mig_leaves: watch::Sender<Arc<MigLeaves>>,
    /// What people ask of them, and where it arrives until somebody takes that.
    workspace_questions: mpsc::Sender<WorkspaceQuestion>,
    workspace_asked: Mutex<Option<mpsc::Receiver<WorkspaceQuestion>>>,
    /// What happened that no state shows, and where it arrives until somebody takes that.
    occurrences: mpsc::Sender<Occurrence>,
    occurred: Mutex<Option<mpsc::Receiver<Occurrence>>>,
    /// Where kept events are read and acknowledged, and its other end until somebody takes that.
    events: EventPort,
    event_ends: Mutex<Option<EventEnds>>,
    /// The readiness call.
    readiness: watch::Sender<Arc<ReadinessStatus>>,
    /// The certificate of the workspace proxy.
    proxy: watch::Sender<Arc<ProxyState>>,
    /// Which of them another try is asked for.
    nvidia_asked: watch::Sender<BTreeSet<NvidiaRole>>,
    /// Images.
    images: ImageBoard,
}

impl Publisher {
    /// Begins with this observation.
    #[must_use]
    pub fn new(first: HostObservation) -> Self {
        let first = Arc::new(first);
        let (workspace_questions, workspace_asked) = mpsc::channel(WORKSPACE_ASKS_MOST);
        let (occurrences, occurred) = mpsc::channel(EVENTS_MOST);
        let (events, event_ends) = EventPort::new();
        Self {
            raw: watch::Sender::new(Arc::clone(&first)),
            shown: watch::Sender::new(first),
            records: watch::Sender::new(Arc::default()),
            sight: watch::Sender::new(None),
            known: watch::Sender::new(Arc::default()),
            gone: watch::Sender::new(Arc::default()),
            standing: watch::Sender::new(Arc::default()),
            nvidia: watch::Sender::new(Arc::new(NvidiaState::not_looked())),
            workspaces: watch::Sender::default(),
            mig_leaves: watch::Sender::default(),
            workspace_questions,
            workspace_asked: Mutex::new(Some(workspace_asked)),
            occurrences,
            occurred: Mutex::new(Some(occurred)),
            events,
            event_ends: Mutex::new(Some(event_ends)),
            readiness: watch::Sender::default(),
            proxy: watch::Sender::default(),
            nvidia_asked: watch::Sender::default(),
            images: ImageBoard::default(),
        }
    }

    /// What everybody is to see.
    #[must_use]
    pub fn shown(&self) -> watch::Receiver<Arc<HostObservation>> {
        self.shown.subscribe()
    }

    /// The latest look at the host, as it was.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Arc<HostObservation>> {
        self.raw.subscribe()
    }

    /// What is given away, and what is being changed.
    #[must_use]
    pub fn records(&self) -> watch::Receiver<Arc<Records>> {
        self.records.subscribe()
    }

    /// The GPUs of the latest scan that worked; `None` until one has.
    #[must_use]
    pub fn sight(&self) -> watch::Receiver<Option<Arc<Sight>>> {
        self.sight.subscribe()
    }

    /// A scan has worked and showed these GPUs.
    pub fn saw(&self, sight: Sight) {
        self.sight.send_replace(Some(Arc::new(sight)));
    }

    /// The GPUs that this host has had, as far as they are recorded.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Arc<Vec<Known>>> {
        self.known.subscribe()
    }

    /// This host has had these GPUs.
    pub fn know(&self, known: &[Known]) {
        let is_same_card = |(one, other): (&Known, &Known)| one.card == other.card && one.gone_at == other.gone_at;
        self.known.send_if_modified(|before| {
            let is_news = before.len() != known.len() || !before.iter().zip(known).all(is_same_card);
            if is_news {
                *before = Arc::new(known.to_vec());
            }
            is_news
        });
    }

    /// These GPUs are gone.
    pub fn miss(&self, gone: Vec<Known>) {
        let is_news = |known: &mut Arc<Vec<Known>>| {
            let is_news = **known != gone;
            if is_news {
                *known = Arc::new(gone);
            }
            is_news
        };
        if self.gone.send_if_modified(is_news) {
            self.show();
        }
    }

    /// How far NVIDIA's driver container and toolkit container are.
    #[must_use]
    pub fn nvidia(&self) -> watch::Receiver<Arc<NvidiaState>> {
        self.nvidia.subscribe()
    }

    /// Wakes who keeps NVIDIA's containers when another try of one is asked for.
    #[must_use]
    pub fn nvidia_asked(&self) -> watch::Receiver<BTreeSet<NvidiaRole>> {
        self.nvidia_asked.subscribe()
    }

    /// Another try of it is asked for, also where it was given up.
    pub fn ask_nvidia_again(&self, role: NvidiaRole) {
        self.nvidia_asked.send_modify(|asked| {
            asked.insert(role);
        });
    }

    /// What was asked for since the last call.
    #[must_use]
    pub fn take_nvidia_asked(&self) -> BTreeSet<NvidiaRole> {
        let mut taken = BTreeSet::new();
        self.nvidia_asked.send_if_modified(|asked| {
            taken = std::mem::take(asked);
            false
        });
        taken
    }

    /// How far workspaces are.
    #[must_use]
    pub fn workspaces(&self) -> watch::Receiver<Arc<WorkspacesState>> {
        self.workspaces.subscribe()
    }

    /// Changes of MIG that wait for workspaces.
    #[must_use]
    pub fn mig_leaves(&self) -> watch::Receiver<Arc<MigLeaves>> {
        self.mig_leaves.subscribe()
    }

    /// Shows which changes of MIG wait for workspaces; what is the same wakes nobody.
    pub fn show_mig_leaves(&self, leaves: MigLeaves) {
        self.mig_leaves.send_if_modified(|known| {
            let is_new = **known != leaves;
            if is_new {
                *known = Arc::new(leaves);
            }
            is_new
        });
    }

    /// Shows how far workspaces are; what is the same wakes nobody. What they use is kept, as long as it is the same container.
    pub fn show_workspaces(&self, mut state: WorkspacesState) {
        self.workspaces.send_if_modified(|known| {
            for one in state.workspaces.iter_mut().filter(|one| one.is_live()) {
                let same = known.find(&one.id).filter(|known| known.container == one.container);
                one.figures = same.and_then(|known| known.figures.clone());
                // Another process has other libraries.
                let as_started = same.filter(|known| known.pid == one.pid);
                one.stale_driver = as_started.and_then(|known| known.stale_driver.clone());
            }
            let is_new = **known != state;
            if is_new {
                *known = Arc::new(state);
            }
            is_new
        });
    }

    /// What workspaces that run use; the others use nothing.
    pub fn show_workspace_figures(&self, figures: &BTreeMap<WorkspaceId, WorkspaceFigures>) {
        self.workspaces.send_modify(|known| {
            for one in &mut Arc::make_mut(known).workspaces {
                one.figures = figures.get(&one.id).cloned().filter(|_| one.is_live());
            }
        });
    }

    /// Which workspaces keep the libraries of another driver than the one that is loaded; the others do not. What is the same wakes nobody.
    pub fn show_stale_drivers(&self, stale: &[StaleWorkspace], loaded: &str) {
        self.workspaces.send_if_modified(|known| {
            let of = |one: &WorkspaceStatus| {
                let stale = stale.iter().find(|stale| stale.workspace == one.id && one.is_live())?;
                Some(StaleDriver { has: stale.has.clone(), loaded: loaded.to_owned() })
            };
            let is_new = known.workspaces.iter().any(|one| one.stale_driver != of(one));
            if is_new {
                for one in &mut Arc::make_mut(known).workspaces {
                    one.stale_driver = of(one);
                }
            }
            is_new
        });
    }

    /// Asks something of workspaces. It is on disk when this returns.
    ///
    /// # Errors
    /// The keeper's refusal; `Busy` where too much is asked at once, `Unavailable` where nobody keeps workspaces.
    pub async fn ask_workspaces(&self, ask: WorkspaceAsk) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Refusal::stopping("the keeper of workspaces");
        self.workspace_questions.try_send(WorkspaceQuestion { ask, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::Busy { why: "too much is asked of workspaces at once; try again in a few seconds".to_owned() }
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer.map_err(|_| stopping())?,
            Err(_) => {
                let what = "the keeper of workspaces".to_owned();
                Err(Refusal::Timeout { what, after_ms: whole_millis(ANSWER_WITHIN) })
            }
        }
    }

    /// Where these questions arrive, for the one who keeps workspaces. None: somebody has it already.
    #[must_use]
    pub fn take_workspace_questions(&self) -> Option<mpsc::Receiver<WorkspaceQuestion>> {
        self.workspace_asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where the keepers of containers and the keeper of images meet.
    #[must_use]
    pub const fn images(&self) -> &ImageBoard {
        &self.images
    }

    /// This happened, and no state shows it afterwards. Nobody waits: what finds no room, or nobody who writes events, is dropped.
    pub fn occur(&self, occurrence: Occurrence) {
        let _dropped = self.occurrences.try_send(occurrence);
    }

    /// Where it arrives, for the one who writes events. None: that one has it already.
    #[must_use]
    pub fn take_occurrences(&self) -> Option<mpsc::Receiver<Occurrence>> {
        self.occurred.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where kept events are read and acknowledged.
    #[must_use]
    pub fn events(&self) -> EventPort {
        self.events.clone()
    }

    /// Its other end, for the one who keeps events. None: that one has it already.
    #[must_use]
    pub fn take_event_ends(&self) -> Option<EventEnds> {
        self.event_ends.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How far the readiness call is.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Arc<ReadinessStatus>> {
        self.readiness.subscribe()
    }

    /// Shows how far the readiness call is; what is the same wakes nobody.
    pub fn show_readiness(&self, status: ReadinessStatus) {
        self.readiness.send_if_modified(|known| {
            let is_news = **known != status;
            if is_news {
                *known = Arc::new(status);
            }
            is_news
        });
    }

    /// How far the certificate of the workspace proxy is.
    #[must_use]
    pub fn proxy(&self) -> watch::Receiver<Arc<ProxyState>> {
        self.proxy.subscribe()
    }

    /// Shows how far the certificate of the workspace proxy is; what is the same wakes nobody.
    pub fn show_proxy(&self, state: ProxyState) {
        self.proxy.send_if_modified(|known| {
            let is_news = **known != state;
            if is_news {
                *known = Arc::new(state);
            }
            is_news
        });
    }

    /// NVIDIA's two containers are so now.
    pub fn show_nvidia(&self, state: NvidiaState) {
        self.nvidia.send_if_modified(|known| {
            let is_news = **known != state;
            if is_news {
                *known = Arc::new(state);
            }
            is_news
        });
    }

    /// A further look at the host.
    pub fn publish(&self, seen: HostObservation) {
        self.raw.send_replace(Arc::new(seen));
        self.show();
    }

    /// Something changes in the records.
    pub fn note(&self, change: impl FnOnce(&mut Records)) {
        self.records.send_modify(|records| change(Arc::make_mut(records)));
        self.show();
    }

    /// A condition holds that no look at the host can find. It stays until [`Publisher::lift`]; one of the same type that
    /// holds already keeps its time.
    pub fn stand(&self, condition: Condition) {
        let is_news = self.standing.send_if_modified(|standing| {
            let known = standing.get(&condition.kind);
            let since = known.map_or(condition.since, |known| known.since);
            let condition = Condition { since, ..condition };
            if known == Some(&condition) {
                return false;
            }
            Arc::make_mut(standing).insert(condition.kind.clone(), condition);
            true
        });
        // What holds already wakes no task: one that is woken by what is shown may be the one that repeats it.
        if is_news {
            self.show();
        }
    }

    /// The condition of this type holds no longer.
    pub fn lift(&self, kind: &str) {
        if self.standing.send_if_modified(|standing| Arc::make_mut(standing).remove(kind).is_some()) {
            self.show();
        }
    }

    /// Shows the newest of all: anyone who comes last has seen everything.
    fn show(&self) {
        self.shown.send_modify(|shown| {
            let (records, standing) = (Arc::clone(&self.records.borrow()), Arc::clone(&self.standing.borrow()));
            let (seen, gone) = (Arc::clone(&self.raw.borrow()), Arc::clone(&self.gone.borrow()));
            let is_bare = records.is_empty() && !records.has_places();
            *shown = if is_bare && standing.is_empty() && gone.is_empty() {
                seen
            } else {
                let standing: Vec<Condition> = standing.values().cloned().collect();
                Arc::new(HostObservation { gone: gone.to_vec(), ..overlay(&seen, &records, &standing) })
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::nothing_seen;
    use model::condition::ConditionStatus;
    use model::judge::{ObservationMeta, judge};
    use model::time::{BootMillis, UnixMillis};

    fn look(sequence: u64) -> HostObservation {
        let seen = ObservationMeta { sequence, observed_at: UnixMillis(1), observed_boot: BootMillis(1) };
        judge(nothing_seen(), seen, None)
    }

    fn condition(since: i64, message: &str) -> Condition {
        Condition {
            kind: "policy_invalid".to_owned(),
            status: ConditionStatus::True,
            reason: "wrong_file".to_owned(),
            message: message.to_owned(),
            since: UnixMillis(since),
        }
    }

    #[test]
    fn a_standing_condition_is_in_every_look_until_it_is_lifted() {
        let publisher = Publisher::new(look(0));
        let (mut shown, seen) = (publisher.shown(), publisher.seen());
        let held = |shown: &watch::Receiver<Arc<HostObservation>>| {
            shown.borrow().conditions.iter().find(|one| one.kind == "policy_invalid").cloned()
        };
        publisher.stand(condition(5, "first"));
        publisher.publish(look(1));
        publisher.stand(condition(9, "second"));
        assert_eq!(held(&shown), Some(condition(5, "second")), "it has held since the first time");
        shown.borrow_and_update();
        publisher.stand(condition(11, "second"));
        assert!(!shown.has_changed().unwrap(), "what is repeated wakes no task");
        assert_eq!((shown.borrow().sequence, held(&seen)), (1, None), "what was seen stays what was seen");
        publisher.lift("policy_invalid");
        assert_eq!(held(&shown), None);
        assert!(Arc::ptr_eq(&shown.borrow(), &seen.borrow()), "without anything to add nothing is copied");
    }
}
