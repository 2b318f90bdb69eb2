//! How GPUs get into containers once driver and toolkit are ready: links, a CDI specification that follows the host, and one probe.

use crate::life::{Life, both, none};
use model::cdi::{CdiGpu, cdi_state};
use model::nvidia_container::{NvidiaAct, NvidiaFault, NvidiaHold, NvidiaPhase, NvidiaRole, ToolkitProbe, ToolkitWay};

pub(crate) fn gpu(number: u32) -> CdiGpu {
    CdiGpu {
        address: format!("0000:{:02x}:00.0", 0x41 + number).parse().unwrap(),
        uuid: Some(format!("GPU-{number:08x}-aaaa-4000-8000-000000000001")),
        index: Some(number),
        minor: Some(number),
        mig: None,
    }
}

/// Two GPUs, and a Docker that reads CDI specifications.
fn with_cdi() -> Life {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.gpu_access.gpus = vec![gpu(0), gpu(1)];
    life.docker.gpu_access.reads_cdi = true;
    life.settle(&[]);
    life
}

/// Every GPU of the host can be given by CDI, and nothing that is in a file is stale.
fn is_fresh(life: &Life) -> bool {
    let (docker, host) = (life.docker.facts().unwrap(), life.docker.cdi_host());
    let state = cdi_state(&docker, &host);
    let wanted: Vec<&str> = host.gpus.iter().flat_map(CdiGpu::wanted).collect();
    !wanted.is_empty() && state.lacks.is_empty() && wanted.iter().all(|name| state.lack(name).is_none())
}

fn steps(life: &Life, from: usize) -> Vec<String> {
    let is_access = |act: &&NvidiaAct| matches!(act, NvidiaAct::Cdi(_) | NvidiaAct::Probe { .. });
    life.deeds.iter().skip(from).filter(is_access).map(ToString::to_string).collect()
}

const LINK: &str = "link NVIDIA's device files in /dev/char";
const SPEC: &str = "generate /var/run/cdi/gpuhostd-nvidia.json";
const PROBE: &str = "start a container with a GPU as a probe";

#[test]
fn a_toolkit_is_ready_once_a_container_has_seen_a_gpu() {
    let life = with_cdi();
    assert_eq!(life.phases(), ("ready", "ready"), "{:?}", life.shows());
    assert_eq!(steps(&life, 0), [LINK, SPEC, PROBE]);
    assert!(is_fresh(&life) && life.docker.gpu_access.is_linked);
    assert_eq!(life.docker.gpu_access.probes, [ToolkitWay::Cdi]);
}

#[test]
fn a_docker_without_cdi_is_probed_by_its_runtime_and_gets_no_specification() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.gpu_access.gpus = vec![gpu(0)];
    life.settle(&[]);
    assert_eq!((life.phases(), steps(&life, 0)), (("ready", "ready"), vec![LINK.to_owned(), PROBE.to_owned()]));
    assert_eq!(life.docker.gpu_access.probes, [ToolkitWay::Runtime]);
}

#[test]
fn where_no_gpu_answers_nothing_is_probed() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.gpu_access.reads_cdi = true;
    life.settle(&[]);
    assert_eq!((life.phases(), steps(&life, 0)), (("ready", "ready"), vec![LINK.to_owned()]));
}

#[test]
fn nothing_is_done_again_while_nothing_has_changed_also_by_a_new_daemon() {
    let mut life = with_cdi();
    let before = life.deeds.len();
    life.settle(&[]);
    life.forget_answers();
    life.settle(&[]);
    assert_eq!(steps(&life, before), Vec::<String>::new());
}

#[test]
fn the_specification_follows_what_happens_to_the_gpus() {
    type Change = fn(&mut Life);
    let changes: [(&str, Change); 5] = [
        ("one is given to a virtual machine", |life| life.docker.gpu_access.gpus.truncate(1)),
        ("one is plugged in", |life| life.docker.gpu_access.gpus.push(gpu(2))),
        ("one is cut into MIG devices", |life| {
            life.docker.gpu_access.gpus[0].mig = Some(vec!["MIG-1".to_owned(), "MIG-2".to_owned()]);
        }),
        ("the MIG devices are others", |life| {
            life.docker.gpu_access.gpus[0].mig = Some(vec!["MIG-3".to_owned()]);
        }),
        ("somebody removes the file", |life| life.docker.gpu_access.spec = None),
    ];
    let mut life = with_cdi();
    for (what, change) in changes {
        let before = life.deeds.len();
        change(&mut life);
        assert!(!is_fresh(&life), "{what}");
        life.settle(&[]);
        assert!(is_fresh(&life), "{what}: {:?}", life.shows());
        assert_eq!(steps(&life, before), [SPEC], "{what}");
        assert_eq!(life.phases(), ("ready", "ready"), "{what}");
    }
}

#[test]
fn after_another_driver_and_after_a_boot_all_of_it_is_made_again() {
    let mut life = with_cdi();
    let before = life.deeds.len();
    life.wish = both("2", "v1.17.8");
    life.settle(&[]);
    assert_eq!(steps(&life, before), [LINK, SPEC, PROBE]);
    let before = life.deeds.len();
    life.docker.reboot();
    life.boots += 1;
    life.settle(&[]);
    assert_eq!(
        (life.phases(), steps(&life, before)),
        (("ready", "ready"), [LINK, SPEC, PROBE].map(str::to_owned).to_vec())
    );
    assert!(is_fresh(&life));
}

