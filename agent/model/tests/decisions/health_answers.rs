//! What a look at the host takes back, and what it must not forget: a GPU that is given away keeps what was said of it.

use super::world::{at, nvidia, raw, report, said, seen};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverSource};
use model::health::HealthState::{self, Degraded, Failed, Unknown};
use model::health::facts::HealthFacts;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::over::Evidence;
use model::health::show::apply;
use model::judge::judge;
use model::metric::Metrics;
use model::observation::{HostObservation, RawObservation};
use model::pci::RuntimeStatus;
use model::time::BootMillis;

const A: &str = "0000:41:00.0";

/// A log of these texts, each with the instant at which it was read.
fn log(lines: &[(u64, &str)]) -> KernelLog {
    let mut log = KernelLog::default();
    log.hear();
    for (read, text) in lines {
        log.reads_at(BootMillis(*read));
        // The clock of the records runs apart: it says nothing of the order.
        log.take(&format!("3,1,2000000,-;{text}\n"));
    }
    log
}

/// The GPU bound to this driver, with what NVML says of it.
fn bound(driver: &str, says: Option<DriverGpu>) -> RawObservation {
    let mut round = raw(vec![nvidia(A, driver, 1)], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, says.into_iter().collect())), 3)];
    round
}

fn look(round: RawObservation, log: &KernelLog, asked: u64, before: Option<&HostObservation>) -> HostObservation {
    let mut observation = judge(round, seen(before.map_or(1, |before| before.sequence + 1)), before);
    let asked = AskedAt { bus: BootMillis(asked), driver: BootMillis(asked) };
    apply(&mut observation, log, asked, before);
    observation
}

fn health(host: &HostObservation) -> (HealthState, String) {
    let (state, codes) = host.gpus[0].health.gist();
    (state, codes.join(" "))
}

fn is(state: HealthState, codes: &str) -> (HealthState, String) {
    (state, codes.to_owned())
}

fn lost() -> DriverGpu {
    DriverGpu { metrics: Metrics { temperature_c: Reading::Absent(Absence::GpuLost), ..said(A).metrics }, ..said(A) }
}

#[test]
fn a_change_forgets_nothing_that_the_driver_said() {
    let none = log(&[]);
    let before = look(bound("nvidia", Some(lost())), &none, 100, None);
    assert_eq!(health(&before), is(Failed, "gpu_lost"));
    let given = look(bound("vfio-pci", None), &none, 200, Some(&before));
    assert_eq!(health(&given), is(Failed, "gpu_lost"), "nobody has said that it is back");
    assert_eq!(given.gpus[0].health.reasons[0].since, before.gpus[0].health.reasons[0].since);
    assert!(given.conditions.iter().any(|held| held.kind == "gpu_health_failed"));
    let later = look(bound("vfio-pci", None), &none, 300, Some(&given));
    assert_eq!(health(&later), is(Failed, "gpu_lost"), "however long it is away");
    let back = look(bound("nvidia", Some(said(A))), &none, 400, Some(&later));
    assert_eq!(health(&back), is(HealthState::Ok, ""), "the driver's next word");
    let silent = look(bound("nvidia", None), &none, 500, Some(&before));
    assert_eq!(health(&silent), is(Failed, "gpu_lost"), "a round in which NVML did not answer");
}

#[test]
fn what_was_measured_is_not_kept_and_what_waits_for_a_reset_is() {
    let none = log(&[]);
    let says = DriverGpu {
        metrics: Metrics { throttle: Reading::Known(vec!["hw_thermal_slowdown".to_owned()]), ..said(A).metrics },
        health_facts: HealthFacts {
            row_remap_pending: Reading::Known(true),
            row_remap_failed: Reading::Known(true),
            ..HealthFacts::default()
        },
        ..said(A)
    };
    let before = look(bound("nvidia", Some(says)), &none, 100, None);
    assert_eq!(health(&before), is(Failed, "row_remap_failed row_remap_pending thermal_slowdown"));
    let given = look(bound("vfio-pci", None), &none, 200, Some(&before));
    assert_eq!(health(&given), is(Failed, "row_remap_failed row_remap_pending"), "it may have cooled down");
    let reset = log(&[(250, "vfio-pci 0000:41:00.0: resetting"), (251, "vfio-pci 0000:41:00.0: reset done")]);
    let after = look(bound("vfio-pci", None), &reset, 300, Some(&given));
    assert_eq!(health(&after), is(Failed, "row_remap_failed"), "no reset brings a spare row");
}

