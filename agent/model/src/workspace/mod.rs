//! Workspaces: from a desired state and a described host to the very request by which Docker creates each, or why not.
//!
//! Pure: JSON values and a [`DescribedHost`] come in, a [`CreateRequest`] or a [`WorkspaceRefused`] for each workspace comes out. What a document may say
//! is a closed list: everything else is refused with its name. One bad workspace is refused, the others are planned.

mod admission;
mod admit;
mod body;
mod document;
mod environment;
mod fields;
mod gpus;
mod host;
mod image;
mod places;
mod refused;
mod run_config;
mod spec;

pub use document::{Document, MOST_WORKSPACES};
pub use host::{DescribedDocker, DescribedGpu, DescribedHost, DescribedPolicy, RunningWorkspace};
pub use refused::WorkspaceRefused;

use admission::Admission;
use serde::Serialize;
use serde_json::Value;
use spec::{Desired, Spec};

/// A request to Docker: `POST /containers/create?name=…`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreateRequest {
    /// Name of the container.
    pub name: String,
    /// GPUs that it is given: UUIDs of GPUs and MIG devices, PCI addresses where a GPU has no UUID.
    pub gpus: Vec<String>,
    /// The body.
    pub body: Value,
}

/// What is to be done about one workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAction {
    /// Its container is to be there.
    Create(CreateRequest),
    /// It is not wanted running: nothing is created for it.
    Nothing,
    /// Nothing is created for it, because of this.
    Refusal(WorkspaceRefused),
}

/// One workspace of a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// Its id as the document has it; its number where there is none.
    pub workspace_id: String,
    /// What is to be done.
    #[serde(flatten)]
    pub action: WorkspaceAction,
}

/// Plans every workspace of a document, in its order: what an earlier one takes, a later one does not get.
#[must_use]
pub fn plan(host: &DescribedHost, document: &Document) -> Vec<Planned> {
    let mut admission = Admission::new(host, document);
    document.workspaces.iter().enumerate().map(|(number, value)| one(&mut admission, number, value)).collect()
}

fn one(admission: &mut Admission<'_>, number: usize, value: &Value) -> Planned {
    let said = value.get("workspace_id").and_then(Value::as_str);
    let workspace_id = said.map_or_else(|| format!("workspaces[{number}]"), |id| id.chars().take(128).collect());
    let action = match action(admission, value) {
        Ok(Some(request)) => WorkspaceAction::Create(request),
        Ok(None) => WorkspaceAction::Nothing,
        Err(refused) => WorkspaceAction::Refusal(refused),
    };
    Planned { workspace_id, action }
}

fn action(admission: &mut Admission<'_>, value: &Value) -> Result<Option<CreateRequest>, WorkspaceRefused> {
    let spec = Spec::read(value, admission.document, admission.host)?;
    admission.is_alone(&spec.id)?;
    if spec.desired != Desired::Running {
        return Ok(None);
    }
    admission.begin(&spec.id);
    let given = admission.admit(&spec);
    match given.and_then(|given| Ok((body::request(admission.host, &spec, &given)?, given))) {
        Ok((request, given)) => {
            admission.book(&spec, &given);
            Ok(Some(request))
        }
        Err(refused) => {
            admission.give_up();
            Err(refused)
        }
    }
}
