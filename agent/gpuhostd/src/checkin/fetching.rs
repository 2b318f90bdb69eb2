//! The session task's part in fetching desired state: behind which heartbeat, over connections of its own, and what is back.

use crate::checkin::lanes::{Back, Lane};
use crate::checkin::poll::{self, PollBack, PollOut};
use crate::checkin::task::Task;
use crate::checkin::version::VersionBack;
use crate::desired::{Offer, Taken};
use model::checkin::{Beat, DeliveryFailure, FetchStatus, ManagerAddress, Poll, PollAction, PollAnswer, ReplyHints};
use model::desired::DocumentId;
use model::ports::Clock;
use model::time::{BootMillis, UnixMillis};
use std::sync::Arc;

impl<C: Clock> Task<C> {
    /// A heartbeat was accepted: requests for desired state go where it went, and the document that came with the reply is offered.
    pub(super) fn fetch_behind(
        &mut self,
        now: BootMillis,
        beat: &Beat,
        newest: Option<DocumentId>,
        document: Option<Vec<u8>>,
    ) {
        let Some(interval_s) = self.cadence.machine().map(|machine| machine.interval_s()) else { return };
        let features = self.cadence.known_features(&beat.manager, now);
        if features.is_none() {
            self.cadence.is_curious_of(beat.manager.clone());
        }
        let hints = ReplyHints { newest, embedded: document.is_some() };
        self.cadence.poll().on_accepted(now, (&beat.manager, beat.key), features, interval_s, hints);
        self.cadence.delivery().on_accepted(&beat.manager, beat.key, features);
        if let Some(body) = document {
            self.offer(now, body);
        }
    }

    /// Has a document that came with a reply judged; the last one counts.
    fn offer(&mut self, now: BootMillis, body: Vec<u8>) {
        let Some(enrolled) = self.session.life.enrolled() else { return };
        let server_id = enrolled.identity().server_id.clone();
        let offer = Offer { body, server_id, manager_now: self.session.manager_clock.now(now) };
        let port = self.wishes.port.clone();
        self.lanes.start(Lane::Offer, async move { Back::Offered(port.offer(offer).await) });
    }

    /// A heartbeat was not accepted.
    pub(super) fn no_fetch(&mut self, trouble: Option<DeliveryFailure>) {
        self.cadence.poll().on_not_accepted(trouble);
        self.cadence.delivery().on_not_accepted();
    }

    /// What the manager can do is known now, or that it reports nothing that can be understood.
    pub(super) fn version_back(&mut self, back: VersionBack) {
        let now = self.clock.boot_now();
        self.transport.back(back.way);
        self.cadence.features().learned(&back.manager, now, back.said);
        self.cadence.poll().on_features(&back.manager, back.said.unwrap_or_default());
        self.cadence.delivery().on_features(&back.manager, back.said.unwrap_or_default());
    }

    /// Opens the request for desired state that is due.
    pub(super) fn polls(&mut self, now: BootMillis) -> Option<BootMillis> {
        loop {
            match self.cadence.poll().next(now) {
                PollAction::Wait(until) => return until,
                PollAction::Drop => self.lanes.stop(&[Lane::Poll, Lane::Fetch]),
                PollAction::Open(poll) => self.open(now, poll),
            }
        }
    }

    fn open(&mut self, now: BootMillis, poll: Poll) {
        let Some(enrolled) = self.session.life.enrolled() else {
            return self.cadence.poll().on_answer(now, poll.number, PollAnswer::Broken);
        };
        let identity = enrolled.identity();
        let out = PollOut {
            way: self.poll_transport.way(&self.session.settings, &identity.trust, enrolled.credential(poll.key)),
            server_id: identity.server_id.clone(),
            manager_clock: self.session.manager_clock,
            port: self.wishes.port.clone(),
            poll,
        };
        let clock = Arc::clone(&self.clock);
        let lane = if out.poll.wait_s > 0 { Lane::Poll } else { Lane::Fetch };
        self.lanes.start(lane, async move { Back::Poll(Box::new(poll::send(out, clock).await)) });
    }

    /// A request for desired state is back.
    pub(super) fn poll_back(&mut self, back: PollBack) {
        let PollBack { way, poll, answer, why } = back;
        self.poll_transport.back(way);
        tracing::debug!(manager = %poll.manager, wait_s = poll.wait_s, ?answer, why, "a request for desired state is back");
        self.wishes.last_error = why;
        let now = self.clock.boot_now();
        self.cadence.poll().on_answer(now, poll.number, answer);
    }

    /// What became of the document that came with a reply.
    pub(super) fn offered(&mut self, taken: Taken) {
        self.wishes.last_error = taken.refused.map(|code| format!("the document in the reply was refused: {code}"));
    }

    /// Something before the manager refused a compressed heartbeat: the other features of the manager stay what they are.
    pub(super) fn packs_no_more(&mut self, manager: &ManagerAddress, now: BootMillis) {
        let known = self.cadence.known_features(manager, now).unwrap_or_default();
        let without = model::checkin::features::ManagerFeatures { gzip: false, ..known };
        self.cadence.features().learned(manager, now, Some(without));
    }

    /// How documents reach this host.
    pub(super) fn fetch_status(&self, now: BootMillis, on_the_wall: impl Fn(BootMillis) -> UnixMillis) -> FetchStatus {
        let machine = self.cadence.polled();
        FetchStatus {
            way: machine.way(now),
            newest: machine.newest().cloned(),
            off_until: machine.off_until(now).map(on_the_wall),
            last_error: self.wishes.last_error.clone(),
        }
    }
}
