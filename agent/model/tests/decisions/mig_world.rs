//! A GPU with MIG as NVML would report it, for the tests of its changes.

use model::driver::MigMode;
use model::holders::{Hold, Holder, Holders, MigPlace};
use model::mig::layout::read_present;
use model::mig::products::Product;
use model::mig::{
    Instance, MigCatalog, MigComputeInstance, MigFacts, MigGpuInstance, MigLayoutRequest, MigModeRequest, MigOnGpu,
    MigStep, MigWanted, plan_layout, plan_mode,
};
use model::plan::{Bounds, Lane, MigTarget, Plan, PlanStep, Postcondition};
use model::refusal::Refusal;
use model::{Absence, GpuUuid, IommuGroupId, PciAddress, Reading};

pub(crate) fn gpu() -> PciAddress {
    "0000:41:00.0".parse().unwrap()
}

pub(crate) fn bounds() -> Bounds {
    Bounds::of_mig_layout(MigTarget { lane: Lane::Group(IommuGroupId(23)), gpu: gpu(), uuid: uuid("0") })
}

/// A UUID that is told from others by its last digit.
pub(crate) fn uuid(last: &str) -> GpuUuid {
    format!("GPU-00000000-0000-0000-0000-00000000000{last}").parse().unwrap()
}

/// `3g.20gb@4`.
pub(crate) fn instance(text: &str) -> Instance {
    let (profile, start) = text.split_once('@').unwrap();
    Instance { profile: profile.to_owned(), start: start.parse().unwrap() }
}

pub(crate) fn catalog(product: &str) -> MigCatalog {
    Product::find(product).unwrap().catalog().unwrap()
}

/// The GPU with this layout, in the syntax of the command line; ids count from 1 in the order of the text, and what is `:in-use`
/// has process 4711 on it.
pub(crate) fn cut(product: &str, layout: &str) -> MigOnGpu {
    let catalog = catalog(product);
    let present = read_present(layout, &catalog).unwrap();
    let instances = present.iter().zip(1..).map(|(one, id)| MigGpuInstance {
        id,
        profile: one.instance.profile.clone(),
        start: one.instance.start,
        size: catalog.profile(catalog.find(&one.instance.profile).unwrap()).unwrap().slots(),
        compute: one.compute.iter().zip(0..).map(|(one, id)| compute(id, one.slices, one.in_use)).collect(),
    });
    MigOnGpu {
        gpu: gpu(),
        uuid: Reading::Known(uuid("0")),
        minor: Reading::Known(0),
        current: Reading::Known(MigMode::Enabled),
        pending: Reading::Known(MigMode::Enabled),
        switches_without_reset: Reading::Known(false),
        instances: instances.collect(),
        driver_load: None,
        catalog: Reading::Known(catalog),
    }
}

pub(crate) fn compute(id: u32, slices: u32, in_use: bool) -> MigComputeInstance {
    let processes = if in_use { vec![4711] } else { Vec::new() };
    MigComputeInstance { id, slices, uuid: Reading::Absent(Absence::NotReported), processes }
}

/// A container that was given a MIG instance and runs nothing on it.
pub(crate) fn container(gpu_instance: u32, compute_instance: Option<u32>) -> Holder {
    Holder {
        pid: None,
        command: None,
        unit: None,
        container: Some("notebook".to_owned()),
        address: Some(gpu()),
        instance: Some(MigPlace { gpu_instance, compute_instance }),
        hold: Hold::ContainerDevice { device: "nvidia.com/gpu=0:0".to_owned() },
    }
}

/// What is asked of a GPU, and everything that a plan is made from.
#[derive(Debug, Clone)]
pub(crate) struct MigCase {
    pub(crate) seen: MigOnGpu,
    pub(crate) holders: Holders,
    pub(crate) owned: Vec<Instance>,
    pub(crate) is_given: bool,
    pub(crate) replace_foreign: bool,
}

impl MigCase {
    /// With this layout on it, all of which gpuhostd has created.
    pub(crate) fn on(product: &str, layout: &str) -> Self {
        let seen = cut(product, layout);
        let owned = seen.instances.iter().map(MigGpuInstance::instance).collect();
        Self { seen, holders: Holders::default(), owned, is_given: false, replace_foreign: false }
    }

    pub(crate) fn held_by(mut self, holder: Holder) -> Self {
        self.holders.found.push(holder);
        self
    }

    /// gpuhostd has created only these.
    pub(crate) fn owning(mut self, owned: &[&str]) -> Self {
        self.owned = owned.iter().map(|text| instance(text)).collect();
        self
    }

    fn facts(&self) -> MigFacts<'_> {
        let Self { seen, holders, owned, is_given, .. } = self;
        MigFacts { seen, holders, owned, is_given: *is_given, blockers: &[] }
    }

    pub(crate) fn layout(&self, layout: &str) -> Result<Plan, Refusal> {
        let request = MigLayoutRequest {
            gpu: gpu(),
            layout: layout.to_owned(),
            replace_foreign: self.replace_foreign,
            confirm_within_ms: None,
        };
        plan_layout(bounds(), &request, &self.facts())
    }

    pub(crate) fn mode(&self, to: MigMode) -> Result<Plan, Refusal> {
        plan_mode(bounds(), &MigModeRequest { gpu: gpu(), to, confirm_within_ms: None }, &self.facts())
    }

    /// The code of the refusal, and its words.
    pub(crate) fn refused(&self, layout: &str) -> (&'static str, String) {
        told(self.layout(layout))
    }
}

/// The code of a refusal, and its words.
pub(crate) fn told(result: Result<Plan, Refusal>) -> (&'static str, String) {
    let refusal = result.map(|plan| plan.in_words()).expect_err("it is planned");
    (refusal.code(), refusal.to_string())
}

pub(crate) fn steps<'a>(plan: &'a Plan) -> Vec<&'a MigStep> {
    assert!(plan.stays_in_bounds());
    let step = |step: &'a PlanStep| match step {
        PlanStep::Mig(step) => step,
        PlanStep::Functions(step) => panic!("{step}"),
    };
    plan.steps.iter().map(step).collect()
}

pub(crate) fn wanted(plan: &Plan) -> &MigWanted {
    let Postcondition::Mig(wanted) = &plan.postcondition else { panic!("it is of functions") };
    wanted
}
