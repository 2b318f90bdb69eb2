//! Healthy facts for the doctor: what surrounds a host where nothing is wrong, whatever GPUs it has.
#![allow(dead_code, reason = "each test that includes this world uses its own part of it")]

use model::absence::{Absence, Reading};
use model::docker::DockerFacts;
use model::doctor::doctor_facts::{
    CdiSpec, DaemonSeen, DeviceNode, DockerConfig, DoctorFacts, Guarded, GuardedKind, Library, ManagerSeen, Package,
    PciSlot, Reach, ServiceUnit,
};
use model::driver::{DriverGpu, DriverReport, DriverSource};
use model::host_facts::{DiskUsage, HostFacts};
use model::pci::{GpuFunction, GroupMember, IommuGroup, PciScan, PcieLink};
use model::snapshot::Recorded;
use model::time::UnixMillis;

pub(crate) const DRIVER: &str = "580.105.08";
pub(crate) const NOW: i64 = 1_790_000_000_000;
const GIB: u64 = 1 << 30;

pub(crate) fn disk(path: &str) -> DiskUsage {
    DiskUsage {
        path: path.to_owned(),
        total_bytes: 1000 * GIB,
        available_bytes: 600 * GIB,
        used_bytes: 400 * GIB,
        inodes_total: 1_000_000,
        inodes_free: 900_000,
    }
}

pub(crate) fn unit(name: &str, active: &str) -> ServiceUnit {
    let text = |text: &str| text.to_owned();
    ServiceUnit {
        name: text(name),
        load: text("loaded"),
        active: text(active),
        result: text("success"),
        enabled: text("enabled"),
    }
}

/// A data-centre GPU on NVIDIA's driver, alone in its IOMMU group.
pub(crate) fn gpu(address: &str, group: u32) -> GpuFunction {
    GpuFunction {
        driver: Reading::Known("nvidia".parse().unwrap()),
        driver_override: Reading::Absent(Absence::None),
        iommu_group: Reading::Known(model::IommuGroupId(group)),
        numa_node: Reading::Known(0),
        link: PcieLink {
            generation: Reading::Known(1),
            max_generation: Reading::Known(4),
            width: Reading::Known(16),
            max_width: Reading::Known(16),
            port: Some(model::pci::PciePort {
                address: "0000:40:01.1".parse().unwrap(),
                max_generation: Reading::Known(4),
                max_width: Reading::Known(16),
            }),
        },
        boot_vga: Reading::Known(false),
        power_state: Reading::Known("D0".to_owned()),
        ..GpuFunction::unknown(address.parse().unwrap(), "10de:26b9".parse().unwrap(), model::PciClass(0x03_0200))
    }
}

pub(crate) fn group(id: u32, members: &[&str]) -> IommuGroup {
    let member = |address: &&str| GroupMember {
        address: address.parse().unwrap(),
        id: Reading::default(),
        class: Reading::Known(model::PciClass(0x03_0200)),
        driver: Reading::default(),
    };
    IommuGroup { id: model::IommuGroupId(id), kind: Reading::default(), members: members.iter().map(member).collect() }
}

fn driver_gpu(address: &str, minor: u32) -> DriverGpu {
    DriverGpu {
        minor: Reading::Known(minor),
        persistence: Reading::Known(true),
        ..DriverGpu::unknown(address.parse().unwrap())
    }
}

fn recorded() -> Recorded {
    let scan = PciScan {
        gpus: vec![gpu("0000:41:00.0", 10), gpu("0000:a1:00.0", 20)],
        groups: vec![group(10, &["0000:41:00.0"]), group(20, &["0000:a1:00.0"])],
        iommu_groups_total: 60,
        ..PciScan::default()
    };
    let report = DriverReport {
        driver_version: Reading::Known(DRIVER.to_owned()),
        cuda_version: Reading::Known("13.0".to_owned()),
        gpus: vec![driver_gpu("0000:41:00.0", 0), driver_gpu("0000:a1:00.0", 1)],
        ..DriverReport::unknown(DriverSource::Nvml)
    };
    let docker = DockerFacts {
        version: Some("28.5.1".to_owned()),
        root_dir: Some("/var/lib/docker".to_owned()),
        runtimes: vec!["nvidia".to_owned(), "runc".to_owned()],
        default_runtime: Some("runc".to_owned()),
        cdi_spec_dirs: vec!["/etc/cdi".to_owned(), "/var/run/cdi".to_owned()],
        cdi_devices: vec!["nvidia.com/gpu=all".to_owned()],
        cgroup_version: Some("2".to_owned()),
        cgroup_driver: Some("systemd".to_owned()),
        ..DockerFacts::default()
    };
    let host = HostFacts {
        kernel: Reading::Known("6.8.0-60-generic".to_owned()),
        arch: "x86_64".to_owned(),
        mem_total_bytes: Reading::Known(256 * GIB),
        mem_available_bytes: Reading::Known(200 * GIB),
        swap_total_bytes: Reading::Known(0),
        disk: Reading::Known(disk("/var/lib/docker")),
        ..HostFacts::default()
    };
    Recorded {
        name: "l40s".to_owned(),
        scan: Ok(scan),
        reports: vec![(DriverSource::Nvml, Ok(report))],
        docker: Ok(docker),
        host,
        kernel_log: None,
    }
}

