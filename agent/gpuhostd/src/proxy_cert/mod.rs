//! Keeps certificate and key of the workspace proxy as they are wished: checked, written as a pair, and watched until they expire.

mod proxy_check;

use engine::publish::Publisher;
use host::front::{PairOnDisk, put_pair, read_pair};
use model::condition::{Condition, ConditionStatus};
use model::desired::DesiredState;
use model::doctor::validity;
use model::enrol::CheckinStatus;
use model::policy::Policy;
use model::ports::Clock;
use model::proxy_cert::{ProxyOutcome, ProxyPair, ProxyState, ProxyWish, proxy_wish};
use model::reconcile::Why;
use model::settings::Settings;
use model::time::{BootMillis, UnixMillis};
use proxy_check::{CheckedPair, checked};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The date of the certificate is looked at so often, in milliseconds.
const LOOK_AGAIN_MS: u64 = 3_600_000;
/// What could not be written is tried again after so long, in milliseconds.
const WRITE_AGAIN_MS: u64 = 30_000;
/// Where nothing is there, the timer is set this far off, in milliseconds (a year).
const FAR_MS: u64 = 365 * 86_400_000;
/// A certificate that expires within this time is a condition, in milliseconds (14 days).
const SOON_MS: i64 = 14 * 86_400_000;
/// Type of the condition.
const CONDITION: &str = "proxy_certificate";

/// What the keeper works with.
#[derive(Debug)]
pub struct ProxyCertParts<K> {
    /// The clock.
    pub clock: Arc<K>,
    /// Where the state and the condition are shown.
    pub publisher: Arc<Publisher>,
    /// What is wished.
    pub desired: watch::Receiver<Arc<DesiredState>>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// An administrator has frozen what a manager requests.
    pub locked: watch::Receiver<bool>,
    /// The state of the check-in.
    pub checkin: watch::Receiver<Arc<CheckinStatus>>,
}

/// The keeper.
struct Keeper<K> {
    parts: ProxyCertParts<K>,
    state: ProxyState,
    /// The directory that was looked into.
    looked_into: Option<PathBuf>,
}

/// Works until it is cancelled. A file that is being written is finished, or is not there after a start.
pub async fn run<K: Clock>(parts: ProxyCertParts<K>, cancel: CancellationToken) {
    let keeper = Keeper { parts, state: ProxyState::default(), looked_into: None };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = keeper.work() => {}
    }
}

impl<K: Clock> Keeper<K> {
    async fn work(mut self) {
        loop {
            self.parts.desired.mark_unchanged();
            self.parts.settings.mark_unchanged();
            self.parts.policy.mark_unchanged();
            self.parts.locked.mark_unchanged();
            self.parts.checkin.mark_unchanged();
            let wake_at = self.turn().await;
            let clock = Arc::clone(&self.parts.clock);
            tokio::select! {
                Ok(()) = self.parts.desired.changed() => {}
                Ok(()) = self.parts.settings.changed() => {}
                Ok(()) = self.parts.policy.changed() => {}
                Ok(()) = self.parts.locked.changed() => {}
                Ok(()) = self.parts.checkin.changed() => {}
                () = clock.sleep_until(wake_at) => {}
            }
        }
    }

    /// Looks at the wish once, and brings the files to it; when to look again.
    async fn turn(&mut self) -> BootMillis {
        let dir = PathBuf::from(&self.parts.settings.borrow().proxy.directory);
        if self.looked_into.as_ref() != Some(&dir) {
            self.state = ProxyState { expires_at: expires_at(&dir).await, ..ProxyState::default() };
            self.looked_into = Some(dir.clone());
        }
        let wish = {
            let (desired, policy) = (self.parts.desired.borrow(), self.parts.policy.borrow());
            let checkin = self.parts.checkin.borrow().state;
            proxy_wish(&desired, &policy, (checkin, *self.parts.locked.borrow()))
        };
        let is_pair = matches!(wish, ProxyWish::Pair(..));
        let refused = match wish {
            ProxyWish::Pair(_, pair) => self.keep(&dir, pair).await,
            ProxyWish::Refused(_, why) => Some(why),
            ProxyWish::Nothing => {
                (self.state.of, self.state.outcome) = (None, ProxyOutcome::NotLooked);
                None
            }
            ProxyWish::Held(..) => None,
        };
        self.tell(refused.as_ref());
        self.parts.publisher.show_proxy(self.state.clone());
        let pause = match (&self.state.outcome, self.state.expires_at) {
            (ProxyOutcome::NotWritten(_), _) if is_pair => WRITE_AGAIN_MS,
            (ProxyOutcome::Refused(_), _) | (_, Some(_)) => LOOK_AGAIN_MS,
            (ProxyOutcome::NotLooked | ProxyOutcome::Installed | ProxyOutcome::NotWritten(_), None) => FAR_MS,
        };
        self.parts.clock.boot_now().plus(pause)
    }

