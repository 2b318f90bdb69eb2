//! Programs that stand in for nvidia-smi, really executed.

use super::*;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn program(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("usr/bin/nvidia-smi");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Written by a process of its own: a child that another test starts at this moment would inherit our descriptor, and a
    // file that somebody has open for writing cannot be executed.
    let text = format!("#!/bin/sh\n{script}\n");
    let written = Command::new("install").args(["-m", "755", "/dev/stdin"]).arg(&path).stdin(Stdio::piped()).spawn();
    let mut written = written.unwrap();
    written.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(written.wait().unwrap().success());
    path
}

async fn report(paths: &[String], within: Duration) -> Result<DriverReport, ProbeError> {
    let supervisor = Supervisor::default();
    let smi = Smi { supervisor: &supervisor, paths, within, bus: Path::new("/no/such/bus") };
    smi.report(Vec::new()).await.1
}

async fn ask(script: &str) -> Result<DriverReport, ProbeError> {
    let folder = TempDir::new().unwrap();
    let paths = ["/no/such/nvidia-smi".to_owned(), program(&folder, script).display().to_string()];
    report(&paths, Duration::from_secs(600)).await
}

const DOCUMENT: &str = "echo '<nvidia_smi_log></nvidia_smi_log>'";

/// A script whose document has what the shell makes of this text as the driver's version.
fn with_version(text: &str) -> String {
    format!("echo \"<nvidia_smi_log><driver_version>{text}</driver_version></nvidia_smi_log>\"")
}