/// A server with two GPUs, where all is known and nothing is wrong.
pub(crate) fn healthy() -> DoctorFacts {
    around(recorded())
}

/// The same surroundings for any host: settings, packages, services and a manager as they should be.
pub(crate) fn around(host: Recorded) -> DoctorFacts {
    let driver = host.reports.iter().find_map(|(_, said)| said.as_ref().ok()?.driver_version.known().cloned());
    let mut facts = DoctorFacts::of(host, "0.1.0", UnixMillis(NOW));
    facts.as_root = true;
    kernel(&mut facts, driver.as_deref());
    nvidia(&mut facts, driver.as_deref());
    service(&mut facts);
    facts.docker.installed = Reading::Known(true);
    let config = DockerConfig { path: "/etc/docker/daemon.json".to_owned(), ..DockerConfig::default() };
    facts.docker.config = Reading::Known(config);
    facts.docker.hand_in_group = Reading::Known(true);
    facts.managers = vec![ManagerSeen {
        url: "https://manager.example".to_owned(),
        reach: Reach::Answered { status: 200 },
        trust_known: true,
        certificate_until: Reading::Known(UnixMillis(NOW + 80 * 86_400_000)),
        skew_ms: Reading::Known(40),
    }];
    facts
}

fn kernel(facts: &mut DoctorFacts, driver: Option<&str>) {
    let line = |text: &str| text.to_owned();
    let kernel = &mut facts.kernel;
    kernel.cmdline = Reading::Known(line("BOOT_IMAGE=/vmlinuz root=/dev/sda2 ro quiet intel_iommu=on iommu=pt"));
    let modules = ["nvidia", "nvidia_uvm", "nvidia_modeset", "overlay"];
    kernel.modules = Reading::Known(modules.map(line).to_vec());
    kernel.nvidia_module = driver.map_or(Reading::Absent(Absence::None), |version| Reading::Known(line(version)));
    kernel.nvidia_module_file = match driver {
        Some(_) => Reading::Known(line("/lib/modules/6.8.0-60-generic/updates/dkms/nvidia.ko.zst")),
        None => Reading::Absent(Absence::None),
    };
    kernel.headers = Reading::Known(true);
    kernel.virtual_machine = Reading::Known(false);
    kernel.firmware_iommu = Reading::Known(true);
    kernel.secure_boot = Reading::Known(true);
    kernel.noiommu = Reading::Known(false);
    kernel.modprobe = Reading::Known(vec![setting("blacklist nouveau"), setting("options nvidia NVreg_x=1")]);
    kernel.cgroup = Reading::Known(2);
    kernel.selinux = Reading::Absent(Absence::None);
    kernel.log = Reading::Known(vec![
        line("pci 0000:41:00.0: BAR 1 [mem size 0x800000000 64bit pref]: can't assign; no space"),
        line("pci 0000:41:00.0: BAR 1 [mem 0x203000000000-0x2037ffffffff 64bit pref]: assigned"),
        line("NVRM: Xid (PCI:0000:41:00): 31, pid=4711, name=python3, Ch 00000008, MMU Fault"),
        line("nvidia: module verification failed: signature and/or required key missing - tainting kernel"),
    ]);
    kernel.reboot_required = Reading::Known(vec![line("libc6")]);
    kernel.hypervisors = Reading::Known(Vec::new());
    let gpus = facts.host.scan.as_ref().map(|scan| scan.gpus.clone()).unwrap_or_default();
    let slot = |gpu: &GpuFunction| PciSlot {
        address: gpu.address,
        bar1_bytes: Reading::Known(64 * GIB),
        bar1_max_bytes: Reading::Known(64 * GIB),
    };
    kernel.slots = gpus.iter().map(slot).collect();
}

