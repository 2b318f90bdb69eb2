//! A simulated GPU of any product, cut up and used as a test wants it.

use model::holders::{Hold, Holder, Holders, MigPlace};
use model::mig::products::Product;
use model::mig::{Instance, MigFacts, MigLayoutRequest, MigStep, plan_layout};
use model::plan::{Bounds, Lane, Look, MigTarget, Plan, PlanStep};
use model::ports::ActError;
use model::refusal::Refusal;
use model::{IommuGroupId, PciAddress};
use sim::mig::{SimCompute, SimMig};
use sim::parse;
use sim::state::HostState;
use sim::step_faults::StepFault;
use std::collections::BTreeSet;

const CARD: &str = r#"
name = "layouts"
summary = "A card that can do MIG."
[models.card]
id = "10de:DEVICE"
class = 0x030200
subsystem = "10de:134f"
[models.card.product]
name = "NVIDIA card"
brand = "NVIDIA"
architecture = "Ampere"
compute_capability = [8, 0]
vbios = "92.00.45.00.03"
memory_mib = 40960
reserved_mib = 625
power_limit_w = 400.0
mig = true
[[gpus]]
address = "0000:41:00.0"
model = "card"
driver = "nvidia"
group = 23
mig = { current = "enabled", pending = "enabled" }
"#;

pub(crate) fn gpu() -> PciAddress {
    "0000:41:00.0".parse().unwrap()
}

/// A host with one GPU, who has what of it, and what of it gpuhostd has created.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) host: HostState,
    pub(crate) holders: Holders,
    pub(crate) owned: Vec<Instance>,
}

/// The compute instances and GPU instances that nobody may touch, with their ids.
pub(crate) type Guarded = BTreeSet<(u32, Option<u32>, String)>;

impl Card {
    /// With nothing on it and MIG on.
    pub(crate) fn empty(product: &Product) -> Self {
        let text = CARD.replace("DEVICE", &format!("{:04x}", product.devices[0]));
        let host = HostState::new(parse(&text, "layouts").unwrap()).unwrap();
        Self { host, holders: Holders::default(), owned: Vec::new() }
    }

    pub(crate) fn mig(&self) -> &SimMig {
        &self.host.mig[&gpu()]
    }

    pub(crate) fn mig_mut(&mut self) -> &mut SimMig {
        self.host.mig.get_mut(&gpu()).unwrap()
    }

    /// Creates a GPU instance with these compute instances, where the driver lets it; all of them gpuhostd's.
    pub(crate) fn create(&mut self, profile: &str, start: u32, slices: &[u32]) -> Option<u32> {
        let id = self.mig_mut().create_gpu(profile, start).ok()?;
        for slices in slices {
            self.mig_mut().create_compute(id, *slices).unwrap();
        }
        self.owned.push(Instance { profile: profile.to_owned(), start });
        Some(id)
    }

    pub(crate) fn compute(&mut self, gpu_instance: u32, compute_instance: u32) -> &mut SimCompute {
        let within = self.mig_mut().instances.iter_mut().find(|one| one.id == gpu_instance).unwrap();
        within.compute.iter_mut().find(|one| one.id == compute_instance).unwrap()
    }

    /// A container was given the instance, and runs nothing on it.
    pub(crate) fn given(&mut self, gpu_instance: u32, compute_instance: Option<u32>) {
        self.holders.found.push(Holder {
            pid: None,
            command: None,
            unit: None,
            container: Some("notebook".to_owned()),
            address: Some(gpu()),
            instance: Some(MigPlace { gpu_instance, compute_instance }),
            hold: Hold::ContainerDevice { device: "nvidia.com/gpu=0:0".to_owned() },
        });
    }

    pub(crate) fn plan(&self, layout: &str, replace_foreign: bool) -> Result<Plan, Refusal> {
        let uuid = "GPU-00000000-0000-0000-0000-000000000000".parse().unwrap();
        let bounds = Bounds::of_mig_layout(MigTarget { lane: Lane::Group(IommuGroupId(23)), gpu: gpu(), uuid });
        let seen = self.host.mig_state(gpu()).unwrap();
        let facts =
            MigFacts { seen: &seen, holders: &self.holders, owned: &self.owned, is_given: false, blockers: &[] };
        plan_layout(
            bounds,
            &MigLayoutRequest { gpu: gpu(), layout: layout.to_owned(), replace_foreign, confirm_within_ms: None },
            &facts,
        )
    }

    pub(crate) fn look(&self) -> Look {
        Look::Mig(Box::new(self.host.mig_state(gpu()).unwrap()))
    }

    pub(crate) fn take(&mut self, step: &PlanStep, fault: Option<StepFault>) -> Result<(), ActError> {
        self.host.act_on_mig_with(gpu(), mig_step(step), fault)
    }

    /// Each GPU instance with the slices in it, by place.
    pub(crate) fn shown(&self) -> BTreeSet<String> {
        let each = self.mig().instances.iter().map(|one| {
            let mut slices: Vec<u32> = one.compute.iter().map(|compute| compute.slices).collect();
            slices.sort_unstable();
            format!("{}@{} {slices:?}", one.profile, one.placement.start)
        });
        each.collect()
    }

    /// Each GPU instance and each compute instance with its ids.
    pub(crate) fn identities(&self) -> Guarded {
        let each = self.mig().instances.iter().flat_map(|one| {
            let place = format!("{}@{}", one.profile, one.placement.start);
            let inside = one.compute.iter().map(|compute| (one.id, Some(compute.id), format!("{}", compute.slices)));
            inside.chain([(one.id, None, place)]).collect::<Vec<_>>()
        });
        each.collect()
    }

    /// Those that must be there at every point.
    pub(crate) fn guarded(&self, replace_foreign: bool) -> Guarded {
        let is_used = |gpu: u32, compute: &SimCompute| {
            let held = self.holders.found.iter().any(|holder| holder.has_instance(gpu, Some(compute.id)));
            held || !compute.processes.is_empty()
        };
        let mut guarded = Guarded::new();
        for one in &self.mig().instances {
            let place = Instance { profile: one.profile.clone(), start: one.placement.start };
            let foreign = !replace_foreign && !self.owned.contains(&place);
            let held = self.holders.found.iter().any(|holder| holder.has_instance(one.id, None));
            let used: Vec<&SimCompute> =
                one.compute.iter().filter(|compute| foreign || is_used(one.id, compute)).collect();
            if foreign || held || !used.is_empty() {
                guarded.insert((one.id, None, place.to_string()));
            }
            guarded.extend(used.iter().map(|compute| (one.id, Some(compute.id), format!("{}", compute.slices))));
        }
        guarded
    }
}

pub(crate) fn mig_step(step: &PlanStep) -> &MigStep {
    match step {
        PlanStep::Mig(step) => step,
        PlanStep::Functions(step) => panic!("{step}"),
    }
}
