//! What `ReadMig` of a GPU shows: its MIG mode, its profiles and its instances at this instant, with who uses them.

use super::absent::Absent;
use model::driver::MigMode;
use model::holders::{Holder, Holders};
use model::mig::{Instance, MigCatalog, MigComputeInstance, MigGpuInstance, MigOnGpu, Present, PresentCompute};
use serde::{Deserialize, Serialize};

/// Somebody who uses the GPU or an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MigHolderView {
    /// Process id in the host's namespace, where it is a process.
    pub pid: Option<u32>,
    /// Container, where it is one.
    pub container: Option<String>,
    /// Who and how, as a sentence.
    pub message: String,
    /// What would free it: a command for a person to run.
    pub remedy: String,
}

impl From<&Holder> for MigHolderView {
    fn from(holder: &Holder) -> Self {
        Self {
            pid: holder.pid,
            container: holder.container.clone(),
            message: holder.to_string(),
            remedy: holder.freed_by(),
        }
    }
}

/// A compute instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MigComputeView {
    /// Its id inside its GPU instance.
    pub id: u32,
    /// Its compute slices.
    pub slices: u32,
    /// UUID of its MIG device.
    pub uuid: Option<String>,
    /// Somebody uses it.
    pub in_use: bool,
    /// Processes that the driver names on it.
    pub processes: Vec<u32>,
    /// What has no value, with the reason.
    pub absent: Absent,
}

/// A GPU instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MigInstanceView {
    /// Its id; it does not tell its place.
    pub id: u32,
    /// Name of its profile.
    pub profile: String,
    /// First memory slot.
    pub start: u32,
    /// Number of memory slots.
    pub size: u32,
    /// gpuhostd has created it; a foreign instance is destroyed only on request.
    pub ours: bool,
    /// Somebody uses it, or one of its compute instances.
    pub in_use: bool,
    /// Who.
    pub held_by: Vec<MigHolderView>,
    /// Its compute instances.
    pub compute_instances: Vec<MigComputeView>,
}

/// MIG of one GPU at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MigLookView {
    /// PCI address.
    pub gpu: String,
    /// MIG mode now: enabled or disabled.
    pub mode: Option<String>,
    /// MIG mode after the next reset.
    pub pending_mode: Option<String>,
    /// The mode changes without a reset of the GPU.
    pub switches_without_reset: Option<bool>,
    /// Its profiles with their placements, in the form that `gpuhostctl mig plan --profiles` reads.
    pub catalog: Option<MigCatalog>,
    /// Its GPU instances, by place.
    pub instances: Vec<MigInstanceView>,
    /// Who uses the GPU as a whole.
    pub held_by: Vec<MigHolderView>,
    /// Processes that could not be looked into, as sentences: each may use anything.
    pub unreadable: Vec<String>,
    /// What has no value, with the reason.
    pub absent: Absent,
}

impl MigLookView {
    /// The view of a look; `owned` are the instances that gpuhostd has created.
    #[must_use]
    pub fn new(seen: &MigOnGpu, holders: &Holders, owned: &[Instance]) -> Self {
        let mut absent = Absent::default();
        let code = |mode: MigMode| mode.code().to_owned();
        let unreadable = holders.unreadable.iter().map(|one| {
            let (pid, command) = (one.pid.map(|pid| format!("pid {pid}")), one.command.clone());
            let named: Vec<String> = command.into_iter().chain(pid).collect();
            let who = if named.is_empty() { "the list of processes".to_owned() } else { named.join(", ") };
            format!("{who}: {}", one.said)
        });
        let view = |(instance, present)| instance_view(instance, present, holders, owned);
        let present = seen.present(holders);
        let mut instances: Vec<MigInstanceView> = seen.instances.iter().zip(&present).map(view).collect();
        instances.sort_by_key(|instance| instance.start);
        Self {
            gpu: seen.gpu.to_string(),
            mode: absent.value("Mode", seen.current.clone().map(code)),
            pending_mode: absent.value("PendingMode", seen.pending.clone().map(code)),
            switches_without_reset: absent.value("SwitchesWithoutReset", seen.switches_without_reset.clone()),
            catalog: absent.value("Catalog", seen.catalog.clone()),
            instances,
            held_by: holders.found.iter().filter(|holder| holder.instance.is_none()).map(Into::into).collect(),
            unreadable: unreadable.collect(),
            absent,
        }
    }

