//! Workspaces: from a desired state and a described host to the very request by which Docker creates each, or why not.
//!
//! Pure: JSON values and a [`DescribedHost`] come in, a [`CreateRequest`] or a [`WorkspaceRefused`] for each workspace comes out. What a document may say
//! is a closed list: everything else is refused with its name. One bad workspace is refused, the others are planned.

mod admission;
mod admit;
mod compose;
mod container_check;
mod create_body;
mod document;
mod environment;
mod fields;
mod gpus;
mod head;
mod host;
mod image;
mod places;
mod refused;
mod run_config;
mod spec;
mod spec_digest;
mod workspace_container;
mod workspace_id;

pub use document::{Agent, DesiredGpu, Document, Image, MOST_WORKSPACES, Match, Overrides, RegistryToken};
pub use head::{DesiredRun, WorkspaceHead, WorkspaceKind};
pub use host::{
    DescribedDocker, DescribedDrm, DescribedGpu, DescribedHost, DescribedMig, DescribedPassthrough, DescribedPolicy,
    MigDevice, RunningWorkspace,
};
pub use refused::WorkspaceRefused;
pub use workspace_container::{
    GpuInjection, PortProtocol, PublishedPort, WorkspaceContainer, WorkspaceMount, WorkspaceNode, source_code,
};
pub use workspace_id::{BadWorkspaceId, WorkspaceId};

use crate::desired::WishText;
use crate::policy::Requester;
use admission::Admission;
use serde::Serialize;
use serde_json::Value;
use spec::Spec;

/// A request to Docker: `POST /containers/create?name=…`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreateRequest {
    /// Name of the container.
    pub name: String,
    /// GPUs that it is given: UUIDs of GPUs and MIG devices, PCI addresses where a GPU has no UUID.
    pub gpus: Vec<String>,
    /// The body.
    pub body: Value,
    /// What it is composed from.
    #[serde(skip)]
    pub container: WorkspaceContainer,
}

impl CreateRequest {
    fn of(container: WorkspaceContainer) -> Self {
        let gpus = [container.gpus.clone(), container.vfio.clone()].concat();
        Self { name: container.name(), gpus, body: container.body(), container }
    }
}

/// What is to be done about one workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceAction {
    /// Its container is to be there.
    Create(Box<CreateRequest>),
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
    /// What it is and what is wanted of it; `None` where not even that can be read.
    #[serde(skip)]
    pub head: Option<WorkspaceHead>,
    /// Whose wish it is.
    #[serde(skip)]
    pub requester: Requester,
    /// Volumes of ours that it names, by their names in Docker, also where the rest of it is wrong; `None` = they are not known.
    #[serde(skip)]
    pub volumes: Option<Vec<String>>,
}

/// Plans every workspace of a document, in its order: what an earlier one takes, a later one does not get.
#[must_use]
pub fn plan(host: &DescribedHost, document: &Document) -> Vec<Planned> {
    let mut admission = Admission::new(host, document);
    document.workspaces.iter().enumerate().map(|(number, value)| one(&mut admission, number, value)).collect()
}

fn one(admission: &mut Admission<'_>, number: usize, text: &WishText) -> Planned {
    let requester = if number < admission.document.from_local { Requester::Local } else { Requester::Manager };
    let value = match text.value() {
        Ok(value) => value,
        Err(unread) => {
            let workspace_id = format!("workspaces[{number}]");
            // Nothing else can be as long.
            let refused = WorkspaceRefused::invalid("environment", format!("the workspace is not read: {unread}"));
            return Planned {
                workspace_id,
                action: WorkspaceAction::Refusal(refused),
                head: None,
                requester,
                volumes: None,
            };
        }
    };
    let said = value.get("workspace_id").and_then(Value::as_str);
    let workspace_id = said.map_or_else(|| format!("workspaces[{number}]"), |id| id.chars().take(128).collect());
    let volumes = volumes_of(&value);
    if requester == Requester::Local {
        admission.local_volumes.extend(volumes.iter().cloned());
    }
    let (action, head) = match WorkspaceHead::read(&value) {
        Ok(head) => (action(admission, &head, &value, requester), Some(head)),
        Err(refused) => (WorkspaceAction::Refusal(refused), None),
    };
    Planned { workspace_id, action, head, requester, volumes: Some(volumes) }
}

fn action(admission: &mut Admission<'_>, head: &WorkspaceHead, value: &Value, requester: Requester) -> WorkspaceAction {
    let spec = match head.desired {
        DesiredRun::Running => Spec::read(value, admission.document, admission.host).map(Some),
        DesiredRun::Paused | DesiredRun::Stopped | DesiredRun::Deleted => Ok(None),
    };
    let spec = match spec.and_then(|spec| admission.is_alone(&head.id).map(|()| spec)) {
        Ok(Some(spec)) => spec,
        Ok(None) => return WorkspaceAction::Nothing,
        Err(refused) => {
            // What people on this host have named is theirs, also while it is refused.
            if requester == Requester::Local {
                let _known = admission.is_alone(&head.id);
            }
            return WorkspaceAction::Refusal(refused);
        }
    };
    admission.begin(&spec.id, requester);
    let given = admission.admit(&spec);
    let composed = given.and_then(|given| {
        let container = compose::container(admission.host, &spec, &given, requester)?;
        admission.may_mount(&container).map(|()| (container, given))
    });
    match composed {
        Ok((container, given)) => {
            admission.book(&spec, &given);
            WorkspaceAction::Create(Box::new(CreateRequest::of(container)))
        }
        Err(refused) => {
            admission.give_up();
            WorkspaceAction::Refusal(refused)
        }
    }
}

fn volumes_of(value: &Value) -> Vec<String> {
    let all = value.get("volumes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names = all.iter().filter_map(|one| one.get("name").and_then(Value::as_str));
    names.map(|name| format!("{}{name}", workspace_container::PREFIX)).collect()
}
