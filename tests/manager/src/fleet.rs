//! What outlives one run of a manager: its authority, its tokens, and the agents that enrolled.

use crate::agents::{Agent, Agents};
use crate::authority::{Authority, Issued, ServerIdentity, SigningRequest};
use crate::options::{EnrolToken, Tls};
use crate::store;
use anyhow::Context as _;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Authority, tokens and agents. Clones are the same fleet: several managers may share it, one after the other or at once.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    authority: Authority,
    identities: Mutex<HashMap<Tls, Arc<ServerIdentity>>>,
    agents: Mutex<Agents>,
    dir: Option<PathBuf>,
    saving: Mutex<()>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

impl Fleet {
    /// A new fleet, kept in memory.
    ///
    /// # Errors
    /// No key could be made.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self::of(Authority::create("reference manager CA")?, Agents::default(), None))
    }

    /// The fleet that is kept in a directory; a new one where there is none yet. Reads and writes files.
    ///
    /// # Errors
    /// The directory can't be made, read or written, or what is in it is not a fleet.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let authority = store::authority(dir)?;
        let fleet = Self::of(authority, store::read_agents(dir)?, Some(dir.to_owned()));
        let pem = store::server_identity(dir, || fleet.0.authority.server_pem(Tls::OwnCa))?;
        let identity = ServerIdentity::from_pem(&pem).with_context(|| format!("{}: server.pem", dir.display()))?;
        fleet.identities(|known| known.insert(Tls::OwnCa, Arc::new(identity)));
        Ok(fleet)
    }

    fn of(authority: Authority, agents: Agents, dir: Option<PathBuf>) -> Self {
        let identities = Mutex::default();
        Self(Arc::new(Inner { authority, identities, agents: Mutex::new(agents), dir, saving: Mutex::default() }))
    }

    fn identities<R>(&self, use_it: impl FnOnce(&mut HashMap<Tls, Arc<ServerIdentity>>) -> R) -> R {
        use_it(&mut self.0.identities.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificate of the authority.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.0.authority.cert_pem.clone()
    }

    /// A certificate with its key that a manager of this fleet can show, PEM: for one that is another program.
    ///
    /// # Errors
    /// No key could be made.
    pub fn server_pem(&self) -> anyhow::Result<String> {
        self.0.authority.server_pem(Tls::OwnCa)
    }

    /// Adds a one-use enrolment token.
    pub fn add_token(&self, token: &EnrolToken) {
        self.agents(|agents| agents.add_token(token));
    }

    /// The agents that enrolled.
    #[must_use]
    pub fn enrolled(&self) -> Vec<Agent> {
        self.agents(|agents| agents.list())
    }

    /// Reads or changes tokens and agents.
    pub(crate) fn agents<R>(&self, use_it: impl FnOnce(&mut Agents) -> R) -> R {
        use_it(&mut self.0.agents.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs the request of an agent.
    pub(crate) fn sign(
        &self,
        request: &SigningRequest,
        id: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> anyhow::Result<Issued> {
        self.0.authority.sign(request, id, now_ms, until_ms)
    }

    /// The certificate that managers of this fleet show; of each kind there is one.
    pub(crate) fn server_identity(&self, kind: Tls) -> anyhow::Result<Arc<ServerIdentity>> {
        if let Some(known) = self.identities(|known| known.get(&kind).cloned()) {
            return Ok(known);
        }
        let made = Arc::new(ServerIdentity::from_pem(&self.0.authority.server_pem(kind)?)?);
        Ok(self.identities(|known| Arc::clone(known.entry(kind).or_insert(made))))
    }

    /// Writes tokens and agents to the directory of the fleet, where it has one. It blocks until they are on the disk.
    ///
    /// Two writers never overtake one another with an older state.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let Some(dir) = &self.0.dir else { return Ok(()) };
        let _turn = self.0.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.agents(|agents| serde_json::to_string_pretty(agents))?;
        store::write_agents(dir, &text)
    }

    /// The same, for those who must not block.
    pub(crate) async fn saved(&self) -> anyhow::Result<()> {
        if self.0.dir.is_none() {
            return Ok(());
        }
        let fleet = self.clone();
        tokio::task::spawn_blocking(move || fleet.save()).await.context("the writer of the fleet was stopped")?
    }
}
