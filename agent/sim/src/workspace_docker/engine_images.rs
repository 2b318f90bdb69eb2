//! The images of the simulated Docker: listed with who uses them, removed by their id as the container hand does, and their disk.

use super::sim_engine::SimEngine;
use model::host_facts::DiskUsage;
use model::image_ref::{ImageDigest, ImageRef};
use model::workspace_life::StoredImage;
use std::collections::BTreeSet;

/// The disk where no other size was set.
const ROOM_BYTES: u64 = 1 << 44;

impl SimEngine {
    /// The disk has room for images of so many bytes.
    pub const fn set_image_room(&mut self, bytes: u64) {
        self.images.room_bytes = Some(bytes);
    }

    /// Another user gives a name to what is here.
    pub fn tag_image(&mut self, digest: &ImageDigest, name: &str) {
        self.images.tags.entry(digest.clone()).or_default().push(name.to_owned());
    }

    /// Every image.
    ///
    /// # Errors
    /// Docker does not answer.
    pub fn stored_images(&self) -> Result<Vec<StoredImage>, String> {
        self.answers()?;
        let stored = |(digest, size_bytes): (&ImageDigest, u64)| {
            let uses = |image: &str| image.parse::<ImageRef>().is_ok_and(|image| image.digest() == Some(digest));
            let users = self.containers.iter().filter(|one| uses(&one.facts.image));
            StoredImage {
                id: id_of(digest),
                digests: BTreeSet::from([digest.clone()]),
                tags: self.images.tags.get(digest).cloned().unwrap_or_default(),
                size_bytes,
                created_at: None,
                used_by: users.map(|one| one.id.clone()).collect(),
            }
        };
        Ok(self.images.stored().map(stored).collect())
    }

    /// Removes one as the container hand does: not from under a container, not by force, and nothing that has a tag.
    ///
    /// # Errors
    /// It is used or tagged, or Docker does not answer. What is not here is done.
    pub fn remove_image(&mut self, id: &ImageDigest) -> Result<(), String> {
        let all = self.stored_images()?;
        let Some(image) = all.iter().find(|image| image.id == *id) else { return Ok(()) };
        if let Some(user) = image.used_by.first() {
            return Err(format!("container {} is created from it", user.short()));
        }
        if let Some(tag) = image.tags.first() {
            return Err(format!("it has the name {tag}: another user of Docker may need it"));
        }
        for digest in &image.digests {
            self.images.remove(digest);
        }
        self.announce();
        Ok(())
    }

    /// The disk under the images.
    #[must_use]
    pub fn image_disk(&self, path: String) -> DiskUsage {
        let total_bytes = self.images.room_bytes.unwrap_or(ROOM_BYTES);
        let used_bytes = self.images.used_bytes().min(total_bytes);
        let available_bytes = total_bytes - used_bytes;
        DiskUsage { path, total_bytes, available_bytes, used_bytes, inodes_total: 0, inodes_free: 0 }
    }
}

/// In one of Docker's stores the id is another digest than that of the manifest.
fn id_of(digest: &ImageDigest) -> ImageDigest {
    let turned: String = digest.as_str().trim_start_matches("sha256:").chars().rev().collect();
    format!("sha256:{turned}").parse().unwrap_or_else(|_| digest.clone())
}
