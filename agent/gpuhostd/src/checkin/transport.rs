//! The way to managers: whom this host trusts, what it proves itself with, and the client that keeps the connection.
//!
//! A [`Way`] goes with each request by value and returns with it: the requests that run beside each other share the connections
//! of one client, and nothing that could be changed under them.

use crate::checkin::fault::{Unanswered, local};
use crate::checkin::http::{Exchange, Inquiry, Line, Post, RawExchange, USER_AGENT};
use crate::checkin::identity::{Credential, Trust};
use crate::checkin::tls::{self, Connections, NoClient};
use crate::checkin::trust::trust;
use model::checkin::{CheckinError, FaultKind, ManagerAddress, OwnCertificate};
use model::settings::ManagerSettings;
use reqwest::Client;
use std::sync::Arc;

/// A client, and what it was made for.
#[derive(Debug, Clone)]
pub(super) struct Made {
    trust: Trust,
    chain: Option<String>,
    client: Client,
    connections: Connections,
}

/// The client in use. Another one is made where trust or certificate are others.
#[derive(Debug, Default)]
pub(super) struct Transport {
    made: Option<Made>,
}

impl Transport {
    /// The way to managers with this trust and this credential.
    #[must_use]
    pub(super) fn way(&self, settings: &Arc<ManagerSettings>, given: &Trust, credential: Option<&Credential>) -> Way {
        Way {
            made: self.made.clone(),
            settings: Arc::clone(settings),
            given: given.clone(),
            credential: credential.cloned(),
        }
    }

    /// A request is back: the client that it used is the next one's.
    pub(super) fn back(&mut self, way: Way) {
        self.made = way.made.or(self.made.take());
    }

    /// Nothing of it is good any more.
    pub(super) fn forget(&mut self) {
        self.made = None;
    }
}

/// How one request reaches a manager.
#[derive(Debug)]
pub(super) struct Way {
    made: Option<Made>,
    settings: Arc<ManagerSettings>,
    given: Trust,
    credential: Option<Credential>,
}

impl Way {
    /// The settings.
    #[must_use]
    pub(super) fn settings(&self) -> &ManagerSettings {
        &self.settings
    }

    /// The trust of the enrolment.
    #[must_use]
    pub(super) const fn given(&self) -> &Trust {
        &self.given
    }

    /// A way of its own with another trust, and without a credential.
    #[must_use]
    pub(super) fn with_trust(&self, given: Trust) -> Self {
        Self { made: None, settings: Arc::clone(&self.settings), given, credential: None }
    }

    /// By what the last manager was verified.
    #[must_use]
    pub(super) fn verified_by(&self) -> Option<&Trust> {
        self.made.as_ref().map(|made| &made.trust)
    }

    /// The client for what is trusted now. A file of authorities is read each time, so that a new one counts without a reload.
    async fn client(&mut self) -> Result<&Made, CheckinError> {
        let trust = trust(&self.settings, &self.given).await?;
        let chain = match &self.credential {
            Some(Credential::Certificate { chain_pem, .. }) => Some(chain_pem.clone()),
            Some(Credential::Secret { .. } | Credential::SharedToken { .. }) | None => None,
        };
        let fits = |made: &Made| made.trust == trust && made.chain == chain;
        if !self.made.as_ref().is_some_and(fits) {
            let connections = Connections::default();
            let client = tls::client(&trust, self.credential.as_ref(), USER_AGENT, &connections).map_err(no_client)?;
            self.made = Some(Made { trust, chain, client, connections });
        }
        self.made.as_ref().ok_or_else(|| local("no client"))
    }

    /// Posts to a manager, with the credential where no other bearer is given.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn post(&mut self, manager: &ManagerAddress, post: Post<'_>) -> Result<Exchange, Unanswered> {
        let own = self.credential.as_ref().and_then(Credential::bearer).cloned();
        let made = self.client().await?;
        let post = Post { bearer: post.bearer.or(own.as_ref()), ..post };
        let line = Line { client: &made.client, certificate: made.chain.is_some(), base_url: &manager.base_url() };
        let before = made.connections.made();
        let exchange = line.post(&post).await;
        // Only on a connection that was there before can the other side have been about to give it up.
        let reused = made.connections.made() == before;
        exchange.map_err(|lost| Unanswered { lost_before_answer: lost.lost_before_answer && reused, ..lost })
    }

    /// Asks a manager for desired state, with the credential.
    ///
    /// # Errors
    /// No answer came, or none that can be taken.
    pub(super) async fn inquire(
        &mut self,
        manager: &ManagerAddress,
        inquiry: Inquiry<'_>,
    ) -> Result<RawExchange, Unanswered> {
        let own = self.credential.as_ref().and_then(Credential::bearer).cloned();
        let made = self.client().await?;
        let line = Line { client: &made.client, certificate: made.chain.is_some(), base_url: &manager.base_url() };
        line.inquire(&Inquiry { bearer: own.as_ref(), ..inquiry }).await
    }

    /// Gets from a manager.
    ///
    /// # Errors
    /// Nobody answered, or nothing that can be taken.
    pub(super) async fn get(&mut self, manager: &ManagerAddress, path: &str) -> Result<Exchange, Unanswered> {
        let made = self.client().await?;
        Line { client: &made.client, certificate: made.chain.is_some(), base_url: &manager.base_url() }.get(path).await
    }
}

fn no_client(why: NoClient) -> CheckinError {
    let kind = match &why {
        NoClient::BadIdentity(_) => FaultKind::Credential(OwnCertificate::Unusable),
        NoClient::NoAuthority | NoClient::BadPin(_) | NoClient::Refused(_) => FaultKind::Local,
    };
    CheckinError { kind, said: why.to_string() }
}
