//! The real check-in on a simulated host, in a folder of its own, as long as the trial lasts.

use crate::Trial;
use crate::findings::Finding;
use crate::simulated::SimulatedAgent;
use anyhow::{Context as _, anyhow};
use host::front::BootClock;
use model::enrol::CheckinState;
use model::judge::{ObservationMeta, judge};
use model::ports::Clock;
use model::workspace_life::WorkspacesState;
use serde_json::Value;
use sim::SimHost;
use std::sync::Arc;

/// A clock of a manager that is off by more is reported: hosts judge `not_after` and renewals by it.
const SKEW_MOST_MS: i64 = 5000;

/// The identity that the host has got.
pub(crate) struct Kept {
    pub(crate) server_id: String,
    pub(crate) boot_id: String,
    /// The number of the next heartbeat.
    pub(crate) seq: u64,
    /// Key and chain, PEM.
    pub(crate) certificate: Option<String>,
    pub(crate) secret: Option<String>,
}

/// The check-in of the trial.
pub(crate) struct Stay {
    boot_id: String,
    agent: SimulatedAgent,
}

impl Stay {
    /// Starts it; nothing is asked of any manager yet.
    pub(crate) async fn begin(trial: &Trial) -> anyhow::Result<Self> {
        let description = sim::load(&trial.host).map_err(|fault| anyhow!("{}: {fault}", trial.host))?;
        // Each trial is another host, which has just this boot.
        let boot_id = uuid::Uuid::new_v4().to_string();
        let mut raw = SimHost::new(description)?.asked();
        raw.host.boot_id = model::Reading::Known(boot_id.clone());
        let clock = Arc::new(BootClock);
        let meta = ObservationMeta { sequence: 1, observed_at: clock.wall_now(), observed_boot: clock.boot_now() };
        let (seen, root) = (Arc::new(judge(raw, meta, None)), std::env::temp_dir());
        let agent = SimulatedAgent::begin(seen, WorkspacesState::default(), &root, clock).await?;
        Ok(Self { boot_id, agent })
    }

    /// Enrols; false where the host has no identity, so that nothing else can be tried.
    pub(crate) async fn enrol(&self, trial: &Trial, findings: &mut Vec<Finding>) -> bool {
        const WHAT: &str = "POST enroll: a host with a good token gets an identity";
        let refused = match self.agent.enrol(&trial.url, &trial.token, trial.ca_pem.as_deref()).await {
            Ok(()) if self.agent.until(trial.patience, |now| now.server_id.is_some()).await => None,
            Ok(()) => Some("no identity came: it waits for an administrator, or the answer is lost".to_owned()),
            Err(refusal) => Some(refusal.to_string()),
        };
        findings.push(refused.as_ref().map_or_else(|| Finding::right(WHAT), |why| Finding::wrong(WHAT, why.as_str())));
        refused.is_none()
    }

    /// Waits for heartbeats.
    pub(crate) async fn beats(&self, trial: &Trial, findings: &mut Vec<Finding>) {
        let mut faults = Vec::new();
        for count in 1..=trial.beats {
            if !self.agent.until(trial.patience, |now| now.accepted >= count).await {
                faults.push(format!("heartbeat {count} was not accepted within {} s", trial.patience.as_secs()));
                break;
            }
        }
        let now = self.agent.status();
        if now.failed > 0 {
            faults.push(format!("{} heartbeats failed: {}", now.failed, now.last_error.clone().unwrap_or_default()));
        }
        if now.state != CheckinState::Ok {
            faults.push(format!("the check-in is in the state {}", now.state.code()));
        }
        let shown = now.conditions.iter().filter(|condition| condition.kind != "clock_skew");
        faults.extend(shown.map(|condition| format!("the host shows {}: {}", condition.kind, condition.message)));
        findings.push(Finding::of("POST heartbeat: the real check-in is accepted, in its slots", &faults));
        let skew = now.clock_skew_ms;
        let what = "server_time: the manager's clock is right";
        findings.push(match skew {
            None => Finding::wrong(what, "the replies have no server_time that can be read"),
            Some(ms) if ms.abs() > SKEW_MOST_MS => Finding::wrong(what, format!("it is {ms} ms off the clock here")),
            Some(_) => Finding::right(what),
        });
    }

    /// Stops it, and gives the identity that it kept.
    pub(crate) async fn end(self) -> anyhow::Result<Kept> {
        let folder = self.agent.end().await?;
        let path = folder.path().join("identity/identity.json");
        let text = tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let identity: Value = serde_json::from_slice(&text)?;
        let text = |pointer: &str| identity.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let certificate = text("/credentials/0/key_pem").zip(text("/credentials/0/chain_pem"));
        Ok(Kept {
            server_id: text("/server_id").context("the identity has no server_id")?,
            boot_id: self.boot_id,
            seq: BootClock.boot_now().0 + 1000,
            certificate: certificate.map(|(key, chain)| format!("{key}\n{chain}")),
            secret: text("/credentials/0/secret"),
        })
    }
}
