//! Libraries that are not there or are no libraries. One that answers is simulated elsewhere.

use super::*;
use model::driver::ProbeError;
use std::path::PathBuf;
use tempfile::TempDir;

/// All that is said of libraries of which none can be asked.
fn report(paths: &[String]) -> Result<(), ProbeError> {
    let (paths, bus) = (paths.to_vec(), PathBuf::from("/no/such/bus"));
    let mut said = Vec::new();
    let question = Question { paths, bus, patience_ms: 1000, leave_out: Vec::new(), only: None };
    tell(&question, |line| {
        said.push(line);
        Ok(())
    })
    .unwrap();
    match said.as_slice() {
        [ChildLine::Refused(fault)] => Err(fault.clone()),
        _ => panic!("{said:?}"),
    }
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
    assert!(matches!(fault, ProbeError::Failed { status: 13, .. }), "{fault:?}");
}
