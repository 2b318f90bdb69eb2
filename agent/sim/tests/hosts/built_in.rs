//! Every built-in host loads, stands up, and shows what its summary says.

use model::absence::Absence;
use model::driver::{DriverSource, ProbeError};
use model::pci::PciScan;
use model::ports::HostPort;
use sim::{BUILT_IN, SimHost, load, synthetic};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a call of the simulated host does not wait"),
    }
}

fn scan(name: &str) -> PciScan {
    now(SimHost::new(load(name).unwrap()).unwrap().scan_pci()).unwrap()
}

#[test]
fn all_load_and_survive_being_written_and_read_again() {
    for (name, _) in BUILT_IN {
        let description = load(name).unwrap();
        assert_eq!(description.name, name);
        let text = description.to_toml().unwrap();
        assert_eq!(sim::parse(&text, name).unwrap(), description, "{name}");
    }
}

#[test]
fn an_unknown_host_names_the_known_ones() {
    let error = load("/nonexistent/dgx").unwrap_err().to_string();
    assert!(error.contains("/nonexistent/dgx") && error.contains("workstation-rtx"), "{error}");
}

#[test]
fn descriptions_that_cannot_be_are_refused_by_name() {
    let good = load("workstation-rtx").unwrap();
    let mut twice = good.clone();
    twice.gpus.push(twice.gpus[0].clone());
    let mut no_model = good.clone();
    no_model.gpus[0].model = "rtx-9999".to_owned();
    let mut no_bridge = good.clone();
    no_bridge.functions.clear();
    let mut bad_function = good;
    bad_function.models.get_mut("rtx").unwrap().companions[0].function = 9;
    for (description, word) in
        [(twice, "0000:01:00."), (no_model, "rtx-9999"), (no_bridge, "0000:00:01.0"), (bad_function, "9")]
    {
        let error = SimHost::new(description).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = sim::parse("name = 'x'\nsummary = ''\ncolour = 'red'\n", "x.toml").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("x.toml") && source.contains("colour") && source.contains("line 3"), "{source}");
}

#[test]
fn a_dgx_has_eight_gpus_alone_in_their_groups_and_six_nvswitches() {
    let seen = scan("dgx-a100");
    assert_eq!((seen.gpus.len(), seen.nvswitches.len(), seen.groups.len()), (8, 6, 8));
    assert!(seen.groups.iter().all(|group| group.members.len() == 1 && group.is_isolated()));
    assert!(seen.gpus.iter().all(|gpu| gpu.companions.is_empty() && gpu.boot_vga.is_none()));
}

