//! The list of the containers with our label. Those of others are left out by Docker itself, and cost nothing.

use crate::http::{DockerError, filters, get_list};
use model::ids::ContainerId;
use model::workspace::{MOST_WORKSPACES, WorkspaceContainer};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Most that is read of the list, in bytes: 2 KiB for each of as many workspaces as a document has, and as much again.
const LIST_MAX_BYTES: usize = 16 * 1024 * 1024;
/// As many as a document has, and as many that are to be removed. With more, none is left out: the look fails.
const CONTAINERS_MAX: usize = 2 * MOST_WORKSPACES;

/// A container as the list shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    pub(crate) id: ContainerId,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

impl Listed {
    /// Its name, without the slash.
    pub(crate) fn name(&self) -> &str {
        let names = self.names.as_deref().unwrap_or_default();
        // A link is `/OTHER/ALIAS`.
        let own = names.iter().filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'));
        own.unwrap_or_default()
    }
}

/// All with our label, running and stopped.
pub(crate) async fn listed(socket: &str) -> Result<Vec<Listed>, DockerError> {
    let filter = filters(&json!({ "label": [WorkspaceContainer::ID_LABEL] }));
    let path = format!("/containers/json?all=true&{filter}");
    let listed: Vec<Listed> = get_list(socket, &path, LIST_MAX_BYTES).await?;
    if listed.len() > CONTAINERS_MAX {
        let count = listed.len();
        let why = format!("{count} containers have the label of a workspace, {CONTAINERS_MAX} can be read");
        return Err(DockerError::Garbled { path, why });
    }
    // Older engines find a label by its prefix in some cases: only the very label counts.
    let has_label =
        |one: &Listed| one.labels.as_ref().is_some_and(|all| all.contains_key(WorkspaceContainer::ID_LABEL));
    Ok(listed.into_iter().filter(has_label).collect())
}
