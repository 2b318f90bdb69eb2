//! The manager API's GPU documents: what was seen stands in them, unknown is null, and the contract's schemas accept them.

use crate::contract::violations;
use model::absence::{Absence, Reading};
use model::docker::DockerFacts;
use model::driver::{DriverGpu, DriverMig, DriverReport, DriverSource, MemoryMib, MigMode, ProbeError};
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::show::apply;
use model::host_facts::{HostFacts, Nic};
use model::judge::{ObservationMeta, judge};
use model::metric::Metrics;
use model::mig::{Instance, PlacedMig};
use model::observation::{HostObservation, RawObservation};
use model::os_cause::OsCause;
use model::pci::{DrmNodes, GpuFunction, GroupMember, IommuGroup, PciScan, PcieLink};
use model::stack::{StackFacts, StackFile};
use model::time::{BootMillis, UnixMillis};
use model::{IommuGroupId, PciAddress, PciClass};
use serde_json::{Value, json};
use wire::manager::gpu::{gpu_document, gpu_metrics, inventory, inventory_rev};

const A: &str = "0000:41:00.0";

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

pub(crate) fn function(id: &str, driver: Option<&str>) -> GpuFunction {
    GpuFunction {
        subsystem: Reading::Known("10de:16c1".parse().unwrap()),
        driver: driver.map_or(Reading::Absent(Absence::None), |name| Reading::Known(name.parse().unwrap())),
        driver_override: Reading::Absent(Absence::None),
        iommu_group: Reading::Known(IommuGroupId(0)),
        numa_node: Reading::Known(0),
        link: PcieLink { generation: Reading::Known(1), width: Reading::Known(8), ..PcieLink::default() },
        boot_vga: Reading::Absent(Absence::None),
        drm: DrmNodes { card: Some("card1".to_owned()), render: None },
        virtual_functions: vec![at("0000:41:00.4")],
        power_state: Reading::Known("D0".to_owned()),
        name: Some("GH100 [H100]".to_owned()),
        ..GpuFunction::unknown(at(A), id.parse().unwrap(), PciClass(0x0003_0200))
    }
}

fn mig(gi: u32) -> DriverMig {
    DriverMig {
        index: Reading::Known(0),
        gpu_instance: gi,
        compute_instance: 0,
        uuid: Reading::Known("MIG-77".parse().unwrap()),
        profile: Reading::Known("3g.40gb".to_owned()),
        memory: MemoryMib { total: Reading::Known(40448), used: Reading::Known(298), ..MemoryMib::default() },
        sm: Reading::Known(60),
        ce: Reading::Known(3),
        enc: Reading::Known(0),
        dec: Reading::Absent(Absence::NotSupported),
        jpeg: Reading::default(),
        ofa: Reading::default(),
    }
}

pub(crate) fn said() -> DriverGpu {
    DriverGpu {
        metrics: Metrics {
            temperature_c: Reading::Known(29.0),
            fan_pct: Reading::Absent(Absence::NotSupported),
            throttle: Reading::Known(vec!["gpu_idle".to_owned()]),
            pcie_generation: Reading::Known(5),
            pcie_max_generation: Reading::Known(5),
            ..Metrics::default()
        },
        uuid: Reading::Known("GPU-5".parse().unwrap()),
        index: Reading::Known(0),
        minor: Reading::Known(3),
        serial: Reading::Known("1650".to_owned()),
        name: Reading::Known("NVIDIA H100".to_owned()),
        architecture: Reading::Known("Hopper".to_owned()),
        compute_capability: Reading::Known((9, 0)),
        virtualization: Reading::Known("Pass-Through".to_owned()),
        mig_current: Reading::Known(MigMode::Disabled),
        mig_pending: Reading::Known(MigMode::Enabled),
        memory: MemoryMib { total: Reading::Known(81559), ..MemoryMib::default() },
        ..DriverGpu::unknown(at(A))
    }
}

