//! The part of a host that only hands can reach, as the front's adapter: driver probes and Docker facts.

use crate::client::{Client, HandFault};
use model::causes::with_causes;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeFault};
use model::holders::Holders;
use model::plan::{CloseUp, Scope, Step};
use model::ports::ActFault;
use model::settings::NvidiaSettings;
use std::path::Path;
use std::time::Duration;
use wire::hand::{Ask, HandRole, Said};

/// What a hand has on top of a probe's own time: to end a probe that hangs, gently first, and to say so.
const PROBE_GRACE: Duration = Duration::from_secs(10);
/// Time for Docker's facts, the hand's own deadline included.
const DOCKER_WITHIN: Duration = Duration::from_secs(15);

/// Time for one step: the hand's own deadline, and what it has to end a writer that hangs.
const ACT_WITHIN: Duration = Duration::from_secs(30);
/// Time for a look at all processes, or for a close look.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// The hands as one adapter.
#[derive(Debug, Clone)]
pub struct RemoteHost {
    host: Client,
    containers: Client,
    holders: Client,
    probe_within: Duration,
}

impl RemoteHost {
    /// Speaks through the hands whose sockets lie in `folder`; probes may take as long as the settings say.
    #[must_use]
    pub fn at(folder: &Path, nvidia: &NvidiaSettings) -> Self {
        let [host, containers, holders] = HandRole::ALL.map(|role| Client::at(role, folder));
        Self::new(host, containers, holders, nvidia)
    }

    /// Speaks through these hands.
    #[must_use]
    pub fn new(host: Client, containers: Client, holders: Client, nvidia: &NvidiaSettings) -> Self {
        let probe_within = Duration::from_millis(nvidia.probe_timeout_ms).saturating_add(PROBE_GRACE);
        Self { host, containers, holders, probe_within }
    }

    /// The client of a role.
    #[must_use]
    pub const fn hand(&self, role: HandRole) -> &Client {
        match role {
            HandRole::Host => &self.host,
            HandRole::Containers => &self.containers,
            HandRole::Holders => &self.holders,
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
                let (what, said) = ("sensors in sysfs".to_owned(), "it is not served by a hand".to_owned());
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
            Said::Hello { .. }
            | Said::Docker(_)
            | Said::Holders(_)
            | Said::CloseUp(_)
            | Said::Acted(_)
            | Said::Refused { .. } => Err(hand.strange("no driver report").into_probe_fault()),
        }
    }

    /// Asks Docker for its facts through the container hand.
    ///
    /// # Errors
    /// What Docker or the hand said.
    pub async fn docker_facts(&self) -> Result<DockerFacts, ProbeFault> {
        match self.containers.ask(Ask::DockerFacts, DOCKER_WITHIN).await.map_err(HandFault::into_probe_fault)? {
            Said::Docker(facts) => *facts,
            Said::Hello { .. }
            | Said::Driver(_)
            | Said::Holders(_)
            | Said::CloseUp(_)
            | Said::Acted(_)
            | Said::Refused { .. } => Err(self.containers.strange("no Docker facts").into_probe_fault()),
        }
    }

    /// Looks closely at the functions of a scope through the host hand.
    ///
    /// # Errors
    /// What the host or the hand said; `Hung` where the kernel holds one of the functions.
    pub async fn close_up(&self, scope: &Scope) -> Result<CloseUp, ActFault> {
        let attempted = || format!("look at {}", scope.gpu);
        let answer = self.host.ask(Ask::CloseUp(scope.clone()), LOOK_WITHIN).await;
        match answer.map_err(|fault| act_fault(fault, attempted()))? {
            Said::CloseUp(outcome) => outcome.map(|seen| *seen),
            Said::Hello { .. }
            | Said::Driver(_)
            | Said::Docker(_)
            | Said::Holders(_)
            | Said::Acted(_)
            | Said::Refused { .. } => Err(act_fault(self.host.strange("no close look"), attempted())),
        }
    }

    /// Takes one step of a change through the host hand.
    ///
    /// # Errors
    /// What the host or the hand said.
    pub async fn act(&self, scope: &Scope, step: &Step) -> Result<(), ActFault> {
        let ask = Ask::Act { scope: scope.clone(), step: step.clone() };
        let attempted = step.to_string();
        match self.host.ask(ask, ACT_WITHIN).await.map_err(|fault| act_fault(fault, attempted))? {
            Said::Acted(outcome) => outcome,
            Said::Hello { .. }
            | Said::Driver(_)
            | Said::Docker(_)
            | Said::Holders(_)
            | Said::CloseUp(_)
            | Said::Refused { .. } => Err(act_fault(self.host.strange("no outcome of a step"), step.to_string())),
        }
    }

    /// Asks the holders hand who uses a scope.
    ///
    /// # Errors
    /// What the hand said: nobody was found to be free by it.
    pub async fn users(&self, scope: &Scope) -> Result<Holders, ActFault> {
        let attempted = || format!("look for users of {}", scope.gpu);
        let answer = self.holders.ask(Ask::Holders(scope.clone()), LOOK_WITHIN).await;
        match answer.map_err(|fault| act_fault(fault, attempted()))? {
            Said::Holders(outcome) => outcome,
            Said::Hello { .. }
            | Said::Driver(_)
            | Said::Docker(_)
            | Said::CloseUp(_)
            | Said::Acted(_)
            | Said::Refused { .. } => Err(act_fault(self.holders.strange("no list of users"), attempted())),
        }
    }
}

/// A hand that does not answer in time may be doing what it was asked for.
fn act_fault(fault: HandFault, attempted: String) -> ActFault {
    match fault {
        HandFault::Timeout { within, .. } => {
            ActFault::Hung { attempted, after_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) }
        }
        HandFault::Connect { .. }
        | HandFault::Closed { .. }
        | HandFault::Frame { .. }
        | HandFault::Strange { .. }
        | HandFault::Refused { .. } => {
            let what = format!("the {} hand", fault.role().name());
            ActFault::Unreachable { what, said: with_causes(&fault) }
        }
    }
}
