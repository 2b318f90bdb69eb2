//! Plans of giving GPUs away and taking them back: their order, and each thing that stands in their way.

use crate::world::{judged, nvidia, raw};
use model::blocker::Blocker;
use model::driver::{DriverGpu, MigMode};
use model::health::{GpuHealth, HealthReason, HealthState, Teller};
use model::holders::{Hold, Holder, Holders, UnreadableProcess};
use model::observation::{GpuUse, HostObservation};
use model::passthrough::{BindRequest, ReleaseRequest, blockers, plan_passthrough, plan_release};
use model::pci::{GroupMember, IommuGroup};
use model::plan::{GroupState, MemberState, ModuleState, Plan, PlanStep, Postcondition, PowerControl, Step};
use model::policy::{Policy, Requester};
use model::refusal::Refusal;
use model::time::UnixMillis;
use model::{Absence, DriverName, IommuGroupId, PciAddress, PciClass, PciId, Reading};

const GPU: &str = "0000:41:00.0";
const AUDIO: &str = "0000:41:00.1";
const BRIDGE: &str = "0000:40:01.0";
const GROUP: IommuGroupId = IommuGroupId(0);

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn name(text: &str) -> DriverName {
    text.parse().unwrap()
}

fn none<T>() -> Reading<T> {
    Reading::Absent(Absence::None)
}

fn member(address: &str, class: u32, driver: Option<&str>) -> MemberState {
    MemberState {
        address: at(address),
        id: Reading::Known(PciId { vendor: 0x10de, device: 0x2230 }),
        class: Reading::Known(PciClass(class)),
        driver: driver.map_or_else(none, |text| Reading::Known(name(text))),
        driver_override: none(),
        d3cold_allowed: Reading::Known(true),
        power_control: Reading::Known(PowerControl::Auto),
        mediated_devices: none(),
        virtual_functions: Reading::Known(0),
        console: None,
        usb_devices: Vec::new(),
    }
}

/// A card of two functions in group 0 with the bridge above it, and everything as it should be.
struct Case {
    host: HostObservation,
    seen: GroupState,
    holders: Holders,
    policy: Policy,
    request: BindRequest,
}

fn good() -> Case {
    let mut gpu = nvidia(GPU, "nvidia", 0);
    gpu.companions = vec![at(AUDIO)];
    let members = vec![
        member(BRIDGE, 0x06_04_00, Some("pcieport")),
        member(GPU, 0x03_02_00, Some("nvidia")),
        member(AUDIO, 0x04_03_00, Some("snd_hda_intel")),
    ];
    let listed = |m: &MemberState| GroupMember {
        address: m.address,
        id: m.id.clone(),
        class: m.class.clone(),
        driver: m.driver.clone(),
    };
    let group =
        IommuGroup { id: GROUP, kind: Reading::Known("DMA-FQ".into()), members: members.iter().map(listed).collect() };
    let mut host = judged(raw(vec![gpu], &[GPU]));
    host.groups = vec![group];
    let request = BindRequest { gpu: at(GPU), requester: Requester::Local, guest_memory_mib: None, given_by_us: false };
    let seen = GroupState {
        group: Reading::Known(GROUP),
        no_iommu: false,
        members,
        vfio_node: false,
        variant: None,
        module: ModuleState::Loaded,
    };
    Case { host, seen, holders: Holders::default(), policy: Policy::default(), request }
}

impl Case {
    fn plan(&self) -> Result<Plan, Refusal> {
        plan_passthrough(&self.host, &self.seen, &self.holders, &self.policy, &self.request)
    }

    fn codes(&self) -> Vec<&'static str> {
        blockers(&self.host, &self.seen, &self.holders, &self.policy, &self.request).iter().map(Blocker::code).collect()
    }

    fn driver(&mut self) -> &mut DriverGpu {
        self.host.gpus[0].driver.get_or_insert_with(|| DriverGpu::unknown(at(GPU)))
    }
}

fn holder() -> Holder {
    let hold = Hold::OpenDevice { path: "/dev/nvidia0".into() };
    Holder {
        pid: Some(1),
        command: None,
        unit: None,
        container: Some("c0ffee".into()),
        address: None,
        instance: None,
        hold,
    }
}

fn of_functions(step: &PlanStep) -> &Step {
    match step {
        PlanStep::Functions(step) => step,
        PlanStep::Mig(step) => panic!("{step}"),
    }
}

#[test]
fn overrides_come_before_every_unbind_and_probes_after() {
    let plan = good().plan().unwrap();
    let kinds: Vec<&str> = plan
        .steps
        .iter()
        .map(|step| match of_functions(step) {
            Step::LoadModule { .. } => "load",
            Step::SetDriverOverride { .. } => "override",
            Step::Unbind { .. } => "unbind",
            Step::Probe { .. } => "probe",
            Step::SetD3cold { .. } | Step::SetPowerControl { .. } => "power",
        })
        .collect();
    let order = ["override", "override", "unbind", "unbind", "probe", "probe", "power", "power", "power", "power"];
    assert_eq!(kinds, order);
    assert_eq!(plan.bounds.target.functions(), [at(GPU), at(AUDIO)], "the bridge is left alone");
    assert!(plan.stays_in_bounds());
    let Postcondition::Functions(wanted) = plan.postcondition else { panic!("it is of MIG") };
    assert_eq!(wanted.guest_ready, Some(GROUP), "group 0 is a group");
}