#[tokio::test(flavor = "current_thread")]
async fn the_second_place_answers_and_the_arguments_are_fixed() {
    let report = ask(&with_version("$*")).await.unwrap();
    assert_eq!(report.source, DriverSource::Smi);
    assert_eq!(report.driver_version.known().unwrap(), "-q -x");
    assert!(report.problems.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_driver_under_another_root_finds_its_libraries() {
    let report = ask(&with_version("$LD_LIBRARY_PATH")).await.unwrap();
    assert!(report.driver_version.known().unwrap().contains("/usr/lib/x86_64-linux-gnu:/"));
    assert_eq!(library_path("/usr/bin/nvidia-smi"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_on_standard_output_is_what_it_said() {
    let fault = ask("echo 'NVIDIA-SMI has failed because'; echo 'it could not'; exit 9").await.unwrap_err();
    let ProbeError::Failed { status, said, .. } = fault else { panic!("{fault:?}") };
    assert_eq!((status, said.as_str()), (9, "NVIDIA-SMI has failed because it could not"));
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_on_standard_error_too() {
    let fault = ask("echo 'no license' >&2; exit 3").await.unwrap_err();
    assert!(matches!(&fault, ProbeError::Failed { status: 3, said, .. } if said == "no license"), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_whole_document_outweighs_a_bad_status() {
    let report = ask(&format!("{DOCUMENT}; exit 14")).await.unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("status 14"));
}

#[tokio::test(flavor = "current_thread")]
async fn half_a_document_is_garbled_or_the_failure() {
    assert_eq!(ask("echo '<nvidia_smi_log>'").await.unwrap_err().code(), "garbled");
    assert_eq!(ask("echo '<nvidia_smi_log>'; exit 255").await.unwrap_err().code(), "failed");
    assert_eq!(ask("exit 0").await.unwrap_err().code(), "garbled");
}

#[tokio::test(flavor = "current_thread")]
async fn a_crash_names_its_signal() {
    let fault = ask("kill -ABRT $$").await.unwrap_err();
    assert!(matches!(fault, ProbeError::Crashed { signal: 6, .. }), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_hangs_is_ended_at_its_deadline() {
    let folder = TempDir::new().unwrap();
    let path = program(&folder, "exec sleep 1000").display().to_string();
    let fault = report(&[path], Duration::from_millis(150)).await.unwrap_err();
    assert!(matches!(fault, ProbeError::Timeout { after_ms: 150, .. }), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn none_at_all_is_absent_with_the_places() {
    let fault = report(&["/no/such".to_owned()], Duration::from_secs(1)).await.unwrap_err();
    assert!(fault.code() == "absent" && fault.to_string().contains("/no/such"), "{fault}");
}

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";
const C: &str = "0000:43:00.0";

/// The GPUs bound to NVIDIA's driver, as the bus shows them.
fn bus(folder: &TempDir, gpus: &[&str]) -> PathBuf {
    let bus = folder.path().join("bus");
    for address in gpus {
        std::fs::create_dir_all(bus.join("drivers/nvidia").join(address)).unwrap();
    }
    bus
}

/// An nvidia-smi that answers for `-i ADDRESS` with a document of that GPU, but for those that these lines of a shell's `case` treat,
/// and writes down what it was asked.
async fn ask_of_three(cases: &str, silent: Vec<SilentGpu>, within: Duration) -> (DriverReport, String) {
    let folder = TempDir::new().unwrap();
    let asked = folder.path().join("asked");
    let script = format!(
        "echo \"$*\" >> {}; case \"$*\" in {cases} esac
         echo \"<nvidia_smi_log><driver_version>580.1</driver_version><gpu id='$4'><product_name>A100</product_name></gpu></nvidia_smi_log>\"",
        asked.display()
    );
    let paths = [program(&folder, &script).display().to_string()];
    let (supervisor, bus) = (Supervisor::default(), bus(&folder, &[A, B, C]));
    let smi = Smi { supervisor: &supervisor, paths: &paths, within, bus: &bus };
    let report = smi.report(silent).await.1.unwrap();
    (report, std::fs::read_to_string(&asked).unwrap())
}

fn addresses(report: &DriverReport) -> Vec<String> {
    report.gpus.iter().map(|gpu| gpu.address.to_string()).collect()
}

/// One handle that is not to be had makes nvidia-smi give up all GPUs: it is asked for each of the others.
#[tokio::test(flavor = "current_thread")]
async fn a_gpu_without_a_handle_costs_the_others_nothing() {
    for words in [
        "Unable to determine the device handle for GPU0000:42:00.0: Unknown Error",
        "Unable to determine the device handle for GPU2: 0000:42:00.0: Unknown Error",
    ] {
        let cases = format!("*-i*) ;; *) echo '{words}'; exit 255 ;;");
        let (report, asked) = ask_of_three(&cases, Vec::new(), Duration::from_secs(20)).await;
        assert_eq!(addresses(&report), [A, C], "{words}");
        assert_eq!(report.gpus[1].name.known().unwrap(), "A100");
        assert_eq!(report.driver_version.known().unwrap(), "580.1");
        let [silent] = report.silent.as_slice() else { panic!("{report:?}") };
        assert_eq!((silent.address.to_string().as_str(), &silent.why), (B, &Absence::UnknownError));
        assert!(report.problems.iter().any(|problem| problem.contains(B)), "{:?}", report.problems);
        assert_eq!(asked, format!("-q -x\n-q -x -i {A}\n-q -x -i {C}\n"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_gpu_that_is_known_to_be_silent_is_not_asked_for_and_each_failure_is_its_own() {
    let lost = "Unable to determine the device handle for GPU0000:43:00.0: GPU is lost.  Reboot the system to recover this GPU";
    let silent = SilentGpu { address: B.parse().unwrap(), why: Absence::ProbeTimeout, said: "it hangs".to_owned() };
    let cases = format!("*{C}) echo '{lost}'; exit 15 ;;");
    let (report, asked) = ask_of_three(&cases, vec![silent], Duration::from_secs(20)).await;
    assert_eq!(addresses(&report), [A]);
    let silent: Vec<_> = report.silent.iter().map(|gpu| (gpu.address.to_string(), gpu.why.clone())).collect();
    assert_eq!(silent, [(B.to_owned(), Absence::ProbeTimeout), (C.to_owned(), Absence::GpuLost)]);
    assert!(!asked.contains(B), "{asked}");
}

/// The time of the others is not given to one that hangs twice.
#[tokio::test(flavor = "current_thread")]
async fn one_that_hangs_alone_is_named_and_those_after_it_were_not_reached() {
    let silent = SilentGpu { address: A.parse().unwrap(), why: Absence::GpuLost, said: "it is lost".to_owned() };
    let cases = format!("*{B}) exec sleep 1000 ;;");
    let (report, _) = ask_of_three(&cases, vec![silent], Duration::from_secs(3)).await;
    let silent: Vec<_> = report.silent.iter().map(|gpu| gpu.why.clone()).collect();
    assert_eq!(silent, [Absence::GpuLost, Absence::ProbeTimeout, Absence::NotProbed], "{report:?}");
}
