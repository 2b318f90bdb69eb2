//! Keeps the record of the GPUs that this host has had: one that is gone is shown, is logged, and stays reported over
//! restarts, until it is back or somebody reports that they know.

use engine::publish::Publisher;
use host::front::{StoreError, read_bounded, write_atomic};
use model::condition::{Condition, ConditionStatus};
use model::ids::PciAddress;
use model::message::Message;
use model::refusal::Refusal;
use model::roster::{DOCUMENT_MAX_BYTES, GONE, GpuNews, Known, Roster, Sight, decode, encode, remedy};
use model::time::UnixMillis;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The record.
const FILE: &str = "known-gpus.json";
/// What a damaged record is kept as.
const DAMAGED: &str = "known-gpus.json.damaged";
/// When a GPU was last seen is written down this often; everything else at once.
const SEEN_EVERY_MS: i64 = 10 * 60 * 1000;
/// Type of the condition that holds where the record could not be used.
const UNREADABLE: &str = "gpu_record_unreadable";
/// Callers that wait at once.
const QUEUE: usize = 8;

type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Reports that somebody knows of a GPU that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledge(mpsc::Sender<(PciAddress, Reply)>);

impl Acknowledge {
    /// It is on disk when this returns.
    ///
    /// # Errors
    /// No GPU is gone from this address, or it could not be written down.
    pub(crate) async fn gpu(&self, address: PciAddress) -> Result<(), Refusal> {
        let stopping = || Refusal::stopping("the record of GPUs");
        let (reply, answered) = oneshot::channel();
        self.0.send((address, reply)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

/// The record while the daemon runs.
struct Keeper {
    state: PathBuf,
    publisher: Arc<Publisher>,
    roster: Roster,
    /// What is on disk, and when its GPUs were last seen.
    kept: Roster,
    kept_at: UnixMillis,
    /// Nothing is written over a record that could not be read or is a later version's.
    may_write: bool,
    /// The last attempt to write failed, and that has been logged.
    failing: bool,
}

/// Reads the record and shows what is gone by it. `state` is the daemon's folder; the future keeps the record until it is cancelled.
pub(crate) async fn start(
    state: PathBuf,
    publisher: Arc<Publisher>,
    now: UnixMillis,
    cancel: CancellationToken,
) -> (Acknowledge, impl Future<Output = ()> + Send + use<>) {
    let path = state.clone();
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let (roster, fault) = read.unwrap_or_else(|broken| (Roster::default(), Some((broken.to_string(), false))));
    let may_write = fault.as_ref().is_none_or(|(_, may_write)| *may_write);
    if let Some((fault, _)) = fault {
        let file = state.join(FILE).display().to_string();
        tracing::error!(
            message_id = Message::GpuRecordUnreadable.id(),
            file,
            "the GPUs that this host had before are not known: {file}: {fault}"
        );
        publisher.stand(unreadable(&fault, may_write, now));
    }
    let (acknowledge, asked) = mpsc::channel(QUEUE);
    let kept = roster.clone();
    let keeper = Keeper { state, publisher, roster, kept, kept_at: now, may_write, failing: false };
    keeper.show();
    (Acknowledge(acknowledge), keeper.run(asked, cancel))
}

/// The record, or an empty one with what is wrong and whether it may be replaced.
fn read(state: &Path) -> (Roster, Option<(String, bool)>) {
    let bytes = match read_bounded(&state.join(FILE), DOCUMENT_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(StoreError::Missing { .. }) => return (Roster::default(), None),
        Err(fault) => return (Roster::default(), Some((fault.to_string(), false))),
    };
    match decode(&bytes) {
        Ok(roster) => (roster, None),
        Err(fault @ model::roster::RecordError::Later { .. }) => (Roster::default(), Some((fault.to_string(), false))),
        Err(fault) => {
            let aside = write_atomic(state, DAMAGED, &bytes, 0o600);
            let kept = match &aside {
                Ok(()) => format!("it is kept as {DAMAGED}"),
                Err(said) => format!("it could not be kept: {said}"),
            };
            (Roster::default(), Some((format!("{fault}; {kept}"), aside.is_ok())))
        }
    }
}

fn unreadable(fault: &str, may_write: bool, since: UnixMillis) -> Condition {
    let next = if may_write {
        "a new record is started; compare `gpuhostctl gpus` with the GPUs that the machine should have"
    } else {
        "the file is not overwritten: check it, move it away and restart gpuhostd"
    };
    Condition {
        kind: UNREADABLE.to_owned(),
        status: ConditionStatus::True,
        reason: "host_fault".to_owned(),
        message: format!(
            "the GPUs that this host had before the daemon started are not known, so a missing GPU is not reported: {FILE}: \
             {fault}; {next}"
        ),
        since,
    }
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::Receiver<(PciAddress, Reply)>, cancel: CancellationToken) {
        let mut sight = self.publisher.sight();
        // One that came before this was listening counts too.
        sight.mark_changed();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Ok(()) = sight.changed() => {
                    let seen = sight.borrow_and_update().clone();
                    if let Some(seen) = seen {
                        self.look(&seen).await;
                    }
                }
                Some((address, reply)) = asked.recv() => {
                    let _caller_gone = reply.send(self.acknowledge(address).await);
                }
                else => break,
            }
        }
        // A GPU that leaves while the daemon is down was here until now.
        if self.roster != self.kept {
            self.keep(self.kept_at).await;
        }
    }