#[test]
fn the_table_holds_for_what_the_driver_said_too() {
    let before = look(bound("nvidia", Some(lost())), &log(&[]), 100, None);
    let over = |lines: &[(u64, &str)]| health(&look(bound("vfio-pci", None), &log(lines), 300, Some(&before)));
    assert_eq!(over(&[(200, "vfio-pci 0000:41:00.0: reset done")]), is(Unknown, ""));
    assert_eq!(over(&[(200, "pci 0000:41:00.0: [10de:2330] type 00 class 0x030200")]), is(Unknown, ""));
    assert_eq!(
        over(&[(50, "vfio-pci 0000:41:00.0: reset done")]),
        is(Failed, "gpu_lost"),
        "a reset before it was lost"
    );
    assert_eq!(over(&[(200, "vfio-pci 0000:42:00.0: reset done")]), is(Failed, "gpu_lost"), "another GPU's");
    let gave_up = "vfio-pci 0000:41:00.0: not ready 65535ms after FLR; giving up";
    let failed =
        [(200, "vfio-pci 0000:41:00.0: resetting"), (201, gave_up), (202, "vfio-pci 0000:41:00.0: reset done")];
    assert_eq!(over(&failed), is(Failed, "device_not_ready gpu_lost"));
}

#[test]
fn a_finding_of_the_log_survives_a_change_too() {
    let log = log(&[(50, "NVRM: Xid (PCI:0000:41:00): 48, pid=1, name=a, DBE")]);
    let before = look(bound("nvidia", Some(said(A))), &log, 100, None);
    let given = look(bound("vfio-pci", None), &log, 200, Some(&before));
    let back = look(bound("nvidia", Some(said(A))), &log, 300, Some(&given));
    for host in [&before, &given, &back] {
        assert_eq!(health(host), is(Failed, "xid_48"));
    }
}

#[test]
fn a_driver_that_answers_later_has_initialised_the_gpu() {
    let failed = log(&[(100, "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x22:0x56:667)")]);
    let silent = look(bound("nvidia", None), &failed, 110, None);
    assert_eq!(health(&silent), is(Failed, "init_failed"));
    let early = look(bound("nvidia", Some(said(A))), &failed, 90, None);
    assert_eq!(health(&early), is(Failed, "init_failed"), "it was asked before");
    let now = look(bound("nvidia", Some(said(A))), &failed, 120, Some(&silent));
    assert_eq!(health(&now), is(HealthState::Ok, ""));
    let given = look(bound("vfio-pci", None), &failed, 130, Some(&now));
    assert_eq!(health(&given), is(Unknown, ""), "what was taken back does not come again");
    let again = log(&[
        (100, "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (1)"),
        (125, "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (1)"),
    ]);
    assert_eq!(
        health(&look(bound("nvidia", None), &again, 126, Some(&now))),
        is(Failed, "init_failed"),
        "it failed again"
    );
    let lists = DriverGpu {
        metrics: Metrics { temperature_c: Reading::Absent(Absence::NotSupported), ..said(A).metrics },
        ..said(A)
    };
    assert_eq!(
        health(&look(bound("nvidia", Some(lists)), &failed, 120, None)).0,
        Failed,
        "to be listed is not to work"
    );
    assert!(Evidence::DriverAnswers.row().is_some_and(|row| row.ends.len() == 6), "each kind below");
    for (line, ends) in [
        ("NVRM: The NVIDIA GPU 0000:41:00.0 fallen off the bus and is not responding to commands.", true),
        ("nvidia 0000:41:00.0: Unable to change power state from D3cold to D0, device inaccessible", true),
        ("nvidia 0000:41:00.0: not ready 65535ms after resume; giving up", true),
        ("iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:41:00.0 address=0x1]", true),
        ("NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.", false),
        ("NVRM: Xid (PCI:0000:41:00): 48, DBE", false),
        ("pcieport 0000:40:01.1: AER: Uncorrected (Fatal) error received: 0000:41:00.0", false),
    ] {
        let host = look(bound("nvidia", Some(said(A))), &log(&[(100, line)]), 120, None);
        assert_eq!(host.gpus[0].health.state == HealthState::Ok, ends, "{line}");
    }
}

