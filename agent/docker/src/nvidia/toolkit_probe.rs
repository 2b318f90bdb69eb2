//! One start of a short container in the way of a workspace. What an earlier process left of it is removed first.

use super::look::labelled;
use crate::client::{NOT_FOUND, clean, client, said, status};
use crate::http::DockerError;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use model::driver::ProbeError;
use model::image_ref::ImageRef;
use model::nvidia_container::{NvidiaSpec, ToolkitProbe, ToolkitWay};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Its name: there is one at a time.
const NAME: &str = "gpuhostd-toolkit-probe";
/// Seconds that one that still runs has to end; it waits for nothing by itself.
const STOP_WITHIN_S: i32 = 5;
/// Most parts of its output that are read.
const OUTPUT_PARTS_MAX: usize = 16;

/// One at a time: they have one name.
static TURN: Semaphore = Semaphore::const_new(1);

pub(crate) async fn probe(
    socket: &str,
    image: &ImageRef,
    way: ToolkitWay,
    within: Duration,
) -> Result<ToolkitProbe, DockerError> {
    let _turn = TURN.acquire().await.map_err(|closed| garbled(closed.to_string()))?;
    let docker = client(socket, within).await?;
    remove_left(socket, &docker).await?;
    let body =
        serde_json::from_value::<ContainerCreateBody>(way.body(image)).map_err(|error| garbled(error.to_string()))?;
    let options = CreateContainerOptionsBuilder::new().name(NAME).build();
    let outcome = match docker.create_container(Some(options), body).await {
        // A runtime that Docker does not know is refused here by newer engines, at the start by older ones.
        Err(error) if status(&error).is_some() => Ok(ToolkitProbe::Refused { why: said(&error) }),
        Err(error) => Err(error.into()),
        Ok(made) => run(&docker, &made.id).await,
    };
    remove_left(socket, &docker).await?;
    outcome
}

async fn run(docker: &Docker, id: &str) -> Result<ToolkitProbe, DockerError> {
    match docker.start_container(id, None::<StartContainerOptions>).await {
        Err(error) if status(&error).is_some() => return Ok(ToolkitProbe::Refused { why: said(&error) }),
        started => started?,
    }
    let mut ends = Box::pin(docker.wait_container(id, None::<WaitContainerOptions>));
    let exit = match ends.next().await {
        Some(Ok(ended)) => ended.status_code,
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(garbled("Docker reported no end of the probe container".to_owned())),
    };
    Ok(match exit {
        0 => ToolkitProbe::Device,
        ToolkitWay::NO_DEVICE => ToolkitProbe::NoDevice,
        exit => {
            let output = output(docker, id).await?;
            ToolkitProbe::Refused { why: format!("the probe container ended with status {exit}: {}", clean(&output)) }
        }
    })
}

async fn output(docker: &Docker, id: &str) -> Result<String, DockerError> {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("10").build();
    let mut parts = Box::pin(docker.logs(id, Some(options)).take(OUTPUT_PARTS_MAX));
    let mut text = String::new();
    while let Some(part) = parts.next().await {
        text.push_str(&part?.to_string());
    }
    Ok(text)
}

/// Removes every container of the probe, by its label: none other has it.
async fn remove_left(socket: &str, docker: &Docker) -> Result<(), DockerError> {
    for id in labelled(socket, NvidiaSpec::ROLE_LABEL, ToolkitWay::LABEL_VALUE).await? {
        let stop = StopContainerOptionsBuilder::new().t(STOP_WITHIN_S).build();
        gone_is_done(docker.stop_container(id.as_str(), Some(stop)).await)?;
        let remove = RemoveContainerOptionsBuilder::new().force(false).v(true).build();
        gone_is_done(docker.remove_container(id.as_str(), Some(remove)).await)?;
    }
    Ok(())
}

fn gone_is_done(answer: Result<(), Error>) -> Result<(), DockerError> {
    match answer {
        Err(error) if status(&error) == Some(NOT_FOUND) => Ok(()),
        answer => Ok(answer?),
    }
}

fn garbled(why: String) -> DockerError {
    DockerError::Fault(ProbeError::Garbled { what: NAME.to_owned(), why })
}
