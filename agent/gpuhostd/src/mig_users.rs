//! Who uses MIG of a GPU: processes from the holders hand, containers from the container hand, as one list.

use hands::RemoteHost;
use host::front::nvidia_index;
use model::container_claims::{ClaimedGpu, ContainerClaims, add_claims};
use model::holders::{Holders, UnreadableProcess};
use model::mig::MigOnGpu;
use model::mig::capability_files::MigMinors;
use model::plan::MigTarget;
use model::ports::ActError;
use protocol::hand::containers::FindMigContainers;
use protocol::hand::holders::FindMigHolders;
use protocol::hand::mig::InspectMig;
use std::path::PathBuf;

/// Where the host shows what the names of devices mean.
#[derive(Debug, Clone)]
pub(crate) struct MigUsers {
    /// `/sys/bus/pci`.
    pub(crate) bus: PathBuf,
    /// `/proc`.
    pub(crate) proc: PathBuf,
}

impl MigUsers {
    /// Everybody who uses an instance of the GPU, or the GPU. Containers that cannot be listed may use any.
    ///
    /// # Errors
    /// The processes could not be looked into, or the GPU could not be looked at.
    pub(crate) async fn holders(&self, remote: &RemoteHost, target: &MigTarget) -> Result<Holders, ActError> {
        let mut holders = remote.call(&FindMigHolders { target: target.clone() }).await?;
        match remote.call(&FindMigContainers {}).await {
            Ok(claims) if claims.is_empty() => {}
            Ok(claims) => {
                let seen = remote.call(&InspectMig { target: target.clone() }).await?;
                holders = self.with_claims(holders, claims, seen).await;
            }
            Err(fault) => {
                let said = format!("the containers cannot be listed, and any of them may use it: {fault}");
                holders.unreadable.push(UnreadableProcess { pid: None, command: None, said });
            }
        }
        Ok(holders)
    }

    async fn with_claims(&self, holders: Holders, claims: Vec<ContainerClaims>, seen: MigOnGpu) -> Holders {
        let places = self.clone();
        let kept = holders.clone();
        let added = tokio::task::spawn_blocking(move || {
            let mut holders = holders;
            let table = std::fs::read_to_string(places.proc.join("driver/nvidia-caps/mig-minors")).ok();
            let minors = table.map(|table| MigMinors::read(&table));
            let index = nvidia_index(&places.bus, seen.gpu);
            add_claims(&mut holders, &claims, ClaimedGpu { seen: &seen, index, minors: minors.as_ref() });
            holders
        });
        added.await.unwrap_or_else(|broken| {
            let mut kept = kept;
            let said = format!("what containers map could not be compared: {broken}");
            kept.unreadable.push(UnreadableProcess { pid: None, command: None, said });
            kept
        })
    }
}
