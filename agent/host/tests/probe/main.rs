//! NVML through the real path: our executable as the disposable process, a library that is really loaded, and its crimes.
//!
//! This program is its own worker, so it has no test harness: with the worker's arguments it is the worker.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use host::hand::probe::{Probes, ROLE, child_main};
use model::absence::{Absence, Reading};
use model::driver::{DriverReport, DriverSource, MigMode, ProbeFault};
use model::health::facts::{Asked, HealthFact};
use model::settings::NvidiaSettings;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Test = fn(&Path);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = args.split_first()
        && first == ROLE
    {
        return child_main(rest);
    }
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    let tests: [(&str, Test); 9] = [
        ("every_fact_that_nvml_says", every_fact_that_nvml_says),
        ("a_lost_gpu_keeps_its_place", a_lost_gpu_keeps_its_place),
        (
            "a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened",
            a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened,
        ),
        ("mig_devices_with_holes", mig_devices_with_holes),
        ("every_health_fact_that_the_table_promises", every_health_fact_that_the_table_promises),
        ("noise_of_the_library_is_no_answer", noise_of_the_library_is_no_answer),
        ("a_crash_and_an_exit_hurt_nobody", a_crash_and_an_exit_hurt_nobody),
        ("a_hang_ends_at_the_deadline", a_hang_ends_at_the_deadline),
        ("the_library_is_there_and_the_driver_is_not", the_library_is_there_and_the_driver_is_not),
    ];
    let folder = TempDir::new().unwrap();
    for (name, test) in tests {
        if wanted.is_none_or(|wanted| name.contains(wanted.as_str())) {
            println!("test {name} ...");
            test(folder.path());
        }
    }
    println!("test result: ok");
    ExitCode::SUCCESS
}

