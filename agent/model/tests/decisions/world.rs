//! A made-up host for the tests of the judge: GPUs, groups, Docker and driver reports with telling defaults.
#![allow(dead_code, reason = "no test needs all of it")]

use model::absence::{Absence, Reading};
use model::docker::DockerFacts;
use model::driver::{DriverGpu, DriverReport, DriverSource, ProbeError};
use model::host_facts::HostFacts;
use model::judge::{ObservationMeta, judge};
use model::metric::Metrics;
use model::observation::{Gpu, HostObservation, RawObservation};
use model::pci::{DrmNodes, GpuFunction, GroupMember, IommuGroup, PciScan};
use model::time::{BootMillis, UnixMillis};
use model::{IommuGroupId, PciAddress, PciClass};

pub(crate) fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

/// A GPU with its own IOMMU group, bound to `driver` (`""` = none).
pub(crate) fn function(address: &str, id: &str, driver: &str, group: u32) -> GpuFunction {
    GpuFunction {
        subsystem: Reading::Absent(Absence::None),
        driver: if driver.is_empty() {
            Reading::Absent(Absence::None)
        } else {
            Reading::Known(driver.parse().unwrap())
        },
        driver_override: Reading::Absent(Absence::None),
        iommu_group: Reading::Known(IommuGroupId(group)),
        numa_node: Reading::Known(0),
        boot_vga: Reading::Absent(Absence::None),
        drm: DrmNodes { card: Some("card1".to_owned()), render: Some("renderD128".to_owned()) },
        power_state: Reading::Known("D0".to_owned()),
        name: Some("GH100 [H100]".to_owned()),
        ..GpuFunction::unknown(at(address), id.parse().unwrap(), PciClass(0x0003_0200))
    }
}

pub(crate) fn nvidia(address: &str, driver: &str, group: u32) -> GpuFunction {
    function(address, "10de:2330", driver, group)
}

pub(crate) fn member(address: &str, class: u32) -> GroupMember {
    GroupMember {
        address: at(address),
        id: Reading::default(),
        class: Reading::Known(PciClass(class)),
        driver: Reading::Absent(Absence::None),
    }
}

/// A scan of these GPUs, each alone in its group.
pub(crate) fn scan(gpus: Vec<GpuFunction>) -> PciScan {
    let group = |gpu: &GpuFunction| {
        let members = vec![member(&gpu.address.to_string(), gpu.class.0)];
        gpu.iommu_group.get().map(|id| IommuGroup { id, kind: Reading::Known("DMA-FQ".to_owned()), members })
    };
    PciScan { groups: gpus.iter().filter_map(group).collect(), iommu_groups_total: 60, gpus, ..PciScan::default() }
}

pub(crate) fn said(address: &str) -> DriverGpu {
    DriverGpu {
        metrics: Metrics { temperature_c: Reading::Known(33.0), ..Metrics::default() },
        uuid: Reading::Known(format!("GPU-{}", address.replace([':', '.'], "-")).parse().unwrap()),
        mig_current: Reading::Absent(Absence::NotSupported),
        virtualization: Reading::Known("None".to_owned()),
        ..DriverGpu::unknown(at(address))
    }
}

pub(crate) fn report(source: DriverSource, gpus: Vec<DriverGpu>) -> DriverReport {
    DriverReport {
        driver_version: Reading::Known("580.105.08".to_owned()),
        cuda_version: Reading::Known("13.0".to_owned()),
        gpus,
        ..DriverReport::unknown(source)
    }
}

pub(crate) fn docker() -> DockerFacts {
    DockerFacts { runtimes: vec!["nvidia".to_owned(), "runc".to_owned()], ..DockerFacts::default() }
}

/// A host where everything works: NVML answers for these addresses.
pub(crate) fn raw(gpus: Vec<GpuFunction>, answering: &[&str]) -> RawObservation {
    let said = answering.iter().map(|address| said(address)).collect();
    RawObservation {
        scan: Ok(scan(gpus)),
        reports: vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, said)), 12)],
        docker: Ok(docker()),
        host: HostFacts { os_id: Reading::Known("ubuntu".to_owned()), ..HostFacts::default() },
    }
}

pub(crate) fn seen(sequence: u64) -> ObservationMeta {
    let step = i64::try_from(sequence).unwrap() * 1000;
    ObservationMeta {
        sequence,
        observed_at: UnixMillis(1_700_000_000_000 + step),
        observed_boot: BootMillis(5_000 + sequence),
    }
}

pub(crate) fn judged(raw: RawObservation) -> HostObservation {
    judge(raw, seen(1), None)
}

/// The only GPU of a host.
pub(crate) fn only(raw: RawObservation) -> Gpu {
    let mut observation = judged(raw);
    assert_eq!(observation.gpus.len(), 1);
    observation.gpus.remove(0)
}

/// The codes of what keeps a GPU from a virtual machine.
pub(crate) fn codes(gpu: &Gpu) -> Vec<&'static str> {
    gpu.passthrough.reasons.iter().map(|reason| reason.code()).collect()
}

pub(crate) fn timeout() -> ProbeError {
    ProbeError::Timeout { what: "the NVML worker".to_owned(), after_ms: 30_000 }
}

pub(crate) fn failed(said: &str) -> ProbeError {
    ProbeError::Failed { what: "NVML".to_owned(), status: 18, said: said.to_owned() }
}
