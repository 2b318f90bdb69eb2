//! How far an image is that a document wishes to be here.

use super::workspace_status::WorkspaceReason;
use crate::image_ref::ImageRef;
use crate::policy::Requester;
use crate::time::UnixMillis;

/// One entry of `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStatus {
    /// Its `image_id`.
    pub id: String,
    /// Whose wish it is.
    pub requester: Requester,
    /// Which image.
    pub image: Option<ImageRef>,
    /// Why it is not here; `None` = Docker shows it by its digest.
    pub reason: Option<WorkspaceReason>,
    /// When it is tried again; `None` = when something changes.
    pub retry_at: Option<UnixMillis>,
    /// Bytes that are here, and all of them as far as they are known.
    pub pull_progress: Option<(u64, u64)>,
}
