//! Libraries that are not there or are no libraries. One that answers is simulated elsewhere.

use super::*;
use tempfile::TempDir;

fn report(paths: &[String]) -> Result<DriverReport, ProbeFault> {
    super::report(paths, Path::new("/sys/bus/pci"))
}

#[test]
fn a_library_that_is_nowhere_is_absent_with_the_places() {
    let fault = report(&["libnvidia-ml-none.so.1".to_owned(), "/no/such/libnvidia-ml.so.1".to_owned()]).unwrap_err();
    assert_eq!(fault.code(), "absent", "{fault}");
    assert!(fault.to_string().contains("/no/such/libnvidia-ml.so.1"), "{fault}");
    assert_eq!(report(&[]).unwrap_err().code(), "absent");
}

#[test]
fn a_file_that_is_no_library_is_named_with_what_the_linker_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("libnvidia-ml.so.1");
    std::fs::write(&path, b"#!/bin/sh\necho no\n").unwrap();
    let path = path.display().to_string();
    // The absent one after it must not hide the telling failure.
    let fault = report(&[path.clone(), "/no/such/libnvidia-ml.so.1".to_owned()]).unwrap_err();
    assert_eq!(fault.code(), "failed", "{fault}");
    assert!(fault.to_string().contains(&path), "{fault}");
}

#[test]
fn a_library_without_the_functions_of_nvml_is_a_fault_and_no_crash() {
    let fault = report(&["libc.so.6".to_owned()]).unwrap_err();
    assert!(matches!(fault, ProbeFault::Failed { status: 13, .. }), "{fault:?}");
}

#[test]
fn two_gpus_with_one_uuid_are_a_problem() {
    let gpu = |address: &str| DriverGpu {
        uuid: Reading::Known("GPU-1234".parse().unwrap()),
        ..DriverGpu::unknown(address.parse().unwrap())
    };
    assert_eq!(duplicates(&[gpu("0000:01:00.0"), gpu("0000:02:00.0")]).len(), 1);
    assert_eq!(duplicates(&[gpu("0000:01:00.0"), gpu("0000:01:00.0")]).len(), 2);
    assert!(duplicates(&[gpu("0000:01:00.0")]).is_empty());
}
