//! The images that Docker has, as `ListImages` answers them in JSON.

use model::workspace_life::{ImageRow, ImagesState};
use serde::{Deserialize, Serialize};

/// All of them, and the room of their disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImagesView {
    /// When Docker showed them, in milliseconds since 1970-01-01 UTC.
    pub looked_at: Option<i64>,
    /// Why Docker shows nothing now; then they are those that it showed last.
    pub docker_fault: Option<String>,
    /// How much is removed: off, emergency, normal or aggressive.
    pub mode: String,
    /// Directory of Docker's disk.
    pub disk: Option<String>,
    /// Free there, in bytes.
    pub disk_available_bytes: Option<u64>,
    /// So much is to stay free, in bytes.
    pub disk_reserve_bytes: Option<u64>,
    /// Each of them.
    pub images: Vec<ImageView>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageView {
    /// Its id in this Docker.
    pub id: String,
    /// As gpuhostd has pulled it.
    pub image: Option<String>,
    /// gpuhostd has pulled it.
    pub ours: bool,
    /// Its digests in registries.
    pub digests: Vec<String>,
    /// Names with tags.
    pub tags: Vec<String>,
    /// Its size, in bytes, with layers that it shares with others.
    pub size_bytes: u64,
    /// Containers that are created from it, running or not.
    pub containers: Vec<String>,
    /// When it was pulled, in milliseconds since 1970-01-01 UTC.
    pub pulled_at: Option<i64>,
    /// When a container or a wish last had it.
    pub needed_at: Option<i64>,
    /// Why it stays, a stable code; null = it is removed.
    pub kept: Option<String>,
}

impl From<&ImagesState> for ImagesView {
    fn from(state: &ImagesState) -> Self {
        let room = state.room.as_ref();
        Self {
            looked_at: state.looked_at.map(|at| at.0),
            docker_fault: state.unknown.clone(),
            mode: state.mode.code().to_owned(),
            disk: room.map(|room| room.path.clone()),
            disk_available_bytes: room.map(|room| room.available_bytes),
            disk_reserve_bytes: room.map(|room| room.reserve_bytes),
            images: state.images.iter().map(ImageView::from).collect(),
        }
    }
}

impl From<&ImageRow> for ImageView {
    fn from(row: &ImageRow) -> Self {
        let (image, known) = (&row.image, row.of.as_ref().map(|(_, known)| known));
        Self {
            id: image.id.to_string(),
            image: row.of.as_ref().map(|(of, _)| of.to_string()),
            ours: row.of.is_some(),
            digests: image.digests.iter().map(ToString::to_string).collect(),
            tags: image.tags.clone(),
            size_bytes: image.size_bytes,
            containers: image.used_by.iter().map(|id| id.as_str().to_owned()).collect(),
            pulled_at: known.map(|known| known.pulled_at.0),
            needed_at: known.map(|known| known.needed_at.0),
            kept: row.kept.map(|why| why.code().to_owned()),
        }
    }
}