pub(crate) fn raw(gpu: GpuFunction, driver: Option<DriverGpu>) -> RawObservation {
    let member = GroupMember {
        address: gpu.address,
        id: Reading::Known(gpu.id),
        class: Reading::Known(gpu.class),
        driver: gpu.driver.clone(),
    };
    let group = IommuGroup { id: IommuGroupId(0), kind: Reading::default(), members: vec![member] };
    let report = DriverReport {
        driver_version: Reading::Known("580.105.08".to_owned()),
        cuda_version: Reading::Known("13.0".to_owned()),
        gpus: driver.into_iter().collect(),
        ..DriverReport::unknown(DriverSource::Nvml)
    };
    let nic = |name: &str| Nic {
        name: name.to_owned(),
        mac: None,
        addresses: vec!["192.0.2.7/24".to_owned()],
        state: Some("up".to_owned()),
        speed_mbit_s: None,
        rx_bytes: Some(1),
        tx_bytes: Some(1),
    };
    RawObservation {
        scan: Ok(PciScan { gpus: vec![gpu], groups: vec![group], iommu_groups_total: 9, ..PciScan::default() }),
        reports: vec![(DriverSource::Nvml, Ok(report), 5)],
        docker: Ok(DockerFacts { runtimes: vec!["nvidia".to_owned()], ..DockerFacts::default() }),
        host: HostFacts {
            cores: Reading::Known(128),
            nics: vec![nic("eth0"), nic("veth12ab")],
            stack: StackFacts {
                files: Reading::Known(StackFile::ALL.iter().copied().collect()),
                ..StackFacts::default()
            },
            ..HostFacts::default()
        },
    }
}

pub(crate) fn judged(raw: RawObservation) -> HostObservation {
    let seen =
        ObservationMeta { sequence: 1, observed_at: UnixMillis(1_700_000_000_000), observed_boot: BootMillis(7) };
    let mut observation = judge(raw, seen, None);
    let mut log = KernelLog::default();
    log.hear();
    apply(&mut observation, &log, AskedAt::default(), None);
    observation
}

/// `Gpu` and `GpuMetrics` of the only GPU, both accepted by the contract.
fn documents(raw: RawObservation) -> (Value, Value) {
    of_observation(&judged(raw))
}

fn of_observation(observation: &HostObservation) -> (Value, Value) {
    let gpu = gpu_document(&observation.gpus[0], observation);
    let metrics = gpu_metrics(&observation.gpus[0]);
    assert_eq!(violations("Gpu", &gpu), Vec::<String>::new());
    assert_eq!(violations("GpuMetrics", &metrics), Vec::<String>::new());
    (serde_json::to_value(gpu).unwrap(), serde_json::to_value(metrics).unwrap())
}

