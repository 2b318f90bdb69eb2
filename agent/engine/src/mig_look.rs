//! MIG of one GPU as it is now, for a reader: looked at afresh for each, with at most one look at a GPU at a time.

use crate::change::refusal_of_act;
use crate::publish::Publisher;
use model::PciAddress;
use model::change::Change;
use model::driver::MigMode;
use model::holders::Holders;
use model::mig::{Instance, MigModeRequest, MigOnGpu};
use model::plan::{Look, Target};
use model::ports::ActPort;
use model::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// So many readers may wait for looks; more are answered `busy`.
const MOST_WAITING: usize = 64;

/// MIG of a GPU with who uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigLook {
    /// As the driver reports it.
    pub seen: MigOnGpu,
    /// Who uses the GPU and its instances.
    pub holders: Holders,
    /// The instances that gpuhostd has created.
    pub owned: Vec<Instance>,
}

/// Where the look goes that a reader waits for.
type Answer = oneshot::Sender<Result<MigLook, Refusal>>;

/// A reader's question about one GPU.
#[derive(Debug)]
pub struct MigQuestion {
    /// The GPU.
    pub gpu: PciAddress,
    /// Gets the look.
    pub answer: Answer,
}

/// The way of a reader to the looks.
#[derive(Debug, Clone)]
pub struct MigReader(mpsc::Sender<MigQuestion>);

impl MigReader {
    /// A way, and where the questions arrive.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<MigQuestion>) {
        let (ask, questions) = mpsc::channel(MOST_WAITING);
        (Self(ask), questions)
    }

    /// Looks at MIG of a GPU. The look begins after this is called.
    ///
    /// # Errors
    /// There is no such GPU, it has no MIG that could be read, `Busy` where too many are waiting, or the daemon is stopping.
    pub async fn look(&self, gpu: PciAddress) -> Result<MigLook, Refusal> {
        let stopping = || Refusal::stopping("the daemon's core");
        let (answer, look) = oneshot::channel();
        self.0.try_send(MigQuestion { gpu, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        look.await.map_err(|_| stopping())?
    }
}

fn busy() -> Refusal {
    Refusal::Busy { why: format!("{MOST_WAITING} readers of MIG are waiting; try again later") }
}

/// Answers the questions of readers.
pub(crate) struct MigLooker<A> {
    act: Arc<A>,
    publisher: Arc<Publisher>,
    questions: mpsc::Receiver<MigQuestion>,
    looks: JoinSet<()>,
    /// GPUs that are looked at now, by the task that does it.
    under_way: BTreeMap<Id, PciAddress>,
    /// Who came while their GPU was looked at: that look began before their question, and the next one is for all of them.
    waiting: BTreeMap<PciAddress, Vec<Answer>>,
}

impl<A: ActPort> MigLooker<A> {
    pub(crate) fn new(act: Arc<A>, publisher: Arc<Publisher>, questions: mpsc::Receiver<MigQuestion>) -> Self {
        let (looks, under_way, waiting) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { act, publisher, questions, looks, under_way, waiting }
    }

    /// Answers until it is cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(question) = self.questions.recv() => self.take(question),
                Some(ended) = self.looks.join_next_with_id(), if !self.looks.is_empty() => {
                    // A bug of ours ends a look as well; its readers are answered by the loss of their channel.
                    self.ended(ended.map_or_else(|fault| fault.id(), |(task, ())| task));
                }
            }
        }
    }

    fn take(&mut self, MigQuestion { gpu, answer }: MigQuestion) {
        if !self.under_way.values().any(|other| *other == gpu) {
            self.begin(gpu, vec![answer]);
        } else if self.waiting.values().map(Vec::len).sum::<usize>() < MOST_WAITING {
            self.waiting.entry(gpu).or_default().push(answer);
        } else {
            let _reader_gone = answer.send(Err(busy()));
        }
    }

    fn begin(&mut self, gpu: PciAddress, answers: Vec<Answer>) {
        let (act, publisher) = (Arc::clone(&self.act), Arc::clone(&self.publisher));
        let task = self.looks.spawn(async move {
            let look = look(&*act, &publisher, gpu).await;
            for answer in answers {
                let _reader_gone = answer.send(look.clone());
            }
        });
        self.under_way.insert(task.id(), gpu);
    }

    fn ended(&mut self, task: Id) {
        let Some(gpu) = self.under_way.remove(&task) else { return };
        if let Some(answers) = self.waiting.remove(&gpu) {
            self.begin(gpu, answers);
        }
    }
}

/// MIG of a GPU without who uses it, and what was looked at.
pub(crate) async fn look_alone<A: ActPort>(
    act: &A,
    publisher: &Publisher,
    gpu: PciAddress,
) -> Result<(Target, MigOnGpu), Refusal> {
    // What a change of the mode may touch is what is looked at; the mode that it would set plays no part in that.
    let any = Change::MigMode(MigModeRequest { gpu, to: MigMode::Enabled, confirm_within_ms: None });
    let target = any.bounds(&publisher.seen().borrow())?.target;
    match act.look(&target).await.map_err(refusal_of_act)? {
        Look::Mig(seen) => Ok((target, *seen)),
        Look::Functions(_) => Err(Refusal::Conflict { why: format!("{gpu}: something else was observed; try again") }),
    }
}

async fn look<A: ActPort>(act: &A, publisher: &Publisher, gpu: PciAddress) -> Result<MigLook, Refusal> {
    let (target, seen) = look_alone(act, publisher, gpu).await?;
    let holders = act.holders(&target).await.map_err(refusal_of_act)?;
    let owned = match &target {
        Target::Mig(target) => publisher.records().borrow().owned(&target.uuid).map(|owned| owned.places()),
        Target::Functions(_) => None,
    };
    Ok(MigLook { seen, holders, owned: owned.unwrap_or_default() })
}
