//! The metrics as Prometheus reads them: on simulated hosts, with a second reader's opinion, and with hostile names.

use model::condition::{Condition, ConditionStatus};
use model::enrol::{CheckinState, CheckinStatus};
use model::judge::{ObservationMeta, judge};
use model::observation::HostObservation;
use model::time::{BootMillis, UnixMillis};
use model::verdict_reasons::Unschedulable;
use model::workspace_life::{
    NetworkCounters, StaleDriver, WorkspaceFigures, WorkspaceState, WorkspaceStatus, WorkspacesState,
};
use model::{Absence, Reading};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use wire::openmetrics::{Flavour, Source, render};

const HOSTS: [&str; 5] = ["dgx-a100", "workstation-rtx", "amd-mi300", "mixed-faults", "vgpu-host-16vf"];

fn observed(name: &str) -> HostObservation {
    let raw = sim::SimHost::new(sim::load(name).unwrap()).unwrap().asked();
    let seen =
        ObservationMeta { sequence: 7, observed_at: UnixMillis(1_700_000_000_000), observed_boot: BootMillis(60_000) };
    judge(raw, seen, None)
}

fn checkin() -> CheckinStatus {
    CheckinStatus {
        state: CheckinState::Ok,
        last_accepted: Some(UnixMillis(1_700_000_000_250)),
        accepted: 41,
        failed: 1,
        interval_s: 30,
        ..CheckinStatus::default()
    }
}

fn text(seen: &HostObservation, checkin: &CheckinStatus, flavour: Flavour) -> String {
    text_with(seen, checkin, &WorkspacesState::default(), flavour)
}

fn text_with(
    seen: &HostObservation,
    checkin: &CheckinStatus,
    workspaces: &WorkspacesState,
    flavour: Flavour,
) -> String {
    render(&Source { version: "0.1.0", seen, checkin, workspaces, boot_now: BootMillis(61_500) }, flavour)
}

