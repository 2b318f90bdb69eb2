//! The session task's part in the delivery of events: when a batch goes, and what is back.

use crate::checkin::deliver::{DeliverBack, DeliverOut, send};
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::task::Task;
use model::checkin::{Delivery, DeliveryAction, DeliveryAnswer};
use model::message::Message;
use model::ports::Clock;
use model::time::BootMillis;
use std::sync::Arc;

impl<C: Clock> Task<C> {
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
            let why = why.unwrap_or_default();
            tracing::warn!(
                message_id = Message::EventRefused.id(),
                manager = %delivery.manager,
                seq,
                why,
                "the manager refuses event {seq} by itself, and it is not offered again: {why}; see it with: gpuhostctl events"
            );
            self.outbox.port.skip(&server_id, seq);
        }
    }
}
