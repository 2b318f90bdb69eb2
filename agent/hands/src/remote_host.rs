//! The part of a host that only the hands can reach, as the front's adapter: each verb goes to its hand with its deadline.

use crate::client::Client;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::os_cause::OsCause;
use model::settings::NvidiaSettings;
use protocol::hand::containers::ProbeDriverContainer;
use protocol::hand::host::{ProbeNvml, ProbeSmi};
use protocol::hand::{Hand, HandRole, Verb, VerbReply};
use std::path::Path;
use std::time::Duration;

/// The hands as one adapter.
#[derive(Debug, Clone)]
pub struct RemoteHost {
    host: Client,
    containers: Client,
    holders: Client,
    mig: Client,
    mig_mode: Client,
    probe_timeout: Duration,
}

impl RemoteHost {
    /// Speaks through the hands whose sockets are in `folder`; probes may take as long as the settings say.
    #[must_use]
    pub fn at(folder: &Path, nvidia: &NvidiaSettings) -> Self {
        Self::new(HandRole::ALL.map(|role| Client::at(role, folder)), nvidia)
    }

    /// Speaks through these hands, in the order of [`HandRole::ALL`].
    #[must_use]
    pub fn new(clients: [Client; HandRole::ALL.len()], nvidia: &NvidiaSettings) -> Self {
        let [host, containers, holders, mig, mig_mode] = clients;
        let probe_timeout = Duration::from_millis(nvidia.probe_timeout_ms);
        Self { host, containers, holders, mig, mig_mode, probe_timeout }
    }

    /// The client of a role.
    #[must_use]
    pub const fn hand(&self, role: HandRole) -> &Client {
        match role {
            HandRole::Host => &self.host,
            HandRole::Containers => &self.containers,
            HandRole::Holders => &self.holders,
            HandRole::Mig => &self.mig,
            HandRole::MigMode => &self.mig_mode,
        }
    }

    /// Sends the verb to its hand and waits as long as the verb allows. Where the hand gives no reply, the reply has the reason.
    pub async fn call<V: Verb>(&self, verb: &V) -> V::Reply {
        let called = self.hand(V::Hand::ROLE).call(verb, V::DEADLINE.within(self.probe_timeout)).await;
        called.unwrap_or_else(|fault| V::Reply::missing(verb.attempted(), V::Hand::ROLE, fault.into_no_reply()))
    }

    /// Asks one source of driver facts through the hand that can reach it.
    ///
    /// # Errors
    /// What the source or the hand reported.
    pub async fn probe_driver(&self, source: DriverSource) -> Result<DriverReport, ProbeError> {
        let report = match source {
            DriverSource::Nvml => self.call(&ProbeNvml {}).await,
            DriverSource::Smi => self.call(&ProbeSmi {}).await,
            DriverSource::SmiInDriverContainer => self.call(&ProbeDriverContainer {}).await,
            DriverSource::Sysfs => {
                let cause = OsCause::found("it is not served by a hand");
                Err(ProbeError::HandUnavailable { what: "sensors in sysfs".to_owned(), cause })
            }
        }?;
        if report.source != source {
            let why = format!("the report is one of {}", report.source.code());
            return Err(ProbeError::Garbled { what: source.code().to_owned(), why });
        }
        Ok(report)
    }
}
