//! Starts what is due: each kind of request beside the others.

use crate::checkin::beat::{self, BeatOut};
use crate::checkin::enrolment::{self, EnrolOut};
use crate::checkin::identity::Credential;
use crate::checkin::keeper::{self, Write};
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::life::Life;
use crate::checkin::renewal::{self, RenewalOut};
use crate::checkin::task::Task;
use crate::checkin::{token_file, version};
use model::checkin::{Beat, CheckinAction, DeliveryFailure, EnrolFor, ManagerAddress};
use model::message::Message;
use model::ports::Clock;
use model::time::{BootMillis, Now};
use std::sync::Arc;

/// A token file is looked into so often where an edit would end what is wrong, or where it cannot be watched, in milliseconds.
const FILE_POLL_MS: u64 = 500;
/// One that is watched is looked into so often all the same, in milliseconds: an edit over the network is no event here.
const WATCHED_POLL_MS: u64 = 30_000;
/// An identity folder that cannot be used is looked at again after so long, in milliseconds.
const LOOK_AGAIN_MS: u64 = 2000;
/// A renewal whose key could not be made is tried again after so long, in milliseconds.
const NO_KEY_MS: u64 = 60_000;

impl<C: Clock> Task<C> {
    /// Starts whatever is due, and shows when to look again at the latest.
    pub(super) fn start_what_is_due(&mut self) -> Option<BootMillis> {
        let now = self.now();
        let person = !self.lanes.are_free(&[Lane::ByHand, Lane::Goodbye]);
        let mut wakes = [None; 7];
        if !person {
            wakes = [
                self.requests(now),
                self.renewals(now),
                self.token_file(now.boot),
                self.broken_identity(now.boot),
                self.wipes(now.boot),
                self.polls(now.boot),
                self.deliveries(now.boot),
            ];
            self.curiosity();
        }
        let keeping = self.keeping(now.boot);
        wakes.into_iter().chain([keeping]).flatten().min()
    }

    /// A heartbeat or an enrolment: the machine shows which, one at a time.
    fn requests(&mut self, now: Now) -> Option<BootMillis> {
        if !self.lanes.are_free(&[Lane::Beat, Lane::Enrolment, Lane::Wake]) {
            return None;
        }
        match self.cadence.next(now, &self.sight.rev) {
            CheckinAction::Wait(until) => return until,
            CheckinAction::Beat(beat) => self.start_beat(now, beat),
            CheckinAction::Enrol(manager, why) => self.start_enrolment(now, manager, why),
        }
        None
    }

    fn start_beat(&mut self, now: Now, beat: Beat) {
        let Some(enrolled) = self.session.life.enrolled() else { return };
        let identity = enrolled.identity();
        let out = BeatOut {
            way: self.transport.way(&self.session.settings, &identity.trust, enrolled.credential(beat.key)),
            server_id: identity.server_id.clone(),
            report: self.report(),
            gzip: self.cadence.gzip(&beat.manager, now.boot),
            beat,
        };
        let clock = Arc::clone(&self.clock);
        self.lanes.start(Lane::Beat, async move { Back::Beat(Box::new(beat::send(out, clock).await)) });
    }

    fn start_enrolment(&mut self, now: Now, manager: ManagerAddress, why: EnrolFor) {
        let applicant = self.applicant();
        let (trust, pending) = match &self.session.life {
            Life::Enrolling(pending) => (pending.trust.clone(), Some((**pending).clone())),
            Life::Enrolled(enrolled) => (enrolled.identity().trust.clone(), None),
            Life::Alone(_) => return,
        };
        let out = EnrolOut {
            // An enrolment goes without the old certificate: a front would refuse one that has ended.
            way: self.transport.way(&self.session.settings, &trust, None),
            gzip: self.cadence.gzip(&manager, now.boot),
            last: self.session.enrol_refused.clone(),
            manager,
            why,
            applicant,
            pending,
        };
        self.lanes.start(Lane::Enrolment, async move { Back::Enrolment(Box::new(enrolment::ask(out).await)) });
    }