/// The library, compiled with this kind of crime.
fn library(folder: &Path, crime: &str) -> PathBuf {
    let path = folder.join(format!("libnvidia-ml-{crime}.so.1"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe/nvml.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-w", "-D", crime, "-o"]).arg(&path).arg(source);
    assert!(compiler.status().unwrap().success(), "cc cannot compile the simulated library");
    path
}

fn ask(paths: &[PathBuf], timeout_ms: u64) -> Result<DriverReport, ProbeFault> {
    let probes = Probes::new(std::env::current_exe().unwrap(), |_| panic!("nvidia-smi was not asked"));
    let nvml_paths = paths.iter().map(|path| path.display().to_string()).collect();
    let settings = NvidiaSettings { nvml_paths, probe_timeout_ms: timeout_ms, ..NvidiaSettings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(probes.run(DriverSource::Nvml, &settings))
}

fn answer(folder: &Path) -> DriverReport {
    ask(&[library(folder, "NORMAL")], 120_000).unwrap()
}

fn every_fact_that_nvml_says(folder: &Path) {
    let report = answer(folder);
    assert_eq!(report.source, DriverSource::Nvml);
    assert_eq!(report.driver_version.known().unwrap(), "580.105.08");
    assert_eq!(report.cuda_version.known().unwrap(), "13.0");
    let gpu = report.gpus.first().unwrap();
    assert_eq!(gpu.address.to_string(), "0000:41:00.0");
    assert_eq!(gpu.pci_id.get().unwrap().to_string(), "10de:20b0");
    assert_eq!(gpu.subsystem.get().unwrap().to_string(), "10de:134f");
    assert_eq!(gpu.uuid.known().unwrap().as_str(), "GPU-11111111-2222-3333-4444-555555555555");
    assert_eq!((gpu.index.get(), gpu.minor.get()), (Some(0), Some(3)));
    assert_eq!(gpu.serial.known().unwrap(), "1562821003218");
    assert_eq!(gpu.name.known().unwrap(), "NVIDIA A100-SXM4-40GB");
    assert_eq!((gpu.brand.known().unwrap().as_str(), gpu.architecture.known().unwrap().as_str()), ("NVIDIA", "Ampere"));
    assert_eq!(gpu.compute_capability.get(), Some((8, 0)));
    assert_eq!(gpu.persistence.get(), Some(true));
    assert_eq!(gpu.virtualization.known().unwrap(), "Host VGPU");
    assert_eq!((gpu.mig_current.get(), gpu.mig_pending.get()), (Some(MigMode::Enabled), Some(MigMode::Disabled)));
    assert_eq!((gpu.memory.total.get(), gpu.memory.reserved.get()), (Some(40_960), Some(571)));
    assert_eq!((gpu.memory.used.get(), gpu.memory.free.get()), (Some(13), Some(40_376)));
    assert_eq!(gpu.temperature_c.get(), Some(31.0));
    assert_eq!(gpu.encoder_pct.get(), Some(5.0));
    assert_eq!((gpu.power_w.get(), gpu.power_limit_w.get()), (Some(43.21), Some(400.0)));
    assert_eq!((gpu.sm_clock_mhz.get(), gpu.memory_clock_mhz.get()), (Some(1410), Some(1215)));
    assert_eq!(gpu.performance_state.known().unwrap(), "P8");
    assert_eq!((gpu.ecc_enabled.get(), gpu.ecc_uncorrected.get()), (Some(true), Some(10)));
    assert_eq!(gpu.throttle.known().unwrap(), &["gpu_idle", "sw_power_cap"], "a bit without a name stands nowhere");
    assert_eq!((gpu.pcie_generation.get(), gpu.pcie_width.get()), (Some(4), Some(16)));
    let processes = gpu.processes.known().unwrap();
    assert_eq!(processes.len(), 1, "one process that computes and draws is one process");
    let process = processes.first().unwrap();
    assert_eq!((process.pid, process.kind.known().unwrap().as_str()), (77, "C+G"));
    assert_eq!((process.name.known().unwrap().as_str(), process.memory_mib.get()), ("/usr/bin/python3", Some(512)));
    assert_eq!(report.gpus.get(1).unwrap().power_w, Reading::Absent(Absence::GpuLost));
    // What is missing has its reason: refused, unknown to this driver, and garbage.
    assert_eq!(gpu.utilization_pct, Reading::Absent(Absence::NotSupported));
    assert_eq!(gpu.decoder_pct, Reading::Absent(Absence::NotReported));
    assert_eq!(gpu.vbios, Reading::Absent(Absence::Garbled("badversion".to_owned())));
}

fn a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened(folder: &Path) {
    let bus = folder.join("bus");
    for (address, status) in [("0000:41:00.0", "suspended"), ("0000:42:00.0", "active")] {
        std::fs::create_dir_all(bus.join("drivers/nvidia").join(address)).unwrap();
        let power = bus.join("devices").join(address).join("power");
        std::fs::create_dir_all(&power).unwrap();
        std::fs::write(power.join("runtime_status"), format!("{status}\n")).unwrap();
    }
    let question = format!("[{:?}]", library(folder, "NORMAL"));
    let mut worker = Command::new(std::env::current_exe().unwrap());
    let said = worker.args([ROLE, "nvml", &question]).arg(&bus).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("GPU-99999999-2222-3333-4444-555555555555"), "the one that is awake: {said}");
    assert!(!said.contains("GPU-11111111"), "the one that sleeps: {said}");
}

fn a_lost_gpu_keeps_its_place(folder: &Path) {
    let report = answer(folder);
    assert_eq!(report.gpus.len(), 2);
    let lost = report.gpus.get(1).unwrap();
    assert_eq!(lost.name.known().unwrap(), "NVIDIA A100-SXM4-40GB");
    assert_eq!(lost.temperature_c, Reading::Absent(Absence::GpuLost));
    assert_eq!(lost.memory.total, Reading::Absent(Absence::GpuLost));
    assert_eq!(lost.processes, Reading::Absent(Absence::GpuLost));
    // The third one gives no handle: it stands among the problems.
    assert!(report.problems.iter().any(|problem| problem.contains("its GPU 2")), "{:?}", report.problems);
}

fn mig_devices_with_holes(folder: &Path) {
    let report = answer(folder);
    let [device] = report.gpus.first().unwrap().mig_devices.as_slice() else { panic!("{report:?}") };
    assert_eq!((device.gpu_instance, device.compute_instance), (7, 0));
    assert_eq!(device.profile.known().unwrap(), "1g.5gb");
    assert_eq!((device.sm.get(), device.ce.get(), device.dec.get()), (Some(14), Some(1), Some(0)));
    assert_eq!(device.memory.total.get(), Some(4864));
    assert_eq!(report.gpus.first().unwrap().memory.total.get(), Some(40_960));
    // The one whose UUID does not say where it is keeps its index, UUID and profile for nvidia-smi's list.
    let [unplaced] = report.gpus.first().unwrap().mig_unplaced.as_slice() else { panic!("{report:?}") };
    assert_eq!((unplaced.index, unplaced.memory_total_mib.get()), (2, Some(4864)));
    assert_eq!(unplaced.uuid.known().unwrap().as_str(), "MIG-5d2a8f5c-1b1e-4f8e-9c3a-0d7e6f5a4b3c");
    assert_eq!(unplaced.profile.known().unwrap(), "1g.5gb");
    assert!(!report.problems.iter().any(|problem| problem.contains("MIG")), "{:?}", report.problems);
}

fn every_health_fact_that_the_table_promises(folder: &Path) {
    let report = answer(folder);
    let facts = &report.gpus.first().unwrap().health_facts;
    for fact in HealthFact::ALL {
        let promised = matches!(fact.asked(DriverSource::Nvml), Asked::By(_));
        assert_eq!(fact.is_known(facts), promised, "{}: {facts:?}", fact.name());
    }
    assert_eq!((facts.rows_remapped_correctable.get(), facts.rows_remapped_uncorrectable.get()), (Some(3), Some(2)));
    assert_eq!((facts.row_remap_pending.get(), facts.row_remap_failed.get()), (Some(true), Some(false)));
    assert_eq!((facts.pages_retired_single_bit.get(), facts.pages_retired_double_bit.get()), (Some(5), Some(4)));
    assert_eq!(facts.retirement_pending.get(), Some(false));
    assert_eq!((facts.reset_required.get(), facts.drain_and_reset_recommended.get()), (Some(true), Some(false)));
    assert_eq!(facts.recovery_action.known().unwrap(), "Reboot");
    assert_eq!((facts.channel_repair_pending.get(), facts.tpc_repair_pending.get()), (Some(false), Some(true)));
    assert_eq!(facts.sram_threshold_exceeded.get(), Some(true));
    assert_eq!(facts.fabric_state.known().unwrap(), "Completed");
    assert_eq!(facts.fabric_status.known().unwrap(), "Success");
    assert_eq!(facts.fabric_health.known().unwrap(), "Unhealthy");
    assert_eq!(facts.fabric_faults.known().unwrap(), &["route_unhealthy"]);
    // One that has fallen off the bus says that, and nothing else, in each place.
    let lost = &report.gpus.get(1).unwrap().health_facts;
    assert_eq!(lost.recovery_action, Reading::Absent(Absence::GpuLost));
    assert_eq!(lost.sram_threshold_exceeded, Reading::Absent(Absence::GpuLost));
    assert!(HealthFact::ALL.iter().all(|fact| !fact.is_known(lost)), "{lost:?}");
    // A driver before 580 knows the older form of the fabric, which has no summary.
    let older = ask(&[library(folder, "OLD_FABRIC")], 20_000).unwrap();
    let older = &older.gpus.first().unwrap().health_facts;
    assert_eq!(older.fabric_faults.known().unwrap(), &["route_unhealthy"]);
    assert_eq!((older.fabric_state.known().unwrap().as_str(), older.fabric_health.known()), ("Completed", None));
}

fn noise_of_the_library_is_no_answer(folder: &Path) {
    assert_eq!(ask(&[library(folder, "NOISE")], 120_000).unwrap().gpus.len(), 2);
}

fn a_crash_and_an_exit_hurt_nobody(folder: &Path) {
    let fault = ask(&[library(folder, "CRASH")], 120_000).unwrap_err();
    assert!(matches!(fault, ProbeFault::Crashed { signal: 11, .. }), "{fault:?}");
    let fault = ask(&[library(folder, "QUIT")], 120_000).unwrap_err();
    assert!(matches!(&fault, ProbeFault::Failed { status: 5, said, .. } if said.contains("giving up")), "{fault:?}");
}

fn a_hang_ends_at_the_deadline(folder: &Path) {
    let library = library(folder, "HANG");
    let start = Instant::now();
    let fault = ask(&[library], 300).unwrap_err();
    assert!(matches!(fault, ProbeFault::Timeout { after_ms: 300, .. }), "{fault:?}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

fn the_library_is_there_and_the_driver_is_not(folder: &Path) {
    let without_driver = library(folder, "NO_DRIVER");
    let fault = ask(&[PathBuf::from("/no/such.so.1"), without_driver.clone()], 120_000).unwrap_err();
    assert!(matches!(fault, ProbeFault::Failed { status: 9, .. }), "{fault:?}");
    // The next place is tried.
    let report = ask(&[without_driver, library(folder, "NORMAL")], 120_000).unwrap();
    assert_eq!(report.gpus.len(), 2);
}
