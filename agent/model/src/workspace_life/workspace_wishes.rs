//! The one document that follows from all sources: what people have asked for on this host first, then its files, then the manager.

use super::image_wishes::{ImageWish, image_wishes};
use super::workspace_record::{LocalWorkspace, WorkspacesRecord};
use super::workspace_world::WorkspaceLists;
use crate::desired::{Desired, DesiredSections, DesiredState, DocumentId, GpuEntry, GpuMatch, WishText};
use crate::policy::Requester;
use crate::settings::SettingsOverlay;
use crate::workspace::{Agent, DesiredGpu, Document, Image, Match, Overrides, WorkspaceId};
use std::collections::BTreeSet;

/// What is wished of workspaces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkspaceWishes {
    /// As one document.
    pub document: Document,
    /// The manager's document that is in it.
    pub document_id: Option<DocumentId>,
    /// The images that are to be here.
    pub images: Vec<ImageWish>,
    /// Who lists workspaces.
    pub lists: WorkspaceLists,
}

impl WorkspaceWishes {
    /// Puts them together.
    #[must_use]
    pub fn of(desired: &DesiredState, record: &WorkspacesRecord) -> Self {
        let manager = desired.manager.document();
        let of_files = &desired.local.wishes;
        let mut workspaces: Vec<WishText> = record.local.values().map(asked).collect();
        let has_asked = !workspaces.is_empty();
        // An id that people have asked for here is theirs.
        let own: BTreeSet<&str> = record.local.keys().map(WorkspaceId::as_str).collect();
        let local = listed(of_files).unwrap_or_default().iter().filter(|one| !is_one_of(one, &own));
        workspaces.extend(local.cloned());
        let from_local = workspaces.len();
        let of_manager = manager.and_then(|document| listed(&document.wishes));
        workspaces.extend(of_manager.unwrap_or_default().iter().cloned());
        let mut wished = image_wishes(of_files, Requester::Local);
        wished.extend(manager.into_iter().flat_map(|it| image_wishes(&it.wishes, Requester::Manager)));
        let both = [Some(of_files), manager.map(|document| &document.wishes)];
        Self {
            document: Document {
                images: both.into_iter().flatten().flat_map(images_of).collect(),
                gpus: both.into_iter().flatten().flat_map(|of| of.gpus.iter().filter_map(reserved)).collect(),
                workspaces,
                from_local,
                ..Document::default()
            },
            images: wished,
            document_id: manager.map(|document| document.id.clone()),
            lists: WorkspaceLists { local: has_asked || listed(of_files).is_some(), manager: of_manager.is_some() },
        }
    }

    /// Lays what holds for the whole host over it.
    #[must_use]
    pub fn with_host(mut self, overlay: &SettingsOverlay) -> Self {
        self.document.agent = Agent {
            enabled: overlay.enabled.unwrap_or(true),
            draining: overlay.draining.unwrap_or(false) || overlay.drain_at.is_some_and(|drain| drain.has_come),
            max_workspaces: overlay.max_workspaces.map(u64::from),
            overrides: Overrides {
                // Thousandths of more cores than any machine has are exact in a float.
                cores: overlay.millicores.and_then(|milli| u32::try_from(milli).ok()).map_or(0.0, f64::from) / 1e3,
                memory: overlay.memory_bytes.unwrap_or(0),
                cuda_gpus: overlay.cuda_gpus.map_or(0, u64::from),
            },
        };
        self
    }
}

fn listed(of: &DesiredSections) -> Option<&[WishText]> {
    match &of.workspaces {
        Desired::Value(all) => Some(all),
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => None,
    }
}

/// A GPU that serves one security context alone. What else is wished of it the observation shows.
fn reserved(entry: &GpuEntry) -> Option<DesiredGpu> {
    let GpuMatch { uuid, bdf, pci_id, wrong } = &entry.of;
    let matches = Match {
        uuid: uuid.as_ref().map(ToString::to_string),
        bdf: bdf.as_ref().map(ToString::to_string),
        pci_id: pci_id.as_ref().map(ToString::to_string),
    };
    let security_context = Some(entry.security_context.clone()?);
    wrong.is_none().then_some(DesiredGpu { matches, security_context, ..DesiredGpu::default() })
}

/// One that cannot be read is left out: a workspace that names it is refused.
fn images_of(of: &DesiredSections) -> Vec<Image> {
    let all = match &of.images {
        Desired::Value(all) => all.as_slice(),
        Desired::Absent | Desired::LocalDefault | Desired::Unsupported(_) => &[],
    };
    all.iter().filter_map(|text| serde_json::from_value(text.value().ok()?).ok()).collect()
}

/// As it was asked for, with what is wanted of it now.
fn asked(local: &LocalWorkspace) -> WishText {
    let Ok(mut value) = local.wish.value() else { return local.wish.clone() };
    if let Some(map) = value.as_object_mut() {
        map.insert("desired".to_owned(), local.desired.code().into());
    }
    WishText::from(&value)
}

fn is_one_of(text: &WishText, ids: &BTreeSet<&str>) -> bool {
    !ids.is_empty()
        && text.value().is_ok_and(|value| {
            value.get("workspace_id").and_then(serde_json::Value::as_str).is_some_and(|id| ids.contains(id))
        })
}