#[test]
fn workspaces_are_counted_by_state_and_not_before_docker_was_asked() {
    let mut seen = model::workspace_life::WorkspacesState { is_looked: true, ..WorkspacesState::default() };
    let host = crate::manager_report::nothing_known();
    let text = |state: &WorkspacesState| text_with(&host, &CheckinStatus::default(), state, Flavour::OpenMetrics);
    assert!(!text(&WorkspacesState::default()).contains("gpuhostd_workspaces"));
    seen.workspaces = vec![crate::workspace_report::workspace("a", WorkspaceState::Running, 2)];
    let shown = text(&seen);
    for line in [
        "gpuhostd_workspaces{state=\"running\"} 1",
        "gpuhostd_workspaces{state=\"failed\"} 0",
        "gpuhostd_workspaces_allocated_cores 2.000",
        "gpuhostd_workspaces_allocated_memory_bytes 2147483648",
    ] {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
}

#[test]
fn what_a_workspace_uses_is_there_as_far_as_it_is_known_and_while_it_runs() {
    let network = Some(NetworkCounters { received_bytes: 7000, sent_bytes: 900 });
    let figures =
        Some(WorkspaceFigures { network, gpu_memory_bytes: Reading::Known(1 << 30), ..WorkspaceFigures::default() });
    let of =
        |id, state| WorkspaceStatus { figures: figures.clone(), ..crate::workspace_report::workspace(id, state, 2) };
    let mut unknown = of("b", WorkspaceState::Running);
    unknown.figures = Some(WorkspaceFigures {
        gpu_memory_bytes: Reading::Absent(Absence::NotSupported),
        ..WorkspaceFigures::default()
    });
    unknown.stale_driver = Some(StaleDriver { has: "1.2".to_owned(), loaded: "1.3".to_owned() });
    let workspaces = vec![of("a", WorkspaceState::Running), unknown, of("c", WorkspaceState::Stopped)];
    let state = WorkspacesState { is_looked: true, workspaces, ..WorkspacesState::default() };
    let host = crate::manager_report::nothing_known();
    let shown = text_with(&host, &CheckinStatus::default(), &state, Flavour::OpenMetrics);
    for line in [
        "gpuhostd_workspace_gpu_memory_used_bytes{workspace=\"a\"} 1073741824",
        "gpuhostd_workspace_network_receive_bytes_total{workspace=\"a\"} 7000",
        "gpuhostd_workspace_network_transmit_bytes_total{workspace=\"a\"} 900",
        "gpuhostd_workspace_stale_driver{workspace=\"a\"} 0",
        "gpuhostd_workspace_stale_driver{workspace=\"b\"} 1",
    ] {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
    let of_others = shown.lines().filter(|line| line.contains("\"b\"") || line.contains("\"c\"")).collect::<Vec<_>>();
    assert_eq!(of_others, ["gpuhostd_workspace_stale_driver{workspace=\"b\"} 1"], "unknown is not 0");
    is_sound(&shown);
}

/// A sample as the other reader gives it: name, labels, value.
type Read = (String, Vec<(String, String)>, f64);

/// A sample as a strict reader takes it apart.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

fn samples(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut rest = &line[name.len()..];
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label in {line:?}"));
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next().unwrap_or_else(|| panic!("no end of a label in {line:?}")) {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match letters.next().unwrap().1 {
                        'n' => '\n',
                        other @ ('\\' | '"') => other,
                        other => panic!("unknown escape {other:?} in {line:?}"),
                    }),
                    (_, other) => value.push(other),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("no end of the labels in {line:?}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
    Sample { name, labels, value: value.parse().unwrap_or_else(|_| panic!("no number in {line:?}")) }
}

/// Every series stands once, every number is one, and each family is together under one TYPE.
fn is_sound(text: &str) {
    let all = samples(text);
    let mut series = BTreeSet::new();
    for sample in &all {
        assert!(sample.value.is_finite(), "{sample:?}");
        let mut names: Vec<&String> = sample.labels.iter().map(|(name, _)| name).collect();
        names.dedup();
        assert_eq!(names.len(), sample.labels.len(), "{sample:?}");
        assert!(series.insert(format!("{} {:?}", sample.name, sample.labels)), "twice: {sample:?}");
    }
    let mut families: Vec<&String> = all.iter().map(|sample| &sample.name).collect();
    families.dedup();
    let once: BTreeSet<_> = families.iter().collect();
    assert_eq!(once.len(), families.len(), "a family is torn apart");
}

#[test]
fn the_golden_texts_are_what_is_given_out() {
    for name in ["dgx-a100", "amd-mi300", "mixed-faults"] {
        let made = text(&observed(name), &checkin(), Flavour::OpenMetrics);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openmetrics").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == made, "{name} has changed; look at it, then UPDATE_GOLDEN=1:\n{made}");
    }
}

#[test]
fn a_value_has_dcgms_name_and_labels_and_one_that_is_not_known_is_not_there() {
    let all = samples(&text(&observed("dgx-a100"), &checkin(), Flavour::OpenMetrics));
    let find = |name: &str, bus: &str, mig: Option<&str>| {
        let has = |sample: &Sample, label: &str| sample.labels.iter().find(|(l, _)| l == label).map(|(_, v)| v.clone());
        all.iter().find(|s| {
            s.name == name && has(s, "pci_bus_id").as_deref() == Some(bus) && has(s, "GPU_I_ID").as_deref() == mig
        })
    };
    let temperature = find("DCGM_FI_DEV_GPU_TEMP", "00000000:07:00.0", None).unwrap();
    assert_eq!(temperature.value, 67.0);
    let labels: Vec<&str> = temperature.labels.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"];
    assert_eq!(labels, expected);
    // MIG takes the utilization of the whole GPU away, and gives memory to each instance.
    assert_eq!(find("DCGM_FI_DEV_GPU_UTIL", "00000000:47:00.0", None), None);
    let slice = find("DCGM_FI_DEV_FB_USED", "00000000:47:00.0", Some("2")).unwrap();
    assert!(
        slice.value > 8000.0 && slice.labels.iter().any(|(l, v)| l == "GPU_I_PROFILE" && v == "3g.20gb"),
        "{slice:?}"
    );
    // A host without NVIDIA's driver has no DCGM metric at all.
    assert!(!text(&observed("amd-mi300"), &checkin(), Flavour::Prometheus).contains("DCGM"));
}

#[test]
fn each_host_gives_a_sound_text_in_both_dialects() {
    for name in HOSTS {
        let seen = observed(name);
        let (open, plain) =
            (text(&seen, &checkin(), Flavour::OpenMetrics), text(&seen, &checkin(), Flavour::Prometheus));
        is_sound(&open);
        assert_eq!(samples(&open.replace("modelName=", "model_name=")), samples(&plain), "{name}");
        // The rule of `promtool check metrics`.
        let camel = |label: &str| {
            label.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase())
        };
        let labels = samples(&plain).into_iter().flat_map(|sample| sample.labels);
        assert_eq!(labels.map(|(label, _)| label).find(|label| camel(label)), None, "{name}");
        assert!(open.ends_with("\n# EOF\n") && !plain.contains("EOF"), "{name}");
    }
}

#[test]
fn before_the_first_observation_nothing_is_made_up() {
    let nothing = HostObservation { sequence: 0, gpus: vec![], probes: vec![], ..observed("dgx-a100") };
    let all = samples(&text(&nothing, &CheckinStatus::default(), Flavour::OpenMetrics));
    let names: BTreeSet<&str> = all.iter().map(|sample| sample.name.as_str()).collect();
    for absent in ["gpuhostd_observation_age_seconds", "gpuhostd_gpus", "gpuhostd_last_heartbeat_timestamp_seconds"] {
        assert!(!names.contains(absent), "{absent}");
    }
    assert!(names.contains("gpuhostd_build_info") && names.contains("gpuhostd_heartbeats_failed_total"));
}

#[test]
fn prometheus_own_client_reads_the_same() {
    let script = "import sys, json\n\
                  from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                  print(json.dumps([[s.name, sorted(s.labels.items()), s.value] for f in read(sys.stdin.read()) for s in f.samples]))";
    for name in HOSTS {
        let ours = text(&observed(name), &checkin(), Flavour::OpenMetrics);
        let python =
            Command::new("/usr/bin/python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut python = python.unwrap();
        python.stdin.take().unwrap().write_all(ours.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: it does not read (tests/setup.sh test installs it):\n{ours}");
        let theirs: Vec<Read> = serde_json::from_slice(&output.stdout).unwrap();
        let sorted = |sample: Sample| {
            let mut labels = sample.labels;
            labels.sort();
            (sample.name, labels, sample.value)
        };
        assert_eq!(theirs, samples(&ours).into_iter().map(sorted).collect::<Vec<_>>(), "{name}");
    }
}

proptest! {
    #[test]
    fn no_name_and_no_number_breaks_the_text(
        hostname in "\\PC{0,20}|[\"\\\\\n{},= ]{0,8}",
        model in "[\"\\\\\n{},= a-zé]{0,12}",
        reason in "[\"\\\\\n#]{0,6}",
        number in proptest::num::f64::ANY,
    ) {
        let mut seen = observed_once().clone();
        seen.host.hostname = Reading::Known(hostname.clone());
        for gpu in &mut seen.gpus {
            gpu.unschedulable_reason = Some(Unschedulable::GpuLost);
            gpu.schedulable = false;
            if let Some(driver) = &mut gpu.driver {
                driver.name = Reading::Known(model.clone());
                driver.metrics.temperature_c = Reading::Known(number);
                driver.metrics.power_w = Reading::Absent(Absence::GpuLost);
            }
        }
        for status in [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown] {
            let (kind, message) = (reason.clone(), model.clone());
            seen.conditions.push(Condition { kind, status, reason: reason.clone(), message, since: UnixMillis(0) });
        }
        for flavour in [Flavour::OpenMetrics, Flavour::Prometheus] {
            let text = text(&seen, &checkin(), flavour);
            is_sound(&text);
            let all = samples(&text);
            let of = |name: &str| all.iter().filter(|sample| sample.name == name).collect::<Vec<_>>();
            prop_assert!(of("DCGM_FI_DEV_POWER_USAGE").is_empty());
            prop_assert_eq!(of("DCGM_FI_DEV_GPU_TEMP").is_empty(), !number.is_finite());
            for sample in of("DCGM_FI_DEV_FB_TOTAL") {
                let label = |name: &str| sample.labels.iter().find(|(l, _)| l == name).map(|(_, v)| v.as_str());
                prop_assert_eq!(label("Hostname"), Some(hostname.as_str()));
                let name = if flavour == Flavour::OpenMetrics { "modelName" } else { "model_name" };
                prop_assert_eq!(label(name), Some(model.as_str()));
            }
        }
    }
}

fn observed_once() -> &'static HostObservation {
    static SEEN: std::sync::OnceLock<HostObservation> = std::sync::OnceLock::new();
    SEEN.get_or_init(|| observed("dgx-a100"))
}
