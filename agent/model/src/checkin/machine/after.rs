//! What follows each answer: the table of the contract as changes of the machine.

use super::{CheckinMachine, DELETED_TWICE_MS, EnrolFor, GAP_MS, UNAUTHENTICATED_MS, clamp_early_gap};
use crate::checkin::answer::{ManagerRefusal, Meaning, Reply};
use crate::checkin::code::Code;
use crate::checkin::fault::{CheckinError, FaultKind, OwnCertificate};
use crate::checkin::keyring::{AfterRefusal, KeyId};
use crate::checkin::omit::{Omit, Omitting};
use crate::checkin::slot::{RETRY_MAX_S, clamp_interval, mix};
use crate::checkin::trouble::DeliveryFailure;
use crate::enrol::CheckinState;
use crate::time::{BootMillis, Now};

impl CheckinMachine {
    pub(super) fn accepted(&mut self, now: Now, key: KeyId, reply: Reply) -> Vec<KeyId> {
        self.managers.accepted();
        self.managers.named(now.boot, reply.managers);
        if let Some(seconds) = reply.next_heartbeat_s {
            self.interval_s = clamp_interval(seconds);
            self.asked_interval_s = Some(self.interval_s);
        }
        self.early_gap_s = clamp_early_gap(reply.early_gap_s.unwrap_or(1));
        if let Some(rev) = self.sent_rev.take() {
            self.accepted_rev = Some(rev);
        }
        if reply.need_inventory {
            self.accepted_rev = None;
        }
        self.deleted_at = None;
        self.recovered_at = None;
        self.doubted_at = None;
        self.trouble = None;
        self.state = CheckinState::Ok;
        self.due = Some(self.own_slot(now.boot, self.interval_s));
        self.keys.worked(key)
    }

    fn retry_slot(&self, now: BootMillis) -> BootMillis {
        self.own_slot(now, self.interval_s.min(RETRY_MAX_S))
    }

    fn stands(&mut self, trouble: DeliveryFailure, said: String) {
        self.early = None;
        self.state = trouble.state().unwrap_or(self.state);
        self.trouble = Some((trouble, said));
    }

    fn with_manager(&self, words: &str) -> String {
        self.managers.current().map_or_else(|| words.to_owned(), |manager| format!("{manager} {words}"))
    }

    pub(super) fn refused(&mut self, now: Now, key: KeyId, refused: &ManagerRefusal) {
        let meaning = refused.meaning();
        let said = self.with_manager(&refused.words());
        if meaning == Meaning::Unauthenticated {
            if refused.code == Some(Code::TokenExpired) {
                self.keys.ended(key);
            }
            return self.unauthenticated(now, key, said);
        }
        if (meaning.is_about_the_host() || meaning == Meaning::OutOfOrder) && self.keys.doubted(key, now) {
            return self.once_more(now.boot);
        }
        if meaning.is_about_the_host() && !self.managers.is_believed() {
            return self.next_manager(now.boot, None, DeliveryFailure::Unreachable, said);
        }
        match meaning {
            Meaning::OutOfOrder | Meaning::Unauthenticated => {
                let until = refused.retry_after_ms().filter(|_| refused.status == 503).map(|ms| now.boot.plus(ms));
                return self.next_manager(now.boot, until, DeliveryFailure::Unreachable, said);
            }
            // 202 is an answer to an enrolment; to a heartbeat it reports nothing.
            Meaning::Pending if refused.status == 202 => {
                return self.next_manager(now.boot, None, DeliveryFailure::Unreachable, said);
            }
            Meaning::Pending => self.pending(now.boot, None, said),
            Meaning::BadReport => self.bad_report(now.boot, said),
            Meaning::TooLarge => self.too_large(now.boot, said),
            Meaning::Duplicate => self.wait_for_slot(now.boot, DeliveryFailure::DuplicateIdentity, said),
            Meaning::UpgradeRequired => self.wait_for_slot(now.boot, DeliveryFailure::UpgradeRequired, said),
            Meaning::UnknownAgent => self.unknown(now.boot, said),
            Meaning::Deleted => self.deleted(now.boot, said),
            Meaning::RateLimited => self.rate_limited(now.boot, refused, said),
        }
        self.managers.answered();
    }

