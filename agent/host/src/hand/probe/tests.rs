//! What is made of a disposable process's last words. The process itself runs in a test of its own.

use super::*;
use model::absence::Reading;
use std::process::ExitStatus;

const REPORT: &str = r#"{"report":{"Ok":{"source":"nvml","driver_version":{"known":"1.2"},"cuda_version":{"absent":"not_reported"},"gpus":[],"problems":[]}}}"#;

fn of(status: i32, stdout: &str, stderr: &str) -> Result<DriverReport, ProbeFault> {
    let (stdout, stderr) = (stdout.as_bytes().to_vec(), stderr.as_bytes().to_vec());
    answer("NVML", &Finished { status: ExitStatus::from_raw(status), stdout, stderr })
}

#[test]
fn the_report_is_found_among_noise() {
    for text in [
        REPORT.to_owned(),
        format!("noise\n{REPORT}\n"),
        format!("{REPORT}\nlate noise"),
        format!("{{\n{REPORT}\n{{}}\n"),
    ] {
        assert_eq!(of(0, &text, "").unwrap().driver_version, Reading::Known("1.2".to_owned()), "{text}");
    }
}

#[test]
fn the_workers_own_fault_is_the_fault() {
    let text = r#"{"report":{"Err":{"fault":"absent","what":"libnvidia-ml.so.1","said":"no"}}}"#;
    assert_eq!(of(0, text, "").unwrap_err().code(), "absent");
}

#[test]
fn no_report_is_garbled_and_a_bad_end_is_what_it_was() {
    assert_eq!(of(0, "", "").unwrap_err().code(), "garbled");
    assert_eq!(of(0, "{\"report\": 7}", "").unwrap_err().code(), "garbled");
    let fault = of(5 << 8, REPORT, "  out of\x07 memory\n").unwrap_err();
    assert!(matches!(&fault, ProbeFault::Failed { status: 5, said, .. } if said == "out of memory"), "{fault:?}");
    assert!(matches!(of(11, REPORT, "").unwrap_err(), ProbeFault::Crashed { signal: 11, .. }));
}

#[test]
fn each_end_of_a_child_is_a_fault_of_its_own() {
    let start = |kind: ErrorKind| RunFault::Start { path: "/x".into(), source: kind.into() };
    for (fault, code) in [
        (start(ErrorKind::NotFound), "absent"),
        (start(ErrorKind::PermissionDenied), "failed"),
        (RunFault::Timeout { after: Duration::from_millis(7) }, "timeout"),
        (RunFault::Stuck { pid: 7 }, "stuck"),
        (RunFault::TooMuch { stream: "output", max_bytes: 7 }, "garbled"),
        (RunFault::Supervision(std::io::Error::from_raw_os_error(5)), "failed"),
        (RunFault::Abandoned, "hand_unavailable"),
    ] {
        let fault = run_fault("tool", fault);
        assert_eq!(fault.code(), code, "{fault}");
        assert!(fault.to_string().contains("tool"), "{fault}");
    }
}

#[test]
fn a_worker_with_other_arguments_does_nothing() {
    let failure = format!("{:?}", ExitCode::FAILURE);
    let calls: [&[&str]; 4] = [&[], &["nvml"], &["nvml", "not json"], &["nvidia_smi", "[]"]];
    for args in calls {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(format!("{:?}", child_main(&args)), failure, "{args:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn each_source_is_asked_in_its_own_way() {
    let probes = Probes::new("/no/such/worker", |_| panic!("nothing was written that could be parsed"));
    let settings = NvidiaSettings { smi_paths: vec!["/no/such/nvidia-smi".to_owned()], ..NvidiaSettings::default() };
    let nvml = probes.run(DriverSource::Nvml, &settings).await.unwrap_err();
    assert!(nvml.code() == "absent" && nvml.to_string().contains("/no/such/worker"), "{nvml}");
    let smi = probes.run(DriverSource::Smi, &settings).await.unwrap_err();
    assert!(smi.code() == "absent" && smi.to_string().contains("/no/such/nvidia-smi"), "{smi}");
    let container = probes.run(DriverSource::SmiInDriverContainer, &settings).await.unwrap_err();
    assert_eq!(container.code(), "hand_unavailable");
    assert!(probes.stuck().is_empty());
}
