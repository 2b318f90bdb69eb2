//! Hosts as a core would have seen them, judged by the product's own rules.

use engine::mig_look::MigLook;
use model::absence::{Absence, Reading};
use model::docker::DockerFacts;
use model::driver::{DriverGpu, DriverMig, DriverReport, DriverSource, GpuProcess, MemoryMib, MigMode, ProbeError};
use model::event::{EventKind, EventSeverity, HostEvent, Occurrence};
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::show::apply;
use model::holders::{Hold, Holder, Holders, MigPlace};
use model::host_facts::HostFacts;
use model::image_ref::ImageDigest;
use model::judge::{ObservationMeta, judge};
use model::metric::Metrics;
use model::mig::products::Product;
use model::mig::{Instance, MigComputeInstance, MigGpuInstance, MigOnGpu};
use model::observation::{HostObservation, RawObservation};
use model::pci::{DrmNodes, GpuFunction, GroupMember, IommuGroup, PciScan, PcieLink};
use model::policy::Requester;
use model::roster::{Card, Known};
use model::time::{BootMillis, UnixMillis};
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{
    DiskRoom, ImageRow, ImagesState, OurImage, StoredImage, WhyKept, WorkspaceState, WorkspaceStatus, WorkspacesState,
};
use model::{IommuGroupId, PciAddress, PciClass};

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn function(at: &str, id: &str, driver: Option<&str>, group: u32, name: &str) -> GpuFunction {
    GpuFunction {
        subsystem: Reading::Known("10de:16c1".parse().unwrap()),
        driver: driver.map_or(Reading::Absent(Absence::None), |name| Reading::Known(name.parse().unwrap())),
        driver_override: Reading::Absent(Absence::None),
        iommu_group: Reading::Known(IommuGroupId(group)),
        numa_node: Reading::Known(0),
        link: PcieLink { max_generation: Reading::Known(5), ..PcieLink::default() },
        boot_vga: Reading::Absent(Absence::Unreadable("Permission denied".to_owned())),
        drm: DrmNodes { card: Some("card0".to_owned()), render: None },
        power_state: Reading::Known("D0".to_owned()),
        companions: vec![address(at.replace(".0", ".1").as_str())],
        name: Some(name.to_owned()),
        vendor_name: Some("NVIDIA Corporation".to_owned()),
        ..GpuFunction::unknown(address(at), id.parse().unwrap(), PciClass(0x030200))
    }
}

fn member(at: &str, class: u32, driver: Option<&str>) -> GroupMember {
    GroupMember {
        address: address(at),
        id: Reading::Known("10de:2330".parse().unwrap()),
        class: Reading::Known(PciClass(class)),
        driver: driver.map_or(Reading::Absent(Absence::None), |name| Reading::Known(name.parse().unwrap())),
    }
}

fn group(id: u32, members: Vec<GroupMember>) -> IommuGroup {
    IommuGroup { id: IommuGroupId(id), kind: Reading::Known("DMA-FQ".to_owned()), members }
}

fn h100() -> DriverGpu {
    DriverGpu {
        metrics: Metrics {
            temperature_c: Reading::Known(36.0),
            fan_pct: Reading::Absent(Absence::NotSupported),
            ..Metrics::default()
        },
        uuid: Reading::Known("GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88".parse().unwrap()),
        name: Reading::Known("NVIDIA H100 80GB HBM3".to_owned()),
        index: Reading::Known(0),
        processes: Reading::Known(vec![GpuProcess {
            pid: 4711,
            kind: Reading::Known("C".to_owned()),
            name: Reading::Known("/usr/bin/python3".to_owned()),
            memory_mib: Reading::Known(1024),
        }]),
        ..DriverGpu::unknown(address("0000:41:00.0"))
    }
}

/// A scan with one GPU that the driver serves, and one that no driver is bound to, in a group with a stranger.
fn scan() -> PciScan {
    PciScan {
        gpus: vec![
            function("0000:41:00.0", "10de:2330", Some("nvidia"), 17, "GH100 [H100 SXM5 80GB]"),
            function("0000:c1:00.0", "10de:2330", None, 18, "GH100 [H100 SXM5 80GB]"),
        ],
        groups: vec![
            group(17, vec![member("0000:41:00.0", 0x030200, Some("nvidia"))]),
            group(
                18,
                vec![
                    member("0000:c0:01.0", 0x060400, Some("pcieport")),
                    member("0000:c1:00.0", 0x030200, None),
                    member("0000:c2:00.0", 0x020000, Some("mlx5_core")),
                ],
            ),
        ],
        iommu_groups_total: 42,
        functions_total: 60,
        ..PciScan::default()
    }
}

fn docker() -> DockerFacts {
    DockerFacts {
        version: Some("28.2.2".to_owned()),
        runtimes: vec!["nvidia".to_owned(), "runc".to_owned()],
        default_runtime: Some("runc".to_owned()),
        cdi_devices: vec!["nvidia.com/gpu=all".to_owned()],
        ..DockerFacts::default()
    }
}