    pub(super) fn failed(&mut self, now: Now, key: KeyId, fault: &CheckinError) {
        if let FaultKind::Credential(what) = fault.kind {
            if what == OwnCertificate::Ended {
                self.keys.ended(key);
            }
            if self.keys.refused(key, now) == AfterRefusal::TryAnother || self.keys.is_lost(now.wall) {
                self.stands(DeliveryFailure::CredentialRefused, fault.said.clone());
                return self.once_more(now.boot);
            }
            return self.next_manager(now.boot, None, DeliveryFailure::CredentialRefused, fault.said.clone());
        }
        if fault.kind.may_be_the_credential() && self.keys.doubted(key, now) {
            return self.once_more(now.boot);
        }
        self.next_manager(now.boot, None, DeliveryFailure::Unreachable, fault.said.clone());
    }

    /// The same manager again, at once, with what is at hand now.
    fn once_more(&mut self, now: BootMillis) {
        self.mid_round = true;
        self.due = Some(now);
    }

    fn next_manager(&mut self, now: BootMillis, until: Option<BootMillis>, trouble: DeliveryFailure, said: String) {
        if self.managers.failed(now, until) {
            self.mid_round = true;
            self.due = Some(now);
        } else {
            let retry = self.interval_s.min(RETRY_MAX_S);
            let pause = self.managers.all_pause_until(now);
            self.due = Some(pause.map_or_else(|| self.retry_slot(now), |at| self.first_slot_from(at, retry)));
            self.asked_to_wait = pause;
            self.stands(trouble, said);
        }
    }

    fn wait_for_slot(&mut self, now: BootMillis, trouble: DeliveryFailure, said: String) {
        self.due = Some(self.own_slot(now, self.interval_s));
        self.stands(trouble, said);
    }

    fn stop(&mut self, trouble: DeliveryFailure, said: String) {
        self.due = None;
        self.stands(trouble, said);
    }

    /// Waits as long as was asked, and then for the own slot.
    fn pause(&mut self, now: BootMillis, asked_ms: Option<u64>, interval_s: u64) {
        let until = asked_ms.map(|ms| now.plus(ms));
        self.due = Some(match until {
            Some(at) => self.first_slot_from(at, interval_s).max(now.plus(GAP_MS)),
            None => self.own_slot(now, interval_s),
        });
        self.asked_to_wait = until;
    }

    fn pending(&mut self, now: BootMillis, asked_ms: Option<u64>, said: String) {
        self.pause(now, asked_ms, RETRY_MAX_S);
        self.stands(DeliveryFailure::PendingApproval, said);
    }

    fn rate_limited(&mut self, now: BootMillis, refused: &ManagerRefusal, said: String) {
        self.pause(now, refused.retry_after_ms(), self.interval_s);
        self.stands(DeliveryFailure::RateLimited, said);
    }

    fn bad_report(&mut self, now: BootMillis, said: String) {
        self.omit(now, Omit::Optional, &said);
        self.wait_for_slot(now, DeliveryFailure::RejectedReport, said);
    }

    fn too_large(&mut self, now: BootMillis, said: String) {
        match self.omitting.level(now).next() {
            Some(more) => {
                self.omit(now, more, &said);
                self.stands(DeliveryFailure::RejectedReport, said);
                self.due = Some(now.plus(GAP_MS));
            }
            None => self.wait_for_slot(now, DeliveryFailure::RejectedReport, said),
        }
    }

    fn omit(&mut self, now: BootMillis, level: Omit, said: &str) {
        self.omitting = Omitting::from_now(level, now);
        said.clone_into(&mut self.omit_said);
    }

