//! Each fault of a description shows at the port that it belongs to, and at no other.

use model::absence::Absence;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::ports::HostPort;
use sim::description::SimHealth;
use sim::faults::{Attribute, DockerFault, NvmlFault, PciFault, PciFaultKind, Signal, SmiFault};
use sim::smi::nvml_error_text;
use sim::{Description, SimHost, load};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a call of the simulated host does not wait"),
    }
}

fn host(change: impl FnOnce(&mut Description)) -> SimHost {
    let mut description = load("dgx-a100").unwrap();
    change(&mut description);
    SimHost::new(description).unwrap()
}

fn probe(host: &SimHost, source: DriverSource) -> Result<DriverReport, ProbeError> {
    now(host.probe_driver(source))
}

#[test]
fn nvml_faults_show_at_nvml_and_at_nvidia_smi_which_asks_it() {
    let call = || "nvmlDeviceGetTemperature".to_owned();
    for (fault, nvml, smi) in [
        (NvmlFault::Missing, "absent", "failed"),
        (NvmlFault::NotALibrary, "absent", "failed"),
        (NvmlFault::Init(18), "failed", "failed"),
        (NvmlFault::Crash { call: call(), signal: Signal::Segv }, "crashed", "crashed"),
        (NvmlFault::Hang { call: call() }, "timeout", "timeout"),
    ] {
        let host = host(|d| d.faults.nvml = Some(fault.clone()));
        assert_eq!(probe(&host, DriverSource::Nvml).unwrap_err().code(), nvml, "{fault:?}");
        assert_eq!(probe(&host, DriverSource::Smi).unwrap_err().code(), smi, "{fault:?}");
        assert_eq!(now(host.scan_pci()).unwrap().gpus.len(), 8);
        now(host.read_docker()).unwrap();
    }
}

#[test]
fn init_errors_have_nvidias_words_and_statuses() {
    let version = |branch: &str, code: i32| {
        let host = host(|d| {
            d.driver.as_mut().unwrap().version = format!("{branch}.1");
            d.faults.nvml = Some(NvmlFault::Init(code));
        });
        let ProbeError::Failed { status, said, .. } = probe(&host, DriverSource::Smi).unwrap_err() else {
            panic!("{branch}")
        };
        (status, said)
    };
    for (branch, code, status) in [
        ("390", 4, 4),
        ("535", 9, 9),
        ("470", 15, 15),
        ("390", 16, 231),
        ("550", 16, 255),
        ("390", 18, 231),
        ("470", 18, 255),
        ("535", 18, 18),
        ("390", 19, 231),
        ("470", 19, 19),
        ("550", 999, 255),
        ("390", 999, 255),
    ] {
        assert_eq!(version(branch, code).0, status, "{code} on {branch}");
    }
    assert!(version("550", 9).1.contains("couldn't communicate with the NVIDIA driver"));
    assert_eq!(version("550", 18).1, "Failed to initialize NVML: Driver/library version mismatch");
    assert_eq!(nvml_error_text(15), "GPU is lost");
}

#[test]
fn faults_of_nvidia_smi_leave_nvml_alone() {
    for (fault, code) in [
        (SmiFault::Missing, "absent"),
        (SmiFault::Hang { ignores_sigterm: true }, "timeout"),
        (SmiFault::Exit { status: 14, text: "corrupted infoROM".to_owned() }, "failed"),
        (SmiFault::Truncated { bytes: 1000 }, "garbled"),
        (SmiFault::Garbage, "garbled"),
        (SmiFault::EntityBomb, "garbled"),
    ] {
        let host = host(|d| d.faults.smi = Some(fault.clone()));
        assert_eq!(probe(&host, DriverSource::Smi).unwrap_err().code(), code, "{fault:?}");
        assert_eq!(probe(&host, DriverSource::Nvml).unwrap().gpus.len(), 8);
    }
    let silent = host(|d| d.faults.smi = Some(SmiFault::NotAvailable));
    let report = probe(&silent, DriverSource::Smi).unwrap();
    assert_eq!(report.gpus.len(), 8);
    assert!(report.gpus.iter().all(|gpu| gpu.uuid.absence() == Some(&Absence::NotSupported)));
}

#[test]
fn docker_faults_show_at_docker_and_hide_the_driver_container() {
    for (fault, code) in [(DockerFault::Refused, "absent"), (DockerFault::Hang, "timeout")] {
        let mut description = load("l40s-server").unwrap();
        description.faults.docker = Some(fault);
        let host = SimHost::new(description).unwrap();
        assert_eq!(now(host.read_docker()).unwrap_err().code(), code);
        assert_eq!(probe(&host, DriverSource::SmiInDriverContainer).unwrap_err().code(), code);
        assert_eq!(probe(&host, DriverSource::Nvml).unwrap().gpus.len(), 4);
    }
}

