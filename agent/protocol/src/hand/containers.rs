//! The verbs of the containers hand: what Docker knows, and the driver that runs in a container.

use super::{ContainersHand, Verb, VerbDeadline, VerbKind};
use model::container_claims::ContainerClaims;
use model::docker::DockerFacts;
use model::driver::{DriverReport, DriverSource, ProbeError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Asks Docker: `GET /version` and `GET /info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadDockerFacts {}

impl Verb for ReadDockerFacts {
    type Hand = ContainersHand;
    type Reply = Result<DockerFacts, ProbeError>;
    const NAME: &'static str = "read_docker_facts";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(15));

    fn attempted(&self) -> String {
        "Docker".to_owned()
    }
}

/// Asks the nvidia-smi of the driver container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeDriverContainer {}

impl Verb for ProbeDriverContainer {
    type Hand = ContainersHand;
    type Reply = Result<DriverReport, ProbeError>;
    const NAME: &'static str = "probe_driver_container";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::ProbeTimeoutAnd(Duration::from_secs(10));

    fn attempted(&self) -> String {
        DriverSource::SmiInDriverContainer.code().to_owned()
    }
}

/// Lists what containers, running or stopped, have mapped that can be a MIG instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindMigContainers {}

impl Verb for FindMigContainers {
    type Hand = ContainersHand;
    type Reply = Result<Vec<ContainerClaims>, ProbeError>;
    const NAME: &'static str = "find_mig_containers";
    const KIND: VerbKind = VerbKind::Probe;
    const DEADLINE: VerbDeadline = VerbDeadline::Fixed(Duration::from_secs(25));

    fn attempted(&self) -> String {
        "list the containers that map MIG instances".to_owned()
    }
}
