//! Takes in what returns, and what follows from it.

use crate::checkin::answers::words;
use crate::checkin::beat::BeatBack;
use crate::checkin::byhand::{ByHandBack, Outcome};
use crate::checkin::enrolment::EnrolBack;
use crate::checkin::goodbye::GoodbyeBack;
use crate::checkin::identity::{Credential, LastReply, SCHEMA, Trust};
use crate::checkin::keeper::{KeptBack, Write};
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::life::Life;
use crate::checkin::renewal::{AddedBundle, RenewalBack};
use crate::checkin::rotated::rotated;
use crate::checkin::task::Task;
use crate::checkin::token_file::{self, Content, TokenRead};
use crate::checkin::wake::{self, Prepared, WakeBack};
use host::front::FileWatch;
use model::checkin::skew::skew_ms;
use model::checkin::{Answer, Beat, DeliveryFailure, ManagerAddress, Worth};
use model::enrol::{CheckinState, Secret};
use model::message::Message;
use model::ports::Clock;
use model::refusal::Refusal;
use std::sync::Arc;
use wire::manager::reply::HeartbeatReply;

impl<C: Clock> Task<C> {
    /// Something has returned.
    pub(super) fn took(&mut self, back: Back) {
        match back {
            Back::Wake(woken) => self.woke(*woken),
            Back::Prepare(prepared) => self.prepared(*prepared),
            Back::TokenFile(read) => self.token_file_read(read),
            Back::TokenWatch(watch) => self.token_file_watched(watch),
            Back::Beat(back) => self.beat_back(*back),
            Back::Version(back) => self.version_back(*back),
            Back::Poll(back) => self.poll_back(*back),
            Back::Offered(taken) => self.offered(taken),
            Back::Delivered(back) => self.delivered(*back),
            // The lane is free again: what is due next goes with the turn that follows.
            Back::Skipped => {}
            Back::Renewal(back) => self.renewal_back(*back),
            Back::Enrolment(back) => self.enrolment_back(*back),
            Back::ByHand(back) => self.by_hand_back(*back),
            Back::Probed(back) => self.probed(*back),
            Back::Goodbye(back) => self.left(back),
            Back::Keeping(back) => self.kept(back),
        }
    }

    fn woke(&mut self, woken: WakeBack) {
        if !matches!(woken, WakeBack::Unusable(_)) {
            self.session.is_read = true;
            if self.session.broken.take().is_some() {
                tracing::info!("the identity directory can be used again");
            }
            self.watch_token_file();
        }
        match woken {
            WakeBack::Enrolled(identity, last) => self.go_on(*identity, last.map(|last| *last), false),
            WakeBack::Enrolling(pending) => self.ask_for_identity(*pending, false),
            WakeBack::Forgotten(forgotten) => self.still_forgotten(&forgotten),
            WakeBack::Nothing => {}
            WakeBack::Unusable(fault) => self.unusable(&fault),
        }
    }

    /// A token from the file, and nothing kept: begins with the managers of the configuration.
    fn prepared(&mut self, prepared: Result<Prepared, String>) {
        match prepared {
            Ok(Prepared::Shared(identity)) => self.go_on(*identity, None, false),
            Ok(Prepared::Enrolment(pending)) => self.ask_for_identity(*pending, false),
            Err(fault) => self.publisher.error(&fault),
        }
    }

    fn token_file_read(&mut self, read: TokenRead) {
        let Some(content) = self.session.token_file.as_mut().and_then(|file| file.news(read)) else { return };
        match &mut self.session.life {
            Life::Alone(_) => {
                let managers = self.session.configured();
                if managers.is_empty() {
                    return;
                }
                let (store, settings) = (self.store.clone(), Arc::clone(&self.session.settings));
                let work = wake::prepare(store, settings, managers, content.token, content.sha256);
                self.lanes.start(Lane::Prepare, async move { Back::Prepare(Box::new(work.await)) });
            }
            Life::Enrolling(pending) => {
                pending.asks_with(content.token);
                self.keeper.want(Write::Pending(pending.clone()));
                let now = self.clock.boot_now();
                if let Some(machine) = self.cadence.machine_mut() {
                    machine.on_keys(now, Vec::new(), true);
                }
            }
            Life::Enrolled(_) => self.shared_token_edited(content),
        }
    }