    /// Brings the files to a pair; why not, where they are not so.
    async fn keep(&mut self, dir: &Path, pair: ProxyPair) -> Option<Why> {
        let wall = self.parts.clock.wall_now();
        let outcome = match checked(&pair, wall) {
            // A pair that is in its place and has expired since stays there; the condition shows it.
            Err(why) => ProxyOutcome::Refused(why),
            Ok(CheckedPair { version, on_disk, expires_at }) => match written(dir, version, on_disk).await {
                Ok(is_new) => {
                    if is_new {
                        tracing::info!("the certificate of the workspace proxy in {} was replaced", dir.display());
                    }
                    self.state.expires_at = Some(expires_at);
                    ProxyOutcome::Installed
                }
                Err(fault) => ProxyOutcome::NotWritten(Why::new("proxy_certificate_not_written", fault)),
            },
        };
        let why = match &outcome {
            ProxyOutcome::Refused(why) | ProxyOutcome::NotWritten(why) => Some(why.clone()),
            ProxyOutcome::Installed | ProxyOutcome::NotLooked => None,
        };
        (self.state.of, self.state.outcome) = (Some(pair), outcome);
        why
    }

    /// What is wrong with the wish, else that the certificate in its place expires.
    fn tell(&self, refused: Option<&Why>) {
        let wall = self.parts.clock.wall_now();
        let left_ms = self.state.expires_at.map(|at| at.0.saturating_sub(wall.0));
        let told = match (refused, left_ms) {
            (Some(why), _) => Some((
                why.code.clone(),
                format!("the certificate of the workspace proxy is not replaced: {}", why.message),
            )),
            (None, Some(left_ms)) if left_ms <= 0 => {
                let message = format!(
                    "the certificate of the workspace proxy expired {} s ago; the manager has to send a new one (proxy.nginx_cert)",
                    left_ms.unsigned_abs() / 1000
                );
                Some(("expired".to_owned(), message))
            }
            (None, Some(left_ms)) if left_ms <= SOON_MS => {
                let message = format!(
                    "the certificate of the workspace proxy expires in {} hours; the manager has to send a new one \
                     (proxy.nginx_cert)",
                    left_ms / 3_600_000
                );
                Some(("expires_soon".to_owned(), message))
            }
            (None, Some(_) | None) => None,
        };
        match told {
            Some((reason, message)) => self.parts.publisher.stand(Condition {
                kind: CONDITION.to_owned(),
                status: ConditionStatus::True,
                reason,
                message,
                since: wall,
            }),
            None => self.parts.publisher.lift(CONDITION),
        }
    }
}

/// Writes a pair unless the same is there; whether it was written.
async fn written(dir: &Path, version: String, pair: PairOnDisk) -> Result<bool, String> {
    let dir = dir.to_owned();
    let work = move || match read_pair(&dir) {
        Ok(Some(found)) if found == pair => Ok(false),
        // What cannot be read is replaced.
        Ok(_) | Err(_) => put_pair(&dir, &version, &pair).map(|()| true).map_err(|fault| fault.to_string()),
    };
    tokio::task::spawn_blocking(work).await.map_err(|cut| cut.to_string())?
}

/// When the certificate that is in its place expires.
async fn expires_at(dir: &Path) -> Option<UnixMillis> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || read_pair(&dir)).await;
    let pair = read.ok()?.ok()??;
    let leaf = CertificateDer::from_pem_slice(&pair.cert).ok()?;
    validity::ends_at(&leaf)
}
