//! What an administrator changes of an enrolment: trust in managers, which must not lose the one in use, and the token.

use crate::checkin::identity::{Credential, Trust};
use crate::checkin::keeper::Write;
use crate::checkin::lanes::{Back, Lane};
use crate::checkin::life::Life;
use crate::checkin::probe::{EditReply, ProbeBack, probe};
use crate::checkin::task::Task;
use crate::checkin::trust_edit::{changed, may_lose};
use model::checkin::Worth;
use model::enrol::EnrolmentEdit;
use model::enrol::Secret;
use model::manager_trust::TrustChange;
use model::ports::Clock;
use model::refusal::Refusal;

fn busy(why: &str) -> Refusal {
    Refusal::Busy { why: format!("{why}; try again in a few seconds") }
}

impl<C: Clock> Task<C> {
    /// An administrator changes the enrolment.
    pub(super) fn edit(&mut self, edit: EnrolmentEdit, reply: EditReply) {
        if self.session.edited.is_some() || !self.lanes.is_free(Lane::Probe) {
            let _ = reply.send(Err(busy("another change of the enrolment is being saved")));
            return;
        }
        let done = match edit {
            EnrolmentEdit::Token(token) => self.another_token(token),
            EnrolmentEdit::Trust(change) => match self.trust_after(&change) {
                Ok((before, after)) if may_lose(&before, &change) => return self.probe(after, change, reply),
                Ok((_, after)) => self.trust_is(after),
                Err(refusal) => Err(refusal),
            },
        };
        self.answer_when_kept(done, reply);
    }

    /// The answer waits until it is on disk, where something changed.
    fn answer_when_kept(&mut self, done: Result<bool, Refusal>, reply: EditReply) {
        match done {
            Ok(true) => self.session.edited = Some(reply),
            Ok(false) => {
                let _ = reply.send(Ok(()));
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
            }
        }
    }

    /// The trust as it is, and as it would be.
    fn trust_after(&self, change: &TrustChange) -> Result<(Trust, Trust), Refusal> {
        let before = match &self.session.life {
            Life::Enrolled(enrolled) => enrolled.identity().trust.clone(),
            Life::Enrolling(_) if !self.lanes.is_free(Lane::Enrolment) => {
                return Err(busy("the manager is being asked for an identity"));
            }
            Life::Enrolling(pending) => pending.trust.clone(),
            Life::Alone(_) => return Err(not_enrolled()),
        };
        let after = changed(&before, &self.session.settings, change)?;
        Ok((before, after))
    }

    /// The manager in use is looked at first with the trust that is to come: it must not be lost.
    fn probe(&mut self, after: Trust, change: TrustChange, reply: EditReply) {
        let machine = self.cadence.machine();
        let manager = machine.and_then(|machine| {
            machine
                .manager()
                .or(machine.managers().last_accepted())
                .cloned()
                .or_else(|| machine.managers().known().pop())
        });
        let Some(manager) = manager else {
            return self.probed(ProbeBack { change, lost: None, reply });
        };
        let way = self.transport.way(&self.session.settings, &after, None);
        let work = probe(way, manager, change, reply);
        self.lanes.start(Lane::Probe, async move { Back::Probed(Box::new(work.await)) });
    }

    /// The manager was looked at.
    pub(super) fn probed(&mut self, back: ProbeBack) {
        let ProbeBack { change, lost, reply } = back;
        let done = match lost {
            Some(refusal) => Err(refusal),
            // It may be another one by now.
            None => self.trust_after(&change).and_then(|(_, after)| self.trust_is(after)),
        };
        self.answer_when_kept(done, reply);
    }

    /// Managers are judged by this from the next request on. True where it is news, and is to be on disk.
    fn trust_is(&mut self, trust: Trust) -> Result<bool, Refusal> {
        let known = match &mut self.session.life {
            Life::Enrolled(enrolled) => &mut enrolled.identity_mut().trust,
            Life::Enrolling(pending) => &mut pending.trust,
            Life::Alone(_) => return Err(not_enrolled()),
        };
        if *known == trust {
            return Ok(false);
        }
        *known = trust;
        tracing::info!("an administrator has changed which managers this host trusts; see: gpuhostctl trust show");
        self.transport.forget();
        self.poll_transport.forget();
        self.keep_life();
        Ok(true)
    }

    fn keep_life(&mut self) {
        match &self.session.life {
            Life::Enrolled(enrolled) => self.keeper.want(Write::Identity(Box::new(enrolled.identity().clone()))),
            Life::Enrolling(pending) => self.keeper.want(Write::Pending(pending.clone())),
            Life::Alone(_) => {}
        }
    }

    /// Another token: for the heartbeats of a host that shares one, or for the enrolment that is under way.
    fn another_token(&mut self, token: Secret) -> Result<bool, Refusal> {
        let now = self.clock.boot_now();
        match &mut self.session.life {
            Life::Enrolled(enrolled) if enrolled.is_shared() => {
                if !enrolled.add(Credential::SharedToken { token }, Worth::Fresh) {
                    return Ok(false);
                }
                self.keep_life();
                self.announce_keys(true);
            }
            Life::Enrolling(pending) => {
                pending.asks_with(token);
                pending.follows_file = false;
                self.keep_life();
                if let Some(machine) = self.cadence.machine_mut() {
                    machine.on_keys(now, Vec::new(), true);
                }
            }
            Life::Enrolled(_) => {
                let why = "this host has a credential of its own, which it renews by itself; for another one: gpuhostctl \
                           leave, then gpuhostctl enroll";
                return Err(Refusal::Conflict { why: why.to_owned() });
            }
            Life::Alone(_) => return Err(not_enrolled()),
        }
        tracing::info!("an administrator gave another token; it is tried now");
        Ok(true)
    }
}

fn not_enrolled() -> Refusal {
    let why = "this host is not enrolled with a manager; to enrol it: gpuhostctl enroll URL --token-file FILE";
    Refusal::Conflict { why: why.to_owned() }
}
