//! GPUs that no plan gives away although nobody has them open: the driver's own hold, and those that are not well.

use crate::world::{function, judged, nvidia, raw, report, said, timeout};
use model::driver::{DriverSource, ProbeError};
use model::health::{GpuHealth, HealthReason, HealthState, Teller};
use model::holders::{Hold, Holder, Holders};
use model::observation::HostObservation;
use model::passthrough::{BindRequest, Caution, blockers, cautions, scope_of};
use model::plan::{GroupState, MemberState, ModuleState, PowerControl};
use model::policy::{Act, Policy, Requester};
use model::time::UnixMillis;
use model::{Absence, PciAddress, Reading};

const GPU: &str = "0000:41:00.0";

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

/// What stands in the way of giving the only GPU away, by code, with what to do.
fn in_the_way(host: &HostObservation) -> Vec<(&'static str, String)> {
    let gpu = host.gpu(at(GPU)).unwrap();
    let scope = scope_of(host, at(GPU)).unwrap();
    let member = MemberState {
        address: at(GPU),
        id: Reading::Known(gpu.pci.id),
        class: Reading::Known(gpu.pci.class),
        driver: gpu.pci.driver.clone(),
        driver_override: Reading::Absent(Absence::None),
        d3cold_allowed: Reading::Known(true),
        power_control: Reading::Known(PowerControl::Auto),
        mediated_devices: Reading::Absent(Absence::None),
        virtual_functions: Reading::Known(0),
        console: None,
        usb_devices: Vec::new(),
    };
    let seen = GroupState {
        group: gpu.pci.iommu_group.clone(),
        no_iommu: false,
        members: vec![member],
        vfio_node: false,
        variant: None,
        module: ModuleState::Loaded,
    };
    assert_eq!(scope.members, [at(GPU)]);
    let request = BindRequest { gpu: at(GPU), requester: Requester::Local, guest_memory_mib: None, given_by_us: false };
    let found = blockers(host, &seen, &Holders::default(), &Policy::default(), &request);
    found.iter().map(|blocker| (blocker.code(), format!("{blocker}. To do: {}", blocker.remedy()))).collect()
}

fn codes(host: &HostObservation) -> Vec<&'static str> {
    in_the_way(host).into_iter().map(|(code, _)| code).collect()
}

/// The driver says this of persistence mode.
fn with_persistence(said_of_it: Reading<bool>) -> HostObservation {
    let mut raw = raw(vec![nvidia(GPU, "nvidia", 0)], &[]);
    let mut gpu = said(GPU);
    gpu.persistence = said_of_it;
    raw.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![gpu])), 1)];
    judged(raw)
}

/// No source answers, each for this reason.
fn silent(faults: Vec<ProbeError>) -> HostObservation {
    let mut raw = raw(vec![nvidia(GPU, "nvidia", 0)], &[]);
    let sources = [DriverSource::Nvml, DriverSource::Smi];
    raw.reports = sources.into_iter().zip(faults).map(|(source, fault)| (source, Err(fault), 1)).collect();
    judged(raw)
}

fn absent(what: &str) -> ProbeError {
    ProbeError::Absent { what: what.to_owned(), said: "No such file or directory".to_owned() }
}

#[test]
fn persistence_mode_is_in_the_way_and_the_command_names_the_gpu() {
    let found = in_the_way(&with_persistence(Reading::Known(true)));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "persistence_mode");
    assert!(found[0].1.contains("nvidia-smi -i 0000:41:00.0 -pm 0"), "{found:?}");
    assert!(codes(&with_persistence(Reading::Known(false))).is_empty());
}

#[test]
fn nvidias_own_services_let_go_by_their_own_commands() {
    let holder = |command: &str, unit: Option<&str>| Holder {
        pid: Some(17),
        command: Some(command.to_owned()),
        unit: unit.map(str::to_owned),
        container: None,
        address: Some(at(GPU)),
        instance: None,
        hold: Hold::OpenDevice { path: "/dev/nvidia0".to_owned() },
    };
    for (command, unit, way) in [
        ("nvidia-persiste", Some("nvidia-persistenced.service"), "nvidia-smi -i 0000:41:00.0 -pm 0"),
        ("nvidia-cuda-mps", None, "echo quit | nvidia-cuda-mps-control"),
        ("python3", Some("training.service"), "systemctl stop training.service"),
        ("python3", None, "end process 17: kill 17"),
    ] {
        assert_eq!(holder(command, unit).freed_by(), way);
    }
}

