//! Programs that stand in for nvidia-smi, really executed.

use super::*;
use model::absence::Reading;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Takes a document that is closed, and keeps its text as the driver's version.
fn parse(bytes: &[u8]) -> Result<DriverReport, ProbeFault> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    if !text.contains("</nvidia_smi_log>") {
        return Err(ProbeFault::Garbled { what: "test".to_owned(), why: "cut off".to_owned() });
    }
    Ok(DriverReport {
        source: DriverSource::SmiInDriverContainer,
        driver_version: Reading::Known(text),
        cuda_version: Reading::default(),
        gpus: Vec::new(),
        problems: Vec::new(),
    })
}

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

async fn ask(script: &str) -> Result<DriverReport, ProbeFault> {
    let folder = TempDir::new().unwrap();
    let paths = ["/no/such/nvidia-smi".to_owned(), program(&folder, script).display().to_string()];
    report(&Supervisor::default(), &paths, Duration::from_secs(600), parse).await
}

const DOCUMENT: &str = "echo '<nvidia_smi_log></nvidia_smi_log>'";

#[tokio::test(flavor = "current_thread")]
async fn the_second_place_answers_and_the_arguments_are_fixed() {
    let report = ask(&format!("{DOCUMENT}; echo \"$@\"")).await.unwrap();
    assert_eq!(report.source, DriverSource::Smi);
    assert!(report.driver_version.known().unwrap().ends_with("-q -x\n"));
    assert!(report.problems.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_driver_under_another_root_finds_its_libraries() {
    let report = ask(&format!("{DOCUMENT}; echo $LD_LIBRARY_PATH")).await.unwrap();
    assert!(report.driver_version.known().unwrap().contains("/usr/lib/x86_64-linux-gnu:/"));
    assert_eq!(library_path("/usr/bin/nvidia-smi"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_on_standard_output_is_what_it_said() {
    let fault = ask("echo 'NVIDIA-SMI has failed because'; echo 'it could not'; exit 9").await.unwrap_err();
    let ProbeFault::Failed { status, said, .. } = fault else { panic!("{fault:?}") };
    assert_eq!((status, said.as_str()), (9, "NVIDIA-SMI has failed because it could not"));
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_on_standard_error_too() {
    let fault = ask("echo 'no license' >&2; exit 3").await.unwrap_err();
    assert!(matches!(&fault, ProbeFault::Failed { status: 3, said, .. } if said == "no license"), "{fault:?}");
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
    assert!(matches!(fault, ProbeFault::Crashed { signal: 6, .. }), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_hangs_is_ended_at_its_deadline() {
    let folder = TempDir::new().unwrap();
    let path = program(&folder, "exec sleep 1000").display().to_string();
    let fault = report(&Supervisor::default(), &[path], Duration::from_millis(150), parse).await.unwrap_err();
    assert!(matches!(fault, ProbeFault::Timeout { after_ms: 150, .. }), "{fault:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn none_at_all_is_absent_with_the_places() {
    let fault =
        report(&Supervisor::default(), &["/no/such".to_owned()], Duration::from_secs(1), parse).await.unwrap_err();
    assert!(fault.code() == "absent" && fault.to_string().contains("/no/such"), "{fault}");
}
