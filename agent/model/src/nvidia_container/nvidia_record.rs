//! The document `nvidia.json`: what is remembered of NVIDIA's two containers. A lost one never means that nothing is wished.

use super::docker_cdi_memory::DockerCdiMemory;
use super::driver_host_memory::DriverHostMemory;
use super::gpu_access_memory::GpuAccessMemory;
use super::nvidia_failures::NvidiaFailures;
use super::nvidia_memory::{NvidiaBegun, NvidiaMemory};
use super::nvidia_role::NvidiaRole;
use super::toolkit_probe::ToolkitProbe;
use crate::image_ref::ImageRef;
use crate::time::BootMillis;
use serde::{Deserialize, Serialize};

/// The schema that this version writes.
const SCHEMA: u32 = 1;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvidiaRecord {
    /// The boot that its instants belong to.
    pub boot_id: String,
    /// Of the driver container.
    pub driver: NvidiaMemory,
    /// Of the toolkit container.
    pub toolkit: NvidiaMemory,
    /// Of the entry in Docker's configuration.
    pub runtime: RuntimeMemory,
    /// Of the host around the driver container.
    #[serde(default)]
    pub driver_host: DriverHostMemory,
    /// Of the ways in which GPUs get into containers.
    #[serde(default)]
    pub gpu_access: GpuAccessMemory,
}

/// What is remembered of the entry in Docker's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeMemory {
    /// Whose it is.
    pub ours: RuntimeOurs,
    /// A step was begun and is not known to have ended.
    pub begun: bool,
    /// When Docker was last asked to read its file again, since the file was last written.
    pub reloaded: Option<BootMillis>,
    /// Docker did not take it, with its words: it is not added again before the wish changes.
    pub not_taken: Option<String>,
    /// What has failed.
    pub failures: NvidiaFailures,
    /// Of `features.cdi`; left out where there is nothing to remember, so that earlier versions read the record too.
    #[serde(default, skip_serializing_if = "DockerCdiMemory::is_nothing")]
    pub cdi: DockerCdiMemory,
}

/// Whose the entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeOurs {
    /// Not ours, or there is none.
    #[default]
    No,
    /// gpuhostd has added it, or is about to.
    Ours,
    /// gpuhostd is removing it.
    Leaving,
}

/// A document that is not such a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNvidiaRecord {
    /// Not one, or damaged.
    #[error("it cannot be read: {0}")]
    Damaged(String),
    /// Of a later version.
    #[error("its schema is {0}, and this version knows {SCHEMA}: a later version of gpuhostd wrote it")]
    Later(u32),
}

#[derive(Deserialize)]
struct NvidiaRecordHead {
    schema: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NvidiaRecordDocument {
    schema: u32,
    nvidia: NvidiaRecord,
}

impl NvidiaRecord {
    /// The memory of a role.
    #[must_use]
    pub const fn of(&self, role: NvidiaRole) -> &NvidiaMemory {
        match role {
            NvidiaRole::Driver => &self.driver,
            NvidiaRole::Toolkit => &self.toolkit,
        }
    }

    /// The memory of a role, to be changed.
    pub const fn of_mut(&mut self, role: NvidiaRole) -> &mut NvidiaMemory {
        match role {
            NvidiaRole::Driver => &mut self.driver,
            NvidiaRole::Toolkit => &mut self.toolkit,
        }
    }

    /// Every image that it names: what runs, what ran well, and what was begun.
    pub fn images(&self) -> impl Iterator<Item = ImageRef> {
        NvidiaRole::ALL.iter().flat_map(|role| {
            let memory = self.of(*role);
            let known = memory.known.iter().map(|known| &known.spec);
            let specs = known.chain(&memory.good).chain(memory.failed.iter().map(|failed| &failed.spec));
            let mut all: Vec<ImageRef> = specs.map(|spec| spec.image.clone()).collect();
            match &memory.begun {
                Some(NvidiaBegun::Pull { image }) => all.push(image.clone()),
                Some(NvidiaBegun::Create { spec }) => all.push(spec.image.clone()),
                Some(NvidiaBegun::Start(_) | NvidiaBegun::Stop { .. } | NvidiaBegun::Remove { .. }) | None => {}
            }
            all
        })
    }

    /// Another try of a role is asked for: what was given up is forgotten.
    pub fn try_again(&mut self, role: NvidiaRole) {
        self.of_mut(role).try_again();
        match role {
            NvidiaRole::Driver => self.driver_host.failures = NvidiaFailures::default(),
            NvidiaRole::Toolkit => {
                (self.runtime.not_taken, self.runtime.failures) = (None, NvidiaFailures::default());
                self.runtime.cdi.try_again();
                // What a probe has shown is not asked again; what was given up is.
                let access = std::mem::take(&mut self.gpu_access);
                let probed = access.probed.filter(|probed| probed.seen == Some(ToolkitProbe::Device));
                self.gpu_access = GpuAccessMemory { begun: access.begun, probed, ..GpuAccessMemory::default() };
            }
        }
    }

    /// In this boot: what belongs to an earlier one is forgotten.
    #[must_use]
    pub fn in_boot(mut self, boot_id: &str) -> Self {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.driver.forget_boot();
            self.toolkit.forget_boot();
            (self.runtime.reloaded, self.runtime.begun) = (None, false);
            self.runtime.failures = NvidiaFailures::default();
            self.runtime.cdi.forget_boot();
            // What was mounted and written in `/run` is gone.
            self.driver_host = DriverHostMemory::default();
            self.gpu_access = GpuAccessMemory::default();
        }
        self
    }

    /// As it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let document = NvidiaRecordDocument { schema: SCHEMA, nvidia: self.clone() };
        serde_json::to_vec_pretty(&document).unwrap_or_default()
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is damaged, or of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadNvidiaRecord> {
        let damaged = |fault: serde_json::Error| BadNvidiaRecord::Damaged(fault.to_string());
        let NvidiaRecordHead { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
        if schema > SCHEMA {
            return Err(BadNvidiaRecord::Later(schema));
        }
        serde_json::from_slice::<NvidiaRecordDocument>(bytes).map(|document| document.nvidia).map_err(damaged)
    }
}
