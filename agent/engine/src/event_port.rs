//! The way to the kept events: who shows them reads pages, who delivers them takes batches and hands in what a manager acknowledges.

use model::event::{EventBatch, EventPage, EventQuery};
use model::refusal::Refusal;
use model::time::whole_millis;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// So much can be asked before the first is answered.
const ASKS_MOST: usize = 64;
/// An answer is waited for so long: the disk is not asked for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What can be asked of the one who keeps events.
#[derive(Debug)]
pub enum EventAsk {
    /// A page of them.
    Page(EventQuery, oneshot::Sender<EventPage>),
    /// What this identity's manager does not have.
    Batch {
        /// The identity.
        server_id: String,
        /// At most so many events.
        most: usize,
        /// Up to this one.
        until: Option<u64>,
        /// Gets them.
        answer: oneshot::Sender<EventBatch>,
    },
    /// This identity's manager acknowledges events.
    Acked {
        /// The identity.
        server_id: String,
        /// Up to this one.
        acked: u64,
        /// The last one that was sent.
        sent: u64,
        /// Gets whether that was news.
        answer: oneshot::Sender<bool>,
    },
    /// This identity's manager refuses an event by itself.
    Skip {
        /// The identity.
        server_id: String,
        /// The event.
        seq: u64,
    },
}

/// Who takes the events of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventTaker {
    /// That is not known now: it is as it was.
    #[default]
    Unknown,
    /// This host has no manager.
    NoManager,
    /// Its manager takes no events.
    TakesNone,
    /// Its manager takes them.
    Takes,
}

/// What everybody can see of the kept events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventsShown {
    /// The number of the last event; 0 until what is kept has been read.
    pub newest: u64,
    /// The number of the last event that can be delivered now; `None` = none waits.
    pub deliverable: Option<u64>,
}

/// The way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventPort {
    asks: mpsc::Sender<EventAsk>,
    shown: watch::Receiver<EventsShown>,
    taker: watch::Sender<EventTaker>,
}

/// Its other end.
#[derive(Debug)]
pub struct EventEnds {
    /// What is asked.
    pub asks: mpsc::Receiver<EventAsk>,
    /// What is shown.
    pub shown: watch::Sender<EventsShown>,
    /// Who takes events.
    pub taker: watch::Receiver<EventTaker>,
}

impl EventPort {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, EventEnds) {
        let (ask, asks) = mpsc::channel(ASKS_MOST);
        let (shown, seen) = watch::channel(EventsShown::default());
        let (taker, takes) = watch::channel(EventTaker::default());
        (Self { asks: ask, shown: seen, taker }, EventEnds { asks, shown, taker: takes })
    }

    /// What can be seen of the kept events.
    #[must_use]
    pub fn shown(&self) -> watch::Receiver<EventsShown> {
        self.shown.clone()
    }

    /// Who takes events now; what is the same wakes no task.
    pub fn note_taker(&self, taker: EventTaker) {
        self.taker.send_if_modified(|known| std::mem::replace(known, taker) != taker);
    }

    /// A page of the kept events.
    ///
    /// # Errors
    /// `Busy` where too many ask at once, `Timeout` while what is kept cannot be read, `Unavailable` where no task keeps events.
    pub async fn page(&self, query: EventQuery) -> Result<EventPage, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(EventAsk::Page(query, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::Busy { why: "too many callers read events at once; try again in a few seconds".to_owned() }
            }
            mpsc::error::TrySendError::Closed(_) => Refusal::stopping("the keeper of events"),
        })?;
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer.map_err(|_| Refusal::stopping("the keeper of events")),
            Err(_) => {
                let what = "the keeper of events, which reads what is kept on disk".to_owned();
                Err(Refusal::Timeout { what, after_ms: whole_millis(ANSWER_WITHIN) })
            }
        }
    }

    /// What this identity's manager does not have; nothing where that cannot be found out now.
    pub async fn batch(&self, server_id: &str, most: usize, until: Option<u64>) -> EventBatch {
        let (answer, answered) = oneshot::channel();
        let ask = EventAsk::Batch { server_id: server_id.to_owned(), most, until, answer };
        match self.asks.try_send(ask) {
            Ok(()) => timeout(ANSWER_WITHIN, answered).await.ok().and_then(Result::ok).unwrap_or_default(),
            Err(_) => EventBatch::default(),
        }
    }

    /// This identity's manager acknowledges events up to `acked`, of which `sent` was the last. True where that was news.
    pub async fn acknowledge(&self, server_id: &str, acked: u64, sent: u64) -> bool {
        let (answer, answered) = oneshot::channel();
        let ask = EventAsk::Acked { server_id: server_id.to_owned(), acked, sent, answer };
        self.asks.try_send(ask).is_ok() && matches!(timeout(ANSWER_WITHIN, answered).await, Ok(Ok(true)))
    }

    /// This identity's manager refuses an event by itself. True where that was handed in: then it is not offered again. It waits behind
    /// what others ask, so no task that others wait for may call it.
    pub async fn skip(&self, server_id: &str, seq: u64) -> bool {
        let ask = EventAsk::Skip { server_id: server_id.to_owned(), seq };
        matches!(timeout(ANSWER_WITHIN, self.asks.send(ask)).await, Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refused_event_waits_for_its_turn_where_many_ask_and_is_not_lost_in_silence() {
        let (port, mut ends) = EventPort::new();
        for seq in 0..ASKS_MOST {
            assert!(port.skip("a", u64::try_from(seq).unwrap()).await);
        }
        assert!(!port.skip("a", 98).await, "no answer within the deadline");
        let skipping = tokio::spawn(async move { port.skip("a", 99).await });
        tokio::task::yield_now().await;
        assert!(!skipping.is_finished());
        assert!(ends.asks.recv().await.is_some());
        assert!(skipping.await.unwrap());
        let mut last = None;
        while let Some(EventAsk::Skip { seq, .. }) = ends.asks.recv().await {
            last = Some(seq);
        }
        assert_eq!(last, Some(99));
    }
}