fn facts() -> HostFacts {
    HostFacts {
        hostname: Reading::Known("node7".to_owned()),
        boot_id: Reading::Known("0b8f5e0c-4b1c-4b53-9a6c-6a2f6f0e7c11".to_owned()),
        os_name: Reading::Known("Debian GNU/Linux 12 (bookworm)".to_owned()),
        kernel: Reading::Known("6.1.0-18-amd64".to_owned()),
        ..HostFacts::default()
    }
}

fn judged(raw: RawObservation) -> HostObservation {
    let seen =
        ObservationMeta { sequence: 1, observed_at: UnixMillis(1_700_000_000_000), observed_boot: BootMillis(60_000) };
    let mut observation = judge(raw, seen, None);
    apply(&mut observation, &KernelLog::default(), AskedAt::default(), None);
    observation
}

/// The observation after the kernel has logged a line, a second after its start.
pub(crate) fn after_log(mut seen: HostObservation, line: &str) -> HostObservation {
    let mut log = KernelLog::default();
    log.hear();
    assert!(log.take(&format!("3,1,1000000,-;{line}\n")), "the line says something");
    let previous = seen.clone();
    apply(&mut seen, &log, AskedAt::default(), Some(&previous));
    seen
}

/// Two GPUs: one usable at 0000:41:00.0, and one without a driver at 0000:c1:00.0.
pub(crate) fn two_gpus() -> HostObservation {
    observed(h100())
}

fn observed(h100: DriverGpu) -> HostObservation {
    let report = DriverReport {
        driver_version: Reading::Known("580.105.08".to_owned()),
        cuda_version: Reading::Known("13.0".to_owned()),
        gpus: vec![h100],
        ..DriverReport::unknown(DriverSource::Nvml)
    };
    let reports = vec![(DriverSource::Nvml, Ok(report), 12)];
    judged(RawObservation { scan: Ok(scan()), reports, docker: Ok(docker()), host: facts() })
}

/// A GPU that was here.
pub(crate) fn gone() -> Known {
    let card = Card {
        address: address("0000:81:00.0"),
        id: "10de:2330".parse().unwrap(),
        name: Some("NVIDIA H100 80GB HBM3".to_owned()),
        uuid: Some("GPU-5d2a8f5c-1b1e-4f8e-9c3a-0d7e6f5a4b3c".parse().unwrap()),
        serial: Some("1650000000001".to_owned()),
        removable: false,
    };
    Known { card, seen_at: UnixMillis(1_700_000_000_000), gone_at: Some(UnixMillis(1_700_000_005_000)) }
}

/// No GPU, no IOMMU, no Docker.
pub(crate) fn no_gpu() -> HostObservation {
    let absent = ProbeError::Absent { what: "Docker".to_owned(), said: "no such file".to_owned() };
    judged(RawObservation { scan: Ok(PciScan::default()), reports: Vec::new(), docker: Err(absent), host: facts() })
}

fn slice(gpu_instance: u32, memory_mib: u64, sm: u32) -> DriverMig {
    DriverMig {
        index: Reading::default(),
        gpu_instance,
        compute_instance: 0,
        uuid: Reading::default(),
        profile: Reading::default(),
        memory: MemoryMib { total: Reading::Known(memory_mib), ..MemoryMib::default() },
        sm: Reading::Known(sm),
        ce: Reading::Known(1),
        enc: Reading::Known(0),
        dec: Reading::Known(1),
        jpeg: Reading::Known(1),
        ofa: Reading::Known(0),
    }
}

/// The two GPUs, the usable one cut into two MIG devices, of which the second is known by its place only.
pub(crate) fn sliced() -> HostObservation {
    let first = DriverMig {
        uuid: Reading::Known("MIG-0b6c5d5e-7c0e-5b0a-9e5c-3f8c1d7e2a11".parse().unwrap()),
        profile: Reading::Known("3g.40gb".to_owned()),
        ..slice(1, 40_448, 60)
    };
    let on = Reading::Known(MigMode::Enabled);
    let h100 =
        DriverGpu { mig_current: on.clone(), mig_pending: on, mig_devices: vec![slice(9, 9_984, 16), first], ..h100() };
    observed(h100)
}