    /// A new credential, asked for beside the heartbeats while they are accepted. Key and request are on disk before they are sent.
    fn renewals(&mut self, now: Now) -> Option<BootMillis> {
        let newest = self.session.life.enrolled().and_then(|enrolled| enrolled.newest())?;
        if matches!(newest, Credential::SharedToken { .. }) || !self.lanes.is_free(Lane::Renewal) {
            return None;
        }
        let due = self.cadence.renewal_due(now, newest.life())?;
        if due > now.boot {
            return Some(due);
        }
        let manager = self.cadence.renewal_manager()?;
        let machine = self.cadence.machine()?;
        let (slot, interval_s) = (machine.slot(), machine.interval_s());
        let enrolled = self.session.life.enrolled_mut()?;
        let identity = enrolled.identity_mut();
        let (Some(key_pem), Some(request)) = (identity.next_key_pem.clone(), identity.next_request.clone()) else {
            match renewal::prepare(&identity.server_id) {
                Ok((key_pem, request)) => {
                    identity.next_key_pem = Some(key_pem);
                    identity.next_request = Some(request);
                    self.keeper.want(Write::Identity(Box::new(identity.clone())));
                }
                Err(fault) => {
                    tracing::error!(message_id = Message::CredentialNotRenewed.id(), %fault, "the credential could not be renewed: {fault}");
                    self.cadence.renewal().failed(now.boot, slot, interval_s, Some(NO_KEY_MS));
                }
            }
            return None;
        };
        if !self.keeper.has_identity() || !self.lanes.is_free(Lane::Keeping) {
            return None;
        }
        let server_id = identity.server_id.clone();
        let credential = enrolled.identity().credentials.first();
        let way = self.transport.way(&self.session.settings, &enrolled.identity().trust, credential);
        let out = RenewalOut { way, manager, server_id, key_pem, request, wall: now.wall };
        self.lanes.start(Lane::Renewal, async move { Back::Renewal(Box::new(renewal::ask(out).await)) });
        None
    }

    /// What a manager can do is asked behind a heartbeat, over the connection that it leaves.
    fn curiosity(&mut self) {
        if !self.lanes.are_free(&[Lane::Beat, Lane::Version]) {
            return;
        }
        let Some(enrolled) = self.session.life.enrolled() else { return };
        let Some(manager) = self.cadence.take_curiosity() else { return };
        let credential = enrolled.identity().credentials.first();
        let way = self.transport.way(&self.session.settings, &enrolled.identity().trust, credential);
        self.lanes.start(Lane::Version, async move { Back::Version(Box::new(version::ask(way, manager).await)) });
    }

    /// The token file, while an edit of it matters: it is to be tried within a second.
    fn token_file(&mut self, now: BootMillis) -> Option<BootMillis> {
        let (matters, urgent) = self.file_matters();
        let Some(file) = self.session.token_file.as_mut().filter(|_| matters) else {
            self.lanes.stop(&[Lane::TokenWatch]);
            return None;
        };
        if !self.lanes.are_free(&[Lane::Prepare, Lane::Wake]) {
            return None;
        }
        if self.lanes.is_free(Lane::TokenWatch) && file.watch_due(now) {
            let path = file.path().to_owned();
            self.lanes.start(Lane::TokenWatch, async move { Back::TokenWatch(token_file::watch(path, None).await) });
        }
        if !self.lanes.is_free(Lane::TokenFile) {
            return None;
        }
        // Where nobody reports that the file has changed, a look often enough has to do.
        let often = urgent || self.lanes.is_free(Lane::TokenWatch);
        let due = file.due(if often { FILE_POLL_MS } else { WATCHED_POLL_MS }, now);
        if due > now {
            return Some(due);
        }
        file.read_at(now);
        let path = file.path().to_owned();
        self.lanes.start(Lane::TokenFile, async move { Back::TokenFile(token_file::read(&path).await) });
        None
    }

    /// Whether an edit of the token file means anything now, and whether one would end what is wrong.
    fn file_matters(&self) -> (bool, bool) {
        let trouble = self.cadence.machine().and_then(|machine| machine.trouble()).map(|(trouble, _)| *trouble);
        let refused = matches!(trouble, Some(DeliveryFailure::Unauthenticated | DeliveryFailure::DuplicateIdentity));
        match &self.session.life {
            Life::Alone(_) => (true, true),
            Life::Enrolling(pending) => (pending.follows_file, refused),
            Life::Enrolled(enrolled) => (enrolled.is_shared(), trouble == Some(DeliveryFailure::Unauthenticated)),
        }
    }

    fn broken_identity(&mut self, now: BootMillis) -> Option<BootMillis> {
        if self.session.broken.is_none() || !self.lanes.is_free(Lane::Wake) {
            return None;
        }
        let due = *self.session.look_again_at.get_or_insert(now.plus(LOOK_AGAIN_MS));
        if due > now {
            return Some(due);
        }
        self.session.look_again_at = None;
        self.wake();
        None
    }

    fn wipes(&mut self, now: BootMillis) -> Option<BootMillis> {
        let due = self.session.wipe_at?;
        if due > now {
            return Some(due);
        }
        self.session.wipe_at = None;
        self.keeper.want(Write::WipeForgotten);
        None
    }

    /// One write at a time, and none while a request writes what it needs itself.
    fn keeping(&mut self, now: BootMillis) -> Option<BootMillis> {
        let writers = [Lane::Keeping, Lane::Enrolment, Lane::ByHand, Lane::Goodbye, Lane::Prepare];
        if !self.lanes.are_free(&writers) {
            return None;
        }
        let Some(write) = self.keeper.next(now) else { return self.keeper.wakes() };
        let store = self.store.clone();
        self.lanes.start(Lane::Keeping, async move { Back::Keeping(keeper::keep(store, write).await) });
        None
    }
}