#[test]
fn a_function_that_vanishes_takes_nobody_with_it() {
    let gone = "0000:07:00.0".parse().unwrap();
    let host = host(|d| d.faults.pci.push(PciFault { address: gone, what: PciFaultKind::Vanishes }));
    let seen = now(host.scan_pci()).unwrap();
    assert_eq!((seen.gpus.len(), seen.unreadable.len()), (7, 0));
    assert!(seen.gpus.iter().all(|gpu| gpu.address != gone));
}

#[test]
fn each_attribute_that_is_garbage_or_unreadable_costs_itself() {
    let address = "0000:07:00.0".parse().unwrap();
    let facts = [
        Attribute::SubsystemVendor,
        Attribute::SubsystemDevice,
        Attribute::NumaNode,
        Attribute::DriverOverride,
        Attribute::PowerState,
        Attribute::CurrentLinkSpeed,
        Attribute::MaxLinkSpeed,
        Attribute::CurrentLinkWidth,
        Attribute::MaxLinkWidth,
    ];
    let kinds: [fn(Attribute) -> PciFaultKind; 2] =
        [PciFaultKind::Unreadable, |which| PciFaultKind::Garbage(which, "z z".to_owned())];
    for kind in kinds {
        for which in facts {
            let host = host(|d| d.faults.pci.push(PciFault { address, what: kind(which) }));
            let seen = now(host.scan_pci()).unwrap();
            let text = format!("{:?}", seen.gpus[0]);
            assert_eq!(text.matches("Garbled").count() + text.matches("Unreadable").count(), 1, "{which:?}: {text}");
            assert_eq!(seen.gpus.len(), 8);
        }
        for which in [Attribute::Class, Attribute::Vendor, Attribute::Device] {
            let host = host(|d| d.faults.pci.push(PciFault { address, what: kind(which) }));
            let seen = now(host.scan_pci()).unwrap();
            assert_eq!((seen.gpus.len(), seen.unreadable.len()), (7, 1), "{which:?}");
            assert!(seen.unreadable[0].path.ends_with(which.file()));
        }
    }
}

#[test]
fn without_a_pci_bus_the_scan_names_the_folder() {
    let host = host(|d| d.faults.no_pci_bus = true);
    let fault = now(host.scan_pci()).unwrap_err();
    assert_eq!(fault.path, "/sys/bus/pci/devices");
}

#[test]
fn a_gpu_can_be_lost_while_it_is_looked_at() {
    let host = host(|_| {});
    let address = "0000:0f:00.0".parse().unwrap();
    let temperature = || probe(&host, DriverSource::Smi).unwrap().gpus[1].metrics.temperature_c.clone();
    assert!(temperature().known().is_some());
    host.change(|state| state.set_health(address, SimHealth::Lost)).unwrap();
    assert_eq!(temperature().absence(), Some(&Absence::GpuLost));
    let said = probe(&host, DriverSource::Smi).unwrap();
    assert_eq!(said.gpus.len(), 8, "it stays in the list");
    assert!(host.change(|state| state.set_health("0000:99:00.0".parse().unwrap(), SimHealth::Ok)).is_err());
}

#[test]
fn with_no_gpu_bound_nvidia_smi_finds_no_devices() {
    let host = host(|d| d.gpus.iter_mut().for_each(|gpu| gpu.driver = None));
    assert_eq!(probe(&host, DriverSource::Nvml).unwrap().gpus.len(), 0);
    let ProbeError::Failed { status, said, .. } = probe(&host, DriverSource::Smi).unwrap_err() else {
        panic!("no failure")
    };
    assert_eq!((status, said.as_str()), (6, "No devices were found"));
}

#[test]
fn host_facts_are_the_described_ones_and_follow_dockers_root() {
    let host = host(|_| {});
    let facts = now(host.read_host(Some("/raid/docker".to_owned())));
    assert_eq!(facts.hostname.known().unwrap(), "dgx-a100-01");
    assert_eq!(facts.mem_total_bytes.get(), Some(1_031_800 * 1024 * 1024));
    let disk = facts.disk.known().unwrap();
    assert_eq!((disk.path.as_str(), disk.total_bytes), ("/raid/docker", 14_650_000 * 1024 * 1024));
    assert_eq!(disk.used_bytes + disk.available_bytes, disk.total_bytes);
    assert_eq!(facts.dmi[0], ("sys_vendor".to_owned(), "NVIDIA".to_owned()));
    let other = SimHost::new(load("no-iommu").unwrap()).unwrap();
    let two = SimHost::new(load("hgx-h100").unwrap()).unwrap();
    let names: Vec<String> = now(two.read_host(None)).nics.into_iter().map(|nic| nic.name).collect();
    assert_eq!(names, ["bond0", "ens1f0np0"]);
    assert_ne!(now(other.read_host(None)).boot_id, facts.boot_id);
}
