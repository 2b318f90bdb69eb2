//! Admission: whether a workspace may be created beside what is there, in one place, with all the numbers.

use super::admission::Admission;
use super::gpus::{self, Given};
use super::host::RunningWorkspace;
use super::refused::WorkspaceRefused;
use super::spec::Spec;
use crate::driver_host::{TOOLKIT_FLOOR, ToolkitVersion};
use std::collections::BTreeSet;

impl Admission<'_> {
    /// What the workspace is given.
    pub(super) fn admit(&self, spec: &Spec) -> Result<Given, WorkspaceRefused> {
        let agent = &self.document.agent;
        if self.host.policy.forbidden {
            return Err(WorkspaceRefused::denied(
                "workspaces",
                "host.workspaces.allowed of this host's policy is false",
            ));
        }
        if !agent.enabled {
            return Err(WorkspaceRefused::Disabled);
        }
        if agent.draining && self.own.is_none() {
            return Err(WorkspaceRefused::Draining);
        }
        let there: BTreeSet<&str> = self.running.iter().map(|one| one.workspace_id.as_str()).collect();
        let there = u64::try_from(there.len()).unwrap_or(u64::MAX);
        match agent.max_workspaces {
            Some(maximum) if there >= maximum => return Err(WorkspaceRefused::MaxWorkspaces { maximum }),
            _ => {}
        }
        self.cores(spec.cores)?;
        self.memory(spec.memory)?;
        let given = gpus::choose(self, spec)?;
        if given.has_nvidia() {
            self.toolkit()?;
        }
        Ok(given)
    }

    /// Counts what the workspace was given. What its container still has it has until that has given way: no other one gets it yet.
    pub(super) fn book(&mut self, spec: &Spec, given: &Given) {
        let booked = RunningWorkspace {
            workspace_id: spec.id.to_string(),
            cores: spec.cores,
            memory: spec.memory,
            gpus: given.shared_names(),
            vfio: given.whole.iter().map(|gpu| gpu.bdf.clone()).collect(),
            security_context: spec.context.clone(),
        };
        let still = self.own.take().filter(|own| !has_the_same(own, &booked));
        self.running.extend(still.map(|own| RunningWorkspace { cores: 0.0, memory: 0, ..own }));
        self.running.push(booked);
    }

    fn cores(&self, wanted: f64) -> Result<(), WorkspaceRefused> {
        let physical = f64::from(self.host.cores);
        if wanted > physical {
            return Err(WorkspaceRefused::CoresExceedPhysical { wanted, physical });
        }
        let said = self.document.agent.overrides.cores;
        let effective = if said.is_finite() && said > 0.0 { said } else { physical };
        let available = effective - self.running.iter().map(|running| running.cores).sum::<f64>();
        // Sums of tenths are not exact.
        if wanted > available + 1e-6 {
            return Err(WorkspaceRefused::NoCores { wanted, available: available.max(0.0), effective });
        }
        Ok(())
    }

    fn memory(&self, wanted: u64) -> Result<(), WorkspaceRefused> {
        let physical = self.host.memory;
        let effective = match self.document.agent.overrides.memory {
            0 => physical,
            bytes => bytes,
        };
        let used = self.running.iter().fold(0_u64, |sum, running| sum.saturating_add(running.memory));
        let available = effective.saturating_sub(used);
        if wanted > physical || wanted > available {
            return Err(WorkspaceRefused::NoMemory { wanted, available, effective, physical });
        }
        Ok(())
    }

    fn toolkit(&self) -> Result<(), WorkspaceRefused> {
        let is_below = |text: &&str| ToolkitVersion::of_tag(text).is_ok_and(|version| version.above_floor().is_err());
        if let Some(version) = self.host.toolkit.as_deref().filter(is_below) {
            let floor = TOOLKIT_FLOOR.to_string();
            return Err(WorkspaceRefused::ToolkitVulnerable { version: version.to_owned(), floor });
        }
        let tag = self.document.nvidia.toolkit_image.as_deref().and_then(tag);
        match tag.filter(is_below) {
            Some(tag) => {
                let why = format!("{tag} is older than {TOOLKIT_FLOOR}; in older versions a container can escape");
                Err(WorkspaceRefused::denied("nvidia.toolkit_image", why))
            }
            None => Ok(()),
        }
    }
}

/// The same GPUs in the same security context.
fn has_the_same(one: &RunningWorkspace, other: &RunningWorkspace) -> bool {
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    let has = |one: &RunningWorkspace| (sorted(&one.gpus), sorted(&one.vfio));
    has(one) == has(other) && one.security_context == other.security_context
}

/// The tag of a reference.
fn tag(reference: &str) -> Option<&str> {
    let (name, _) = reference.split_once('@').unwrap_or((reference, ""));
    let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
    last.split_once(':').map(|(_, tag)| tag)
}
