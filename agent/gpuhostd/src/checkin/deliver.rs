//! One batch of events on its way to the manager, and what came of it.
//!
//! It goes over the connections of heartbeats, as a task of its own: a manager that is slow to store events holds up no heartbeat.

use crate::checkin::answers::{accepted, words};
use crate::checkin::digest::sha256_hex;
use crate::checkin::http::Post;
use crate::checkin::transport::Way;
use crate::checkin::wishes::changed;
use engine::event_port::{EventPort, EventTaker, EventsShown};
use model::checkin::{Answer, Code, Delivery, DeliveryAnswer};
use model::event::EventBatch;
use model::ports::Clock;
use model::time::UnixMillis;
use std::sync::Arc;
use tokio::sync::watch;
use wire::manager::event_batch::{acked_seq, event_batch};

/// The kept events, as far as they are to be delivered.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Where they are.
    pub(super) port: EventPort,
    shown: watch::Receiver<EventsShown>,
}

impl Outbox {
    /// Those that are kept behind this port.
    pub(super) fn new(port: EventPort) -> Self {
        let shown = port.shown();
        Self { port, shown }
    }

    /// Waits until other events wait; for ever where no task keeps events.
    pub(super) async fn changed(&mut self) {
        changed(&mut self.shown).await;
    }

    /// Who takes events now, for the one who keeps them.
    pub(super) fn note_taker(&self, taker: EventTaker) {
        self.port.note_taker(taker);
    }

    /// Events wait to be delivered.
    pub(super) fn has_waiting(&mut self) -> bool {
        self.shown.borrow_and_update().deliverable.is_some()
    }
}

/// A batch that is to be sent.
#[derive(Debug)]
pub(super) struct DeliverOut {
    /// The way to the manager.
    pub(super) way: Way,
    /// To whom, how much.
    pub(super) delivery: Delivery,
    /// This host's id.
    pub(super) server_id: String,
    /// The manager takes gzip.
    pub(super) gzip: bool,
    /// Where the events are.
    pub(super) port: EventPort,
}

/// A batch that is back.
#[derive(Debug)]
pub(super) struct DeliverBack {
    /// The way.
    pub(super) way: Way,
    /// The batch.
    pub(super) delivery: Delivery,
    /// This host's id.
    pub(super) server_id: String,
    /// What came of it.
    pub(super) answer: DeliveryAnswer,
    /// How many events went.
    pub(super) count: usize,
    /// Why it was not taken.
    pub(super) why: Option<String>,
}

/// Sends it, and hands in what the manager acknowledges.
pub(super) async fn send<C: Clock>(out: DeliverOut, clock: Arc<C>) -> DeliverBack {
    let DeliverOut { mut way, delivery, server_id, gzip, port } = out;
    let batch = port.batch(&server_id, delivery.most, delivery.until).await;
    let count = batch.events.len();
    let Some(last) = batch.last() else {
        return DeliverBack { way, delivery, server_id, answer: DeliveryAnswer::Nothing, count, why: None };
    };
    let wall = clock.wall_now();
    let (answer, why) = match post(&mut way, &delivery, (&server_id, gzip), &batch, wall).await {
        Ok(acked) => {
            let is_news = match acked {
                Some(acked) => port.acknowledge(&server_id, acked, last).await,
                None => false,
            };
            let why = || format!("{} acknowledges {acked:?} of events up to {last}", delivery.manager);
            (if is_news { DeliveryAnswer::Acked } else { DeliveryAnswer::NotAcked }, (!is_news).then(why))
        }
        Err(answer) => {
            let why = format!("{}: {}", delivery.manager, words(&answer));
            (refused(&answer, count, last), Some(why))
        }
    };
    DeliverBack { way, delivery, server_id, answer, count, why }
}

/// Up to which event the manager acknowledges.
async fn post(
    way: &mut Way,
    delivery: &Delivery,
    (server_id, gzip): (&str, bool),
    batch: &EventBatch,
    wall: UnixMillis,
) -> Result<Option<u64>, Answer> {
    let local = |fault: serde_json::Error| Answer::Failed(crate::checkin::fault::local(fault));
    let body = event_batch(server_id, &batch.events).map_err(local)?;
    let path = way.settings().paths.events.clone();
    let key = idempotency_key(server_id, batch);
    let post = Post { path: &path, body: &body, gzip, bearer: None, idempotency_key: Some(&key) };
    let exchange = way.post(&delivery.manager, post).await.map_err(|lost| Answer::Failed(lost.fault))?;
    Ok(acked_seq(&accepted(&delivery.manager, exchange, wall)?))
}

/// A UUID that is the same for the same events of the same identity, also after a restart of the daemon.
fn idempotency_key(server_id: &str, batch: &EventBatch) -> String {
    let ids: String = batch.events.iter().flat_map(|event| [event.id.as_str(), " "]).collect();
    let digest = sha256_hex(format!("{server_id} {ids}").as_bytes());
    let digits: String = digest.chars().take(32).collect();
    uuid::Uuid::try_parse(&digits).map_or(digits, |key| key.to_string())
}

/// What an answer other than an acknowledgement means here.
fn refused(answer: &Answer, count: usize, last: u64) -> DeliveryAnswer {
    let Answer::Refused(refused) = answer else { return DeliveryAnswer::Broken { last } };
    match (refused.status, refused.code) {
        (413, _) | (400, Some(Code::BadRequest)) => DeliveryAnswer::NotTaken { count, last },
        // Only an unknown agent is about this host; any other 404 is about the path.
        (404, code) if code != Some(Code::UnknownAgent) => DeliveryAnswer::NoPath,
        (_, _) => DeliveryAnswer::Refused { retry_after_ms: refused.retry_after_ms() },
    }
}
