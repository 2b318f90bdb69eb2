//! The judge: sources merged by address, a reason for each missing fact, verdicts, conditions.

use crate::world::{at, codes, failed, judged, member, nvidia, only, raw, report, said, seen, timeout};
use model::absence::{Absence, Reading};
use model::condition::ConditionStatus;
use model::driver::{DriverGpu, DriverMig, DriverSource, MemoryMib, MigMode, ProbeError, UnplacedMig};
use model::judge::{judge, needs_smi};
use model::metric::Metrics;
use model::observation::GpuUse;
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";

fn mig(gi: u32) -> DriverMig {
    DriverMig {
        index: Reading::default(),
        gpu_instance: gi,
        compute_instance: 0,
        uuid: Reading::default(),
        profile: Reading::default(),
        memory: MemoryMib::default(),
        sm: Reading::default(),
        ce: Reading::default(),
        enc: Reading::default(),
        dec: Reading::default(),
        jpeg: Reading::default(),
        ofa: Reading::default(),
    }
}

#[test]
fn the_first_source_that_knows_a_value_wins_field_by_field() {
    let trusted = DriverGpu {
        metrics: Metrics {
            fan_pct: Reading::Absent(Absence::UnknownError),
            power_w: Reading::Absent(Absence::NotReported),
            ..said(A).metrics
        },
        serial: Reading::Known("nvml".to_owned()),
        mig_devices: vec![DriverMig { uuid: Reading::Known("MIG-1".parse().unwrap()), ..mig(7) }, mig(9)],
        ..said(A)
    };
    let second = DriverGpu {
        metrics: Metrics {
            fan_pct: Reading::Known(40.0),
            power_w: Reading::Absent(Absence::GpuLost),
            ..said(A).metrics
        },
        serial: Reading::Known("smi".to_owned()),
        mig_devices: vec![
            DriverMig { sm: Reading::Known(42), ..mig(7) },
            DriverMig { sm: Reading::Known(1), ..mig(8) },
        ],
        ..said(A)
    };
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    round.reports = vec![
        (DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![trusted])), 3),
        (DriverSource::Smi, Ok(report(DriverSource::Smi, vec![second])), 800),
    ];
    let gpu = only(round).driver.unwrap();
    assert_eq!(gpu.metrics.fan_pct, Reading::Known(40.0));
    assert_eq!(gpu.serial, Reading::Known("nvml".to_owned()));
    assert_eq!(gpu.metrics.power_w, Reading::Absent(Absence::GpuLost), "a reason says more than silence");
    let migs: Vec<_> = gpu.mig_devices.iter().map(|m| (m.gpu_instance, m.uuid.known().is_some(), m.sm.get())).collect();
    assert_eq!(migs, [(7, true, Some(42)), (9, false, None)]);
}

#[test]
fn facts_go_to_the_gpu_of_their_address_whatever_their_order() {
    let observation = judged(raw(vec![nvidia(B, "nvidia", 2), nvidia(A, "nvidia", 1)], &[B, A]));
    let listed: Vec<_> = observation.gpus.iter().map(|gpu| gpu.pci.address).collect();
    assert_eq!(listed, [at(A), at(B)], "sorted by address");
    for gpu in &observation.gpus {
        assert_eq!(gpu.driver.as_ref().unwrap().address, gpu.pci.address);
        assert_eq!(gpu.driver_version.as_deref(), Some("580.105.08"));
    }
    assert_eq!(observation.driver_version.as_deref(), Some("580.105.08"));
    assert_eq!(observation.cuda_version.as_deref(), Some("13.0"));
    assert_eq!(observation.cuda_gpu_count(), 2);
}

#[test]
fn sysfs_is_the_authority_for_what_is_a_gpu() {
    let mut parent = nvidia(A, "nvidia", 1);
    parent.virtual_functions = vec![at("0000:41:00.4")];
    let observation = judged(raw(vec![parent], &[A, B, "0000:41:00.4"]));
    assert_eq!(observation.gpus.len(), 1);
    assert_eq!(observation.scan_problems.len(), 2, "{:?}", observation.scan_problems);
    assert!(
        observation.scan_problems[0].contains("nvml reports a GPU at 0000:42:00.0"),
        "{:?}",
        observation.scan_problems
    );
    assert!(observation.scan_problems[1].contains("a virtual function of 0000:41:00.0"));
}