#[test]
fn a_configuration_space_that_is_read_later_is_there() {
    let gone =
        log(&[(100, "vfio-pci 0000:41:00.0: Unable to change power state from D3cold to D0, device inaccessible")]);
    let mut round = bound("vfio-pci", None);
    round.scan.as_mut().unwrap().gpus[0].state.responds = Reading::Known(true);
    assert_eq!(health(&look(round.clone(), &gone, 90, None)), is(Failed, "device_inaccessible"), "it was read before");
    assert_eq!(health(&look(round.clone(), &gone, 120, None)), is(Unknown, ""));
    round.scan.as_mut().unwrap().gpus[0].state.responds = Reading::Absent(Absence::GpuAsleep);
    assert_eq!(health(&look(round, &gone, 120, None)), is(Failed, "device_inaccessible"), "it was not read");
}

#[test]
fn what_breaks_the_chain_at_the_bus_has_failed() {
    let with = |change: fn(&mut model::pci::GpuFunction)| {
        let mut round = bound("vfio-pci", None);
        change(&mut round.scan.as_mut().unwrap().gpus[0]);
        look(round, &log(&[]), 100, None)
    };
    let dead = with(|gpu| gpu.state.responds = Reading::Known(false));
    assert_eq!(health(&dead), is(Failed, "fallen_off_bus"));
    let dark = with(|gpu| {
        gpu.power_state = Reading::Known("D3cold".to_owned());
        gpu.state.runtime = Reading::Known(RuntimeStatus::Error);
    });
    assert_eq!(health(&dark), is(Failed, "no_power"));
    for host in [dead, dark] {
        let gpu = &host.gpus[0];
        let broken = gpu.first_broken_link().unwrap();
        let reason = &gpu.health.reasons[0];
        assert_eq!((Some(&reason.message), Some(&reason.remedy)), (broken.reason.as_ref(), broken.remedy.as_ref()));
        assert!(host.conditions.iter().any(|held| held.kind == "gpu_health_failed" && held.message.contains(A)));
    }
    let asleep = with(|gpu| {
        gpu.power_state = Reading::Known("D3cold".to_owned());
        gpu.state.runtime = Reading::Known(RuntimeStatus::Suspended);
    });
    assert_eq!(health(&asleep).0, Unknown, "the kernel put it to sleep");
}

#[test]
fn a_code_that_weighs_two_ways_is_one_reason_the_graver() {
    let log = log(&[
        (1, "NVRM: Xid (PCI:0000:41:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 11 (0x00000006)"),
        (2, "NVRM: Xid (PCI:0000:41:00): 94, Contained"),
        (3, "NVRM: Xid (PCI:0000:41:00): 145, RLW_SRC_TRACK Fatal XC0 i0 Link 11 (0x00000007)"),
    ]);
    let host = look(bound("nvidia", Some(said(A))), &log, 100, None);
    assert_eq!(health(&host), is(Failed, "xid_145 xid_94"));
    assert_eq!(host.gpus[0].health.reasons[1].state, Degraded);
    assert!(host.gpus[0].health.reasons[0].message.ends_with("fatal"), "{:?}", host.gpus[0].health.reasons);
    assert!(!host.gpus[0].schedulable);
}

#[test]
fn a_reason_told_of_a_port_names_the_port() {
    let log = log(&[
        (1, "pci 0000:40:01.1: PCI bridge to [bus 41]"),
        (2, "pcieport 0000:40:01.1: DPC: containment event, status:0x1f01 source:0x0000"),
    ]);
    let host = look(bound("nvidia", None), &log, 100, None);
    assert_eq!(host.gpus[0].pci.address, at(A));
    let reason = &host.gpus[0].health.reasons[0];
    assert_eq!(reason.code, "dpc_contained");
    assert!(reason.message.starts_with("port 0000:40:01.1: "), "{}", reason.message);
}