    /// Its instances for the planner.
    #[must_use]
    pub fn present(&self) -> Vec<Present> {
        let compute = |one: &MigComputeView| PresentCompute { slices: one.slices, in_use: one.in_use };
        let present = |one: &MigInstanceView| Present {
            instance: one.instance(),
            in_use: one.in_use,
            compute: one.compute_instances.iter().map(compute).collect(),
        };
        self.instances.iter().map(present).collect()
    }

    /// MIG mode is on now.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mode.as_deref() == Some(MigMode::Enabled.code())
    }

    /// MIG mode after the next reset, where that is another one.
    #[must_use]
    pub fn pending(&self) -> Option<bool> {
        let pending = self.pending_mode.as_ref().filter(|pending| self.mode.as_ref() != Some(*pending))?;
        Some(pending == MigMode::Enabled.code())
    }
}

impl MigInstanceView {
    /// Profile and place.
    #[must_use]
    pub fn instance(&self) -> Instance {
        Instance { profile: self.profile.clone(), start: self.start }
    }
}

fn instance_view(seen: &MigGpuInstance, present: &Present, holders: &Holders, owned: &[Instance]) -> MigInstanceView {
    let has = |holder: &&Holder| holder.has_instance(seen.id, None);
    let compute = seen.compute.iter().zip(&present.compute);
    MigInstanceView {
        id: seen.id,
        profile: seen.profile.clone(),
        start: seen.start,
        size: seen.size,
        ours: owned.contains(&present.instance),
        in_use: present.in_use,
        held_by: holders.found.iter().filter(has).map(Into::into).collect(),
        compute_instances: compute.map(|(seen, present)| compute_view(seen, *present)).collect(),
    }
}

fn compute_view(seen: &MigComputeInstance, present: PresentCompute) -> MigComputeView {
    let mut absent = Absent::default();
    MigComputeView {
        id: seen.id,
        slices: seen.slices,
        uuid: absent.value("Uuid", seen.uuid.clone().map(|uuid| uuid.to_string())),
        in_use: present.in_use,
        processes: seen.processes.clone(),
        absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::absence::{Absence, Reading};
    use model::holders::{Hold, MigPlace};

    fn seen() -> MigOnGpu {
        let compute = |id, processes| MigComputeInstance {
            id,
            slices: 1,
            uuid: Reading::Absent(Absence::NotReported),
            processes,
        };
        let instance =
            |id, start, compute| MigGpuInstance { id, profile: "1g.5gb".to_owned(), start, size: 1, compute };
        MigOnGpu {
            gpu: "0000:41:00.0".parse().unwrap(),
            uuid: Reading::Absent(Absence::NotReported),
            minor: Reading::Absent(Absence::NotReported),
            current: Reading::Known(MigMode::Enabled),
            pending: Reading::Known(MigMode::Disabled),
            switches_without_reset: Reading::Absent(Absence::NotSupported),
            catalog: Reading::Absent(Absence::NotReported),
            driver_load: None,
            instances: vec![
                instance(7, 0, vec![compute(0, Vec::new())]),
                instance(9, 1, vec![compute(0, vec![41])]),
                instance(11, 2, Vec::new()),
            ],
        }
    }

    #[test]
    fn a_look_has_ids_places_users_and_a_reason_for_what_is_missing() {
        let holder = Holder {
            pid: None,
            command: None,
            unit: None,
            container: Some("lab-3".to_owned()),
            address: None,
            instance: Some(MigPlace { gpu_instance: 7, compute_instance: None }),
            hold: Hold::ContainerDevice { device: "MIG-x".to_owned() },
        };
        let holders = Holders { found: vec![holder], unreadable: Vec::new() };
        let owned = [Instance { profile: "1g.5gb".to_owned(), start: 1 }];
        let view = MigLookView::new(&seen(), &holders, &owned);
        let in_use: Vec<bool> = view.instances.iter().map(|one| one.in_use).collect();
        let ours: Vec<bool> = view.instances.iter().map(|one| one.ours).collect();
        assert_eq!((in_use, ours), (vec![true, true, false], vec![false, true, false]));
        assert_eq!(view.instances[0].held_by[0].remedy, "docker stop lab-3");
        assert_eq!((view.is_on(), view.pending()), (true, Some(false)));
        assert_eq!(view.absent.reason("SwitchesWithoutReset"), Some("not_supported"));
        assert_eq!(view.present(), seen().present(&holders), "what is read again plans the same");
        let json = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<MigLookView>(&json).unwrap(), view);
    }
}