/// vfio-pci lets the function sleep when it takes it, whatever stood there before.
#[test]
fn power_control_is_written_after_a_driver_came_also_where_it_was_right_before() {
    let mut case = good();
    for m in &mut case.seen.members[1..] {
        m.power_control = Reading::Known(PowerControl::On);
    }
    let steps = case.plan().unwrap().steps;
    let written = |address| PlanStep::Functions(Step::SetPowerControl { address: at(address), to: PowerControl::On });
    for address in [GPU, AUDIO] {
        let probed = steps.iter().position(|step| *step == PlanStep::Functions(Step::Probe { address: at(address) }));
        assert!(probed < steps.iter().position(|step| *step == written(address)), "{steps:?}");
    }
}

#[test]
fn a_module_that_is_not_loaded_is_loaded_first_and_a_variant_is_used_where_one_matches() {
    let mut case = good();
    case.seen.module = ModuleState::Loadable;
    case.seen.variant = Some(name("nvgrace_gpu_vfio_pci"));
    let plan = case.plan().unwrap();
    let load = Step::LoadModule { driver: name("nvgrace_gpu_vfio_pci") };
    assert_eq!(plan.steps[0], PlanStep::Functions(load));
    let Postcondition::Functions(wanted) = plan.postcondition else { panic!("it is of MIG") };
    assert!(wanted.members.iter().all(|m| m.driver == Some(name("nvgrace_gpu_vfio_pci"))));
}

type Spoil = fn(&mut Case);

const SPOILT: [(&str, Spoil); 25] = [
    ("iommu_off", |case| case.host.iommu_groups_total = 0),
    ("no_iommu_group", |case| case.seen.group = none()),
    ("iommu_group_unknown", |case| case.seen.group = Reading::Absent(Absence::NoPermission)),
    ("iommu_group_unknown", |case| case.seen.members.push(member("0000:41:00.2", 0x0c_03_30, None))),
    ("no_iommu_mode", |case| case.seen.no_iommu = true),
    ("vgpu_host", |case| case.driver().virtualization = Reading::Known("Host VSGA".into())),
    ("vgpu_guest", |case| case.driver().virtualization = Reading::Known("VGPU".into())),
    ("mediated_devices", |case| case.seen.members[1].mediated_devices = Reading::Known(2)),
    ("sriov_vfs_active", |case| case.seen.members[1].virtual_functions = Reading::Known(16)),
    ("virtual_function", |case| case.host.gpus[0].pci.physical_function = Some(at("0000:41:00.4"))),
    ("mig_enabled", |case| case.driver().mig_current = Reading::Known(MigMode::Enabled)),
    ("mig_enabled", |case| case.driver().mig_pending = Reading::Known(MigMode::Enabled)),
    ("boot_vga", |case| case.host.gpus[0].pci.boot_vga = Reading::Known(true)),
    ("console_in_use", |case| case.seen.members[1].console = Some("fb0 (efifb)".into())),
    ("in_use", |case| case.holders.found.push(holder())),
    ("in_use", |case| case.seen.members[2].usb_devices.push("Keyboard".into())),
    ("unknown_holder", |case| {
        let said = "Permission denied".into();
        case.holders.unreadable.push(UnreadableProcess { pid: Some(9), command: None, said });
    }),
    ("guest_memory", |case| case.request.guest_memory_mib = Some(1 << 40)),
    ("denied_by_policy", |case| case.policy = Policy::strictest()),
    ("quarantined", |case| case.host.gpus[0].usage = GpuUse::Quarantined),
    ("gpu_unhealthy", |case| {
        let (code, state, text) = ("xid_79".into(), HealthState::Failed, || "text".to_owned());
        let reason = HealthReason {
            code,
            state,
            message: text(),
            remedy: text(),
            since: UnixMillis(0),
            told_by: Teller::KernelLog,
        };
        case.host.gpus[0].health =
            GpuHealth { state, reasons: vec![reason], xid_last: Some(79), ..GpuHealth::default() };
    }),
    ("gpu_unhealthy", |case| case.host.gpus[0].cause_chain[0].ok = Some(false)),
    ("persistence_mode", |case| case.driver().persistence = Reading::Known(true)),
    ("bound_by_others", |case| case.seen.members[2].driver = Reading::Known(name("vfio-pci"))),
    ("vfio_missing", |case| case.seen.module = ModuleState::Missing),
];