#[test]
fn everything_that_was_seen_stands_in_the_document() {
    let (gpu, metrics) = documents(raw(function("10de:2330", Some("nvidia")), Some(said())));
    let expected = json!({
        "bdf": A, "pci_id": "10de:2330", "subsys_id": "10de:16c1", "class": "0x030200", "vendor": "nvidia",
        "name": "NVIDIA H100", "arch": "Hopper", "compute_capability": "9.0", "uuid": "GPU-5", "index": 0, "minor": 3,
        "serial": "1650", "driver": "nvidia", "driver_version": "580.105.08", "iommu_group": 0,
        "iommu_group_members": [A], "numa_node": 0, "memory_mib": 81559, "virt_mode": "Pass-Through",
        "passthrough": {"eligible": false, "reasons": ["sriov_vfs_active", "mig_enabled"]},
        "drm": {"card": "/dev/dri/card1", "render": null},
        "mig": {"supported": true, "current": "disabled", "pending": "enabled", "instances": []},
        "features": {
            "cuda": {"supported": true, "enabled": true, "reason": null},
            "nvenc": {"supported": false, "enabled": false, "reason": "no_engine"},
            "nvdec": {"supported": true, "enabled": true, "reason": null},
            "vaapi": {"supported": false, "enabled": false, "reason": "no_render_node"},
            "dri3": {"supported": false, "enabled": false, "reason": "no_driver_has_it"},
            "egl": {"supported": true, "enabled": true, "reason": null},
            "vulkan": {"supported": true, "enabled": true, "reason": null},
        },
        "visible_to_runtime": true, "schedulable": true, "unschedulable_reason": null, "use": "host",
        "pcie": {"gen": 1, "max_gen": 5, "width": 8, "max_width": null},
        "sriov": {"virtual_functions": ["0000:41:00.4"], "physical_function": null},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(gpu[name], *value, "{name}");
    }
    assert_eq!(gpu["cause_chain"].as_array().unwrap().len(), 6);
    assert_eq!(gpu["health"], json!({"state": "ok", "reasons": []}));
    assert_eq!((&metrics["temp_c"], &metrics["fan_pct"]), (&json!(29.0), &Value::Null));
    assert_eq!(metrics["reason"], "not_supported");
    assert_eq!(metrics["throttle"], json!(["gpu_idle"]));
}

#[test]
fn a_gpu_without_a_driver_is_null_and_not_zero() {
    let (gpu, metrics) = documents(raw(function("10de:2330", None), None));
    for name in ["uuid", "serial", "minor", "index", "memory_mib", "arch", "driver", "driver_version", "virt_mode"] {
        assert_eq!(gpu[name], Value::Null, "{name}");
    }
    assert_eq!(gpu["name"], "GH100 [H100]", "the hardware database knows it");
    assert_eq!(gpu.get("mig"), None);
    for (name, feature) in gpu["features"].as_object().unwrap() {
        assert_eq!(*feature, json!({"supported": false, "enabled": false, "reason": "kernel_driver"}), "{name}");
    }
    assert_eq!(gpu["pcie"]["gen"], 1);
    assert_eq!(gpu["unschedulable_reason"], "kernel_driver_missing");
    let broken = &gpu["cause_chain"][1];
    assert_eq!((&broken["link"], &broken["ok"]), (&json!("kernel_driver"), &json!(false)));
    assert!(broken["remedy"].as_str().unwrap().contains("modprobe nvidia"));
    assert_eq!(
        (&metrics["reason"], &metrics["temp_c"], &metrics["uuid"]),
        (&json!("driver_absent"), &Value::Null, &Value::Null)
    );
    assert_eq!(metrics.get("throttle"), None);
}

#[test]
fn the_gravest_reason_is_told() {
    let reason = |change: &dyn Fn(&mut DriverGpu)| {
        let mut gpu = said();
        change(&mut gpu);
        documents(raw(function("10de:2330", Some("nvidia")), Some(gpu))).1["reason"].clone()
    };
    assert_eq!(reason(&|gpu| gpu.metrics.power_w = Reading::Absent(Absence::GpuLost)), "gpu_lost");
    assert_eq!(reason(&|gpu| gpu.metrics.power_w = Reading::Absent(Absence::NoPermission)), "no_permission");
    assert_eq!(reason(&|gpu| gpu.metrics.fan_pct = Reading::Absent(Absence::garbled("x"))), "garbled");
    let mut timeout = raw(function("10de:2330", Some("nvidia")), None);
    timeout.reports[0].1 = Err(ProbeError::Timeout { what: "nvml".to_owned(), after_ms: 9 });
    assert_eq!(documents(timeout).1["reason"], "probe_timeout");
}

#[test]
fn a_lost_gpu_has_failed() {
    let lost =
        DriverGpu { metrics: Metrics { temperature_c: Reading::Absent(Absence::GpuLost), ..said().metrics }, ..said() };
    let (gpu, _) = documents(raw(function("10de:2330", Some("nvidia")), Some(lost)));
    assert_eq!(gpu["health"], json!({"state": "failed", "reasons": ["gpu_lost"]}));
    assert_eq!((&gpu["schedulable"], &gpu["features"]["cuda"]["enabled"]), (&json!(false), &json!(false)));
    assert_eq!(gpu["features"]["cuda"]["reason"], "not_visible_to_runtime");
}

#[test]
fn mig_devices_stand_under_their_gpu_and_leave_out_what_is_unknown() {
    let cut = DriverGpu { mig_current: Reading::Known(MigMode::Enabled), mig_devices: vec![mig(7)], ..said() };
    let (gpu, metrics) = documents(raw(function("10de:2330", Some("nvidia")), Some(cut.clone())));
    let expected = json!({
        "uuid": "MIG-77", "gi": 7, "ci": 0, "dev": 0, "profile": "3g.40gb", "memory_mib": 40448, "sm": 60, "ce": 3, "enc": 0,
    });
    assert_eq!(gpu["mig"]["instances"], json!([expected]));
    assert_eq!((&gpu["use"], &gpu["unschedulable_reason"]), (&json!("mig"), &json!("mig_enabled")));
    let slice = json!({
        "uuid": "MIG-77", "gi": 7, "ci": 0, "mem_total_mib": 40448, "mem_used_mib": 298, "mem_free_mib": null,
    });
    assert_eq!(metrics["mig"], json!([slice]));
    let mut looked = judged(raw(function("10de:2330", Some("nvidia")), Some(cut)));
    let place = |gpu_instance, start, is_ours| PlacedMig {
        gpu_instance,
        instance: Instance { profile: "3g.40gb".to_owned(), start },
        size: 4,
        is_ours,
    };
    looked.gpus[0].mig_places = Some(vec![place(2, 0, false), place(7, 4, true)]);
    let (gpu, _) = of_observation(&looked);
    let instance = &gpu["mig"]["instances"][0];
    assert_eq!((&instance["placement"], &instance["managed"]), (&json!({"start": 4, "size": 4}), &json!(true)));
    let without =
        DriverGpu { mig_current: Reading::Absent(Absence::NotSupported), mig_pending: Reading::default(), ..said() };
    let (gpu, _) = documents(raw(function("10de:2330", Some("nvidia")), Some(without)));
    assert_eq!(gpu["mig"], json!({"supported": false, "current": null, "pending": null, "instances": []}));
}

#[test]
fn other_vendors_are_named() {
    for (id, driver, vendor) in
        [("1002:74a1", "amdgpu", "amd"), ("8086:56c0", "xe", "intel"), ("1a03:2000", "ast", "other")]
    {
        let (gpu, metrics) = documents(raw(function(id, Some(driver)), None));
        assert_eq!((&gpu["vendor"], &gpu["pci_id"]), (&json!(vendor), &json!(id)));
        assert_eq!(metrics["reason"], "not_supported");
    }
}

#[test]
fn the_inventory_counts_what_a_container_can_get() {
    let count = |change: &dyn Fn(&mut RawObservation)| {
        let mut round = raw(function("10de:2330", Some("nvidia")), Some(said()));
        change(&mut round);
        let inventory = inventory(&judged(round));
        assert_eq!(violations("Inventory", &inventory), Vec::<String>::new());
        inventory
    };
    let whole = count(&|_| {});
    assert_eq!(whole.cuda_gpu_count, Some(1));
    assert_eq!(whole.host.cores, Some(128));
    assert_eq!(whole.nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
    assert_eq!(whole.nvidia_stack.docker_runtime, Some(true));
    let down = count(&|round| round.docker = Err(ProbeError::Timeout { what: "Docker".to_owned(), after_ms: 9 }));
    assert_eq!((down.cuda_gpu_count, down.nvidia_stack.docker_runtime), (Some(0), None));
    let no_hand = ProbeError::HandUnavailable { what: "container hand".to_owned(), cause: OsCause::found("refused") };
    assert_eq!(count(&|round| round.docker = Err(no_hand.clone())).cuda_gpu_count, None);
    assert_eq!(count(&|round| round.scan = Err("EIO".to_owned())).cuda_gpu_count, None);
}

#[test]
fn the_revision_changes_with_the_inventory_and_not_with_the_load() {
    let rev = |change: &dyn Fn(&mut RawObservation)| {
        let mut round = raw(function("10de:2330", Some("nvidia")), Some(said()));
        change(&mut round);
        inventory_rev(&inventory(&judged(round)))
    };
    let driver = |round: &mut RawObservation, change: &dyn Fn(&mut DriverGpu)| {
        change(&mut round.reports[0].1.as_mut().unwrap().gpus[0]);
    };
    let whole = rev(&|_| {});
    assert!(whole.starts_with("fnv1a64:") && whole.len() == 24, "{whole}");
    let load: [&dyn Fn(&mut RawObservation); 5] = [
        &|round| driver(round, &|gpu| gpu.metrics.temperature_c = Reading::Known(80.0)),
        &|round| driver(round, &|gpu| gpu.memory.used = Reading::Known(70_000)),
        &|round| round.scan.as_mut().unwrap().gpus[0].link.generation = Reading::Known(5),
        &|round| round.reports[0].2 = 900,
        &|round| round.host.nics[0].rx_bytes = Some(99),
    ];
    for (nth, change) in load.into_iter().enumerate() {
        assert_eq!(rev(change), whole, "change {nth} is load");
    }
    let lasting: [&dyn Fn(&mut RawObservation); 4] = [
        &|round| driver(round, &|gpu| gpu.mig_current = Reading::Known(MigMode::Enabled)),
        &|round| round.scan.as_mut().unwrap().gpus[0].driver = Reading::Known("vfio-pci".parse().unwrap()),
        &|round| round.docker = Err(ProbeError::Timeout { what: "Docker".to_owned(), after_ms: 9 }),
        &|round| round.host.cores = Reading::Known(64),
    ];
    let revs: std::collections::HashSet<String> = lasting.into_iter().map(rev).chain([whole]).collect();
    assert_eq!(revs.len(), 5, "each change of the inventory gives a revision of its own");
}

#[test]
fn documents_survive_the_way_over_the_wire() {
    let seen = judged(raw(function("10de:2330", Some("nvidia")), Some(said())));
    let sent = inventory(&seen);
    let text = serde_json::to_string(&sent).unwrap();
    let received: wire::manager::gpu::Inventory = serde_json::from_str(&text).unwrap();
    assert_eq!(received, sent);
    assert_eq!(inventory_rev(&received), inventory_rev(&sent));
}
