//! The real check-in on a simulated host, in a folder of its own, as long as the trial lasts.

use crate::Trial;
use crate::findings::Finding;
use anyhow::{Context as _, anyhow};
use engine::handle::Handle;
use engine::start::EngineParts;
use gpuhostd::checkin::{self, Checkin, CheckinPort, DesiredEnds};
use gpuhostd::desired::{self, KeeperParts};
use host::front::{BootClock, FileLedger};
use model::checkin::Pins;
use model::enrol::{CheckinState, CheckinStatus, EnrolSpec, Secret};
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::ports::Clock;
use model::settings::{HostNaming, Settings};
use serde_json::Value;
use sim::SimHost;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

/// A running check-in.
pub(crate) struct Stay {
    folder: TempDir,
    boot_id: String,
    port: CheckinPort,
    status: watch::Receiver<Arc<CheckinStatus>>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    _seen: watch::Sender<Arc<HostObservation>>,
    _settings: watch::Sender<Arc<Settings>>,
}

impl Stay {
    /// Starts it; nothing is asked of anybody yet.
    pub(crate) async fn begin(trial: &Trial) -> anyhow::Result<Self> {
        let description = sim::load(&trial.host).map_err(|fault| anyhow!("{}: {fault}", trial.host))?;
        // Each trial is another host, which has just this boot.
        let boot_id = uuid::Uuid::new_v4().to_string();
        let mut raw = SimHost::new(description)?.asked();
        raw.host.boot_id = model::Reading::Known(boot_id.clone());
        let clock = Arc::new(BootClock);
        let meta = ObservationMeta { sequence: 1, observed_at: clock.wall_now(), observed_boot: clock.boot_now() };
        let (seen, observed) = watch::channel(Arc::new(judge(raw, meta, None)));
        let folder = tempfile::tempdir().context("a folder for the host")?;
        let (_, jobs) = watch::channel(Arc::new(Vec::new()));
        let (commands, _) = mpsc::channel(1);
        let (settings, configured) = watch::channel(Arc::new(Settings::default()));
        let (documents, queue) = desired::channel();
        let parts = EngineParts::default();
        let ends = DesiredEnds::new(documents, &parts);
        let cancel = CancellationToken::new();
        let Checkin { port, status, work, .. } = checkin::start(
            Handle::new(observed, jobs, commands),
            configured,
            folder.path().to_owned(),
            Arc::clone(&clock),
            ends,
            cancel.clone(),
        );
        let keeper = KeeperParts {
            ledger: Arc::new(FileLedger::below(folder.path())),
            folder: folder.path().join("desired.d"),
            checkin: status.clone(),
            publisher: parts.publisher(),
            clock: Arc::new(BootClock),
            cancel: cancel.clone(),
        };
        tokio::spawn(desired::start(queue, keeper).await);
        let task = tokio::spawn(work);
        Ok(Self { folder, boot_id, port, status, cancel, task, _seen: seen, _settings: settings })
    }

    /// Enrols; false where the host has no identity, so that nothing else can be tried.
    pub(crate) async fn enrol(&self, trial: &Trial, findings: &mut Vec<Finding>) -> bool {
        const WHAT: &str = "POST enroll: a host with a good token gets an identity";
        let spec = EnrolSpec {
            urls: vec![trial.url.clone()],
            token: Secret::new(&trial.token),
            shared: false,
            ca_pem: trial.ca_pem.clone(),
            pins: Pins::default(),
            named: HostNaming::default(),
            unless_enrolled: false,
        };
        let refused = match self.port.enrol(spec).await {
            Ok(()) if self.until(trial.patience, |now| now.server_id.is_some()).await => None,
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
            if !self.until(trial.patience, |now| now.accepted >= count).await {
                faults.push(format!("heartbeat {count} was not accepted within {} s", trial.patience.as_secs()));
                break;
            }
        }
        let now = Arc::clone(&self.status.borrow());
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

    async fn until(&self, patience: Duration, is_so: impl Fn(&CheckinStatus) -> bool) -> bool {
        let mut status = self.status.clone();
        tokio::time::timeout(patience, status.wait_for(|now| is_so(now))).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Stops it, and gives the identity that it kept.
    pub(crate) async fn end(self) -> anyhow::Result<Kept> {
        self.cancel.cancel();
        self.task.await.context("the check-in has crashed")?;
        let path = self.folder.path().join("identity/identity.json");
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
