//! A running manager: start, stop, what it saw, and what a test can make it do.

use crate::agents::{Agent, Standing};
use crate::authority::sha256_hex;
use crate::desk::Desk;
use crate::endpoint::Endpoint;
use crate::fleet::Fleet;
use crate::listener;
use crate::options::{EnrolToken, Mode, Options, wall_clock};
use crate::record::{Auth, Received, Records, Request, Violation};
use crate::script::{Scripted, Scripts};
use crate::tls::{self, FrontTrust};
use anyhow::Context as _;
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// A running reference manager. It ends when it is dropped.
pub struct Manager {
    addr: SocketAddr,
    fingerprint: String,
    front: FrontTrust,
    desk: Arc<Desk>,
    down: watch::Sender<bool>,
    cancel: DropGuard,
    serving: JoinHandle<()>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("addr", &self.addr).field("mode", &self.desk.mode).finish_non_exhaustive()
    }
}

impl Manager {
    /// Starts a manager on the runtime of the caller; it listens when this returns.
    ///
    /// # Errors
    /// The address is not free, or no certificate could be made.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let fleet = options.fleet.map_or_else(Fleet::new, Ok)?;
        let clock = options.clock.unwrap_or_else(wall_clock);
        options.enrol_tokens.iter().for_each(|token| fleet.add_token(token));
        if let Mode::SharedToken(token) = &options.mode {
            fleet.agents(|agents| agents.set_shared_tokens(std::slice::from_ref(token)));
        }
        let identity = fleet.server_identity(options.identity)?;
        let front = FrontTrust::default();
        let tls = tls::config(&fleet, &identity, &options.mode, &clock, (&front, options.demands_certificate))?;
        let listener =
            TcpListener::bind(options.bind).await.with_context(|| format!("can't listen on {}", options.bind))?;
        let addr = listener.local_addr()?;
        let desk = Arc::new(Desk {
            clock,
            mode: options.mode,
            features: options.features,
            paths: options.optional_paths,
            fleet,
            next_heartbeat_s: options.next_heartbeat_s,
            max_heartbeat_bytes: options.max_heartbeat_bytes,
            credential_life: options.credential_life,
            records: Records::new(options.history),
            scripts: Scripts::default(),
            busy: watch::Sender::new(false),
            desired: watch::Sender::new(None),
            reply_hook: Mutex::default(),
            issue_hook: Mutex::default(),
            gate: Mutex::default(),
            recovers_by_key: options.recovers_by_key,
            wishes: Mutex::default(),
            given: Mutex::default(),
        });
        let cancel = CancellationToken::new();
        let down = watch::Sender::new(false);
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let serve = listener::serve(listener, acceptor, Arc::clone(&desk), down.subscribe(), cancel.clone());
        let serving = tokio::spawn(serve);
        let fingerprint = sha256_hex(&identity.certificate);
        Ok(Self { addr, fingerprint, front, desk, down, cancel: cancel.drop_guard(), serving })
    }

    /// Cuts all connections and frees the port. What it knew goes on in [`Manager::fleet`].
    pub async fn stop(self) {
        drop(self.cancel);
        // Cancelled or finished: in both cases the listener is closed.
        let _ = self.serving.await;
    }

    /// `https://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.desk.fleet.ca_pem()
    }

    /// SHA-256 of the certificate that it shows, 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint_sha256(&self) -> &str {
        &self.fingerprint
    }

    /// Authority, tokens and agents, for another manager or for this one when it starts again.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        self.desk.fleet.clone()
    }

    /// A new one-use enrolment token.
    #[must_use]
    pub fn issue_token(&self) -> String {
        let token = format!("enrol-{}", Uuid::new_v4().simple());
        self.add_token(&EnrolToken::new(&token));
        token
    }

    /// Adds an enrolment token.
    pub fn add_token(&self, token: &EnrolToken) {
        self.desk.fleet.add_token(token);
    }

    /// These are the shared tokens that are good from now on.
    pub fn set_shared_tokens(&self, tokens: &[&str]) {
        let tokens: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.desk.fleet.agents(|agents| agents.set_shared_tokens(&tokens));
    }

    /// Lets in an agent that waits for an administrator; false where none is known under this id.
    pub fn approve(&self, server_id: &str) -> bool {
        self.set_standing(server_id, Standing::Approved)
    }

    /// Deletes an agent for good: its requests are answered 410. False where none is known under this id.
    pub fn forget(&self, server_id: &str) -> bool {
        self.set_standing(server_id, Standing::Deleted)
    }

    /// Loses an agent, as a manager does whose database was set back: its requests are answered 404.
    pub fn lose(&self, server_id: &str) -> bool {
        self.desk.fleet.agents(|agents| agents.remove(server_id))
    }

    fn set_standing(&self, server_id: &str, standing: Standing) -> bool {
        self.desk.fleet.agents(|agents| agents.get_mut(server_id).map(|agent| agent.standing = standing).is_some())
    }

    /// The agents that it knows, those that wait for an administrator too.
    #[must_use]
    pub fn enrolled(&self) -> Vec<Agent> {
        self.desk.fleet.enrolled()
    }

    /// Down: every connection is cut, old or new, before TLS comes about. The port stays taken, so that no other test gets it.
    pub fn set_down(&self, down: bool) {
        self.down.send_replace(down);
    }

    /// Busy: every request but the health check is answered 503.
    pub fn set_busy(&self, busy: bool) {
        self.desk.busy.send_replace(busy);
    }

    /// The desired state of every agent; it wakes those that wait for one.
    pub fn set_desired(&self, document: Option<Value>) {
        self.desk.desired.send_replace(document);
    }

    /// Changes each reply to a heartbeat before it is sent; what it makes of it is sent unchecked.
    pub fn set_reply(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        *self.desk.reply_hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(change));
    }

    /// Replies to heartbeats are what they were again.
    pub fn reset_reply(&self) {
        *self.desk.reply_hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Changes each credential that enrolment and renewal give before it is sent; what it makes of it is sent unchecked.
    pub fn set_issue(&self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        *self.desk.issue_hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(change));
    }

    /// Credentials are sent as they are again.
    pub fn reset_issue(&self) {
        *self.desk.issue_hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A front stands before the manager and answers in its place wherever `gate` gives an answer.
    pub fn set_gate(&self, gate: impl Fn(Endpoint, &Auth) -> Option<Scripted> + Send + Sync + 'static) {
        *self.desk.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(gate));
    }

    /// No front answers any more.
    pub fn reset_gate(&self) {
        *self.desk.gate.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The front trusts the client certificates that agents have now and no others: TLS ends by an alert for a newer one. `false`:
    /// it trusts all that the authority has signed.
    pub fn set_front_is_behind(&self, is_behind: bool) {
        let present = || self.enrolled().into_iter().flat_map(|agent| agent.certificates).collect();
        self.front.only(is_behind.then(present));
    }

    /// The credentials that an agent has shown so far count no more.
    pub fn revoke(&self, server_id: &str) {
        self.desk.fleet.agents(|agents| {
            if let Some(agent) = agents.get_mut(server_id) {
                agent.certificates.clear();
                agent.secrets.clear();
            }
        });
    }

    /// Queues answers of an endpoint; each is given once, before anything else is.
    pub fn script(&self, endpoint: Endpoint, answers: Vec<Scripted>) {
        self.desk.scripts.add(endpoint, answers);
    }

    /// How many scripted answers of an endpoint are still to come.
    #[must_use]
    pub fn scripted_left(&self, endpoint: Endpoint) -> usize {
        self.desk.scripts.left(endpoint)
    }

    /// The heartbeats that came, oldest first, whatever they were answered.
    #[must_use]
    pub fn heartbeats(&self) -> Vec<Received> {
        self.desk.records.heartbeats()
    }

    /// The heartbeats after the first `told` ones since the start, oldest first.
    #[must_use]
    pub fn heartbeats_after(&self, told: u64) -> Vec<Received> {
        self.desk.records.heartbeats_after(told)
    }

    /// How many heartbeats came since the start; changes with each.
    #[must_use]
    pub fn heartbeat_count(&self) -> watch::Receiver<u64> {
        self.desk.records.heartbeat_count()
    }

    /// Waits until `n` heartbeats have come since the start, and gives all; none where they have not within `timeout`.
    pub async fn wait_heartbeats(&self, n: usize, timeout: Duration) -> Option<Vec<Received>> {
        let wanted = u64::try_from(n).unwrap_or(u64::MAX);
        let mut count = self.heartbeat_count();
        let came = tokio::time::timeout(timeout, count.wait_for(|total| *total >= wanted)).await;
        came.ok()?.ok()?;
        Some(self.heartbeats())
    }

    /// Every request that came, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.desk.records.requests()
    }

    /// The events that were stored, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.desk.records.events()
    }

    /// What broke the contract, oldest first. A test of a good agent ends by finding none.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.desk.records.violations()
    }

    /// Why no TLS session came about with a client, oldest first.
    #[must_use]
    pub fn failed_handshakes(&self) -> Vec<String> {
        self.desk.records.failed_handshakes()
    }
}
