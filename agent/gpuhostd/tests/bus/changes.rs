//! What a listener hears: one signal for a change, none for none, and objects that come and go.

use crate::rig::core::{Core, core};
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{PATIENCE, Served, block_on, client};
use futures_util::StreamExt;
use model::absence::{Absence, Reading};
use std::sync::Arc;
use std::time::Instant;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::{Message, MessageStream};

/// A signal, as `path member text-of-its-body`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    path: String,
    member: String,
    body: String,
}

async fn listen(client: &zbus::Connection) -> MessageStream {
    let rule =
        zbus::MatchRule::builder().msg_type(zbus::message::Type::Signal).sender("org.gpuhost.Agent1").build().unwrap();
    MessageStream::for_match_rule(rule, client, None).await.unwrap()
}

fn heard(message: &Message) -> Heard {
    let header = message.header();
    let body = message.body();
    let structure: zbus::wire::Structure<'_> = body.deserialize().unwrap();
    Heard {
        path: header.path().unwrap().to_string(),
        member: header.member().unwrap().to_string(),
        body: format!("{structure:?}"),
    }
}

/// Every signal up to the one that a marker (another boot id) causes, and that one.
async fn until_marker(core: &Core, client: &zbus::Connection, stream: &mut MessageStream, marker: &str) -> Vec<Heard> {
    seen(core, client).await;
    core.observe(|next| next.host.boot_id = Reading::Known(marker.to_owned()));
    let mut all = Vec::new();
    loop {
        let signal = next_one(stream).await;
        let last = signal.body.contains(marker);
        all.push(signal);
        if last {
            return all;
        }
    }
}

/// Waits until the face shows the newest observation: watches keep the newest state only, and what is published in one go is
/// announced in one go.
async fn seen(core: &Core, client: &zbus::Connection) {
    let newest = core.observation.borrow().sequence;
    let name = "org.gpuhost.Agent1";
    let properties =
        PropertiesProxy::builder(client).destination(name).path("/org/gpuhost/Agent1").build().await.unwrap();
    let interface = InterfaceName::try_from("org.gpuhost.Agent1.Host").unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let shown = properties.get(interface.clone(), "ObservationSequence").await.unwrap();
        if u64::try_from(shown).unwrap() == newest {
            return;
        }
        assert!(Instant::now() < end, "the observation {newest} is not shown");
    }
}

async fn next_one(stream: &mut MessageStream) -> Heard {
    heard(&tokio::time::timeout(PATIENCE, stream.next()).await.expect("a signal comes").unwrap().unwrap())
}

#[test]
fn a_change_of_health_is_announced_once() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        let xid = "NVRM: Xid (PCI:0000:41:00): 94, Contained";
        served.core.observe(|next| *next = hosts::after_log(next.clone(), xid));
        seen(&served.core, &client).await;
        served.core.observe(|next| *next = hosts::after_log(next.clone(), xid));
        let all = until_marker(&served.core, &client, &mut stream, "marker-h").await;
        let of_gpu: Vec<_> = all.iter().filter(|signal| signal.path.ends_with("0000_41_00_0")).collect();
        let [signal] = of_gpu.as_slice() else { panic!("one signal: {all:?}") };
        for part in ["Health", "degraded", "HealthReasons", "xid_94", "LastXid"] {
            assert!(signal.body.contains(part), "{part}: {signal:?}");
        }
        let conditions = all.iter().filter(|signal| signal.body.contains("gpu_health_degraded")).count();
        assert_eq!(conditions, 1, "the host's condition as well, once: {all:?}");
    });
}

#[test]
fn an_observation_that_shows_nothing_new_is_silent() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        served.core.observe(|next| {
            if let Some(driver) = next.gpus[0].driver.as_mut() {
                driver.metrics.temperature_c = Reading::Known(71.0);
            }
        });
        let all = until_marker(&served.core, &client, &mut stream, "marker-1").await;
        assert_eq!(all.len(), 1, "a temperature and a later observation announce nothing: {all:?}");
        assert!(!all[0].body.contains("Observ"), "{all:?}");
    });
}

