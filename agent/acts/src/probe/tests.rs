//! What is made of a disposable process's last words. The process itself runs in a test of its own.

use super::*;
use crate::child_fault::run_fault;
use spawn::RunError;
use std::io::ErrorKind;
use std::process::ExitStatus;

fn of(status: i32, stderr: &str) -> Option<ProbeError> {
    let (stdout, stderr) = (Vec::new(), stderr.as_bytes().to_vec());
    ended_badly("NVML", &Finished { status: ExitStatus::from_raw(status), stdout, stderr })
}

#[test]
fn a_bad_end_is_what_it_was() {
    assert_eq!(of(0, "all is well"), None);
    let fault = of(5 << 8, "  out of\x07 memory\n").unwrap();
    assert!(matches!(&fault, ProbeError::Failed { status: 5, said, .. } if said == "out of memory"), "{fault:?}");
    assert!(matches!(of(11, ""), Some(ProbeError::Crashed { signal: 11, .. })));
}

#[test]
fn each_end_of_a_child_is_a_fault_of_its_own() {
    let start = |kind: ErrorKind| RunError::Start { path: "/x".into(), source: kind.into() };
    for (fault, code) in [
        (start(ErrorKind::NotFound), "absent"),
        (start(ErrorKind::PermissionDenied), "failed"),
        (RunError::Timeout { after: Duration::from_millis(7) }, "timeout"),
        (RunError::Stuck { pid: 7 }, "stuck"),
        (RunError::TooMuch { stream: "output", max_bytes: 7 }, "garbled"),
        (RunError::Supervision(std::io::Error::from_raw_os_error(5)), "failed"),
        (RunError::Abandoned, "hand_unavailable"),
    ] {
        let fault = run_fault("tool", &fault);
        assert_eq!(fault.code(), code, "{fault}");
        assert!(fault.to_string().contains("tool"), "{fault}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn each_source_is_asked_in_its_own_way() {
    let probes = Probes::new(Own::at("/no/such/child"), Path::new("/no/such/sys"));
    let settings = NvidiaSettings { smi_paths: vec!["/no/such/nvidia-smi".to_owned()], ..NvidiaSettings::default() };
    let nvml = probes.run(DriverSource::Nvml, &settings).await.unwrap_err();
    assert!(nvml.code() == "absent" && nvml.to_string().contains("/no/such/child"), "{nvml}");
    let smi = probes.run(DriverSource::Smi, &settings).await.unwrap_err();
    assert!(smi.code() == "absent" && smi.to_string().contains("/no/such/nvidia-smi"), "{smi}");
    let container = probes.run(DriverSource::SmiInDriverContainer, &settings).await.unwrap_err();
    assert_eq!(container.code(), "hand_unavailable");
    assert!(probes.stuck().is_empty());
}
