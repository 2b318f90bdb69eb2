//! Looks at the device files of a container, and at what its control group lets it open, each by a child with a deadline.

use crate::exited::{as_cause, no_answer};
use model::device_links::DeviceNumber;
use model::ids::ContainerId;
use model::os_cause::OsCause;
use model::ports::ActError;
use model::workspace_life::{ContainerNode, DeviceVerdict};
use protocol::child::Task;
use serde::de::DeserializeOwned;
use spawn::{Own, Program, Supervisor};
use std::ffi::OsString;
use std::time::Duration;

/// Each takes milliseconds; a control group that is frozen meanwhile must not keep the answer.
const WITHIN: Duration = Duration::from_secs(5);

/// The device files in its `/dev`.
///
/// # Errors
/// The process is not in that container, or they cannot be listed.
pub async fn list(
    supervisor: &Supervisor,
    child: &Own,
    container: &ContainerId,
    pid: u32,
) -> Result<Vec<ContainerNode>, ActError> {
    let args = Task::ListContainerNodes.arguments([container.as_str().into(), pid.to_string().into()]);
    let attempted = format!("list the device files of container {}", container.short());
    answer(supervisor, child, (container, args), attempted).await
}

/// What its control group lets it do with these devices. None is opened.
///
/// # Errors
/// The process is not in that container, or its control group cannot be entered.
pub async fn probe(
    supervisor: &Supervisor,
    child: &Own,
    (container, pid): (&ContainerId, u32),
    devices: &[DeviceNumber],
) -> Result<Vec<DeviceVerdict>, ActError> {
    let attempted = format!("look which devices container {} may open", container.short());
    let asked = serde_json::to_string(devices).map_err(|error| {
        let cause = OsCause::found(error.to_string());
        ActError::Refused { attempted: attempted.clone(), cause }
    })?;
    let rest: [OsString; 3] = [container.as_str().into(), pid.to_string().into(), asked.into()];
    answer(supervisor, child, (container, Task::ProbeContainerDevices.arguments(rest)), attempted).await
}

async fn answer<T: DeserializeOwned>(
    supervisor: &Supervisor,
    child: &Own,
    (container, args): (&ContainerId, Vec<OsString>),
    attempted: String,
) -> Result<T, ActError> {
    let refused = |cause: OsCause| ActError::Refused { attempted: attempted.clone(), cause };
    // A purpose for each: a container at which a child hangs holds up the look at no other.
    let purpose = format!("container-devices {}", container.as_str());
    let finished = supervisor.run(purpose, Program::own(child, args, WITHIN)).await;
    let finished = finished.map_err(|fault| refused(as_cause(&fault)))?;
    serde_json::from_slice(&finished.stdout).map_err(|error| refused(no_answer(&finished, &error)))
}