#[test]
fn each_thing_in_the_way_has_its_code_and_a_remedy() {
    assert_eq!(good().codes(), [""; 0]);
    for (code, spoil) in SPOILT {
        let mut case = good();
        spoil(&mut case);
        let refusal = case.plan().err().unwrap_or_else(|| panic!("{code} was not refused"));
        assert_eq!(refusal.code(), code, "{refusal}");
        assert_eq!(case.codes(), [code], "nothing else is in the way");
        assert!(refusal.to_string().contains("To do: "), "{refusal}");
        let json = serde_json::to_value(&refusal).unwrap();
        assert_eq!(json["code"], code);
        assert_eq!(serde_json::from_value::<Refusal>(json).unwrap(), refusal);
        assert!(Refusal::codes().any(|row| row == (code, 11)), "{code} stands in the table");
    }
}

#[test]
fn a_member_that_cannot_be_read_is_not_touched() {
    let spoils: [fn(&mut MemberState); 3] = [
        |m| m.driver_override = Reading::Absent(Absence::garbled("a b")),
        |m| m.driver = Reading::Absent(Absence::Unreadable("EIO".into())),
        |m| m.power_control = Reading::Absent(Absence::NoPermission),
    ];
    for spoil in spoils {
        let mut case = good();
        spoil(&mut case.seen.members[2]);
        assert_eq!(case.codes(), ["member_unreadable"]);
    }
}

#[test]
fn foreign_endpoints_are_named_and_an_nvswitch_is_one() {
    let mut case = good();
    for (address, class) in [("0000:42:00.0", 0x06_80_00), ("0000:43:00.0", 0x02_00_00), ("0000:44:00.0", 0x06_00_00)] {
        let foreign = member(address, class, None);
        case.host.groups[0].members.push(GroupMember {
            address: foreign.address,
            id: foreign.id.clone(),
            class: foreign.class.clone(),
            driver: foreign.driver.clone(),
        });
        case.seen.members.push(foreign);
    }
    let refusal = case.plan().unwrap_err();
    assert_eq!(refusal.code(), "group_not_isolated");
    let told = refusal.to_string();
    assert!(told.contains("0000:42:00.0") && told.contains("0000:43:00.0") && !told.contains("0000:44:00.0"), "{told}");
}

#[test]
fn everything_in_the_way_is_told_at_once() {
    let mut case = good();
    for (_, spoil) in SPOILT.iter().filter(|(code, _)| ["mig_enabled", "boot_vga"].contains(code)) {
        spoil(&mut case);
    }
    case.holders.found.push(holder());
    assert_eq!(case.codes(), ["mig_enabled", "boot_vga", "in_use"]);
    let refusal = case.plan().unwrap_err();
    assert!(refusal.code() == "mig_enabled" && refusal.to_string().contains("docker stop c0ffee"), "{refusal}");
}

#[test]
fn the_console_can_be_given_away_where_the_policy_says_so() {
    let mut case = good();
    case.host.gpus[0].pci.boot_vga = Reading::Known(true);
    case.policy.host.passthrough.boot_vga = true;
    assert_eq!(case.codes(), [""; 0]);
}

#[test]
fn a_release_goes_back_to_what_was_and_waits_for_the_guest() {
    let mut case = good();
    case.seen.members[2].driver_override = Reading::Known(name("snd_hda_intel"));
    let home: Vec<_> = case.seen.endpoints().map(|m| m.settled().unwrap()).collect();
    for m in &mut case.seen.members[1..] {
        (m.driver, m.driver_override) = (Reading::Known(name("vfio-pci")), Reading::Known(name("vfio-pci")));
        (m.d3cold_allowed, m.power_control) = (Reading::Known(false), Reading::Known(PowerControl::On));
    }
    let release = |case: &Case, home| {
        let request = ReleaseRequest { gpu: at(GPU), requester: Requester::Local, home };
        plan_release(&case.host, &case.seen, &case.holders, &case.policy, &request)
    };
    let plan = release(&case, Some(&home[..])).unwrap();
    let is_override = |step: &&PlanStep| matches!(step, PlanStep::Functions(Step::SetDriverOverride { .. }));
    let last = plan.steps.iter().rfind(is_override).unwrap();
    assert_eq!(
        *last,
        PlanStep::Functions(Step::SetDriverOverride { address: at(GPU), to: None }),
        "a former override of none is restored too"
    );
    assert_eq!(release(&case, None).unwrap_err().code(), "bound_by_others");
    case.holders.found.push(holder());
    assert_eq!(release(&case, Some(&home[..])).unwrap_err().code(), "in_use");
}

#[test]
fn what_is_given_already_needs_nothing_and_its_guest_is_no_obstacle() {
    let mut case = good();
    for m in &mut case.seen.members[1..] {
        (m.driver, m.driver_override) = (Reading::Known(name("vfio-pci")), Reading::Known(name("vfio-pci")));
        (m.d3cold_allowed, m.power_control) = (Reading::Known(false), Reading::Known(PowerControl::On));
    }
    case.holders.found.push(holder());
    assert_eq!(case.plan().unwrap_err().code(), "bound_by_others");
    case.request.given_by_us = true;
    assert_eq!(case.plan().unwrap().steps, []);
}
