//! NVML through the real path: our executable as the disposable process, a library that is really loaded, and its crimes.
//!
//! This program is its own child, so it has no test harness: with the child's arguments it is the child.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use acts::probe::Probes;
use model::absence::{Absence, Reading};
use model::driver::{DriverReport, DriverSource, MigMode, ProbeError};
use model::health::facts::{FactSource, HealthFact};
use model::metric::{Metric, of_driver};
use model::settings::NvidiaSettings;
use protocol::child::VERSION;
use spawn::Own;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Test = fn(&Path);

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == VERSION) {
        return gpuhostd_child::run(&args);
    }
    let wanted = args.iter().filter_map(|arg| arg.to_str()).find(|arg| !arg.starts_with('-'));
    let tests: [(&str, Test); 13] = [
        ("every_fact_that_nvml_says", every_fact_that_nvml_says),
        ("a_lost_gpu_keeps_its_place", a_lost_gpu_keeps_its_place),
        (
            "a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened",
            a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened,
        ),
        ("a_gpu_that_hangs_costs_only_itself", a_gpu_that_hangs_costs_only_itself),
        (
            "a_gpu_over_which_the_library_crashes_costs_only_itself",
            a_gpu_over_which_the_library_crashes_costs_only_itself,
        ),
        ("mig_devices_with_holes", mig_devices_with_holes),
        ("every_health_fact_that_the_table_promises", every_health_fact_that_the_table_promises),
        ("noise_of_the_library_is_no_answer", noise_of_the_library_is_no_answer),
        ("a_crash_and_an_exit_hurt_nobody", a_crash_and_an_exit_hurt_nobody),
        ("a_hang_ends_at_the_deadline", a_hang_ends_at_the_deadline),
        ("the_library_is_there_and_the_driver_is_not", the_library_is_there_and_the_driver_is_not),
        ("a_library_that_leaks_ends_at_its_limit", a_library_that_leaks_ends_at_its_limit),
        ("what_the_library_forks_ends_with_it", what_the_library_forks_ends_with_it),
    ];
    // As in a hand: every child of this process that runs beside another is a probe's.
    spawn::prepare().unwrap();
    let folder = TempDir::new().unwrap();
    for (name, test) in tests {
        if wanted.is_none_or(|wanted| name.contains(wanted)) {
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
    compiler.args(["-shared", "-fPIC", "-w", "-D", crime]).arg(format!("-DFOLDER={folder:?}"));
    compiler.arg("-o").arg(&path).arg(source);
    assert!(compiler.status().unwrap().success(), "cc cannot compile the simulated library");
    path
}

/// Probes of a host whose `/sys` is this folder's.
fn probes(sysfs: &Path) -> Probes {
    Probes::new(Own::at(std::env::current_exe().unwrap()), sysfs)
}

fn settings(paths: &[PathBuf], timeout_ms: u64) -> NvidiaSettings {
    let nvml_paths = paths.iter().map(|path| path.display().to_string()).collect();
    NvidiaSettings { nvml_paths, probe_timeout_ms: timeout_ms, ..NvidiaSettings::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Where sysfs shows no GPU, NVML is asked for each index.
fn ask(paths: &[PathBuf], timeout_ms: u64) -> Result<DriverReport, ProbeError> {
    runtime().block_on(probes(Path::new("/no/such/sys")).run(DriverSource::Nvml, &settings(paths, timeout_ms)))
}

/// A `/sys` with these GPUs on NVIDIA's driver, each with what `power/runtime_status` says.
fn sysfs(folder: &Path, gpus: &[(&str, &str)]) -> TempDir {
    let sysfs = TempDir::new_in(folder).unwrap();
    let bus = sysfs.path().join("bus/pci");
    for (address, status) in gpus {
        std::fs::create_dir_all(bus.join("drivers/nvidia").join(address)).unwrap();
        let power = bus.join("devices").join(address).join("power");
        std::fs::create_dir_all(&power).unwrap();
        std::fs::write(power.join("runtime_status"), format!("{status}\n")).unwrap();
    }
    sysfs
}

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";
const C: &str = "0000:43:00.0";
const AWAKE: [(&str, &str); 3] = [(A, "active"), (B, "active"), (C, "active")];

fn addresses(report: &DriverReport) -> Vec<String> {
    report.gpus.iter().map(|gpu| gpu.address.to_string()).collect()
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
    assert_eq!(gpu.metrics.temperature_c.get(), Some(31.0));
    assert_eq!(gpu.metrics.encoder_pct.get(), Some(5.0));
    assert_eq!((gpu.metrics.power_w.get(), gpu.metrics.power_limit_w.get()), (Some(43.21), Some(400.0)));
    assert_eq!((gpu.metrics.sm_clock_mhz.get(), gpu.metrics.memory_clock_mhz.get()), (Some(1410), Some(1215)));
    assert_eq!(gpu.metrics.performance_state.known().unwrap(), "P8");
    assert_eq!((gpu.ecc_enabled.get(), gpu.metrics.ecc_uncorrected.get()), (Some(true), Some(10)));
    assert_eq!(
        gpu.metrics.throttle.known().unwrap(),
        &["gpu_idle", "sw_power_cap"],
        "a bit without a name stands nowhere"
    );
    assert_eq!((gpu.metrics.pcie_generation.get(), gpu.metrics.pcie_width.get()), (Some(4), Some(16)));
    // This library has no call for the decoder's load, which another line of this test is about.
    for metric in Metric::ALL.iter().filter(|metric| metric.row().nvml.name().is_some()) {
        let is_asked =
            *metric == Metric::DecoderPct || of_driver(*metric, gpu).absence() != Some(&Absence::NotReported);
        assert!(is_asked, "NVML is not asked for {metric:?}, and the table says that it is");
    }
    let processes = gpu.processes.known().unwrap();
    assert_eq!(processes.len(), 1, "one process that computes and draws is one process");
    let process = processes.first().unwrap();
    assert_eq!((process.pid, process.kind.known().unwrap().as_str()), (77, "C+G"));
    assert_eq!((process.name.known().unwrap().as_str(), process.memory_mib.get()), ("/usr/bin/python3", Some(512)));
    assert_eq!(report.gpus.get(1).unwrap().metrics.power_w, Reading::Absent(Absence::GpuLost));
    // What is missing has its reason: refused, unknown to this driver, and garbage.
    assert_eq!(gpu.metrics.utilization_pct, Reading::Absent(Absence::NotSupported));
    assert_eq!(gpu.metrics.decoder_pct, Reading::Absent(Absence::NotReported));
    assert_eq!(gpu.vbios, Reading::Absent(Absence::Garbled("badversion".to_owned())));
}

fn a_gpu_that_sleeps_beside_one_that_is_awake_is_not_opened(folder: &Path) {
    let sysfs = sysfs(folder, &[(A, "suspended"), (B, "active")]);
    let asked = probes(sysfs.path());
    let report = runtime().block_on(asked.run(DriverSource::Nvml, &settings(&[library(folder, "NORMAL")], 20_000)));
    assert_eq!(addresses(&report.unwrap()), [B]);
}

/// One of three hangs when it is opened: the report comes at the deadline with the other two, and names it. From then on it keeps
/// nobody: no second process is started for it. It is asked alone, and with the others again once it is quick.
fn a_gpu_that_hangs_costs_only_itself(folder: &Path) {
    let (sysfs, library) = (sysfs(folder, &AWAKE), library(folder, "HANG_AT"));
    let gate = folder.join("gate");
    std::fs::write(&gate, "").unwrap();
    let opened = || std::fs::read_to_string(folder.join("opened")).unwrap_or_default().lines().count();
    let probes = probes(sysfs.path());
    let within = 6_000;
    let settings = settings(&[library], within);
    runtime().block_on(async {
        for round in 0..2 {
            let report = probes.run(DriverSource::Nvml, &settings).await.unwrap();
            assert_eq!(addresses(&report), [A, C], "round {round}: {:?}", report.problems);
            assert_eq!(report.gpus.iter().filter(|gpu| gpu.name.known().is_some()).count(), 2);
            let [silent] = report.silent.as_slice() else { panic!("{report:?}") };
            assert_eq!((silent.address.to_string().as_str(), &silent.why), (B, &Absence::ProbeTimeout));
            assert!(report.problems.iter().any(|problem| problem.contains(B)), "{:?}", report.problems);
            assert_eq!(opened(), 1, "one process waits for it, and it is never doubled");
            assert!(probes.waits());
        }
        std::fs::remove_file(&gate).unwrap();
        // It took long, and so it is asked alone once more before it is believed to be well.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let report = probes.run(DriverSource::Nvml, &settings).await.unwrap();
            if addresses(&report) == [A, B, C] && report.silent.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "{report:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(addresses(&probes.run(DriverSource::Nvml, &settings).await.unwrap()), [A, B, C]);
        assert!(!probes.waits());
    });
}

/// A library that crashes, or ends the process, over one GPU: the others keep what they said before and after.
fn a_gpu_over_which_the_library_crashes_costs_only_itself(folder: &Path) {
    let sysfs = sysfs(folder, &AWAKE);
    for (crime, words) in [("CRASH_AT", "signal 11"), ("QUIT_AT", "status 5")] {
        let probes = probes(sysfs.path());
        let settings = settings(&[library(folder, crime)], 20_000);
        runtime().block_on(async {
            for _ in 0..2 {
                let report = probes.run(DriverSource::Nvml, &settings).await.unwrap();
                assert_eq!(addresses(&report), [A, C], "{crime}: {:?}", report.problems);
                let [silent] = report.silent.as_slice() else { panic!("{report:?}") };
                assert_eq!((silent.address.to_string().as_str(), &silent.why), (B, &Absence::ProbeFailed));
                assert!(silent.said.contains(words) && silent.said.contains(B), "{}", silent.said);
            }
        });
    }
}

fn a_lost_gpu_keeps_its_place(folder: &Path) {
    let report = answer(folder);
    assert_eq!(report.gpus.len(), 2);
    let lost = report.gpus.get(1).unwrap();
    assert_eq!(lost.name.known().unwrap(), "NVIDIA A100-SXM4-40GB");
    assert_eq!(lost.metrics.temperature_c, Reading::Absent(Absence::GpuLost));
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
    let report = ask(&[library(folder, "SICK")], 20_000).unwrap();
    let facts = &report.gpus.first().unwrap().health_facts;
    for fact in HealthFact::ALL.iter().copied() {
        let promised = matches!(fact.asked(DriverSource::Nvml), FactSource::By(_));
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
    assert!(matches!(fault, ProbeError::Crashed { signal: 11, .. }), "{fault:?}");
    let fault = ask(&[library(folder, "QUIT")], 120_000).unwrap_err();
    assert!(matches!(&fault, ProbeError::Failed { status: 5, said, .. } if said.contains("giving up")), "{fault:?}");
}

fn a_hang_ends_at_the_deadline(folder: &Path) {
    let library = library(folder, "HANG");
    let start = Instant::now();
    let fault = ask(&[library], 300).unwrap_err();
    assert!(matches!(fault, ProbeError::Timeout { after_ms: 300, .. }), "{fault:?}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

fn the_library_is_there_and_the_driver_is_not(folder: &Path) {
    let without_driver = library(folder, "NO_DRIVER");
    let fault = ask(&[PathBuf::from("/no/such.so.1"), without_driver.clone()], 120_000).unwrap_err();
    assert!(matches!(fault, ProbeError::Failed { status: 9, .. }), "{fault:?}");
    // The next place is tried.
    let report = ask(&[without_driver, library(folder, "NORMAL")], 120_000).unwrap();
    assert_eq!(report.gpus.len(), 2);
}

fn a_library_that_leaks_ends_at_its_limit(folder: &Path) {
    let fault = ask(&[library(folder, "LEAK")], 600_000).unwrap_err();
    assert!(matches!(fault, ProbeError::Crashed { .. } | ProbeError::Failed { .. }), "{fault:?}");
}

/// Alive, and no zombie.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

fn what_the_library_forks_ends_with_it(folder: &Path) {
    for (crime, timeout_ms) in [("FORK", 120_000), ("FORK_AND_HANG", 1_000)] {
        let forked = folder.join("forked");
        let _ = std::fs::remove_file(&forked);
        let sysfs = Path::new("/no/such/sys");
        // The hang is over when the process that hangs is: only then has its family no reason to live.
        let answer = runtime().block_on(async {
            let probes = probes(sysfs);
            let answer = probes.run(DriverSource::Nvml, &settings(&[library(folder, crime)], timeout_ms)).await;
            let deadline = Instant::now() + Duration::from_secs(120);
            let read = || std::fs::read_to_string(&forked).unwrap_or_default();
            while read().lines().count() < 3 || read().lines().any(runs) {
                assert!(Instant::now() < deadline, "{crime}: these still run: {}", read());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer
        });
        assert_eq!(answer.is_ok(), crime == "FORK", "{crime}: {answer:?}");
    }
}
