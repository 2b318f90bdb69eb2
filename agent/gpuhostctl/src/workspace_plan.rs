//! `debug workspace-plan`: what Docker would be asked for, without a daemon and without Docker.

use crate::failure::Failure;
use crate::input;
use crate::text::{Look, clean, paint, print, print_json};
use model::workspace::{DescribedHost, Document, MOST_WORKSPACES, Planned, WorkspaceAction, plan};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Longest file that is read, in bytes: as much as a manager may send.
const MOST_BYTES: usize = 4 << 20;
/// Exit status where something prevents a change.
const STANDS_IN_THE_WAY: u8 = 11;

/// Plans, and prints what came of it.
pub(crate) fn run(host: &Path, document: &Path, json: bool) -> Result<(), Failure> {
    if input::is_standard(host) && input::is_standard(document) {
        return Err(Failure::Usage { why: "--host, --document: only one of them can be standard input".to_owned() });
    }
    let (described, wanted): (DescribedHost, Document) = (read(host)?, read(document)?);
    if wanted.workspaces.len() > MOST_WORKSPACES {
        let why = format!("{}: it has more than {MOST_WORKSPACES} workspaces", input::name(document));
        return Err(Failure::Usage { why });
    }
    let all = plan(&described, &wanted);
    if json {
        print_json(&all)?;
    } else {
        print(&all.iter().map(line).collect::<Vec<_>>())?;
    }
    match all.iter().filter(|planned| matches!(planned.action, WorkspaceAction::Refusal(_))).count() {
        0 => Ok(()),
        refused => {
            let message = format!("{refused} of {} workspaces are refused", all.len());
            Err(Failure::Refused { status: STANDS_IN_THE_WAY, message })
        }
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    let bytes = input::read(file, MOST_BYTES)?;
    let wrong = |why: String| Failure::Usage { why: format!("{}: {why}", input::name(file)) };
    serde_json::from_slice(&bytes).map_err(|fault| wrong(fault.to_string()))
}

/// One line for people: values of the environment are secrets, and are not in it.
fn line(planned: &Planned) -> String {
    let id = clean(&planned.workspace_id);
    match &planned.action {
        WorkspaceAction::Create(request) if request.gpus.is_empty() => format!("{id}: create {}", request.name),
        WorkspaceAction::Create(request) => format!("{id}: create {} with {}", request.name, request.gpus.join(", ")),
        WorkspaceAction::Nothing => format!("{id}: nothing is created"),
        WorkspaceAction::Refusal(refused) => {
            format!("{id}: {} {}", paint(refused.code(), Look::Bad), clean(&refused.to_string()))
        }
    }
}
