//! Each fault of the library shows as NVIDIA's own would show: an init error, a crash, a call that never returns.

use crate::common::{gpu, installed, nvml};
use model::absence::Absence;
use model::driver::DriverSource;
use nvml_wrapper::error::NvmlError;
use sim::bus::Bus;
use sim::description::{Fact, SimHealth};
use sim::driver::report;
use sim::faults::{NvmlFault, Signal};
use sim::{Description, load};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

fn with_fault(fault: NvmlFault) -> Description {
    let mut description = load("t4-cloud-vm").unwrap();
    description.faults.nvml = Some(fault);
    description
}

#[test]
fn init_returns_the_code_that_is_described() {
    for (code, expected) in
        [(4, "NoPermission"), (9, "DriverNotLoaded"), (15, "GpuLost"), (18, "LibRmVersionMismatch"), (999, "Unknown")]
    {
        let folder = tempfile::tempdir().unwrap();
        let error = nvml(&installed(&with_fault(NvmlFault::Init(code)), folder.path())).err().unwrap();
        assert!(format!("{error:?}").starts_with(expected), "{code}: {error:?}");
    }
}

#[test]
fn without_a_description_the_driver_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libnvidia-ml.so.1");
    std::fs::copy(crate::common::built_library(), &library).unwrap();
    assert!(matches!(nvml(&library), Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn a_lost_gpu_tells_what_the_driver_remembers_and_hides_no_other() {
    let description = load("mixed-faults").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&description, folder.path())).unwrap();
    let [well, lost] = [0, 1].map(|index| gpu(&nvml, index));
    assert_eq!(lost.name.known().unwrap(), "NVIDIA A10");
    assert_eq!(lost.metrics.temperature_c.absence(), Some(&Absence::GpuLost));
    assert_eq!(lost.memory.total.absence(), Some(&Absence::GpuLost));
    let mps = nvml.device_by_index(1).unwrap().mps_running_compute_processes();
    assert!(matches!(mps, Err(NvmlError::GpuLost)), "no list of a lost GPU's processes is empty");
    assert_eq!(well.metrics.temperature_c.get(), Some(40.0));
    assert_eq!(well.metrics.power_w.absence(), Some(&Absence::UnknownError));
    assert_eq!(well.serial.absence(), Some(&Absence::NoPermission));
}

#[test]
fn every_fact_can_be_withheld_and_costs_no_other() {
    use Fact::*;
    let facts = [
        Uuid,
        Serial,
        Name,
        Brand,
        Architecture,
        ComputeCapability,
        Vbios,
        Minor,
        Persistence,
        Virtualization,
        Mig,
        Memory,
        Temperature,
        Utilization,
        Encoder,
        Decoder,
        Power,
        PowerLimit,
        Fan,
        PerformanceState,
        EccMode,
        EccErrors,
        Throttle,
        Pcie,
        Processes,
    ];
    let whole = load("t4-cloud-vm").unwrap();
    let values = |description: &Description| {
        let said = report(description, &Bus::lay_out(description).unwrap(), DriverSource::Nvml);
        format!("{:#?}", said.gpus[0]).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for fact in facts {
        let mut description = whole.clone();
        description.gpus[0].absent.insert(fact, Absence::ResetRequired);
        let folder = tempfile::tempdir().unwrap();
        let nvml = nvml(&installed(&description, folder.path())).unwrap();
        let read = format!("{:#?}", gpu(&nvml, 0));
        let lost = read.matches("ResetRequired").count();
        assert!(lost >= 1, "{fact:?} is still told");
        assert_eq!(lost, values(&description).join("\n").matches("ResetRequired").count(), "{fact:?}");
    }
}

#[test]
fn a_gpu_that_needs_a_reset_says_so() {
    let mut description = load("t4-cloud-vm").unwrap();
    description.gpus[0].health = SimHealth::ResetRequired;
    let folder = tempfile::tempdir().unwrap();
    let nvml = nvml(&installed(&description, folder.path())).unwrap();
    assert_eq!(gpu(&nvml, 0).metrics.power_w.absence(), Some(&Absence::ResetRequired));
}

/// Runs [`child`] on a library.
fn spawn_child(library: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::child", "--ignored", "--nocapture"])
        .env("LIBRARY_OF_THE_CHILD", library)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the body of the children that the tests below start"]
fn child() {
    let library = std::env::var_os("LIBRARY_OF_THE_CHILD").unwrap();
    let nvml = nvml(Path::new(&library)).unwrap();
    println!("calling");
    drop(gpu(&nvml, 0));
    println!("returned");
}

#[test]
fn a_call_crashes_by_the_signal_that_is_described() {
    for signal in [Signal::Abort, Signal::Segv] {
        let folder = tempfile::tempdir().unwrap();
        let call = "nvmlDeviceGetTemperature".to_owned();
        let library = installed(&with_fault(NvmlFault::Crash { call, signal }), folder.path());
        let output = spawn_child(&library).wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(signal.number()), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("calling") && !said.contains("returned"), "{said}");
    }
}

#[test]
fn a_call_that_hangs_does_not_return() {
    let folder = tempfile::tempdir().unwrap();
    let call = "nvmlDeviceGetPowerUsage".to_owned();
    let mut child = spawn_child(&installed(&with_fault(NvmlFault::Hang { call }), folder.path()));
    let (tell, told) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    loop {
        let line = told.recv_timeout(Duration::from_secs(60)).unwrap();
        if line.contains("calling") {
            break;
        }
    }
    // Neither a further line nor the end of the output within the second that it has.
    assert_eq!(told.recv_timeout(Duration::from_secs(1)), Err(mpsc::RecvTimeoutError::Timeout));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}
