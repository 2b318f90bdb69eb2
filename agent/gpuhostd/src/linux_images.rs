//! The images of Docker on the Linux host: listed and removed by the container hand; their disk is asked here.

use crate::linux::LinuxHost;
use host::front::FactsRoot;
use model::absence::{Absence, Reading};
use model::host_facts::DiskUsage;
use model::image_ref::ImageDigest;
use model::ports::ImagePort;
use model::registry_login::RegistryLoginsSeen;
use model::workspace_life::StoredImage;
use protocol::hand::containers::{ListStoredImages, ReadRegistryLogins, RemoveStoredImage};
use std::time::Duration;

/// A file system that hangs is waited for so long.
const DISK_WITHIN: Duration = Duration::from_secs(5);

impl ImagePort for LinuxHost {
    async fn list_stored_images(&self) -> Result<Vec<StoredImage>, String> {
        self.remote.call(&ListStoredImages {}).await.map_err(|fault| fault.to_string())
    }

    async fn remove_stored_image(&self, id: &ImageDigest) -> Result<(), String> {
        self.remote.call(&RemoveStoredImage { id: id.clone() }).await.map_err(|fault| fault.to_string())
    }

    async fn read_registry_logins(&self) -> Result<RegistryLoginsSeen, String> {
        self.remote.call(&ReadRegistryLogins {}).await.map_err(|fault| fault.to_string())
    }

    async fn read_docker_disk(&self, docker_root: String) -> Reading<DiskUsage> {
        let reading = tokio::task::spawn_blocking(move || FactsRoot::disk(&docker_root));
        let late = || Reading::Absent(Absence::ProbeTimeout);
        tokio::time::timeout(DISK_WITHIN, reading).await.map_or_else(|_| late(), |read| read.unwrap_or_else(|_| late()))
    }
}