/// MIG of the two GPUs: the first cut in three, of which a container has one and one has no compute instance; off on the second.
pub(crate) fn mig_looks() -> Vec<MigLook> {
    let on =
        |id, profile: &str, start, size, compute| MigGpuInstance { id, profile: profile.into(), start, size, compute };
    let whole = |slices| {
        let uuid = Reading::Known("MIG-0b6c5d5e-7c0e-5b0a-9e5c-3f8c1d7e2a11".parse().unwrap());
        vec![MigComputeInstance { id: 0, slices, uuid, processes: Vec::new() }]
    };
    let seen = |at: &str, mode: MigMode, instances| MigOnGpu {
        gpu: address(at),
        uuid: Reading::default(),
        minor: Reading::default(),
        current: Reading::Known(mode),
        pending: Reading::Known(mode),
        switches_without_reset: Reading::Known(true),
        catalog: Reading::Known(Product::find("H100-80GB").unwrap().catalog().unwrap()),
        instances,
        driver_load: None,
    };
    let holder = Holder {
        pid: None,
        command: None,
        unit: None,
        container: Some("lab-3".to_owned()),
        address: None,
        instance: Some(MigPlace { gpu_instance: 9, compute_instance: None }),
        hold: Hold::ContainerDevice { device: "nvidia.com/gpu=0:1".to_owned() },
    };
    let instances =
        vec![on(9, "1g.10gb", 0, 1, whole(1)), on(12, "1g.10gb", 1, 1, Vec::new()), on(1, "3g.40gb", 4, 4, whole(3))];
    let cut = MigLook {
        seen: seen("0000:41:00.0", MigMode::Enabled, instances),
        holders: Holders { found: vec![holder], unreadable: Vec::new() },
        owned: vec![Instance { profile: "3g.40gb".to_owned(), start: 4 }],
    };
    let off = seen("0000:c1:00.0", MigMode::Disabled, Vec::new());
    vec![cut, MigLook { seen: off, holders: Holders::default(), owned: Vec::new() }]
}

/// A workspace that shares the first GPU and runs.
pub(crate) fn workspace(id: &str, kind: WorkspaceKind, state: WorkspaceState) -> WorkspaceStatus {
    let is_live = state == WorkspaceState::Running;
    WorkspaceStatus {
        id: id.parse().unwrap(),
        requester: Requester::Manager,
        kind,
        desired: Some(DesiredRun::Running),
        state,
        reason: None,
        retry_at: None,
        since: UnixMillis(1_700_000_000_000),
        container: is_live.then(|| "c0ffee".repeat(11).get(..64).unwrap().parse().unwrap()),
        image: Some(format!("registry.example/desktop@sha256:{}", "ab".repeat(32))),
        gpus: vec!["GPU-5d0e1f4a-2c33-0b1e-8a4e-1f0d9c6b7a88".to_owned()],
        vfio: Vec::new(),
        gpu_ok: is_live.then_some(true),
        gpu_unknown: None,
        stale_driver: None,
        figures: None,
        nano_cpus: 2_500_000_000,
        memory_bytes: 8 << 30,
        generation: 3,
        pid: is_live.then_some(4711),
        started_at: is_live.then_some(UnixMillis(1_700_000_001_000)),
        pull_progress: (state == WorkspaceState::Pulling).then_some((1 << 20, 4 << 20)),
    }
}

/// One workspace that runs, and one whose image is being pulled.
pub(crate) fn workspaces() -> WorkspacesState {
    let pulled = WorkspaceStatus {
        requester: Requester::Local,
        ..workspace("b.2", WorkspaceKind::Staged, WorkspaceState::Pulling)
    };
    WorkspacesState {
        is_looked: true,
        workspaces: vec![workspace("alice-1", WorkspaceKind::User, WorkspaceState::Running), pulled],
        ..WorkspacesState::default()
    }
}

/// An image of ours that goes next, and one of another user.
pub(crate) fn images() -> ImagesState {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64)).parse::<ImageDigest>().unwrap();
    let stored = |letter: &str, tags: &[&str]| StoredImage {
        id: digest(letter),
        digests: [digest(letter)].into(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        size_bytes: 3 << 30,
        created_at: None,
        used_by: Vec::new(),
    };
    let known =
        OurImage { pulled_at: UnixMillis(1_700_000_000_000), needed_at: UnixMillis(1_700_000_000_000), is_seen: true };
    let of = format!("registry.example/desktop@{}", digest("a")).parse().unwrap();
    ImagesState {
        looked_at: Some(UnixMillis(1_700_000_360_000)),
        images: vec![
            ImageRow { image: stored("a", &[]), of: Some((of, known)), kept: None },
            ImageRow { image: stored("b", &["postgres:17"]), of: None, kept: Some(WhyKept::NotOurs) },
        ],
        room: Some(DiskRoom {
            path: "/var/lib/docker".to_owned(),
            available_bytes: 1 << 30,
            reserve_bytes: 2 << 30,
            has_few_inodes: false,
        }),
        ..ImagesState::default()
    }
}

/// An event of that number and second.
pub(crate) fn event(seq: u64, second: i64, kind: EventKind, message: &str) -> HostEvent {
    HostEvent {
        id: format!("00000000-0000-4000-8000-{seq:012}"),
        seq,
        time: UnixMillis(second * 1000),
        boot_id: "f23a1e49-9ab3-4ede-ba60-c5c4215467a6".to_owned(),
        what: Occurrence::new(kind, "0000:41:00.0", EventSeverity::Warning, message).with_code("xid_79"),
    }
}
