//! Volumes of workspaces: only those that were created here, by the driver `local` and without its options, which can show any
//! directory of the host (`o=bind,device=/etc`).

use crate::client::{NOT_FOUND, client, status};
use crate::http::{DockerError, get};
use crate::images::found;
use crate::not_done::NotDone;
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use model::workspace::WorkspaceContainer;
use std::collections::HashMap;
use std::time::Duration;

const DRIVER: &str = "local";

/// Creates each that is missing. One that is there has to be ours, with all files that are in it.
pub(crate) async fn prepare(socket: &str, names: &[&str], within: Duration) -> Result<(), NotDone> {
    for name in names {
        if is_ours(socket, name).await? {
            continue;
        }
        let labels = HashMap::from([(WorkspaceContainer::VOLUME_LABEL.to_owned(), (*name).to_owned())]);
        let driver = Some(DRIVER.to_owned());
        let request =
            VolumeCreateRequest { name: Some((*name).to_owned()), driver, labels: Some(labels), ..Default::default() };
        client(socket, within).await?.create_volume(request).await?;
        // Docker answers the same where another one of this name came first.
        if !is_ours(socket, name).await? {
            return Err(NotDone::Denied(format!(
                "Docker reported that volume {name} was created, and does not have it"
            )));
        }
    }
    Ok(())
}

/// Removes one of ours. Docker refuses it while a container has it.
pub(crate) async fn remove(socket: &str, name: &str, within: Duration) -> Result<(), NotDone> {
    if !is_ours(socket, name).await? {
        return Ok(());
    }
    let options = RemoveVolumeOptionsBuilder::new().force(false).build();
    match client(socket, within).await?.remove_volume(name, Some(options)).await {
        Err(error) if status(&error) == Some(NOT_FOUND) => Ok(()),
        answer => Ok(answer?),
    }
}

/// False where there is none of this name; refused where it is not ours.
async fn is_ours(socket: &str, name: &str) -> Result<bool, NotDone> {
    if !WorkspaceContainer::is_volume_name(name) {
        return Err(NotDone::Denied(format!("volume {name:?}: this is not a name that gpuhostd gives to volumes")));
    }
    let Some(volume) = found(get(socket, &format!("/volumes/{name}")).await)? else { return Ok(false) };
    let garbled = |why: &str| DockerError::Garbled { path: format!("/volumes/{name}"), why: why.to_owned() };
    if volume.get("Name").text() != Some(name) {
        return Err(garbled("the answer is about another volume").into());
    }
    let why = if volume.get("Driver").text() != Some(DRIVER) {
        "its driver is not local"
    } else if !volume.get("Options").keys().is_empty() {
        "it has driver options, which can show any directory of the host"
    } else if volume.get("Labels").get(WorkspaceContainer::VOLUME_LABEL).text() != Some(name) {
        "it was not created by gpuhostd: it lacks the label of gpuhostd's volumes"
    } else {
        return Ok(true);
    };
    Err(NotDone::Denied(format!("volume {name}: {why}; remove it with `docker volume rm {name}`, or name another one")))
}
