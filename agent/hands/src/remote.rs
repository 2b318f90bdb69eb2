//! The part of a host that only hands can reach, as the front's adapter: driver probes and Docker facts.

use crate::client::{Client, HandFault};
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::settings::NvidiaSettings;
use std::time::Duration;
use wire::hand::{Ask, HandRole, Said};

/// What a hand has on top of a probe's own time: to end a probe that hangs, gently first, and to say so.
const PROBE_GRACE: Duration = Duration::from_secs(10);
/// Time for Docker's facts, the hand's own deadline included.
const DOCKER_WITHIN: Duration = Duration::from_secs(15);

/// The hands as one adapter.
#[derive(Debug, Clone)]
pub struct RemoteHost {
    host: Client,
    containers: Client,
    probe_within: Duration,
}

impl RemoteHost {
    /// Speaks through these two hands; probes may take as long as the settings say.
    #[must_use]
    pub fn new(host: Client, containers: Client, nvidia: &NvidiaSettings) -> Self {
        let probe_within = Duration::from_millis(nvidia.probe_timeout_ms).saturating_add(PROBE_GRACE);
        Self { host, containers, probe_within }
    }

    /// The client of a role.
    #[must_use]
    pub const fn hand(&self, role: HandRole) -> &Client {
        match role {
            HandRole::Host => &self.host,
            HandRole::Containers => &self.containers,
        }
    }

    /// Asks one source of driver facts through the hand that can reach it.
    ///
    /// # Errors
    /// What the source or the hand said.
    pub async fn probe_driver(&self, source: DriverSource) -> Result<DriverReport, ProbeFault> {
        let hand = match source {
            DriverSource::Nvml | DriverSource::Smi => &self.host,
            DriverSource::SmiInDriverContainer => &self.containers,
            DriverSource::Sysfs => {
                let (what, said) = ("sensors in sysfs".to_owned(), "no hand reads them".to_owned());
                return Err(ProbeFault::HandUnavailable { what, said });
            }
        };
        match hand.ask(Ask::ProbeDriver(source), self.probe_within).await.map_err(HandFault::into_probe_fault)? {
            Said::Driver(report) => match *report {
                Ok(report) if report.source != source => Err(ProbeFault::Garbled {
                    what: source.code().to_owned(),
                    why: format!("the report is one of {}", report.source.code()),
                }),
                told => told,
            },
            Said::Hello { .. } | Said::Docker(_) | Said::Refused { .. } => {
                Err(hand.strange("no driver report").into_probe_fault())
            }
        }
    }

    /// Asks Docker for its facts through the container hand.
    ///
    /// # Errors
    /// What Docker or the hand said.
    pub async fn docker_facts(&self) -> Result<DockerFacts, ProbeFault> {
        match self.containers.ask(Ask::DockerFacts, DOCKER_WITHIN).await.map_err(HandFault::into_probe_fault)? {
            Said::Docker(facts) => facts,
            Said::Hello { .. } | Said::Driver(_) | Said::Refused { .. } => {
                Err(self.containers.strange("no Docker facts").into_probe_fault())
            }
        }
    }
}
