//! Shows which images the documents in force name, whenever they change.

use crate::image_board::ImageBoard;
use model::desired::DesiredState;
use model::workspace::WorkspaceId;
use model::workspace_life::{LocalWorkspace, WorkspacesRecord, wished_images};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was shown last, and from what.
#[derive(Debug, Default)]
pub(crate) struct NamedImages(Option<(Arc<DesiredState>, BTreeMap<WorkspaceId, LocalWorkspace>)>);

impl NamedImages {
    /// Shows them again where something changed. Without a record that can be read it is not known what people have asked for here.
    pub(crate) fn show(&mut self, board: &ImageBoard, desired: &Arc<DesiredState>, record: Option<&WorkspacesRecord>) {
        let Some(record) = record else {
            self.0 = None;
            return board.show_documents(None);
        };
        if self.0.as_ref().is_some_and(|(of, local)| Arc::ptr_eq(of, desired) && *local == record.local) {
            return;
        }
        board.show_documents(wished_images(desired, record));
        self.0 = Some((Arc::clone(desired), record.local.clone()));
    }
}
