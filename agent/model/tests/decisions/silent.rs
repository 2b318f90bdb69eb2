//! A GPU for which the driver does not answer while it answers for others: it is named with its own reason, and costs only itself.

use crate::world::{at, failed, nvidia, raw, report, said, seen};
use model::absence::Absence;
use model::driver::{DriverSource, SilentGpu};
use model::health::HealthState;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::show::apply;
use model::judge::{judge, needs_smi};
use model::observation::{ChainLink, HostObservation, RawObservation};

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";
const C: &str = "0000:43:00.0";

fn silent(why: Absence, said: &str) -> SilentGpu {
    SilentGpu { address: at(B), why, said: said.to_owned() }
}

/// Three GPUs, of which NVML answers for two.
fn host(gpu: SilentGpu) -> RawObservation {
    let mut host = raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2), nvidia(C, "nvidia", 3)], &[A, C]);
    host.reports[0].1.as_mut().unwrap().silent.push(gpu);
    host
}

fn shown(host: RawObservation) -> HostObservation {
    let mut observation = judge(host, seen(1), None);
    apply(&mut observation, &KernelLog::default(), AskedAt::default(), None);
    observation
}

fn message(observation: &HostObservation, kind: &str) -> Option<String> {
    observation.conditions.iter().find(|held| held.kind == kind).map(|held| held.message.clone())
}

#[test]
fn the_others_are_whole_and_it_is_named_with_its_own_reason() {
    let observation =
        shown(host(silent(Absence::UnknownError, "NVML does not answer for its GPU at 0000:42:00.0: unknown error")));
    let [one, ill, other] = observation.gpus.as_slice() else { panic!("{observation:?}") };
    for well in [one, other] {
        assert!(well.driver.is_some() && well.driver_absence.is_none() && well.schedulable, "{well:?}");
        assert_eq!(well.health.state, HealthState::Ok);
    }
    assert_eq!((ill.driver_absence.as_ref(), ill.schedulable), (Some(&Absence::UnknownError), false));
    let link = ill.first_broken_link().unwrap();
    assert_eq!(link.link, ChainLink::Nvml);
    assert!(link.reason.as_deref().unwrap().contains("unknown error"), "{link:?}");
    assert!(link.remedy.as_deref().unwrap().contains(B), "{link:?}");
    assert_eq!((ill.health.state, ill.health.reasons[0].code.as_str()), (HealthState::Failed, "driver_silent"));
    let unavailable = message(&observation, "driver_unavailable").unwrap();
    assert!(unavailable.contains(B) && !unavailable.contains(A) && !unavailable.contains(C), "{unavailable}");
}

#[test]
fn how_ill_it_is_follows_from_what_was_said() {
    for (why, state, code) in [
        (Absence::GpuLost, HealthState::Failed, Some("gpu_lost")),
        (Absence::ResetRequired, HealthState::Failed, Some("reset_required")),
        (Absence::ProbeFailed, HealthState::Failed, Some("driver_silent")),
        // It may only be slow to open.
        (Absence::ProbeTimeout, HealthState::Degraded, Some("driver_silent")),
        // Our own want of rights says nothing of it.
        (Absence::NoPermission, HealthState::Unknown, None),
        (Absence::NotProbed, HealthState::Unknown, None),
    ] {
        let observation = shown(host(silent(why.clone(), "a sentence")));
        let ill = &observation.gpus[1];
        let told = ill.health.reasons.first().map(|reason| reason.code.as_str());
        assert_eq!((ill.health.state, told), (state, code), "{why:?}");
        assert_eq!(ill.driver_absence.as_ref(), Some(&why));
        // One that was not reached is no fault: it is asked the next time.
        assert_eq!(message(&observation, "driver_unavailable").is_some(), why != Absence::NotProbed, "{why:?}");
    }
}

#[test]
fn nvidia_smi_is_not_asked_for_a_gpu_that_nvml_hangs_over() {
    let host = host(silent(Absence::ProbeTimeout, "it hangs"));
    assert!(!needs_smi(host.scan.as_ref().ok(), &host.reports[0].1));
    // Where NVML says nothing of it at all, it is.
    let mut unknown = host;
    unknown.reports[0].1.as_mut().unwrap().silent.clear();
    assert!(needs_smi(unknown.scan.as_ref().ok(), &unknown.reports[0].1));
}

#[test]
fn a_source_that_has_facts_of_it_outweighs_one_that_has_not() {
    let mut host = host(silent(Absence::NoPermission, "closed"));
    host.reports.push((DriverSource::Smi, Ok(report(DriverSource::Smi, vec![said(B)])), 1));
    let observation = shown(host);
    assert!(observation.gpus[1].driver.is_some() && observation.gpus[1].silence.is_none());
    assert_eq!(observation.gpus[1].health.state, HealthState::Ok);
}

/// nvidia-smi gives up all GPUs because of one: that one has the reason, whoever asked.
#[test]
fn the_gpu_that_a_failure_names_has_its_reason() {
    let words = "Unable to determine the device handle for GPU2: 0000:42:00.0: GPU is lost.  Reboot the system to recover this GPU";
    let mut host = raw(vec![nvidia(A, "nvidia", 1), nvidia(B, "nvidia", 2)], &[]);
    host.reports = vec![(DriverSource::Smi, Err(failed(words)), 1)];
    let observation = shown(host);
    let [other, lost] = observation.gpus.as_slice() else { panic!("{observation:?}") };
    assert_eq!(
        (lost.driver_absence.as_ref(), other.driver_absence.as_ref()),
        (Some(&Absence::GpuLost), Some(&Absence::ProbeFailed))
    );
    assert_eq!((lost.health.state, other.health.state), (HealthState::Failed, HealthState::Unknown));
    let unavailable = message(&observation, "driver_unavailable").unwrap();
    assert!(unavailable.contains(B) && !unavailable.contains("container"), "{unavailable}");
}
