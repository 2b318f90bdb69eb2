//! Ties observer and core together and starts both.

use crate::change::{ChangeExecutor, ChangePorts, ExecutorParts};
use crate::core::{Core, CoreParts};
use crate::handle::{COMMAND_QUEUE, Handle};
use crate::jobs::JobTable;
use crate::mig_look::{MigLooker, MigQuestion, MigReader};
use crate::mig_return::MigReturner;
use crate::mig_watch::MigWatcher;
use crate::observer::{Ask, Observer, nothing_seen};
use crate::publish::Publisher;
use crate::reconcile::{ReconcileInputs, Reconciled, Reconciler};
use model::condition::{Condition, ConditionStatus};
use model::health::kernel_log::KernelLog;
use model::judge::{self, ObservationMeta};
use model::message::Message;
use model::policy::Policy;
use model::ports::{ActPort, ChangePort, Clock, HostPort, JournalError, JournalPort, ManagerPort};
use model::settings::Settings;
use model::time::{BootMillis, UnixMillis};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The engine with its ends: what the faces hold, what the watchdog asks, and the future that has to be run.
pub struct Engine<F> {
    /// For the faces of the daemon.
    pub handle: Handle,
    /// For the watchdog.
    pub pulse: Pulse,
    /// The engine itself; ends when it is cancelled.
    pub run: F,
}

/// What the engine is built on.
pub struct EnginePorts<H, C, M, A, J, K> {
    /// Reads the host.
    pub host: Arc<H>,
    /// Announces changes of its devices.
    pub announced: C,
    /// Checks in with a manager, and writes down what the core's jobs need.
    pub manager: Arc<M>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// What changes of the host stand on.
    pub change: ChangePorts<A, J, K>,
}

/// The way of the watchdog's ping: through the loop that it guards.
#[derive(Debug, Clone)]
pub struct Pulse(mpsc::Sender<Ask>);

impl Pulse {
    /// Resolves when the observer's loop has turned; `false` where it has ended.
    pub async fn turned(&self) -> bool {
        let (reply, answered) = oneshot::channel();
        self.0.send(Ask::Ping(reply)).await.is_ok() && answered.await.is_ok()
    }
}

/// The watches and queues that exist before the engine runs, so that the faces can be built first.
pub struct EngineParts {
    handle: Handle,
    publisher: Arc<Publisher>,
    jobs: watch::Sender<Arc<Vec<crate::job::Job>>>,
    submissions: mpsc::Receiver<crate::handle::Submission>,
    asks: mpsc::Sender<Ask>,
    asked: mpsc::Receiver<Ask>,
    mig_questions: mpsc::Receiver<MigQuestion>,
    kernel_log: watch::Receiver<Arc<KernelLog>>,
    wished: Option<ReconcileInputs>,
    reconciled: watch::Sender<Arc<Reconciled>>,
}

impl Default for EngineParts {
    fn default() -> Self {
        let never = ObservationMeta { sequence: 0, observed_at: UnixMillis(0), observed_boot: BootMillis(0) };
        let publisher = Arc::new(Publisher::new(judge::judge(nothing_seen(), never, None)));
        let (jobs, listed) = watch::channel(Arc::new(Vec::new()));
        let (commands, submissions) = mpsc::channel(COMMAND_QUEUE);
        let (asks, asked) = mpsc::channel(COMMAND_QUEUE);
        let handle = Handle::new(publisher.shown(), listed, commands).with_observer(asks.clone());
        let (mig, mig_questions) = MigReader::new();
        let handle = handle.with_mig_reader(mig);
        // Without anybody who reads it the log stays empty.
        let (_, kernel_log) = watch::channel(Arc::default());
        let reconciled = watch::Sender::default();
        Self { handle, publisher, jobs, submissions, asks, asked, mig_questions, kernel_log, wished: None, reconciled }
    }
}

impl EngineParts {
    /// What the faces hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where conditions are reported that no look at the host can find.
    #[must_use]
    pub fn publisher(&self) -> Arc<Publisher> {
        Arc::clone(&self.publisher)
    }

