//! The requests of the check-in: from what the machine wants to what goes over the wire, and from what comes back to an answer.

use crate::checkin::config::this_machine;
use crate::checkin::http::{Exchange, Post, USER_AGENT};
use crate::checkin::identity::{Identity, Pending};
use crate::checkin::key;
use crate::checkin::task::Task;
use model::absence::Reading;
use model::checkin::{Answer, Beat, Fault, FaultKind, ManagerAddress, Refused};
use model::ports::Clock;
use serde::Serialize;
use wire::manager::agent::AgentInfo;
use wire::manager::enroll::{EnrollRequest, EnrollResponse};
use wire::manager::gpu;
use wire::manager::heartbeat::Observed;
use wire::manager::reply::{HeartbeatReply, Version, refusal};
use wire::manager::report::{CheckinFacts, build};

/// A heartbeat is never larger than this.
const HEARTBEAT_MAX_BYTES: usize = 256 * 1024;
/// What a manager said of its features is asked again after so long, in milliseconds.
const FEATURES_FOR_MS: u64 = 3_600_000;

/// Something that could not even be sent.
pub(super) fn local(said: impl ToString) -> Fault {
    Fault { kind: FaultKind::Local, said: said.to_string() }
}

/// The body of a request.
pub(super) fn json(document: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(document).map_err(local)
}

/// What came back, where it is no refusal: the body.
pub(super) fn accepted(manager: &ManagerAddress, exchange: Exchange) -> Result<serde_json::Value, Answer> {
    let Exchange { status, retry_after, body } = exchange;
    if let Some(refused) = refusal(status, retry_after.as_deref(), body.as_ref()) {
        return Err(Answer::Refused(refused));
    }
    let garbled = || {
        let said = format!("{manager} answered HTTP {status} without a JSON object; is it a manager?");
        Answer::Failed(Fault { kind: FaultKind::Garbled, said })
    };
    body.filter(serde_json::Value::is_object).ok_or_else(garbled)
}

impl<C: Clock> Task<C> {
    /// Sends one heartbeat.
    pub(super) async fn send_beat(&mut self, identity: &Identity, beat: &Beat) -> Result<HeartbeatReply, Answer> {
        let body = self.heartbeat_body(identity, beat).map_err(Answer::Failed)?;
        if body.len() > HEARTBEAT_MAX_BYTES {
            let message = format!("the report of {} bytes was not sent", body.len());
            let code = Some("too_large".to_owned());
            return Err(Answer::Refused(Refused { status: 413, code, message, retry_after_s: None }));
        }
        let trust = self.trust(&identity.trust).await.map_err(Answer::Failed)?;
        let credential = identity.credentials.get(beat.credential).or(identity.credentials.last());
        let gzip = body.len() > crate::checkin::http::GZIP_ABOVE_BYTES
            && self.takes_gzip(identity, &beat.manager).await.map_err(Answer::Failed)?;
        let path = self.settings.paths.heartbeat.clone();
        let post = Post { manager: &beat.manager, path: &path, body, gzip, bearer: None, idempotency_key: None };
        let exchange = self.wire.post(&trust, credential, post).await.map_err(Answer::Failed)?;
        accepted(&beat.manager, exchange).map(|body| HeartbeatReply::read(&body))
    }

    fn heartbeat_body(&self, identity: &Identity, beat: &Beat) -> Result<Vec<u8>, Fault> {
        let status = self.publisher.now();
        let facts = CheckinFacts {
            server_id: &identity.server_id,
            version: env!("CARGO_PKG_VERSION"),
            seq: beat.seq,
            wall: self.clock.wall_now(),
            boot: self.clock.boot_now(),
            clock_skew_ms: status.clock_skew_ms,
            settings: &self.settings,
            enabled: self.enabled,
            cpu_before: self.sight.cpu_before,
            with_inventory: beat.inventory,
            omit: beat.omit,
            conditions: &status.conditions,
            observed: Observed::default(),
            inventory_rev: &self.sight.rev,
        };
        json(&build(&self.sight.seen, &facts))
    }

    /// Asks the manager once an hour whether it takes gzip. A manager without `/version` takes none.
    async fn takes_gzip(&mut self, identity: &Identity, manager: &ManagerAddress) -> Result<bool, Fault> {
        let now = self.clock.boot_now();
        let place = manager.to_string();
        if let Some((takes, at)) = self.gzip.get(&place)
            && now.since(*at) < FEATURES_FOR_MS
        {
            return Ok(*takes);
        }
        let trust = self.trust(&identity.trust).await?;
        let credential = identity.credentials.last();
        let exchange = self.wire.get(&trust, credential, manager, &self.settings.paths.version).await?;
        let takes = accepted(manager, exchange).is_ok_and(|body| Version::read(&body).takes_gzip());
        self.gzip.insert(place, (takes, now));
        Ok(takes)
    }

    /// Asks one manager for an identity.
    pub(super) async fn ask_identity(
        &mut self,
        manager: &ManagerAddress,
        pending: &Pending,
    ) -> Result<EnrollResponse, Answer> {
        let body = self.enrol_body(pending).await.map_err(Answer::Failed)?;
        let trust = self.trust(&pending.trust).await.map_err(Answer::Failed)?;
        let path = self.settings.paths.enroll.clone();
        let (bearer, idempotency_key) = (Some(&pending.token), Some(pending.request_id.as_str()));
        let post = Post { manager, path: &path, body, gzip: false, bearer, idempotency_key };
        let exchange = self.wire.post(&trust, None, post).await.map_err(Answer::Failed)?;
        let body = accepted(manager, exchange)?;
        EnrollResponse::read(&body)
            .map_err(|fault| Answer::Failed(Fault { kind: FaultKind::Garbled, said: format!("{manager}: {fault}") }))
    }

    async fn enrol_body(&self, pending: &Pending) -> Result<Vec<u8>, Fault> {
        let seen = &self.sight.seen;
        let hostname = match &seen.host.hostname {
            Reading::Known(name) => name.clone(),
            Reading::Absent(_) => "unknown".to_owned(),
        };
        let server_id = self.life.identity().map(|i| i.server_id.clone()).or_else(|| self.settings.server_id.clone());
        let name = server_id.clone().unwrap_or_else(|| hostname.clone());
        let settings = &self.settings;
        json(&EnrollRequest {
            csr_pem: key::request(&pending.key_pem, &name).map_err(local)?,
            server_id,
            provider: settings.provider.clone(),
            public_hostname: settings.public_hostname.clone(),
            public_port: settings.public_port,
            zone: settings.zone.clone(),
            hostname,
            machine_id_hash: this_machine().await.map_err(local)?.simple().to_string(),
            dmi: seen.host.dmi.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
            agent: AgentInfo::of(seen, USER_AGENT.trim_start_matches("gpuhostd/")),
            inventory: gpu::inventory(seen),
        })
    }
}
