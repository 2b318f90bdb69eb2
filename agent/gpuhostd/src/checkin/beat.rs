//! One heartbeat: sent, answered, and what the answer changes here.

use crate::checkin::credentials;
use crate::checkin::identity::Credential;
use crate::checkin::life::Life;
use crate::checkin::task::Task;
use model::checkin::skew::skew_ms;
use model::checkin::{Answer, Beat, Machine, Trouble};
use model::enrol::{CheckinState, Farewell, Secret};
use model::message::Message;
use model::ports::Clock;
use model::time::BootMillis;
use wire::manager::reply::HeartbeatReply;

/// The answer in words, for the status and the log.
pub(super) fn words(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Accepted(_) => None,
        Answer::Refused(refused) => Some(refused.words()),
        Answer::Failed(fault) => Some(fault.said.clone()),
    }
}

impl<C: Clock> Task<C> {
    /// Sends a heartbeat and takes the answer in.
    pub(super) async fn beat(&mut self, mut beat: Beat) {
        if self.life.is_shared() {
            self.check_file().await;
            if let Some(machine) = &self.machine {
                beat.credential = machine.credential();
            }
        }
        let Some(identity) = self.life.identity().cloned() else { return };
        self.last_seq = beat.seq;
        let sent = self.clock.boot_now();
        let cpu = self.sight.seen.host.cpu.get();
        let result = self.send_beat(&identity, &beat).await;
        let now = self.clock.boot_now();
        match result {
            Ok(reply) => {
                tracing::debug!(manager = %beat.manager, seq = beat.seq, server_id = %identity.server_id, "heartbeat accepted");
                self.sight.cpu_before = cpu;
                self.accepted(now, sent, &beat, reply).await;
            }
            Err(answer) => self.not_accepted(now, &beat, answer).await,
        }
    }

    async fn not_accepted(&mut self, now: BootMillis, beat: &Beat, answer: Answer) {
        let why = format!("{}: {}", beat.manager, words(&answer).unwrap_or_default());
        tracing::debug!(manager = %beat.manager, seq = beat.seq, why, "heartbeat not accepted");
        self.publisher.failed(&why);
        let before = self.trouble();
        if let Some(machine) = &mut self.machine {
            machine.on_answer(now, answer);
        }
        let after = self.trouble();
        if after != before
            && matches!(after, Some(Trouble::RejectedReport | Trouble::RateLimited | Trouble::PerhapsDeleted))
        {
            tracing::warn!(message_id = Message::ReportRefused.id(), manager = %beat.manager, seq = beat.seq, why, "the manager refuses the report: {why}");
        }
        if after == Some(Trouble::Deleted) {
            self.publish();
            self.go_forgotten().await;
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        self.machine.as_ref().and_then(|m| m.trouble()).map(|(trouble, _)| *trouble)
    }

    async fn accepted(&mut self, now: BootMillis, sent: BootMillis, beat: &Beat, reply: HeartbeatReply) {
        let wall = self.clock.wall_now();
        let skew = reply.server_time.map(|server| skew_ms(server, wall, now.since(sent)));
        self.publisher.accepted(wall, skew);
        self.enabled = reply.enabled.unwrap_or(self.enabled);
        let news_of_managers = !reply.steering.managers.is_empty();
        if let Some(machine) = &mut self.machine {
            machine.on_answer(now, Answer::Accepted(reply.steering));
        }
        self.settle(beat.credential).await;
        if news_of_managers {
            self.keep_managers().await;
        }
        if let Some(token) = reply.next_token.filter(|_| self.life.is_shared()) {
            self.keep_next_token(token).await;
        }
        self.renew_if_due(&beat.manager, reply.rotate_credential).await;
    }

    /// The credential has worked: the older ones go.
    async fn settle(&mut self, index: usize) {
        let Some(identity) = self.life.identity_mut() else { return };
        if !credentials::settle(identity, index) {
            return;
        }
        let count = identity.credentials.len();
        if let Some(machine) = &mut self.machine {
            machine.settled(count);
        }
        self.keep_identity().await;
    }

    /// The list of the reply, with the configured ones behind it, survives a restart.
    async fn keep_managers(&mut self) {
        let Some(managers) = self.machine.as_ref().map(Machine::managers) else { return };
        let Some(identity) = self.life.identity_mut() else { return };
        if identity.managers != managers {
            identity.managers = managers;
            self.keep_identity().await;
        }
    }

    /// The shared token that will come into force: kept beside the one in use, and tried once that one is refused.
    async fn keep_next_token(&mut self, token: Secret) {
        let Some(identity) = self.life.identity_mut() else { return };
        let before = identity.credentials.len();
        credentials::add(identity, Credential::SharedToken { token });
        let count = identity.credentials.len();
        if count != before {
            tracing::info!("the manager announced its next token; it is kept until the present one is refused");
            self.keep_identity().await;
            self.credentials_changed(count, None);
        }
    }

    /// Says goodbye as far as the manager listens, and wipes what is kept.
    pub(super) async fn leave(&mut self) -> Result<Farewell, model::refusal::Refusal> {
        let farewell = self.say_goodbye().await;
        let wiped = self.store.wipe().await;
        self.life = Life::Alone(CheckinState::NotEnrolled);
        self.machine = None;
        self.token_file = None;
        self.wipe_at = None;
        self.enabled = true;
        self.publisher.anew();
        wiped.map(|()| farewell).map_err(|fault| model::refusal::Refusal::HostFault {
            attempted: "wipe the credentials".to_owned(),
            said: fault.to_string(),
        })
    }
}
