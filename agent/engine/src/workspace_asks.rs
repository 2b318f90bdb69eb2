//! What people ask on this host about workspaces, and why it is refused: it changes what is remembered, and nothing else yet.

use model::refusal::Refusal;
use model::workspace::{DesiredRun, WorkspaceId};
use model::workspace_life::{LocalWorkspace, WorkspaceAsk, WorkspacePace, WorkspacesMemory, WorkspacesState};

/// Largest record that is written.
const RECORD_MAX_BYTES: usize = 1024 * 1024;

/// Does what is asked, beside what is shown.
pub(crate) fn obey(memory: &mut WorkspacesMemory, shown: &WorkspacesState, ask: WorkspaceAsk) -> Result<(), Refusal> {
    match ask {
        WorkspaceAsk::Set { id, wish } => {
            let desired = wish.value().ok().and_then(|value| value.get("desired")?.as_str()?.parse().ok());
            let desired = desired.unwrap_or(DesiredRun::Running);
            memory.record.local.insert(id.clone(), LocalWorkspace { wish, desired });
            if memory.record.encode().len() > RECORD_MAX_BYTES {
                let why =
                    "the workspaces that are created on this host would have more than 1 MiB together: delete some";
                return Err(Refusal::Conflict { why: why.to_owned() });
            }
            memory.try_again(&id);
        }
        WorkspaceAsk::Want { id, desired } => {
            let Some(local) = memory.record.local.get_mut(&id) else { return Err(not_of_here(memory, shown, &id)) };
            local.desired = desired;
            memory.try_again(&id);
        }
        WorkspaceAsk::Again { id } => {
            must_exist(memory, shown, &id)?;
            memory.try_again(&id);
            // A pull that is under way goes on, also for others.
            memory.images.values_mut().for_each(|image| image.pace = WorkspacePace::default());
        }
        WorkspaceAsk::Recreate { id } => {
            must_exist(memory, shown, &id)?;
            memory.try_again(&id);
            memory.workspaces.entry(id).or_default().recreate = true;
        }
        WorkspaceAsk::ConfirmRemovals => memory.removals.is_confirmed = true,
    }
    Ok(())
}

fn must_exist(memory: &WorkspacesMemory, shown: &WorkspacesState, id: &WorkspaceId) -> Result<(), Refusal> {
    let is_there = shown.find(id).is_some() || memory.record.local.contains_key(id);
    let missing = || Refusal::NotFound { what: "workspace".to_owned(), name: id.to_string() };
    if is_there { Ok(()) } else { Err(missing()) }
}

/// Why it is not started, stopped or deleted at a wish of this host.
fn not_of_here(memory: &WorkspacesMemory, shown: &WorkspacesState, id: &WorkspaceId) -> Refusal {
    match must_exist(memory, shown, id) {
        Err(missing) => missing,
        Ok(()) => Refusal::Conflict {
            why: format!(
                "workspace {id} was not created with `gpuhostctl run`: change it where it is wished, at the manager or in \
                 /etc/gpuhostd/desired.d (`gpuhostctl desired show`)"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::desired::WishText;
    use model::image_ref::ImageRef;
    use model::time::BootMillis;
    use model::workspace_life::ImageMemory;

    #[test]
    fn another_try_forgets_what_failed_and_no_pull_that_is_under_way() {
        let (mut memory, shown) = (WorkspacesMemory::default(), WorkspacesState::default());
        let id: WorkspaceId = "alice-1".parse().unwrap();
        let image: ImageRef = format!("registry.example/lab/desktop@sha256:{}", "5e".repeat(32)).parse().unwrap();
        let wish = WishText::new("{}");
        memory.record.local.insert(id.clone(), LocalWorkspace { wish, desired: DesiredRun::Running });
        let mut known = ImageMemory { is_begun: true, ..ImageMemory::default() };
        known.pace.fail(BootMillis(1), "pull_failed", "no route to the registry", true);
        memory.images.insert(image.clone(), known);
        obey(&mut memory, &shown, WorkspaceAsk::Again { id }).unwrap();
        let wanted = ImageMemory { is_begun: true, ..ImageMemory::default() };
        assert_eq!(memory.images.get(&image), Some(&wanted));
    }
}