    /// With what the kernel log has against the GPUs.
    #[must_use]
    pub fn with_kernel_log(self, kernel_log: watch::Receiver<Arc<KernelLog>>) -> Self {
        Self { kernel_log, ..self }
    }

    /// With a desired state, to which the host is reconciled.
    #[must_use]
    pub fn with_desired_state(self, wished: ReconcileInputs) -> Self {
        Self { wished: Some(wished), ..self }
    }

    /// How far the host is what is wished.
    #[must_use]
    pub fn reconciled(&self) -> watch::Receiver<Arc<Reconciled>> {
        self.reconciled.subscribe()
    }

    /// The engine over these ports. Before anything else runs, what an earlier run left open in the journal is undone. Where the
    /// journal cannot be read the condition `journal_unreadable` shows it, and the engine observes and refuses changes.
    pub async fn engine<H: HostPort, C: ChangePort, M: ManagerPort, A: ActPort, J: JournalPort, K: Clock>(
        self,
        ports: EnginePorts<H, C, M, A, J, K>,
        cancel: CancellationToken,
    ) -> Engine<impl Future<Output = ()> + Send> {
        let EnginePorts { host, announced, manager, settings, policy, change } = ports;
        let (clock, boot_id, act) = (Arc::clone(&change.clock), change.boot_id.clone(), Arc::clone(&change.act));
        let observer = Observer::new(host, Arc::clone(&clock), settings, Arc::clone(&self.publisher), self.asked)
            .with_kernel_log(self.kernel_log);
        let mig = MigLooker::new(Arc::clone(&change.act), Arc::clone(&self.publisher), self.mig_questions);
        let parts = ExecutorParts { publisher: Arc::clone(&self.publisher), observer: self.asks.clone(), policy };
        let mut executor = ChangeExecutor::new(change, parts);
        let changes = match executor.recover().await {
            Ok(()) => Some(executor),
            Err(fault) => {
                tracing::error!(message_id = Message::JournalUnreadable.id(), "changes are disabled: {fault}");
                self.publisher.stand(unreadable(&fault, clock.wall_now()));
                None
            }
        };
        let records = self.publisher.records();
        let returner = MigReturner::new(Arc::clone(&clock), self.handle.clone(), records, boot_id.clone());
        let publisher = Arc::clone(&self.publisher);
        let watcher = MigWatcher::new(act, Arc::clone(&clock), self.handle.clone(), publisher, boot_id);
        let reconciler = self.wished.map(|inputs| {
            let ends = (inputs, self.reconciled);
            Reconciler::new(
                Arc::clone(&clock),
                self.handle.clone(),
                Arc::clone(&self.publisher),
                self.asks.clone(),
                ends,
            )
        });
        let core = Core::new(CoreParts {
            jobs: Arc::new(JobTable::new(Arc::clone(&clock), self.jobs)),
            clock,
            manager,
            observer: self.asks.clone(),
            submissions: self.submissions,
            publisher: self.publisher,
            changes,
        });
        let run = async move {
            let reconciling = async {
                if let Some(reconciler) = reconciler {
                    reconciler.run(cancel.clone()).await;
                }
            };
            tokio::join!(
                observer.run(announced, cancel.clone()),
                core.run(cancel.clone()),
                mig.run(cancel.clone()),
                returner.run(cancel.clone()),
                watcher.run(cancel.clone()),
                reconciling
            );
        };
        Engine { handle: self.handle, pulse: Pulse(self.asks), run }
    }
}

fn unreadable(fault: &JournalError, since: UnixMillis) -> Condition {
    Condition {
        kind: "journal_unreadable".to_owned(),
        status: ConditionStatus::True,
        reason: "host_fault".to_owned(),
        message: format!(
            "{fault}; no GPU can be given to a virtual machine or taken back, because unfinished changes are not known: fix \
             this, then `systemctl restart gpuhostd`"
        ),
        since,
    }
}