    fn unauthenticated(&mut self, now: Now, key: KeyId, said: String) {
        if self.keys.refused(key, now) == AfterRefusal::TryAnother || self.keys.is_lost(now.wall) {
            self.stands(DeliveryFailure::Unauthenticated, said);
            return self.once_more(now.boot);
        }
        if !self.managers.is_believed() {
            return self.next_manager(now.boot, None, DeliveryFailure::Unreachable, said);
        }
        self.refusals += 1;
        let off = mix(self.slot.hash() ^ self.refusals) % UNAUTHENTICATED_MS;
        self.due = Some(now.boot.plus(UNAUTHENTICATED_MS / 2 + off));
        self.stands(DeliveryFailure::Unauthenticated, said);
        self.managers.answered();
    }

    fn unknown(&mut self, now: BootMillis, said: String) {
        self.accepted_rev = None;
        if self.may_enrol_again {
            self.may_enrol_again = false;
            self.lost = true;
            self.due = Some(now);
            self.stands(DeliveryFailure::UnknownAgent, said);
        } else {
            self.wait_for_slot(now, DeliveryFailure::UnknownAgent, said);
        }
    }

    fn deleted(&mut self, now: BootMillis, said: String) {
        let first = *self.deleted_at.get_or_insert(now);
        if now.since(first) >= DELETED_TWICE_MS {
            self.stop(DeliveryFailure::Deleted, said);
        } else {
            self.wait_for_slot(now, DeliveryFailure::PerhapsDeleted, said);
        }
    }

    /// One try to enrol again has failed: heartbeats as before, since the manager may find this host yet.
    pub(super) fn not_found_again(&mut self, now: Now) {
        self.lost = false;
        let said = self.trouble.take().map(|(_, said)| said).unwrap_or_default();
        self.wait_for_slot(now.boot, DeliveryFailure::UnknownAgent, said);
    }

    /// A manager answered an enrolment, and gave no identity.
    pub(super) fn no_identity(&mut self, now: Now, why: EnrolFor, refused: &ManagerRefusal) {
        let meaning = refused.meaning();
        let said = self.with_manager(&refused.words());
        if why == EnrolFor::Ended {
            self.recovered_at = Some(now.boot);
        }
        match meaning {
            Meaning::OutOfOrder | Meaning::UnknownAgent => {
                let until = refused.retry_after_ms().filter(|_| refused.status == 503).map(|ms| now.boot.plus(ms));
                return self.next_manager(now.boot, until, DeliveryFailure::Unreachable, said);
            }
            Meaning::Pending => self.pending(now.boot, refused.retry_after_ms(), said),
            Meaning::BadReport | Meaning::TooLarge => {
                self.wait_for_slot(now.boot, DeliveryFailure::RejectedReport, said)
            }
            Meaning::UpgradeRequired => self.wait_for_slot(now.boot, DeliveryFailure::UpgradeRequired, said),
            Meaning::RateLimited => self.rate_limited(now.boot, refused, said),
            Meaning::Deleted if why == EnrolFor::Ended => self.deleted(now.boot, said),
            Meaning::Deleted => return self.next_manager(now.boot, None, DeliveryFailure::Unreachable, said),
            Meaning::Unauthenticated | Meaning::Duplicate if why == EnrolFor::Ended => {
                self.wait_for_slot(now.boot, DeliveryFailure::CredentialRefused, said);
            }
            Meaning::Unauthenticated => self.stop(DeliveryFailure::Unauthenticated, said),
            Meaning::Duplicate => self.stop(DeliveryFailure::DuplicateIdentity, said),
        }
        self.managers.answered();
    }

    /// Nobody answered an enrolment, or nothing that could be used.
    pub(super) fn nobody_enrolled(&mut self, now: Now, why: EnrolFor, fault: &CheckinError) {
        if why == EnrolFor::Ended && fault.kind.was_heard() {
            self.recovered_at = Some(now.boot);
        }
        self.next_manager(now.boot, None, DeliveryFailure::Unreachable, fault.said.clone());
    }
}