#[test]
fn a_change_is_signalled_once_with_its_values() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        served.core.observe(|next| {
            next.gpus[0].schedulable = false;
            next.gpus[0].unschedulable_reason = Some(model::verdict_reasons::Unschedulable::GpuLost);
            next.gpus[0].pci.power_state = Reading::Absent(Absence::GpuLost);
        });
        let first = next_one(&mut stream).await;
        assert_eq!(first.path, "/org/gpuhost/Agent1/gpu/0000_41_00_0");
        assert_eq!(first.member, "PropertiesChanged");
        for part in ["Schedulable", "UnschedulableReason", "gpu_lost", "PowerState"] {
            assert!(first.body.contains(part), "{part} is missing: {}", first.body);
        }
        let invalidated = r#"Array { elements: [Str("PowerState")]"#;
        assert!(first.body.contains(invalidated), "what has no value any more is invalidated: {}", first.body);
        let rest = until_marker(&served.core, &client, &mut stream, "marker-2").await;
        let paths: Vec<_> = rest.iter().map(|signal| signal.path.as_str()).collect();
        assert_eq!(paths, ["/org/gpuhost/Agent1"; 2], "the host's counts change too, then the marker: {rest:?}");
        assert!(rest[0].body.contains("UsableGpuCount"), "{rest:?}");
    });
}

#[test]
fn objects_go_and_come_with_the_host() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        served.core.with_gpus(1);
        let gone = [next_one(&mut stream).await, next_one(&mut stream).await];
        assert!(gone.iter().all(|signal| signal.member == "InterfacesRemoved"), "{gone:?}");
        assert!(gone.iter().any(|signal| signal.body.contains("gpu/0000_c1_00_0")), "{gone:?}");
        assert!(gone.iter().any(|signal| signal.body.contains("iommu_group/18")), "{gone:?}");
        served.core.with_gpus(2);
        loop {
            let signal = next_one(&mut stream).await;
            if signal.member == "InterfacesAdded" && signal.body.contains("gpu/0000_c1_00_0") {
                assert!(signal.body.contains("10de:2330"), "the new object brings its values: {}", signal.body);
                break;
            }
        }
    });
}

#[test]
fn the_check_in_is_announced_and_its_counters_are_not() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        let mut status = model::enrol::CheckinStatus {
            state: model::enrol::CheckinState::Ok,
            manager: Some("manager.example:443".to_owned()),
            ..Default::default()
        };
        served.core.checkin.send_replace(Arc::new(status.clone()));
        let signal = next_one(&mut stream).await;
        assert!(signal.body.contains("manager.example:443") && signal.body.contains("ManagerState"), "{signal:?}");
        status.accepted = 7;
        served.core.checkin.send_replace(Arc::new(status));
        let all = until_marker(&served.core, &client, &mut stream, "marker-3").await;
        assert!(all.len() == 1 && !all[0].body.contains("Heartbeat"), "{all:?}");
    });
}

/// Who gets the path of a job can read the job: its object was announced on the same connection before the answer came.
#[test]
fn the_object_of_a_job_is_announced_before_its_path_comes_back() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let mut stream = listen(&client).await;
        for number in 1..=20 {
            let (name, root) = (Some("org.gpuhost.Agent1"), "/org/gpuhost/Agent1");
            let options = std::collections::HashMap::<String, zbus::OwnedVariant>::new();
            let call = client.call_method(name, root, Some("org.gpuhost.Agent1.Host"), "Rescan", &options);
            let answered = call.await.unwrap().recv_position();
            let path = format!("job/{number}");
            loop {
                let message = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
                let signal = heard(&message);
                if signal.member == "InterfacesAdded" && signal.body.contains(&path) {
                    assert!(message.recv_position() < answered, "{path} was announced after the answer");
                    break;
                }
            }
        }
    });
}

#[test]
fn busctl_monitor_shows_the_change() {
    use std::io::{BufRead, BufReader};
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let mut monitor = std::process::Command::new("busctl")
        .arg(format!("--address={}", bus.address))
        .args(["monitor", "org.gpuhost.Agent1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(monitor.stderr.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("Monitoring bus message stream"), "{ready}");
    served.core.observe(|next| next.driver_version = Some("590.1".to_owned()));
    let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    let text: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.contains("590.1")).collect();
    assert!(text.iter().any(|line| line.contains("Member=PropertiesChanged")), "{text:?}");
    assert!(text.iter().any(|line| line.contains("DriverVersion")), "{text:?}");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}