#[test]
fn a_turing_card_shares_its_group_with_its_functions_and_the_root_port() {
    let seen = scan("workstation-rtx");
    let card = seen.gpus.iter().find(|gpu| gpu.id.vendor == 0x10de).unwrap();
    assert_eq!(card.companions.iter().map(|a| a.function).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(card.boot_vga.get(), Some(true));
    let group = seen.groups.iter().find(|group| Some(group.id) == card.iommu_group.get()).unwrap();
    assert_eq!(group.members.len(), 5);
    assert!(group.is_isolated() && !group.is_viable());
    let integrated = seen.gpus.iter().find(|gpu| gpu.id.vendor == 0x8086).unwrap();
    assert_eq!(integrated.iommu_group.get().map(|id| id.0), Some(0));
    assert_eq!(integrated.link.generation.absence(), Some(&Absence::Garbled("Unknown".to_owned())));
}

#[test]
fn sixteen_virtual_functions_are_one_gpu() {
    let seen = scan("vgpu-host-16vf");
    assert_eq!(seen.gpus.len(), 1);
    let under: Vec<String> = seen.gpus[0].virtual_functions.iter().map(ToString::to_string).collect();
    assert_eq!((under.len(), under[0].as_str(), under[15].as_str()), (16, "0000:08:00.4", "0000:08:02.3"));
    assert!(seen.gpus[0].companions.is_empty(), "a virtual function is no companion");
    assert_eq!(seen.iommu_groups_total, 18);
}

#[test]
fn each_other_host_shows_what_it_is_for() {
    let no_iommu = scan("no-iommu");
    assert_eq!((no_iommu.gpus.len(), no_iommu.iommu_groups_total), (2, 0));
    assert!(no_iommu.gpus.iter().all(|gpu| gpu.iommu_group.is_none()));
    let hgx = scan("hgx-h100");
    assert_eq!((hgx.gpus.len(), hgx.nvswitches.len()), (8, 4));
    assert_eq!(scan("amd-mi300").gpus.iter().filter(|gpu| gpu.class.0 == 0x12_0000).count(), 8);
    assert_eq!(scan("nouveau-desktop").gpus[0].driver.known().unwrap().as_str(), "nouveau");
    assert_eq!(scan("intel-arc").gpus.len(), 2);
    assert_eq!(scan("l40s-server").gpus.len(), 5, "four L40S and the display of the BMC");
    assert_eq!(scan("t4-cloud-vm").iommu_groups_total, 0);
}

#[test]
fn mixed_faults_cost_what_they_hit_and_no_more() {
    let seen = scan("mixed-faults");
    assert_eq!(seen.gpus.len(), 4);
    assert_eq!(seen.gpus[0].numa_node.absence(), Some(&Absence::Garbled("banana".to_owned())));
    assert_eq!(seen.gpus[2].driver.known().unwrap().as_str(), "vfio-pci");
    assert!(seen.gpus[3].driver.is_none());
    assert_eq!(seen.unreadable.len(), 1);
    assert!(seen.unreadable[0].path.ends_with("0000:b1:00.0/class"));
    let host = SimHost::new(load("mixed-faults").unwrap()).unwrap();
    let report = now(host.probe_driver(DriverSource::Nvml)).unwrap();
    assert_eq!(report.gpus.len(), 2, "the driver does not know what is not bound to it");
    assert_eq!(report.gpus[0].metrics.power_w.absence(), Some(&Absence::UnknownError));
    assert_eq!(report.gpus[0].metrics.temperature_c.get(), Some(40.0));
    assert_eq!(report.gpus[1].metrics.temperature_c.absence(), Some(&Absence::GpuLost));
    assert_eq!(report.gpus[1].name.known().unwrap(), "NVIDIA A10");
}

#[test]
fn mig_is_on_with_and_without_instances() {
    let host = SimHost::new(load("dgx-a100").unwrap()).unwrap();
    let report = now(host.probe_driver(DriverSource::Nvml)).unwrap();
    let mig: Vec<usize> = report.gpus.iter().map(|gpu| gpu.mig_devices.len()).collect();
    assert_eq!(mig, [0, 0, 2, 4, 0, 0, 0, 0]);
    let on = |gpu: &model::driver::DriverGpu| gpu.mig_current.get() == Some(model::driver::MigMode::Enabled);
    assert_eq!(report.gpus.iter().filter(|gpu| on(gpu)).count(), 3);
    assert!(report.gpus.iter().filter(|gpu| on(gpu)).all(|gpu| gpu.metrics.utilization_pct.known().is_none()));
    let mut uuids: Vec<_> = report.gpus.iter().flat_map(|g| &g.mig_devices).map(|m| m.uuid.known().unwrap()).collect();
    uuids.sort();
    uuids.dedup();
    assert_eq!(uuids.len(), 6);
}

#[test]
fn a_source_leaves_out_what_it_has_no_place_for() {
    let host = SimHost::new(load("workstation-rtx").unwrap()).unwrap();
    let [nvml, smi] = [DriverSource::Nvml, DriverSource::Smi].map(|source| now(host.probe_driver(source)).unwrap());
    assert!(nvml.gpus[0].compute_capability.known().is_some() && smi.gpus[0].compute_capability.known().is_none());
    assert!(smi.gpus[0].architecture.known().is_none(), "470 does not say it");
    assert!(matches!(now(host.probe_driver(DriverSource::SmiInDriverContainer)), Err(ProbeError::Absent { .. })));
    let contained = SimHost::new(load("l40s-server").unwrap()).unwrap();
    assert_eq!(now(contained.probe_driver(DriverSource::SmiInDriverContainer)).unwrap().gpus.len(), 4);
}

#[test]
fn hosts_without_the_driver_say_that_it_is_absent() {
    for name in ["nouveau-desktop", "amd-mi300", "intel-arc"] {
        let host = SimHost::new(load(name).unwrap()).unwrap();
        for source in [DriverSource::Nvml, DriverSource::Smi] {
            let fault = now(host.probe_driver(source)).unwrap_err();
            assert_eq!(fault.code(), "absent", "{name}");
        }
    }
    let no_docker = SimHost::new(load("vgpu-host-16vf").unwrap()).unwrap();
    assert_eq!(now(no_docker.read_docker()).unwrap_err().code(), "absent");
}

#[test]
fn a_synthetic_host_has_the_size_that_was_asked_for() {
    for (gpus, functions) in [(8u32, 300u32), (64, 1000), (300, 4000)] {
        let host = SimHost::new(synthetic(gpus, functions).unwrap()).unwrap();
        let seen = now(host.scan_pci()).unwrap();
        assert_eq!((seen.gpus.len(), seen.functions_total), (usize::try_from(gpus).unwrap(), functions));
        assert!(seen.groups.iter().all(|group| group.members.len() == 1));
        assert!(seen.gpus.iter().all(|gpu| gpu.companions.is_empty()));
        let report = now(host.probe_driver(DriverSource::Nvml)).unwrap();
        let mut uuids: Vec<_> = report.gpus.iter().map(|gpu| gpu.uuid.known().unwrap().clone()).collect();
        uuids.sort();
        uuids.dedup();
        assert_eq!(uuids.len(), seen.gpus.len());
    }
}