pub(crate) fn setting(line: &str) -> model::doctor::doctor_facts::Setting {
    model::doctor::doctor_facts::Setting { file: "/etc/modprobe.d/gpu.conf".to_owned(), line: line.to_owned() }
}

fn nvidia(facts: &mut DoctorFacts, driver: Option<&str>) {
    let line = |text: &str| text.to_owned();
    let reports = facts.host.reports.iter().filter_map(|(_, said)| said.as_ref().ok());
    let minors = reports.flat_map(|report| &report.gpus).filter_map(|gpu| gpu.minor.get());
    let nodes = minors.map(|minor| format!("/dev/nvidia{minor}"));
    let others = ["/dev/nvidiactl", "/dev/nvidia-uvm"].map(line).into_iter().filter(|_| driver.is_some());
    let node = |path| DeviceNode { path, mode: 0o666 };
    let nvidia = &mut facts.nvidia;
    nvidia.nodes = Reading::Known(nodes.chain(others).map(node).collect());
    nvidia.node_mode = Reading::Known(0o666);
    nvidia.char_links = Reading::Known(vec![line("195:0"), line("195:255")]);
    nvidia.modprobe_tool = Reading::Known(true);
    nvidia.runfile = Reading::Known(false);
    nvidia.auto_upgrades = Reading::Known(true);
    nvidia.upgrade_exceptions = vec![line("nvidia-"), line("libnvidia-")];
    nvidia.container_driver = Reading::Known(false);
    nvidia.container_driver_alive = Reading::Absent(Absence::None);
    nvidia.toolkit = Reading::Known(line("1.18.0"));
    nvidia.no_cgroups = Reading::Known(false);
    let Some(driver) = driver else {
        nvidia.libraries = Reading::Known(Vec::new());
        nvidia.packages = Reading::Known(Vec::new());
        nvidia.cdi = Reading::Known(Vec::new());
        return;
    };
    let path = format!("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{driver}");
    nvidia.libraries = Reading::Known(vec![Library { path, version: line(driver), current: true }]);
    let version = format!("{driver}-0ubuntu0.24.04.1");
    let package = |name: &str| Package { name: line(name), version: version.clone(), held: false };
    nvidia.packages = Reading::Known(["nvidia-driver-580", "nvidia-fabricmanager-580"].map(package).to_vec());
    nvidia.cdi = Reading::Known(vec![CdiSpec {
        broken: None,
        path: line("/etc/cdi/nvidia.yaml"),
        devices: vec![line("0"), line("all")],
        missing: Vec::new(),
        versions: vec![line(driver)],
    }]);
}

fn service(facts: &mut DoctorFacts) {
    let service = &mut facts.service;
    let names = ["gpuhostd.service", "docker.service", "nvidia-persistenced.service", "nvidia-fabricmanager.service"];
    service.units = Reading::Known(names.map(|name| unit(name, "active")).to_vec());
    service.bus_socket = Reading::Known(true);
    service.polkit = Reading::Known(true);
    service.daemon = Reading::Known(DaemonSeen {
        version: "0.1.0".to_owned(),
        manager_state: "ok".to_owned(),
        manager_error: None,
        hands_unreachable: Vec::new(),
    });
    service.config_error = Reading::Absent(Absence::None);
    service.policy_error = Reading::Absent(Absence::None);
    service.insecure = Reading::Known(false);
    let file = |path: &str, what, mode, uid| Guarded { path: path.to_owned(), what, mode, uid };
    service.guarded = vec![
        file("/etc/gpuhostd/token", GuardedKind::Token, 0o640, 0),
        file("/var/lib/gpuhostd/identity", GuardedKind::Credentials, 0o700, 990),
        file("/etc/gpuhostd/policy.toml", GuardedKind::Rules, 0o644, 0),
    ];
    service.missing_sockets = Reading::Known(Vec::new());
    service.state_disk = Reading::Known(disk("/var/lib"));
    service.clock_synchronised = Reading::Known(true);
    service.credential_until = Reading::Known(UnixMillis(NOW + 30 * 86_400_000));
}
