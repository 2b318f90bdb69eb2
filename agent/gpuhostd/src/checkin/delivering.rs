//! The session task's part in the delivery of events: when a batch goes, and what is back.

use crate::checkin::deliver::{DeliverBack, DeliverOut, send};
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::life::Life;
use crate::checkin::task::Task;
use engine::event_port::{EventPort, EventTaker};
use model::checkin::{Delivery, DeliveryAction, DeliveryAnswer, ManagerAddress};
use model::enrol::CheckinState;
use model::message::Message;
use model::ports::Clock;
use model::time::BootMillis;
use std::sync::Arc;

impl<C: Clock> Task<C> {
    /// Who takes the events of this host now.
    pub(super) fn event_taker(&mut self) -> EventTaker {
        match &self.session.life {
            Life::Alone(CheckinState::Forgotten) => EventTaker::TakesNone,
            // Before the files have been read a host that is enrolled looks as one that is not.
            Life::Alone(_) if self.session.is_read => EventTaker::NoManager,
            Life::Alone(_) | Life::Enrolling(_) => EventTaker::Unknown,
            Life::Enrolled(_) => match self.cadence.delivery().takes_events() {
                None => EventTaker::Unknown,
                Some(true) => EventTaker::Takes,
                Some(false) => EventTaker::TakesNone,
            },
        }
    }

    /// Sends the batch of events that is due.
    pub(super) fn deliveries(&mut self, now: BootMillis) -> Option<BootMillis> {
        if !self.lanes.is_free(Lane::Events) {
            return None;
        }
        match self.cadence.delivery().next(now) {
            DeliveryAction::Wait(until) => until,
            DeliveryAction::Send(delivery) => {
                self.send_events(now, delivery);
                None
            }
        }
    }

    fn send_events(&mut self, now: BootMillis, delivery: Delivery) {
        let Some(enrolled) = self.session.life.enrolled() else {
            self.cadence.delivery().on_answer(now, delivery.number, DeliveryAnswer::Nothing);
            return self.cadence.delivery().on_not_accepted();
        };
        let identity = enrolled.identity();
        let out = DeliverOut {
            way: self.transport.way(&self.session.settings, &identity.trust, enrolled.credential(delivery.key)),
            server_id: identity.server_id.clone(),
            gzip: self.cadence.gzip(&delivery.manager, now).unwrap_or_default(),
            port: self.outbox.port.clone(),
            delivery,
        };
        let clock = Arc::clone(&self.clock);
        self.lanes.start(Lane::Events, async move { Back::Delivered(Box::new(send(out, clock).await)) });
    }

    /// A batch of events is back.
    pub(super) fn delivered(&mut self, back: DeliverBack) {
        let DeliverBack { way, delivery, server_id, answer, count, why } = back;
        self.transport.back(way);
        let now = self.clock.boot_now();
        tracing::debug!(manager = %delivery.manager, count, ?answer, why, "a batch of events is back");
        if let Some(seq) = self.cadence.delivery().on_answer(now, delivery.number, answer) {
            let skipping = skip(self.outbox.port.clone(), (delivery.manager, server_id), seq, why.unwrap_or_default());
            self.lanes.start(Lane::Events, skipping);
        }
    }
}

/// Hands in that the manager refuses this event by itself, before the next batch is asked for.
async fn skip(port: EventPort, (manager, server_id): (ManagerAddress, String), seq: u64, why: String) -> Back {
    if port.skip(&server_id, seq).await {
        tracing::warn!(
            message_id = Message::EventRefused.id(),
            manager = %manager,
            seq,
            why,
            "the manager refuses event {seq} by itself, and it is not offered again: {why}; see it with: gpuhostctl events"
        );
    } else {
        tracing::debug!(manager = %manager, seq, why, "a refused event could not be handed in, and is offered again");
    }
    Back::Skipped
}