    fn token_file_watched(&mut self, watch: std::io::Result<FileWatch>) {
        let now = self.clock.boot_now();
        let Some(file) = self.session.token_file.as_mut() else { return };
        match watch {
            Ok(watch) => {
                file.touched();
                let path = file.path().to_owned();
                let next = async move { Back::TokenWatch(token_file::watch(path, Some(watch)).await) };
                self.lanes.start(Lane::TokenWatch, next);
            }
            Err(fault) => {
                tracing::debug!(path = file.path(), %fault, "the token file cannot be watched; it is polled instead");
                file.unwatched(now);
            }
        }
    }

    /// The file has another shared token, which is to be used now.
    fn shared_token_edited(&mut self, content: Content) {
        let Some(enrolled) = self.session.life.enrolled_mut().filter(|enrolled| enrolled.is_shared()) else { return };
        enrolled.identity_mut().token_file_sha256 = Some(content.sha256);
        let is_new = enrolled.add(Credential::SharedToken { token: content.token }, Worth::Fresh);
        if is_new {
            tracing::info!("the shared token file has a new token; it is tried now");
        }
        self.keep_identity();
        self.announce_keys(is_new);
    }

    /// The machine learns which credentials are at hand.
    pub(super) fn announce_keys(&mut self, at_once: bool) {
        let (now, keys) = (self.clock.boot_now(), self.session.life.enrolled().map(|enrolled| enrolled.keys()));
        if let (Some(machine), Some(keys)) = (self.cadence.machine_mut(), keys) {
            machine.on_keys(now, keys, at_once);
        }
    }

    fn keep_identity(&mut self) {
        if let Some(enrolled) = self.session.life.enrolled() {
            self.keeper.want(Write::Identity(Box::new(enrolled.identity().clone())));
        }
    }

    fn beat_back(&mut self, back: BeatBack) {
        let BeatBack { way, beat, sent_at, cpu, packing_refused, answer, document } = back;
        self.transport.back(way);
        self.cadence.sent(beat.seq);
        let boot = self.clock.boot_now();
        if packing_refused {
            self.packs_no_more(&beat.manager, boot);
        }
        match answer {
            Ok(reply) => {
                tracing::debug!(manager = %beat.manager, seq = beat.seq, "heartbeat accepted");
                self.sight.cpu_before = cpu;
                let wall = self.clock.wall_now();
                let took = boot.since(sent_at);
                let skew = reply.server_time.map(|server| skew_ms(server, wall, took));
                self.publisher.accepted(wall, skew);
                if let (Some(server), half) = (reply.server_time, took / 2) {
                    self.session.manager_clock(server, sent_at.plus(half));
                }
                self.accepted(&beat, reply, document);
            }
            Err(answer) => self.not_accepted(&beat.manager, beat.seq, answer),
        }
    }

    fn accepted(&mut self, beat: &Beat, reply: HeartbeatReply, document: Option<Vec<u8>>) {
        let now = self.now();
        self.session.enabled = reply.enabled.unwrap_or(self.session.enabled);
        let useless = self.cadence.answered(now, Answer::Accepted(reply.steering));
        self.fetch_behind(now.boot, beat, reply.newest, document);
        let Some(machine) = self.cadence.machine() else { return };
        let (slot, interval_s) = (machine.slot(), machine.interval_s());
        let skew_ms = self.publisher.now().clock_skew_ms;
        let mut changed = self.session.takes_list(machine);
        if let Some(last) = self.session.reply_to_keep(machine, self.sight.boot_id(), skew_ms) {
            self.keeper.want(Write::LastReply(Box::new(last)));
        }
        self.cadence.renewal().on_reply(now.boot, reply.rotate, slot, interval_s);
        let Some(enrolled) = self.session.life.enrolled_mut() else { return };
        let is_rotated = enrolled.remove(&useless);
        if is_rotated && let Some(credential) = enrolled.identity().credentials.first() {
            self.wishes.occur(rotated(credential));
        }
        changed |= is_rotated;
        if changed {
            self.keep_identity();
        }
        if let Some(token) = reply.next_token {
            self.next_token(token);
        }
    }

