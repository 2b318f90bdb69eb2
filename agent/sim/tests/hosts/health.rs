//! The health of every built-in host: no false alarm on those that are well, and a kernel log that is heard.

use model::driver::DriverSource;
use model::health::HealthState;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::show::apply;
use model::judge::{ObservationMeta, judge};
use model::observation::{HostObservation, RawObservation};
use model::ports::{HostPort, KernelLogPort};
use model::time::{BootMillis, UnixMillis};
use sim::description::{LinkCapability, SimHealth};
use sim::{BUILT_IN, SimHost, SimKernelLog, load};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What an observer of the host would publish, with all that its kernel has logged.
fn observed(host: &SimHost, log: &mut KernelLog, reader: &mut SimKernelLog) -> HostObservation {
    observed_after(host, log, reader, None)
}

fn observed_after(
    host: &SimHost,
    log: &mut KernelLog,
    reader: &mut SimKernelLog,
    before: Option<&HostObservation>,
) -> HostObservation {
    log.hear();
    while let Some(lines) = now(reader.next_lines()) {
        lines.unwrap().iter().for_each(|line| {
            log.take(line);
        });
    }
    let scan = now(host.scan_pci()).unwrap().map_err(|fault| fault.to_string());
    let reports = [DriverSource::Nvml, DriverSource::Smi];
    let raw = RawObservation {
        scan,
        reports: reports.map(|source| (source, now(host.probe_driver(source)).unwrap(), 1)).into(),
        docker: now(host.read_docker()).unwrap(),
        host: now(host.read_host(None)).unwrap(),
    };
    let seen =
        ObservationMeta { sequence: 1, observed_at: UnixMillis(1_700_000_000_000), observed_boot: BootMillis(60_000) };
    let mut observation = judge(raw, seen, before);
    apply(&mut observation, log, AskedAt::default(), before);
    observation
}

fn of(name: &str) -> HostObservation {
    let host = SimHost::new(load(name).unwrap()).unwrap();
    observed(&host, &mut KernelLog::default(), &mut host.kernel_log())
}

/// Those that are ill on purpose: (host, address, code).
const ILL: [(&str, &str, &str); 6] = [
    ("hgx-h100", "0000:52:00.0", "thermal_slowdown"),
    ("hgx-h100", "0000:61:00.0", "ecc_uncorrected"),
    ("mixed-faults", "0000:65:00.0", "gpu_lost"),
    ("mixed-faults", "0000:65:00.0", "reset_required"),
    ("mixed-old-cards", "0000:06:00.0", "ecc_uncorrected"),
    ("no-iommu", "0000:0b:00.0", "pcie_width"),
];

#[test]
fn a_host_that_is_well_raises_no_alarm_and_one_that_is_ill_does() {
    let mut ill = Vec::new();
    for (name, _) in BUILT_IN {
        for gpu in of(name).gpus {
            let heard = gpu.driver.is_some() && gpu.health.state == HealthState::Unknown;
            assert!(!heard, "{name} {}: its driver was heard", gpu.pci.address);
            if gpu.health.state > HealthState::Ok {
                let address = gpu.pci.address.to_string();
                ill.extend(gpu.health.codes().into_iter().map(|code| (name, address.clone(), code)));
            }
        }
    }
    let expected = ILL.map(|(name, address, code)| (name, address.to_owned(), code.to_owned()));
    assert_eq!(ill, expected);
}

#[test]
fn an_xid_now_is_read_now() {
    let host = SimHost::new(load("dgx-a100").unwrap()).unwrap();
    let (mut log, mut reader) = (KernelLog::default(), host.kernel_log());
    let address = "0000:07:00.0".parse().unwrap();
    let state = |seen: &HostObservation| seen.gpu(address).unwrap().health.gist();
    assert_eq!(state(&observed(&host, &mut log, &mut reader)).0, HealthState::Ok);
    host.change(|state| state.xid(address, 79, 30.0)).unwrap();
    let (health, codes) = state(&observed(&host, &mut log, &mut reader));
    assert_eq!((health, codes), (HealthState::Failed, vec!["gpu_lost".to_owned(), "xid_79".to_owned()]));
    assert!(host.change(|state| state.xid("0000:ff:00.0".parse().unwrap(), 79, 31.0)).is_err());
}

/// A T4 that its cloud wired with eight of sixteen lanes: no fault, until it runs on fewer than it had.
#[test]
fn lanes_that_a_guest_never_had_are_not_missed() {
    let mut description = load("t4-cloud-vm").unwrap();
    description.gpus[0].link_now = Some(LinkCapability { generation: 3, width: 8 });
    let host = SimHost::new(description).unwrap();
    let look = |before: Option<&HostObservation>| {
        let seen = observed(&host, &mut KernelLog::default(), &mut host.kernel_log());
        let raw = RawObservation {
            scan: now(host.scan_pci()).unwrap().map_err(|fault| fault.to_string()),
            reports: vec![(DriverSource::Nvml, now(host.probe_driver(DriverSource::Nvml)).unwrap(), 1)],
            docker: seen.docker,
            host: seen.host,
        };
        let moment = ObservationMeta { sequence: 2, observed_at: seen.observed_at, observed_boot: seen.observed_boot };
        let mut now = judge(raw, moment, before);
        apply(&mut now, &KernelLog::default(), AskedAt::default(), before);
        now
    };
    let first = look(None);
    assert_eq!(first.gpus[0].health.gist(), (HealthState::Ok, Vec::new()));
    let address = first.gpus[0].pci.address;
    host.change(|state| {
        let link = state.bus.functions.get_mut(&address).unwrap().link.as_mut().unwrap();
        link.now.width = 4;
    });
    assert_eq!(look(Some(&first)).gpus[0].health.codes(), ["pcie_width"]);
}

#[test]
fn a_gpu_that_is_given_away_keeps_what_its_driver_said() {
    let host = SimHost::new(load("dgx-a100").unwrap()).unwrap();
    let (mut log, mut reader) = (KernelLog::default(), host.kernel_log());
    let address = "0000:b7:00.0".parse().unwrap();
    let state = |seen: &HostObservation| seen.gpu(address).unwrap().health.gist();
    host.change(|state| state.set_health(address, SimHealth::ResetRequired)).unwrap();
    let before = observed(&host, &mut log, &mut reader);
    let ill = (HealthState::Failed, vec!["reset_required".to_owned()]);
    assert_eq!(state(&before), ill);
    let bind = |driver: &str| {
        host.change(|state| {
            state.set_persistence(address, false)?;
            state.unbind(address)?;
            state.set_driver_override(address, driver)?;
            state.probe(address)
        })
        .unwrap();
    };
    bind("vfio-pci");
    let given = observed_after(&host, &mut log, &mut reader, Some(&before));
    assert!(given.gpu(address).unwrap().pci.is_bound_to("vfio-pci"));
    assert_eq!(state(&given), ill);
    bind("");
    let back = observed_after(&host, &mut log, &mut reader, Some(&given));
    assert_eq!(state(&back), ill, "its driver says it again");
    host.change(|state| state.set_health(address, SimHealth::Ok)).unwrap();
    let well = observed_after(&host, &mut log, &mut reader, Some(&back));
    assert_eq!(state(&well), (HealthState::Ok, Vec::new()));
}