#[test]
fn another_toolkit_is_probed_again() {
    let mut life = with_cdi();
    let before = life.deeds.len();
    life.wish = both("1", "v1.19.0");
    life.settle(&[]);
    assert_eq!(steps(&life, before), [PROBE]);
}

#[test]
fn libraries_without_a_device_are_a_failure_of_their_own_that_heals_by_itself() {
    let shown: [(ToolkitProbe, NvidiaFault, &str); 2] = [
        (ToolkitProbe::NoDevice, NvidiaFault::NoDevice, "device node"),
        (
            ToolkitProbe::Refused { why: "unresolvable CDI devices".to_owned() },
            NvidiaFault::ProbeRefused,
            "unresolvable",
        ),
    ];
    for (probe, expected, word) in shown {
        let mut life = with_cdi();
        life.docker.gpu_access.probe = probe;
        life.docker.gpu_access.probes.clear();
        life.wish = both("1", "v1.19.0");
        for _ in 0..200 {
            let wake = life.turn(None);
            life.docker.advance_to(wake.unwrap_or(life.docker.now.plus(60_000)));
        }
        let NvidiaPhase::Failed { fault, reason, retry_at } = &life.shows().toolkit.phase else {
            panic!("{:?}", life.shows())
        };
        assert!(*fault == expected && reason.contains(word) && retry_at.is_some(), "{fault} {reason}");
        let tries = life.docker.gpu_access.probes.len();
        assert!((5..30).contains(&tries), "{tries} probes with pauses between");
        life.docker.gpu_access.probe = ToolkitProbe::Device;
        life.settle(&[]);
        assert_eq!(life.phases(), ("ready", "ready"));
    }
}

#[test]
fn a_new_toolkit_does_not_wait_for_the_pauses_of_the_one_before() {
    let mut life = with_cdi();
    life.docker.gpu_access.probe = ToolkitProbe::NoDevice;
    life.wish = both("1", "v1.19.0");
    let probes = |life: &Life| life.docker.gpu_access.probes.len();
    // Until the pauses are minutes long, and one has just begun.
    let enough = probes(&life) + 12;
    while probes(&life) < enough {
        let wake = life.turn(None);
        life.docker.advance_to(wake.unwrap_or(life.docker.now.plus(60_000)));
    }
    let (before, begun) = (probes(&life), life.docker.now);
    life.wish = both("1", "v1.17.8");
    while probes(&life) == before {
        let wake = life.turn(None);
        life.docker.advance_to(wake.unwrap_or(life.docker.now.plus(60_000)));
    }
    assert!(life.docker.now.since(begun) < 150_000, "{} ms", life.docker.now.since(begun));
}

#[test]
fn a_generator_that_fails_is_asked_with_pauses_and_again_for_another_host() {
    for forgets in [false, true] {
        let mut life = Life::new(both("1", "v1.17.8"));
        life.docker.gpu_access.gpus = vec![gpu(0)];
        life.docker.gpu_access.reads_cdi = true;
        life.docker.gpu_access.generator_forgets = forgets;
        life.docker.gpu_access.generator_fails = (!forgets).then(|| "failed to initialize NVML".to_owned());
        life.settle(&[]);
        assert_eq!((life.docker.gpu_access.generated, life.phases()), (5, ("ready", "ready")), "the runtime works");
        let hold = life.shows().toolkit.hold.clone();
        let is_named = |reason: &str| reason.contains("gpuhostd-nvidia.json") && (forgets || reason.contains("NVML"));
        assert!(matches!(&hold, Some(NvidiaHold::HostStepFailed { reason }) if is_named(reason)), "{hold:?}");
        assert_eq!(life.docker.gpu_access.probes, [ToolkitWay::Runtime]);
        (life.docker.gpu_access.generator_fails, life.docker.gpu_access.generator_forgets) = (None, false);
        life.settle(&[]);
        assert_eq!(life.docker.gpu_access.generated, 5, "given up for this host");
        life.docker.gpu_access.gpus.push(gpu(1));
        life.settle(&[]);
        assert!(is_fresh(&life) && life.shows().toolkit.hold.is_none());
    }
}

#[test]
fn a_policy_without_cdi_has_no_specification_made() {
    let mut life = Life::new(both("1", "v1.17.8"));
    life.docker.gpu_access.gpus = vec![gpu(0)];
    (life.docker.gpu_access.reads_cdi, life.policy.cdi) = (true, false);
    life.settle(&[]);
    assert_eq!((life.docker.gpu_access.generated, life.phases()), (0, ("ready", "ready")));
}

#[test]
fn a_disabled_toolkit_is_neither_probed_nor_described() {
    let mut life = with_cdi();
    life.wish = none();
    let before = life.deeds.len();
    life.settle(&[]);
    life.docker.gpu_access.gpus.push(gpu(1));
    life.settle(&[]);
    assert_eq!(steps(&life, before), Vec::<String>::new());
    assert_eq!(life.running(NvidiaRole::Toolkit), None);
}