#[test]
fn a_failed_scan_lists_no_gpu_and_says_so() {
    let mut round = raw(Vec::new(), &[A]);
    round.scan = Err("cannot list PCI functions in /sys/bus/pci/devices: ENOENT".to_owned());
    let observation = judged(round);
    assert!(observation.gpus.is_empty());
    assert!(observation.scan_problems[0].contains("ENOENT"), "{:?}", observation.scan_problems);
    assert!(observation.scan_problems[1].contains(A), "{:?}", observation.scan_problems);
    let kinds: Vec<_> = observation.conditions.iter().map(|c| c.kind.as_str()).collect();
    assert_eq!(kinds, ["pci_scan_failed"]);
}

#[test]
fn unreadable_functions_and_probe_problems_are_kept() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    let unreadable = model::pci::UnreadableFunction {
        name: "0000:99:00.0".to_owned(),
        path: "/sys/bus/pci/devices/0000:99:00.0/vendor".to_owned(),
        said: "EIO".to_owned(),
    };
    round.scan.as_mut().unwrap().unreadable.push(unreadable);
    round.reports[0].1.as_mut().unwrap().problems.push("odd".to_owned());
    round.reports.push((DriverSource::Smi, Err(timeout()), 30_001));
    let observation = judged(round);
    assert!(observation.scan_problems[0].contains("0000:99:00.0/vendor: EIO"), "{:?}", observation.scan_problems);
    assert_eq!(observation.probes[0].problems, ["odd"]);
    assert_eq!((observation.probes[0].took_ms, observation.probes[0].fault.clone()), (12, None));
    assert_eq!(observation.probes[1].fault, Some(timeout()));
}

#[test]
fn each_gpu_without_driver_facts_has_its_reason() {
    let absence = |driver: &str, reports: Vec<(DriverSource, Result<_, ProbeError>, u64)>| {
        let mut round = raw(vec![nvidia(A, driver, 1)], &[]);
        round.reports = reports;
        only(round).driver_absence
    };
    let hangs = || vec![(DriverSource::Nvml, Err(timeout()), 1), (DriverSource::Smi, Err(failed("x")), 1)];
    assert_eq!(absence("", hangs()), Some(Absence::DriverAbsent));
    assert_eq!(absence("nouveau", hangs()), Some(Absence::DriverAbsent));
    assert_eq!(absence("vfio-pci", hangs()), Some(Absence::DriverAbsent));
    assert_eq!(absence("nvidia", hangs()), Some(Absence::ProbeTimeout));
    assert_eq!(absence("nvidia", vec![(DriverSource::Nvml, Err(failed("x")), 1)]), Some(Absence::ProbeFailed));
    let silent = Ok(report(DriverSource::Nvml, Vec::new()));
    assert_eq!(absence("nvidia", vec![(DriverSource::Nvml, silent, 1)]), Some(Absence::ProbeFailed));
    assert_eq!(absence("nvidia", Vec::new()), Some(Absence::NotProbed));
    let amd = only(raw(vec![crate::world::function(A, "1002:74a1", "amdgpu", 1)], &[]));
    assert_eq!(amd.driver_absence, Some(Absence::NotSupported));
    assert_eq!(only(raw(vec![nvidia(A, "nvidia", 1)], &[A])).driver_absence, None);
}

#[test]
fn use_follows_the_bound_driver_and_the_mig_mode() {
    let with_mig = |mode| {
        let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
        round.reports[0].1.as_mut().unwrap().gpus[0].mig_current = mode;
        only(round)
    };
    let host = with_mig(Reading::Known(MigMode::Disabled));
    assert_eq!((host.usage, host.schedulable, host.unschedulable_reason), (GpuUse::Host, true, None));
    let mig = with_mig(Reading::Known(MigMode::Enabled));
    assert_eq!((mig.usage, mig.schedulable), (GpuUse::Mig, false), "also with no instance yet");
    assert_eq!(mig.unschedulable_reason.map(Unschedulable::code), Some("mig_enabled"));
    for name in ["vfio-pci", "nvgrace_gpu_vfio_pci"] {
        let given = only(raw(vec![nvidia(A, name, 1)], &[]));
        assert_eq!((given.usage, given.schedulable), (GpuUse::Passthrough, false));
        assert_eq!(given.unschedulable_reason.map(Unschedulable::code), Some("passthrough"));
        assert!(given.passthrough.eligible);
    }
}