    async fn look(&mut self, sight: &Sight) {
        let news = self.roster.look(sight);
        for one in &news {
            tell(one);
        }
        self.show();
        let only_later = news.is_empty() && self.roster.is_same_but_for_time(&self.kept);
        let is_due = sight.at.0.saturating_sub(self.kept_at.0) >= SEEN_EVERY_MS || sight.at < self.kept_at;
        if !only_later || is_due {
            self.keep(sight.at).await;
        }
    }

    async fn acknowledge(&mut self, address: PciAddress) -> Result<(), Refusal> {
        let before = self.roster.clone();
        let known = self.roster.acknowledge(address);
        if known.is_empty() {
            return Err(Refusal::NotFound { what: "GPU that is gone from".to_owned(), name: address.to_string() });
        }
        if let Err(said) = self.write().await {
            self.roster = before;
            let attempted = format!("record the acknowledgement in {}", self.state.join(FILE).display());
            return Err(Refusal::HostFault { attempted, said });
        }
        for gpu in &known {
            tracing::info!(gpu_bdf = %address, "{address} is acknowledged as gone: {}", gpu.sentence());
        }
        self.show();
        Ok(())
    }

    fn show(&self) {
        match self.roster.condition() {
            Some(condition) => self.publisher.stand(condition),
            None => self.publisher.lift(GONE),
        }
        self.publisher.know(self.roster.known());
        self.publisher.miss(self.roster.gone());
    }

    async fn keep(&mut self, at: UnixMillis) {
        self.kept_at = at;
        let written = self.write().await;
        let (failed, path) = (written.is_err(), self.state.join(FILE));
        if let (Err(said), false) = (written, self.failing) {
            let file = path.display().to_string();
            tracing::warn!(
                message_id = Message::GpuRecordNotKept.id(),
                file,
                "the record of this host's GPUs could not be written to {file}: {said}"
            );
        }
        self.failing = failed;
    }

    async fn write(&mut self) -> Result<(), String> {
        if !self.may_write {
            return Ok(());
        }
        let (state, roster) = (self.state.clone(), self.roster.clone());
        let bytes = encode(&roster).map_err(|fault| fault.to_string())?;
        let written = tokio::task::spawn_blocking(move || write_atomic(&state, FILE, &bytes, 0o600)).await;
        written.map_err(|broken| broken.to_string())?.map_err(|fault| fault.to_string())?;
        self.kept = roster;
        Ok(())
    }
}

fn tell(news: &GpuNews) {
    match news {
        GpuNews::Gone(known) => tell_gone(known),
        GpuNews::Back(known, address) => tracing::info!(
            message_id = Message::GpuBack.id(),
            gpu_bdf = %address,
            "GPU {address} is here again; {}",
            known.sentence()
        ),
        GpuNews::Replaced(known, by) => {
            let name = by.name.clone().unwrap_or_else(|| by.id.to_string());
            tracing::info!(gpu_bdf = %by.address, "another card is at {}, {name}: {}", by.address, known.sentence());
        }
        GpuNews::Unplugged(known) => {
            tracing::info!(gpu_bdf = %known.card.address, "it was unplugged: {}", known.sentence());
        }
    }
}

fn tell_gone(known: &Known) {
    let address = known.card.address;
    let remedy = remedy(address);
    tracing::warn!(message_id = Message::GpuGone.id(), gpu_bdf = %known.card.address, remedy, "{}", known.sentence());
}

#[cfg(test)]
mod tests;