    /// The shared token that will come into force: kept beside the one in use, and tried once that one is refused.
    fn next_token(&mut self, token: Secret) {
        let Some(enrolled) = self.session.life.enrolled_mut().filter(|enrolled| enrolled.is_shared()) else { return };
        if enrolled.add(Credential::SharedToken { token }, Worth::Next) {
            tracing::info!("the manager announced its next token; it is used when the present one is refused");
            self.keep_identity();
            self.announce_keys(false);
        }
    }

    fn trouble(&self) -> Option<DeliveryFailure> {
        self.cadence.machine().and_then(|machine| machine.trouble()).map(|(trouble, _)| *trouble)
    }

    fn not_accepted(&mut self, manager: &ManagerAddress, seq: u64, answer: Answer) {
        let why = format!("{manager}: {}", words(&answer));
        tracing::debug!(manager = %manager, seq, why, "heartbeat not accepted");
        self.publisher.failed(&why);
        let before = self.trouble();
        let now = self.now();
        self.cadence.answered(now, answer);
        let after = self.trouble();
        self.no_fetch(after);
        let told = [DeliveryFailure::RejectedReport, DeliveryFailure::RateLimited, DeliveryFailure::PerhapsDeleted];
        if after != before && after.is_some_and(|after| told.contains(&after)) {
            tracing::warn!(
                message_id = Message::ReportRefused.id(),
                manager = %manager,
                seq,
                why,
                "the manager refuses the report: {why}"
            );
        }
        if after == Some(DeliveryFailure::Deleted) {
            self.publish();
            self.go_forgotten();
        }
    }

    fn renewal_back(&mut self, back: RenewalBack) {
        let RenewalBack { way, manager, answer } = back;
        let verified_by = way.verified_by().cloned();
        self.transport.back(way);
        let now = self.now();
        let Some(machine) = self.cadence.machine() else { return };
        let (slot, interval_s) = (machine.slot(), machine.interval_s());
        match answer {
            Ok((credential, added)) => {
                tracing::info!(manager = %manager, "{manager} renewed the credential; the old one is kept until the new one has worked");
                self.cadence.renewal().succeeded(now.boot);
                self.renewed(credential, added.as_ref(), verified_by.as_ref());
            }
            Err(answer) => {
                let why = words(&answer);
                tracing::warn!(
                    message_id = Message::CredentialNotRenewed.id(),
                    manager = %manager,
                    why,
                    "{manager} did not renew the credential; the present one stays in use: {why}"
                );
                if answer.may_differ_elsewhere() && self.cadence.renewal_goes_on(&manager) {
                    return;
                }
                match &answer {
                    Answer::Refused(refused) if refused.has_no_path() => self.cadence.renewal().has_no_path(now.boot),
                    Answer::Refused(refused) => {
                        self.cadence.renewal().failed(now.boot, slot, interval_s, refused.retry_after_ms());
                    }
                    Answer::Failed(_) | Answer::Accepted(_) => {
                        self.cadence.renewal().failed(now.boot, slot, interval_s, None);
                    }
                }
            }
        }
    }

    /// A new credential is on disk beside the old one before it is used.
    fn renewed(&mut self, credential: Credential, added: Option<&AddedBundle>, verified_by: Option<&Trust>) {
        let Some(enrolled) = self.session.life.enrolled_mut() else { return };
        let identity = enrolled.identity_mut();
        let key_pem = identity.next_key_pem.take();
        identity.next_request = None;
        if matches!(credential, Credential::Secret { .. }) {
            // The manager knows this host by the newest key that it was shown.
            identity.key_pem = key_pem.or(identity.key_pem.take());
        }
        let trust = std::mem::take(&mut identity.trust);
        identity.trust = match added {
            Some(AddedBundle { pem, is_enough: true }) => trust.by_bundle_alone(pem),
            Some(AddedBundle { pem, is_enough: false }) => trust.with_bundle(Some(pem), verified_by),
            None => trust,
        };
        enrolled.add(credential, Worth::Fresh);
        self.session.unannounced = true;
        self.keep_identity();
    }