#[test]
fn a_gpu_too_old_for_cuda_or_in_want_of_a_reset_is_not_scheduled() {
    let with = |change: &dyn Fn(&mut DriverGpu)| {
        let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
        change(&mut round.reports[0].1.as_mut().unwrap().gpus[0]);
        only(round).unschedulable_reason.map(Unschedulable::code)
    };
    assert_eq!(with(&|gpu| gpu.compute_capability = Reading::Known((2, 1))), Some("compute_capability_too_low"));
    assert_eq!(with(&|gpu| gpu.compute_capability = Reading::Known((3, 0))), None);
    assert_eq!(
        with(&|gpu| gpu.health_facts.recovery_action = Reading::Known("Reset".to_owned())),
        Some("reset_required")
    );
    assert_eq!(with(&|gpu| gpu.health_facts.recovery_action = Reading::Known("None".to_owned())), None);
    assert_eq!(
        with(&|gpu| gpu.metrics.temperature_c = Reading::Absent(Absence::ResetRequired)),
        Some("reset_required")
    );
    assert_eq!(with(&|gpu| gpu.metrics.temperature_c = Reading::Absent(Absence::GpuLost)), Some("gpu_lost"));
}

#[test]
fn passthrough_names_everything_that_stands_in_the_way() {
    let mut gpu = nvidia(A, "nvidia", 1);
    gpu.boot_vga = Reading::Known(true);
    gpu.virtual_functions = vec![at("0000:41:00.4")];
    let mut round = raw(vec![gpu], &[A]);
    let driver = &mut round.reports[0].1.as_mut().unwrap().gpus[0];
    driver.mig_pending = Reading::Known(MigMode::Enabled);
    driver.virtualization = Reading::Known("Host VGPU".to_owned());
    let group = &mut round.scan.as_mut().unwrap().groups[0];
    group.members.extend([member("0000:40:01.0", 0x06_0400), member("0000:41:00.1", 0x04_0300)]);
    let gpu = only(round.clone());
    assert_eq!(codes(&gpu), ["boot_vga", "sriov_vfs_active", "mig_enabled", "vgpu_host"]);
    assert!(!gpu.passthrough.eligible);
    round.scan.as_mut().unwrap().groups[0].members.push(member("0000:44:00.0", 0x06_8000));
    assert_eq!(codes(&only(round))[0], "group_not_isolated", "an NVSwitch is not a bridge");
}

#[test]
fn a_guest_of_another_host_may_pass_its_card_on() {
    let mut round = raw(vec![nvidia(A, "nvidia", 0)], &[A]);
    round.reports[0].1.as_mut().unwrap().gpus[0].virtualization = Reading::Known("Pass-Through".to_owned());
    let gpu = only(round);
    assert!(gpu.passthrough.eligible && gpu.schedulable, "group 0 is a valid group");
}

#[test]
fn without_a_group_there_is_no_passthrough() {
    let reasons = |change: &dyn Fn(&mut model::pci::PciScan)| {
        let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
        change(round.scan.as_mut().unwrap());
        codes(&only(round))
    };
    assert_eq!(reasons(&|scan| scan.iommu_groups_total = 0), ["iommu_off"]);
    assert_eq!(reasons(&|scan| scan.gpus[0].iommu_group = Reading::Absent(Absence::None)), ["no_iommu_group"]);
    let unreadable = Reading::Absent(Absence::Unreadable("EIO".to_owned()));
    assert_eq!(reasons(&|scan| scan.gpus[0].iommu_group = unreadable.clone()), ["iommu_group_unknown"]);
    assert_eq!(reasons(&|scan| scan.groups.clear()), ["iommu_group_unknown"]);
    assert_eq!(reasons(&|scan| scan.gpus[0].physical_function = Some(at(B))), ["virtual_function"]);
}

