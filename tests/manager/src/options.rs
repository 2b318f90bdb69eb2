//! How a reference manager is set up.

use crate::endpoint::Endpoint;
use crate::fleet::Fleet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A wall clock: milliseconds since 1970-01-01 UTC. Tests put their own in.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clock of the machine.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Which certificate the manager shows. All but the first are faults that an agent must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tls {
    /// Signed by the manager's own authority, for `localhost`, 127.0.0.1 and `::1`.
    #[default]
    OwnCa,
    /// Signed by itself: only a pin can trust it.
    SelfSigned,
    /// Signed by the manager's own authority; over since 2020-01-02.
    Expired,
    /// Signed by the manager's own authority; good from 2090 on.
    NotYetValid,
    /// Signed by the manager's own authority, for `wrong.example` only.
    WrongName,
    /// Signed by an authority that nobody was told of.
    Untrusted,
}

/// How agents authenticate themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mode {
    /// By a client certificate that enrolment issued.
    #[default]
    Certificates,
    /// By a secret of each agent that enrolment issued, as `Authorization: Bearer`.
    Secrets,
    /// By one token that all agents know, as `Authorization: Bearer`; nobody enrols.
    SharedToken(String),
}

/// A one-use enrolment token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolToken {
    /// The token.
    pub token: String,
    /// It was good once: 401 `token_expired`.
    pub expired: bool,
    /// So many requests are answered 202 (waiting for an administrator) before the agent is let in;
    /// `u32::MAX`: until [`crate::Manager::approve`].
    pub pending_rounds: u32,
}

impl EnrolToken {
    /// A good token that lets an agent in at once.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), expired: false, pending_rounds: 0 }
    }
}

/// How a reference manager is set up. The default serves everything on a free port of 127.0.0.1.
#[derive(Clone)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Which certificate it shows.
    pub identity: Tls,
    /// How agents authenticate themselves.
    pub mode: Mode,
    /// Enrolment tokens that are good from the start.
    pub enrol_tokens: Vec<EnrolToken>,
    /// What `/version` lists, as `gzip`. A body in gzip is refused where `gzip` is not listed.
    pub features: Vec<String>,
    /// The clock of `Date`, `server_time`, certificates and records; none: the machine's.
    pub clock: Option<Clock>,
    /// Endpoints that exist beside heartbeat; all others answer 404.
    pub optional_paths: Vec<Endpoint>,
    /// Authority, tokens and agents of another manager, to share them or to start again with them; none: new ones.
    pub fleet: Option<Fleet>,
    /// What the replies to heartbeats ask for, in seconds.
    pub next_heartbeat_s: u64,
    /// A heartbeat of more bytes (inflated) is answered 413.
    pub max_heartbeat_bytes: usize,
    /// Client certificates and secrets are good for so long.
    pub credential_life: Duration,
    /// A host whose credential has ended is known again by its key alone (200); otherwise it waits for an administrator (202).
    pub recovers_by_key: bool,
    /// TLS ends without a client certificate, also where a host enrols.
    pub demands_certificate: bool,
    /// So many requests, heartbeats, events and violations are remembered.
    pub history: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity: Tls::default(),
            mode: Mode::default(),
            enrol_tokens: Vec::new(),
            features: vec!["gzip".to_owned()],
            clock: None,
            optional_paths: Endpoint::ALL.to_vec(),
            fleet: None,
            next_heartbeat_s: 30,
            max_heartbeat_bytes: 256 * 1024,
            credential_life: Duration::from_secs(90 * 24 * 3600),
            recovers_by_key: false,
            demands_certificate: false,
            history: 100_000,
        }
    }
}