    fn enrolment_back(&mut self, back: EnrolBack) {
        let EnrolBack { way, manager, pending, learned, answer } = back;
        let now = self.now();
        if let Some(said) = learned {
            self.cadence.features().learned(&manager, now.boot, said);
        }
        // Another token came while this one was asked with: what is reported about the old one does not count.
        let mut outdated = false;
        if let Life::Enrolling(known) = &mut self.session.life {
            self.transport.back(way);
            if let Some(pending) = pending {
                outdated = known.request_id != pending.request_id;
                if !outdated {
                    **known = pending;
                }
            }
        }
        match answer {
            Ok(won) => {
                let last = self.first_reply(&won.identity.server_id, &manager, won.enabled);
                let before = self.session.life.enrolled().map(|enrolled| enrolled.identity().server_id.clone());
                if before.is_some_and(|before| before == won.identity.server_id)
                    && let Some(credential) = won.identity.credentials.first()
                {
                    self.wishes.occur(rotated(credential));
                }
                self.begin_with(won.identity, last);
            }
            Err(answer) => {
                let why = format!("{manager}: {}", words(&answer));
                tracing::debug!(manager = %manager, why, "no identity");
                self.publisher.error(&why);
                if let Answer::Refused(refused) = &answer {
                    self.session.enrol_refused = Some(refused.clone());
                }
                self.cadence.answered(now, answer);
                if self.trouble() == Some(DeliveryFailure::Deleted) {
                    self.publish();
                    self.go_forgotten();
                } else if outdated && let Some(machine) = self.cadence.machine_mut() {
                    machine.on_keys(now.boot, Vec::new(), true);
                }
            }
        }
    }

    /// What is known before the first heartbeat was accepted: the manager that knows this host, and that it is switched on.
    fn first_reply(&self, server_id: &str, manager: &ManagerAddress, enabled: Option<bool>) -> LastReply {
        LastReply {
            schema: SCHEMA,
            server_id: server_id.to_owned(),
            interval_s: None,
            enabled: enabled.unwrap_or(true),
            offered: Vec::new(),
            accepted_by: Some(manager.clone()),
            clock_skew_ms: None,
            inventory: None,
        }
    }

    fn by_hand_back(&mut self, back: ByHandBack) {
        let ByHandBack { outcome, last_seq, reply } = back;
        self.cadence.sent(last_seq);
        let done = match outcome {
            Outcome::Won(won, manager) => {
                let last = self.first_reply(&won.identity.server_id, &manager, won.enabled);
                self.begin_with(won.identity, last);
                Ok(())
            }
            Outcome::Waits(pending, refused) => {
                self.publisher.anew();
                self.ask_for_identity(*pending, true);
                let now = self.now();
                // The machine learns of the answer that is already here, as if it had asked itself.
                let _ = self.cadence.next(now, "");
                self.cadence.answered(now, Answer::Refused(refused));
                Ok(())
            }
            Outcome::Refused(refusal) => {
                // What was under way before goes on; its files are put back.
                match &self.session.life {
                    Life::Enrolling(pending) => self.keeper.want(Write::Pending(pending.clone())),
                    Life::Alone(_) | Life::Enrolled(_) => {}
                }
                Err(refusal)
            }
        };
        self.publish();
        // Anyone who asked may have gone away; the deed stays done.
        let _ = reply.send(done);
    }

    fn left(&mut self, back: GoodbyeBack) {
        self.session.be_alone(CheckinState::NotEnrolled);
        self.session.wipe_at = None;
        self.session.enabled = true;
        if back.done.is_ok() {
            self.session.broken = None;
            self.session.is_read = true;
        }
        self.publisher.anew();
        self.publish();
        let _ = back.reply.send(back.done);
    }

    fn kept(&mut self, back: KeptBack) {
        let now = self.clock.boot_now();
        if let Err(fault) = back.done {
            tracing::error!(message_id = Message::IdentityNotKept.id(), %fault, "the identity could not be kept: {fault}");
            self.publisher.error(&fault.to_string());
            if let Some(reply) = self.session.edited.take() {
                let said = format!("{fault}; it is in force, and is saved as soon as the disk takes it");
                let _ =
                    reply.send(Err(Refusal::HostFault { attempted: "save the changed enrolment".to_owned(), said }));
            }
            self.keeper.refused(now, back.write, &fault);
            return;
        }
        self.keeper.done();
        if self.keeper.has_all()
            && let Some(reply) = self.session.edited.take()
        {
            let _ = reply.send(Ok(()));
        }
        if matches!(back.write, Write::Identity(_))
            && self.keeper.has_identity()
            && std::mem::take(&mut self.session.unannounced)
        {
            self.announce_keys(true);
        }
    }
}