#[test]
fn conditions_hold_since_they_began() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
    round.docker = Err(ProbeError::Absent { what: "/var/run/docker.sock".to_owned(), said: "ENOENT".to_owned() });
    round.scan.as_mut().unwrap().iommu_groups_total = 0;
    let first = judge(round.clone(), seen(1), None);
    let kinds: Vec<_> = first.conditions.iter().map(|c| (c.kind.as_str(), c.reason.as_str())).collect();
    assert_eq!(kinds, [("docker_unavailable", "absent"), ("iommu_off", "no_iommu_groups")]);
    assert!(first.conditions.iter().all(|c| c.status == ConditionStatus::True && c.since == first.observed_at));
    assert!(
        first.conditions[0].message.contains("/var/run/docker.sock")
            && first.conditions[0].message.contains("apt install")
    );

    round.docker = Err(timeout());
    let second = judge(round.clone(), seen(2), Some(&first));
    assert_eq!(second.conditions[0].since, first.observed_at, "still unavailable, whatever the reason");
    assert_eq!(second.conditions[0].reason, "timeout");

    round.docker = Ok(crate::world::docker());
    let third = judge(round.clone(), seen(3), Some(&second));
    assert_eq!(third.conditions.len(), 1);
    round.docker = Err(timeout());
    let fourth = judge(round, seen(4), Some(&third));
    assert_eq!(fourth.conditions[0].since, fourth.observed_at, "it began anew");
}

#[test]
fn what_to_do_about_a_missing_iommu_fits_the_machine() {
    let advice = |arch: &str, vendor: &str| {
        let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[A]);
        round.scan.as_mut().unwrap().iommu_groups_total = 0;
        round.host.arch = arch.to_owned();
        round.host.dmi = vec![("sys_vendor".to_owned(), vendor.to_owned())];
        let conditions = judge(round, seen(1), None).conditions;
        conditions.into_iter().find(|condition| condition.kind == "iommu_off").unwrap().message
    };
    assert!(advice("x86_64", "Dell Inc.").contains("intel_iommu=on"));
    assert!(advice("aarch64", "Supermicro").contains("SMMU"));
    assert!(advice("x86_64", "QEMU").contains("a virtual machine itself"));
}

#[test]
fn a_driver_that_does_not_answer_is_a_condition_for_nvidias_gpus_only() {
    let kinds = |gpus, reports| {
        let mut round = raw(gpus, &[]);
        round.reports = reports;
        judged(round).conditions.into_iter().map(|c| (c.kind, c.reason, c.message)).collect::<Vec<_>>()
    };
    let fault = || vec![(DriverSource::Nvml, Err(failed("Driver/library version mismatch")), 1)];
    let held = kinds(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], fault());
    assert_eq!((held[0].0.as_str(), held[0].1.as_str()), ("driver_unavailable", "failed"));
    assert!(held[0].2.contains(A) && held[0].2.contains(B) && held[0].2.contains("mismatch"), "{}", held[0].2);
    assert_eq!(kinds(vec![nvidia(A, "nouveau", 1)], fault())[0].1, "driver_absent");
    assert_eq!(kinds(vec![nvidia(A, "vfio-pci", 1)], fault()), []);
    assert_eq!(kinds(vec![crate::world::function(A, "8086:56c0", "i915", 1)], fault()), []);
    assert_eq!(kinds(vec![nvidia(A, "nvidia", 1)], Vec::new()), [], "nobody has been asked yet");
}

#[test]
fn duplicate_uuids_are_a_condition_and_both_gpus_stay() {
    let mut round = raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], &[A, B]);
    let gpus = &mut round.reports[0].1.as_mut().unwrap().gpus;
    gpus[1].uuid = gpus[0].uuid.clone();
    let observation = judged(round);
    assert_eq!(observation.gpus.len(), 2);
    assert_eq!(observation.conditions[0].kind, "duplicate_gpu_uuid");
    assert!(observation.conditions[0].message.contains(A) && observation.conditions[0].message.contains(B));
}

