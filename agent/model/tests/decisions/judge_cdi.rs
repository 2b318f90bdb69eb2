//! What a stale CDI specification does to the verdict on a GPU, and the conditions that name it.

use crate::world::{judged, nvidia, raw, report, said};
use model::absence::Reading;
use model::cdi::{CdiFile, CdiFileDevice};
use model::docker::DockerFacts;
use model::driver::DriverSource;
use model::observation::{ChainLink, GpuUse, HostObservation, RawObservation};
use model::verdict_reasons::Unschedulable;

const A: &str = "0000:41:00.0";
const B: &str = "0000:61:00.0";
const FILE: &str = "/var/run/cdi/nvidia.yaml";

fn uuid(address: &str) -> String {
    said(address).uuid.known().unwrap().to_string()
}

/// Two GPUs on a Docker that has CDI, and the one file that names both.
fn round(runtimes: &[&str], change: impl FnOnce(&mut CdiFile)) -> RawObservation {
    let device = |name: String, minor| CdiFileDevice { name, minors: vec![minor], missing: Vec::new() };
    let mut file = CdiFile {
        path: FILE.to_owned(),
        drivers: vec!["580.105.08".to_owned()],
        devices: vec![device(uuid(A), 0), device(uuid(B), 1)],
        ..CdiFile::default()
    };
    change(&mut file);
    let mut round = raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], &[]);
    let gpu = |address: &str, number: u32| {
        let mut gpu = said(address);
        (gpu.index, gpu.minor) = (Reading::Known(number), Reading::Known(number));
        gpu
    };
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, vec![gpu(A, 0), gpu(B, 1)])), 1)];
    round.host.stack.module_loaded = Reading::Known("580.105.08".to_owned());
    round.docker = Ok(DockerFacts {
        cdi_spec_dirs: vec!["/etc/cdi".to_owned(), "/var/run/cdi".to_owned()],
        cdi_devices: file.devices.iter().map(|device| format!("nvidia.com/gpu={}", device.name)).collect(),
        cdi_files: vec![file],
        runtimes: runtimes.iter().map(|name| (*name).to_owned()).collect(),
        ..DockerFacts::default()
    });
    round
}

fn conditions(seen: &HostObservation) -> Vec<(&str, &str)> {
    let all = seen.conditions.iter().map(|held| (held.kind.as_str(), held.reason.as_str()));
    all.filter(|(kind, _)| ["cdi_spec_stale", "gpu_way_broken"].contains(kind)).collect()
}

fn message(seen: &HostObservation, kind: &str) -> String {
    seen.conditions.iter().find(|held| held.kind == kind).unwrap().message.clone()
}

#[test]
fn a_file_that_fits_is_no_news() {
    let seen = judged(round(&[], |_| {}));
    assert_eq!(conditions(&seen), []);
    assert!(seen.gpus.iter().all(|gpu| gpu.visible_to_runtime && gpu.schedulable), "{:?}", seen.gpus);
}

#[test]
fn a_file_of_the_former_driver_is_a_condition_and_no_way() {
    let old = |file: &mut CdiFile| file.drivers = vec!["575.64.03".to_owned()];
    let seen = judged(round(&[], old));
    assert_eq!(conditions(&seen), [("cdi_spec_stale", "other_driver"), ("gpu_way_broken", "cdi_stale")]);
    let said = message(&seen, "cdi_spec_stale");
    assert!(
        said.contains(FILE) && said.contains("575.64.03") && said.contains("--output=/var/run/cdi/nvidia.yaml"),
        "{said}"
    );
    let way = message(&seen, "gpu_way_broken");
    assert!(way.contains(A) && way.contains(B) && way.contains("Docker has no runtime nvidia"), "{way}");
    for gpu in &seen.gpus {
        let link = gpu.first_broken_link().unwrap();
        assert_eq!((link.link, gpu.schedulable), (ChainLink::Cdi, false));
        assert!(link.reason.as_ref().unwrap().contains("575.64.03"), "{link:?}");
        assert_eq!(gpu.unschedulable_reason.map(Unschedulable::code), Some("cdi_missing"));
    }
    // With NVIDIA's runtime the GPUs still have a way; the file stays a condition.
    let seen = judged(round(&["nvidia"], old));
    assert_eq!(conditions(&seen), [("cdi_spec_stale", "other_driver")]);
    assert!(seen.gpus.iter().all(|gpu| gpu.visible_to_runtime && gpu.schedulable));
    let cdi = seen.gpus[0].cause_chain.iter().find(|link| link.link == ChainLink::Cdi).unwrap();
    assert!(cdi.ok.is_none() && cdi.reason.as_ref().unwrap().starts_with("not used: "), "{cdi:?}");
}

#[test]
fn one_gpu_of_two_is_cut_off() {
    let seen = judged(round(&[], |file| file.devices[1].missing = vec!["/dev/nvidia1".to_owned()]));
    assert_eq!(conditions(&seen), [("cdi_spec_stale", "missing_paths"), ("gpu_way_broken", "cdi_stale")]);
    assert!(!message(&seen, "gpu_way_broken").contains(A));
    assert_eq!(seen.gpus.iter().map(|gpu| gpu.schedulable).collect::<Vec<_>>(), [true, false]);
    // A file that lacks a GPU is none of this host's faults alone; that nothing names the GPU is.
    let seen = judged(round(&[], |file| drop(file.devices.pop())));
    assert_eq!(conditions(&seen), [("gpu_way_broken", "cdi_not_named")]);
    // A GPU that a virtual machine has needs no way, and its device is of no GPU any more.
    let mut given = round(&[], |_| {});
    given.scan = Ok(crate::world::scan(vec![nvidia(A, "nvidia", 1), nvidia(B, "vfio-pci", 2)]));
    given.reports[0].1.as_mut().unwrap().gpus.pop();
    let seen = judged(given);
    assert_eq!(seen.gpus[1].usage, GpuUse::Passthrough);
    assert_eq!(conditions(&seen), [("cdi_spec_stale", "no_such_gpu")]);
}

#[test]
fn no_docker_is_no_broken_way() {
    let mut down = round(&[], |file| file.drivers = vec!["575.64.03".to_owned()]);
    down.docker = Err(crate::world::timeout());
    assert_eq!(conditions(&judged(down)), []);
}