#[test]
fn a_driver_that_is_there_and_does_not_say_it_is_not_taken_for_one_that_says_no() {
    for host in [
        silent(vec![timeout(), timeout()]),
        silent(vec![absent("libnvidia-ml.so.1"), timeout()]),
        silent(vec![crate::world::failed("Driver/library version mismatch"), absent("nvidia-smi")]),
        with_persistence(Reading::Absent(Absence::UnknownError)),
        with_persistence(Reading::Absent(Absence::NoPermission)),
    ] {
        let found = in_the_way(&host);
        assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["persistence_mode"], "{found:?}");
        assert!(found[0].1.contains("is not known"), "{found:?}");
    }
}

#[test]
fn where_nobody_could_have_switched_it_on_it_is_said_and_in_nobodys_way() {
    for (host, why) in [
        (silent(vec![absent("libnvidia-ml.so.1"), absent("nvidia-smi")]), Absence::ProbeFailed),
        (with_persistence(Reading::Absent(Absence::NotSupported)), Absence::NotSupported),
        (with_persistence(Reading::default()), Absence::NotReported),
    ] {
        assert!(codes(&host).is_empty());
        let told = cautions(&host, Act::PassthroughBind, at(GPU));
        assert_eq!(told, [Caution::PersistenceUnknown { address: at(GPU), why }]);
        assert!(cautions(&host, Act::PassthroughRelease, at(GPU)).is_empty());
    }
}

#[test]
fn another_driver_has_no_such_mode() {
    for gpu in [nvidia(GPU, "nouveau", 0), nvidia(GPU, "", 0), function(GPU, "1002:744c", "amdgpu", 0)] {
        let host = judged(raw(vec![gpu], &[]));
        assert!(codes(&host).is_empty());
        assert!(cautions(&host, Act::PassthroughBind, at(GPU)).is_empty());
    }
}

fn reason(code: &str, state: HealthState) -> HealthReason {
    let (message, remedy) = (format!("{code} was reported"), format!("do what {code} wants"));
    HealthReason { code: code.to_owned(), state, message, remedy, since: UnixMillis(0), told_by: Teller::KernelLog }
}

#[test]
fn a_gpu_that_is_failed_is_not_given_away_and_each_reason_is_named() {
    let mut host = with_persistence(Reading::Known(false));
    host.gpus[0].health.state = HealthState::Failed;
    host.gpus[0].health.reasons = vec![
        reason("xid_79", HealthState::Failed),
        reason("gpu_lost", HealthState::Failed),
        reason("row_remap_pending", HealthState::Degraded),
    ];
    let found = in_the_way(&host);
    assert_eq!((found.len(), found[0].0), (1, "gpu_unhealthy"));
    for part in ["xid_79 was reported (xid_79)", "(gpu_lost)", "do what xid_79 wants; do what gpu_lost wants"] {
        assert!(found[0].1.contains(part), "{found:?}");
    }
    assert!(!found[0].1.contains("row_remap_pending"), "what is only degraded keeps nobody from it: {found:?}");
}

#[test]
fn a_gpu_that_is_degraded_or_of_unknown_health_can_be_given_away() {
    for health in [
        GpuHealth {
            state: HealthState::Degraded,
            reasons: vec![reason("pcie_nonfatal", HealthState::Degraded)],
            ..GpuHealth::default()
        },
        GpuHealth::default(),
    ] {
        let mut host = with_persistence(Reading::Known(false));
        host.gpus[0].health = health;
        assert!(codes(&host).is_empty());
    }
}

#[test]
fn a_gpu_that_answers_with_all_ones_is_failed_whoever_has_judged_it() {
    for driver in ["nvidia", "nouveau", "", "vfio-pci"] {
        let mut gpu = nvidia(GPU, driver, 0);
        gpu.state.responds = Reading::Known(false);
        let found = in_the_way(&judged(raw(vec![gpu], &[])));
        let unhealthy = found.iter().find(|(code, _)| *code == "gpu_unhealthy").unwrap_or_else(|| panic!("{found:?}"));
        assert!(unhealthy.1.contains("all ones"), "{unhealthy:?}");
    }
}

#[test]
fn taking_a_failed_gpu_back_is_possible_and_says_what_may_happen() {
    let mut gpu = nvidia(GPU, "vfio-pci", 0);
    gpu.state.responds = Reading::Known(false);
    let host = judged(raw(vec![gpu], &[]));
    let told = cautions(&host, Act::PassthroughRelease, at(GPU));
    assert!(matches!(told[..], [Caution::Unhealthy { .. }]), "{told:?}");
    assert!(told[0].to_string().contains("quarantined until a reboot"));
    assert!(cautions(&host, Act::PassthroughBind, at(GPU)).is_empty(), "there it is in the way");
}
