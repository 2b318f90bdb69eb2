//! The record of the MIG instances of one GPU that gpuhostd has created: what a reconciler may destroy again, and what returns
//! after a boot.

use super::layout::Instance;
use super::mig_state::MigOnGpu;
use super::mig_wanted::MigWanted;
use super::plan::LaidOut;
use crate::driver::MigMode;
use crate::ids::GpuUuid;
use crate::stack::DriverLoad;
use serde::{Deserialize, Serialize};

/// Version of the document. Each version ever shipped can be read for ever. Version 1 had no `driver_load`.
const SCHEMA: u32 = 2;
const PREFIX: &str = "mig-owned-";

/// The instances of one GPU that gpuhostd has created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigOwned {
    /// The GPU.
    pub gpu: GpuUuid,
    /// The boot in which they were created or have returned.
    pub boot_id: String,
    /// The load of the driver in which they were created or have returned, where it is known: with the driver every instance goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_load: Option<DriverLoad>,
    /// Its instances, by place.
    pub instances: Vec<LaidOut>,
}

/// What a look at a GPU means for the record of it, within the boot of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedNow {
    /// All of it is there, in the load of the driver that the record names.
    AsRecorded,
    /// The driver was loaded again, or the record does not name its load: what is missing returns, and the record names this load.
    Reloaded(DriverLoad),
    /// Another program destroyed these while the driver ran. They are not ours any more and do not return.
    Destroyed(Vec<Instance>),
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: u32,
    owned: serde_json::Value,
}

/// A document that is no such record.
#[derive(Debug, thiserror::Error)]
pub enum BadMigOwned {
    /// It is no JSON of ours.
    #[error("it is not a record of MIG instances: {0}")]
    Garbled(#[from] serde_json::Error),
    /// A later version of the daemon wrote it.
    #[error("it has schema {0}, which a newer gpuhostd wrote")]
    TooNew(u32),
    /// It is not of the GPU that its name states.
    #[error("it is the record of {0}")]
    OtherGpu(GpuUuid),
}

impl MigOwned {
    /// Nothing of that GPU.
    #[must_use]
    pub const fn none(gpu: GpuUuid, boot_id: String) -> Self {
        Self { gpu, boot_id, driver_load: None, instances: Vec::new() }
    }

    /// Name of its document.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{PREFIX}{}.json", self.gpu)
    }

    /// A document of that name is such a record, and no journal entry.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Profile and place of each.
    #[must_use]
    pub fn places(&self) -> Vec<Instance> {
        self.instances.iter().map(|one| one.instance.clone()).collect()
    }

    /// Those of them that a look shows: what has gone since is not ours any more, also where another program creates the same there.
    #[must_use]
    pub fn seen_in(&self, seen: &MigOnGpu) -> Self {
        let instances = self.instances.iter().filter(|one| seen.find(&one.instance).is_some()).cloned().collect();
        Self { driver_load: seen.driver_load, instances, ..self.clone() }
    }

    /// What a look at the GPU means for the record, where both are of the same boot.
    #[must_use]
    pub fn now(&self, seen: &MigOnGpu) -> OwnedNow {
        let missing = self.instances.iter().filter(|one| seen.find(&one.instance).is_none());
        let missing: Vec<Instance> = missing.map(|one| one.instance.clone()).collect();
        match (self.driver_load, seen.driver_load) {
            (Some(recorded), Some(now)) if recorded != now => OwnedNow::Reloaded(now),
            (None, Some(now)) if missing.is_empty() && !self.instances.is_empty() => OwnedNow::Reloaded(now),
            (Some(_) | None, Some(_) | None) if missing.is_empty() => OwnedNow::AsRecorded,
            (Some(_) | None, Some(_) | None) => OwnedNow::Destroyed(missing),
        }
    }

    /// The record after a change that left the places so, in that boot.
    #[must_use]
    pub fn after(&self, change: &MigWanted, boot_id: &str) -> Self {
        if change.touched.is_empty() && change.mode == Some(MigMode::Enabled) {
            return self.clone();
        }
        let stays = |one: &&LaidOut| !change.touched.contains(&one.instance);
        let mut instances: Vec<LaidOut> =
            self.instances.iter().filter(stays).chain(&change.instances).cloned().collect();
        instances.sort_by_key(|one| one.instance.start);
        Self { gpu: self.gpu.clone(), boot_id: boot_id.to_owned(), driver_load: self.driver_load, instances }
    }

    /// Its document.
    ///
    /// # Errors
    /// Never for a record made by us; serde cannot say so.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let document = Document { schema: SCHEMA, owned: serde_json::to_value(self)? };
        let mut bytes = serde_json::to_vec_pretty(&document)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The record in a document.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, BadMigOwned> {
        let document: Document = serde_json::from_slice(bytes)?;
        if document.schema > SCHEMA {
            return Err(BadMigOwned::TooNew(document.schema));
        }
        let owned: Self = serde_json::from_value(document.owned)?;
        if owned.name() != name {
            return Err(BadMigOwned::OtherGpu(owned.gpu));
        }
        Ok(owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(profile: &str, start: u32) -> LaidOut {
        LaidOut { instance: Instance { profile: profile.to_owned(), start }, compute: vec![1] }
    }

    fn owned(instances: Vec<LaidOut>) -> MigOwned {
        let gpu = "GPU-5d2a8f5c-1b1e-4f8e-9d2b-000000000001".parse().unwrap();
        MigOwned { gpu, boot_id: "first".to_owned(), driver_load: Some(DriverLoad(7)), instances }
    }

    #[test]
    fn a_change_replaces_what_it_touched_and_leaves_the_rest() {
        let before = owned(vec![instance("1g.5gb", 0), instance("1g.5gb", 1)]);
        let gone = instance("1g.5gb", 1).instance;
        let made = instance("2g.10gb", 2);
        let change = MigWanted {
            touched: vec![gone, made.instance.clone()],
            instances: vec![made.clone()],
            ..MigWanted::default()
        };
        let after = before.after(&change, "second");
        assert_eq!((after.instances, after.boot_id.as_str()), (vec![instance("1g.5gb", 0), made], "second"));
    }

    #[test]
    fn a_document_comes_back_under_its_name_only() {
        let record = owned(vec![instance("1g.5gb", 0)]);
        let bytes = record.encode().unwrap();
        assert_eq!(MigOwned::decode(&record.name(), &bytes).unwrap(), record);
        assert!(MigOwned::is_name(&record.name()));
        assert!(matches!(MigOwned::decode("mig-owned-GPU-0.json", &bytes), Err(BadMigOwned::OtherGpu(_))));
        assert!(matches!(
            MigOwned::decode(&record.name(), b"{\"schema\": 3, \"owned\": 7}"),
            Err(BadMigOwned::TooNew(3))
        ));
        assert!(MigOwned::decode(&record.name(), b"{\"schema\": 1, \"owned\": {\"gpu\": 7}}").is_err());
        let first = r#"{"schema": 1, "owned": {"gpu": "GPU-5d2a8f5c-1b1e-4f8e-9d2b-000000000001", "boot_id": "first",
            "instances": [{"profile": "1g.5gb", "start": 0, "compute": [1]}]}}"#;
        let read = MigOwned::decode(&record.name(), first.as_bytes()).unwrap();
        assert_eq!(read, MigOwned { driver_load: None, ..record }, "the first version is read for ever");
    }
}
