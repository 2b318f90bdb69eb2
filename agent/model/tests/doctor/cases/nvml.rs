//! Cases of NVML, the driver's devices and the fabric manager.

use super::{Case, absent, all_on, case, failed, known, named, nvml_says, report, said, scan, units};
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::DoctorFacts;
use model::driver::{DriverSource, ProbeError};

fn with_switches(facts: &mut DoctorFacts) {
    scan(facts).nvswitches = vec!["0000:c1:00.0".parse().unwrap(), "0000:c2:00.0".parse().unwrap()];
}

pub(super) fn cases() -> Vec<Case> {
    [answers(), gpus(), devices(), fabric()].into_iter().flatten().collect()
}

fn answers() -> Vec<Case> {
    vec![
        case(
            "driver_hangs",
            |f| nvml_says(f, ProbeError::Timeout { what: "NVML".to_owned(), after_ms: 30_000 }),
            |f| nvml_says(f, ProbeError::NotAsked { what: "NVML".to_owned() }),
        ),
        case(
            "nvml_fails",
            |f| nvml_says(f, failed("Unknown Error")),
            |f| {
                // nvidia-smi answered in its place.
                let smi = f.host.reports.remove(0).1;
                f.host.reports = vec![(DriverSource::Nvml, Err(failed("Unknown Error"))), (DriverSource::Smi, smi)];
            },
        ),
        case(
            "nvidia_smi_missing",
            |f| nvml_says(f, absent("libnvidia-ml.so.1")),
            |f| {
                let smi = f.host.reports.remove(0).1;
                f.host.reports = vec![(DriverSource::Nvml, Err(absent("libnvidia-ml.so.1"))), (DriverSource::Smi, smi)];
            },
        ),
    ]
}

fn gpus() -> Vec<Case> {
    vec![
        case(
            "gpu_not_listed",
            |f| {
                report(f).gpus.remove(1);
                said(f, "NVRM: GPU 0000:a1:00.0: RmInitAdapter failed! (0x62:0xffff:2631)");
            },
            |f| {
                report(f).gpus.remove(1);
                let _given_away = scan(f).gpus.remove(1);
            },
        ),
        case(
            "gpu_lost",
            |f| report(f).gpus[0].metrics.temperature_c = Reading::Absent(Absence::GpuLost),
            |f| report(f).gpus[0].metrics.temperature_c = Reading::Absent(Absence::UnknownError),
        ),
        case(
            "gpu_requires_reset",
            |f| report(f).gpus[0].health_facts.recovery_action = Reading::Known("Reset".to_owned()),
            |f| report(f).gpus[0].health_facts.recovery_action = Reading::Known("None".to_owned()),
        ),
        case(
            "xid_logged",
            |f| said(f, "NVRM: Xid (PCI:0000:41:00): 79, pid=0, GPU has fallen off the bus."),
            |f| said(f, "NVRM: Xid (PCI:0000:41:00): 45, pid=9, Ch 00000010"),
        ),
        case(
            "persistence_off",
            |f| report(f).gpus[1].persistence = Reading::Known(false),
            |f| report(f).gpus[1].persistence = Reading::Absent(Absence::NotSupported),
        ),
    ]
}

fn devices() -> Vec<Case> {
    vec![
        case(
            "uvm_unreachable",
            |f| {
                known(&mut f.kernel.modules).retain(|module| module != "nvidia_uvm");
                f.nvidia.modprobe_tool = Reading::Known(false);
            },
            |f| known(&mut f.kernel.modules).retain(|module| module != "nvidia_uvm"),
        ),
        case(
            "device_nodes_missing",
            |f| known(&mut f.nvidia.nodes).retain(|node| node.path != "/dev/nvidia-uvm"),
            |f| {
                known(&mut f.kernel.modules).retain(|module| module != "nvidia_uvm");
                known(&mut f.nvidia.nodes).retain(|node| node.path != "/dev/nvidia-uvm");
            },
        ),
        case(
            "device_nodes_mode",
            |f| known(&mut f.nvidia.nodes)[0].mode = 0o660,
            |f| {
                // The site wants it so.
                known(&mut f.nvidia.nodes).iter_mut().for_each(|node| node.mode = 0o660);
                f.nvidia.node_mode = Reading::Known(0o660);
            },
        ),
    ]
}

fn fabric() -> Vec<Case> {
    vec![
        case(
            "fabric_manager_missing",
            |f| {
                with_switches(f);
                units(f).retain(|unit| !unit.name.contains("fabric"));
            },
            |f| {
                // A guest has all the GPUs, and runs it.
                with_switches(f);
                units(f).retain(|unit| !unit.name.contains("fabric"));
                all_on(f, "vfio-pci");
            },
        ),
        case(
            "fabric_manager_stopped",
            |f| {
                with_switches(f);
                named(f, "nvidia-fabricmanager.service").active = "failed".to_owned();
            },
            |f| named(f, "nvidia-fabricmanager.service").active = "inactive".to_owned(),
        ),
        case(
            "fabric_manager_version",
            |f| {
                with_switches(f);
                let packages = known(&mut f.nvidia.packages);
                packages
                    .iter_mut()
                    .filter(|p| p.name.contains("fabric"))
                    .for_each(|p| p.version = "580.126.16-1".into());
            },
            with_switches,
        ),
    ]
}