#[test]
fn nvidia_smi_is_asked_only_where_it_can_tell_more() {
    let scan = crate::world::scan(vec![nvidia(A, "nvidia", 1), nvidia(B, "vfio-pci", 2)]);
    let knows = |addresses: &[&str]| Ok(report(DriverSource::Nvml, addresses.iter().map(|a| said(a)).collect()));
    assert!(!needs_smi(Some(&scan), &knows(&[A])));
    assert!(needs_smi(Some(&scan), &knows(&[])));
    assert!(needs_smi(Some(&scan), &Err(failed("x"))));
    let driverless = crate::world::scan(vec![nvidia(A, "", 1), crate::world::function(B, "1002:74a1", "amdgpu", 2)]);
    assert!(!needs_smi(Some(&driverless), &Err(failed("x"))));
    assert!(needs_smi(None, &Err(failed("x"))) && !needs_smi(None, &knows(&[])));
}

#[test]
fn nvidia_smi_fills_in_the_mig_devices_that_nvml_leaves_open() {
    let scan = crate::world::scan(vec![nvidia(A, "nvidia", 1)]);
    let sliced = |migs: Vec<DriverMig>| {
        let gpu = DriverGpu { mig_current: Reading::Known(MigMode::Enabled), mig_devices: migs, ..said(A) };
        Ok(report(DriverSource::Nvml, vec![gpu]))
    };
    assert!(needs_smi(Some(&scan), &sliced(Vec::new())));
    assert!(!needs_smi(Some(&scan), &sliced(vec![mig(1)])));
}

fn unplaced(index: u32, uuid: &str, memory_mib: u64) -> UnplacedMig {
    UnplacedMig {
        index,
        uuid: Reading::Known(uuid.parse().unwrap()),
        profile: Reading::Known("1g.5gb".to_owned()),
        memory_total_mib: Reading::Known(memory_mib),
    }
}

#[test]
fn a_mig_device_has_its_place_from_nvidia_smi_and_its_uuid_from_nvml() {
    let slice = |index: u32, gi: u32, memory_mib: u64| DriverMig {
        index: Reading::Known(index),
        memory: MemoryMib { total: Reading::Known(memory_mib), ..MemoryMib::default() },
        ..mig(gi)
    };
    let on = Reading::Known(MigMode::Enabled);
    let found = vec![unplaced(0, "MIG-a", 4864), unplaced(1, "MIG-b", 4864), unplaced(3, "MIG-d", 4864)];
    let nvml = DriverGpu { mig_current: on.clone(), mig_unplaced: found, ..said(A) };
    // The third slice was made between the two questions, and the second is another one now.
    let listed = vec![slice(0, 9, 4864), slice(1, 1, 19968), slice(2, 10, 4864)];
    let smi = DriverGpu { mig_current: on, mig_devices: listed, ..said(A) };
    let mut round = raw(vec![nvidia(A, "nvidia", 1)], &[]);
    let asked = Ok(report(DriverSource::Nvml, vec![nvml]));
    let scan = crate::world::scan(vec![nvidia(A, "nvidia", 1)]);
    assert!(needs_smi(Some(&scan), &asked));
    round.reports =
        vec![(DriverSource::Nvml, asked, 3), (DriverSource::Smi, Ok(report(DriverSource::Smi, vec![smi])), 800)];
    let gpu = only(round).driver.unwrap();
    let seen: Vec<_> =
        gpu.mig_devices.iter().map(|m| (m.gpu_instance, m.uuid.known().map(|uuid| uuid.as_str().to_owned()))).collect();
    assert_eq!(seen, [(9, Some("MIG-a".to_owned())), (1, None), (10, None)]);
    assert_eq!(gpu.mig_devices[0].profile, Reading::Known("1g.5gb".to_owned()));
}

#[test]
fn each_code_that_no_broken_link_explains_has_a_sentence_and_a_remedy() {
    for code in ["mig_enabled", "reset_required", "compute_capability_too_low", "not_probed", "kernel_driver_unknown"] {
        let (why, remedy) = Unschedulable::from_code(code).and_then(Unschedulable::explanation).unwrap();
        assert!(why.len() > 20 && remedy.len() > 20, "{code}");
    }
    assert_eq!(Unschedulable::from_code("no_such_code"), None);
}
