//! The heartbeat says what was observed, null where nothing is known, and leaves out what it is told to.

use model::absence::{Absence, Reading};
use model::checkin::Omit;
use model::condition::{Condition, ConditionStatus};
use model::desired::{DesiredReport, DocumentId, Effective, Epoch, Observed, UNMET_MAX, UnmetItem};
use model::driver::ProbeError;
use model::host_facts::{CpuTicks, DiskUsage, HostFacts, Nic};
use model::observation::HostObservation;
use model::settings::ManagerSettings;
use model::time::{BootMillis, UnixMillis};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use wire::manager::report::{CheckinFacts, build};

/// No document, and no reconciler.
static NOTHING_WISHED: LazyLock<DesiredReport> = LazyLock::new(DesiredReport::default);

const NOW: UnixMillis = UnixMillis(1_774_962_793_123);

pub(crate) fn nothing_known() -> HostObservation {
    HostObservation {
        sequence: 1,
        observed_at: NOW,
        observed_boot: BootMillis(900_000),
        gpus: Vec::new(),
        groups: Vec::new(),
        iommu_groups_total: 0,
        scan_problems: Vec::new(),
        gone: Vec::new(),
        nvswitches: Vec::new(),
        driver_version: None,
        cuda_version: None,
        probes: Vec::new(),
        docker: Err(ProbeError::Timeout { what: "Docker".into(), after_ms: 5 }),
        host: HostFacts::default(),
        conditions: Vec::new(),
    }
}

pub(crate) fn full() -> HostObservation {
    let nic = |rx| Nic {
        name: "eth0".into(),
        mac: None,
        addresses: Vec::new(),
        state: None,
        speed_mbit_s: None,
        rx_bytes: rx,
        tx_bytes: None,
    };
    let host = HostFacts {
        hostname: Reading::Known("gpu-01".into()),
        boot_id: Reading::Known("f23a1e49-9ab3-4ede-ba60-c5c4215467a6".into()),
        cores: Reading::Known(128),
        cpu: Reading::Known(CpuTicks { total: 2000, idle: 1000 }),
        mem_total_bytes: Reading::Known(1000),
        mem_available_bytes: Reading::Known(925),
        disk: Reading::Known(DiskUsage {
            path: "/var/lib/docker".into(),
            total_bytes: 2000,
            available_bytes: 1500,
            used_bytes: 500,
            inodes_total: 0,
            inodes_free: 0,
        }),
        io_read_bytes: Reading::Known(7),
        nics: vec![nic(Some(3)), nic(Some(4)), nic(None)],
        arch: "x86_64".into(),
        ..HostFacts::default()
    };
    HostObservation { host, docker: Ok(model::docker::DockerFacts::default()), ..nothing_known() }
}

pub(crate) fn facts<'a>(settings: &'a ManagerSettings, conditions: &'a [Condition]) -> CheckinFacts<'a> {
    CheckinFacts {
        server_id: "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7",
        version: "0.1.0",
        seq: 901_000,
        wall: NOW,
        boot: BootMillis(901_000),
        clock_skew_ms: None,
        settings,
        enabled: true,
        cpu_before: None,
        with_inventory: false,
        omit: Omit::Nothing,
        conditions,
        in_force: None,
        wishes: &NOTHING_WISHED,
        inventory_rev: "r1",
    }
}

fn sent(seen: &HostObservation, change: impl FnOnce(&mut CheckinFacts<'_>)) -> Value {
    let settings = ManagerSettings::default();
    let mut facts = facts(&settings, &[]);
    change(&mut facts);
    serde_json::to_value(build(seen, &facts)).unwrap()
}

#[test]
fn what_was_observed_is_said() {
    let body = sent(&full(), |f| f.cpu_before = Some(CpuTicks { total: 1000, idle: 600 }));
    assert_eq!(body["cpu_pct"], json!(60.0));
    assert_eq!(body["time"], "2026-03-31T13:13:13.123Z");
    assert_eq!((&body["cores"], &body["memory"], &body["uptime_s"]), (&json!(128), &json!(1000), &json!(901)));
    assert_eq!(body["mem"], json!({"total_bytes": 1000, "available_bytes": 925, "used_bytes": 75, "used_pct": 7.5}));
    let disk = json!({"path": "/var/lib/docker", "total_bytes": 2000, "available_bytes": 1500, "used_bytes": 500, "used_pct": 25.0});
    assert_eq!(body["disk"], disk);
    assert_eq!(body["io"], json!({"read_bytes": 7, "net_rx_bytes": 7}));
    assert_eq!(body["status"], "running");
    assert_eq!(body["inventory_rev"], "r1");
}

#[test]
fn the_first_heartbeat_has_no_cpu_figure() {
    assert_eq!(sent(&full(), |_| ())["cpu_pct"], Value::Null);
}

#[test]
fn unknown_is_null_or_not_there_and_said_where_the_contract_has_no_null() {
    let body = sent(&nothing_known(), |_| ());
    assert_eq!(
        body["mem"],
        json!({"total_bytes": null, "available_bytes": null, "used_bytes": null, "used_pct": null})
    );
    assert_eq!(body["zone"], Value::Null);
    for missing in ["hostname", "swap_total", "io", "public_hostname"] {
        assert!(body.get(missing).is_none(), "{missing}: {}", body[missing]);
    }
    for unknown in ["cores", "memory", "boot_id"] {
        assert!(body[unknown].is_null(), "{unknown} is said to be {}", body[unknown]);
    }
    assert_eq!(body["status"], "degraded");
    let said = &body["conditions"][0];
    assert_eq!(said["type"], "host_facts_missing");
    assert!(said["message"].as_str().unwrap().contains("memory (not_reported)"));
}

#[test]
fn before_the_first_observation_it_is_starting_and_nothing_is_stale() {
    let body = sent(&HostObservation { sequence: 0, ..nothing_known() }, |_| ());
    assert_eq!((&body["status"], &body["conditions"]), (&json!("starting"), &json!([])));
}

#[test]
fn an_old_observation_says_so() {
    let body = sent(&full(), |f| f.boot = BootMillis(900_000 + 121_000));
    assert_eq!(body["conditions"][0]["type"], "observation_stale");
    assert_eq!(sent(&full(), |f| f.boot = BootMillis(1_000_000))["conditions"], json!([]));
}

#[test]
fn conditions_of_host_and_checkin_go_together() {
    let condition = |kind: &str, status| Condition {
        kind: kind.into(),
        status,
        reason: "r".into(),
        message: "m".into(),
        since: NOW,
    };
    let seen = HostObservation { conditions: vec![condition("iommu_off", ConditionStatus::False)], ..full() };
    let settings = ManagerSettings::default();
    let own = [condition("clock_skew", ConditionStatus::True)];
    let body = serde_json::to_value(build(&seen, &facts(&settings, &own))).unwrap();
    assert_eq!((&body["conditions"][0]["status"], &body["conditions"][1]["status"]), (&json!("false"), &json!("true")));
    assert_eq!(body["conditions"][1]["since"], "2026-03-31T13:13:13.123Z");
    assert_eq!(body["status"], "degraded");
    assert_eq!(sent(&full(), |f| f.enabled = false)["status"], "disabled");
}

#[test]
fn t21_inventory_and_agent_go_only_when_asked_and_never_when_slim() {
    let slim = sent(&full(), |_| ());
    assert!(slim.get("inventory").is_none() && slim.get("agent").is_none());
    let whole = sent(&full(), |f| f.with_inventory = true);
    assert_eq!(whole["agent"]["protocol"], "1.0");
    assert_eq!(whole["agent"]["arch"], "x86_64");
    assert_eq!(whole["agent"]["docker"]["nvidia_runtime"], false);
    assert!(whole["inventory"]["gpus"].is_array());
    let bare = sent(&full(), |f| (f.with_inventory, f.omit) = (true, Omit::Optional));
    for optional in ["inventory", "agent", "gpu_metrics"] {
        assert!(bare.get(optional).is_none(), "{optional}");
    }
}

#[test]
fn t34_conditions_go_with_every_heartbeat_and_are_bounded() {
    let condition = |n: usize, message: String| Condition {
        kind: format!("kind_{n}"),
        status: ConditionStatus::True,
        reason: "r".into(),
        message,
        since: NOW,
    };
    let settings = ManagerSettings::default();
    for (count, message) in [
        (1, "short".to_owned()),
        (32, "m".repeat(400)),
        (33, "m".into()),
        (500, "\u{1b}\"ä".repeat(3000)),
        (2, "x".repeat(100_000)),
    ] {
        let all: Vec<_> = (0..count).map(|n| condition(n, message.clone())).collect();
        for omit in [Omit::Nothing, Omit::Optional] {
            let body = serde_json::to_value(build(&full(), &CheckinFacts { omit, ..facts(&settings, &all) })).unwrap();
            let sent = body["conditions"].as_array().unwrap();
            assert_eq!(sent.len(), count.min(32), "{omit:?}");
            assert!(body["conditions"].to_string().len() <= 16_384, "{}", body["conditions"].to_string().len());
            assert_eq!(sent[0]["type"], "kind_0");
            if count > 32 {
                let last = &sent[31];
                assert_eq!(last["type"], "conditions_left_out");
                assert!(last["message"].as_str().unwrap().starts_with(&format!("{} more", count - 31)));
            }
        }
    }
}

#[test]
fn a_strange_architecture_is_left_out_and_docker_too_where_it_does_not_answer() {
    let mut seen = nothing_known();
    seen.host.arch = "riscv64".into();
    seen.host.os_id = Reading::Absent(Absence::None);
    let agent = sent(&seen, |f| f.with_inventory = true)["agent"].clone();
    assert!(agent.get("arch").is_none() && agent.get("docker").is_none());
    assert_eq!(agent["os"]["id"], Value::Null);
}

fn id(epoch: &str, revision: u64) -> DocumentId {
    DocumentId { epoch: Epoch::try_from(epoch.to_owned()).unwrap(), revision: revision.try_into().unwrap() }
}

fn unmet(path: &str, message: String) -> UnmetItem {
    UnmetItem { path: path.to_owned(), code: "not_found".into(), message, since: NOW, retry_at: Some(NOW) }
}

/// The schema of the contract for a heartbeat, and what it says of a body.
fn faults(body: &Value) -> Vec<String> {
    let text = include_str!("../../../../docs/manager-api/openapi.yaml");
    let mut contract: Value = serde_norway::from_str(text).unwrap();
    contract["$ref"] = json!("#/components/schemas/Heartbeat");
    jsonschema::validator_for(&contract).unwrap().iter_errors(body).map(|fault| fault.to_string()).collect()
}

#[test]
fn t40_what_is_applied_and_what_is_not_met_is_reported_in_the_contracts_form() {
    let observed = Observed {
        applied: Some(id("b0f4", 41)),
        unmet: vec![
            unmet("gpus[0000:41:00.0].use", "no such GPU".into()),
            UnmetItem { retry_at: None, ..unmet("agent.zone", "m".into()) },
        ],
        unmet_total: 2,
    };
    let labels = BTreeMap::from([("rack".to_owned(), "r7".to_owned())]);
    let effective = Effective {
        millicores: Some(1500),
        memory_bytes: Some(1 << 30),
        cuda_gpus: Some(0),
        labels,
        zone: None,
        pool: Some("blue".into()),
        enabled: Some(true),
        draining: true,
    };
    let wishes = DesiredReport { observed, effective: Some(effective), ..DesiredReport::default() };
    let settings = ManagerSettings { zone: Some("of-the-files".into()), ..ManagerSettings::default() };
    let in_force = Some(id("b0f4", 43));
    let facts =
        CheckinFacts { enabled: false, in_force, wishes: &wishes, with_inventory: true, ..facts(&settings, &[]) };
    let body = serde_json::to_value(build(&full(), &facts)).unwrap();
    assert_eq!(faults(&body), Vec::<String>::new());
    let said = &body["observed"];
    assert_eq!(
        (&said["epoch"], &said["revision"], &said["applied_revision"]),
        (&json!("b0f4"), &json!(43), &json!(41))
    );
    let item = json!({"path": "gpus[0000:41:00.0].use", "code": "not_found", "message": "no such GPU",
                      "since": "2026-03-31T13:13:13.123Z", "retry_at": "2026-03-31T13:13:13.123Z"});
    assert_eq!(
        (&said["unmet"][0], &said["unmet"][1]["retry_at"], &said["unmet_total"]),
        (&item, &Value::Null, &json!(2))
    );
    let effective = json!({"cores": 1.5, "memory": 1_073_741_824, "cuda_gpus": 0, "labels": {"rack": "r7"}, "zone": null,
                           "pool": "blue", "enabled": true, "draining": true});
    assert_eq!((&body["effective"], &body["status"]), (&effective, &json!("draining")));
    assert_eq!(
        body["agent"]["capabilities"],
        json!(["host.v1", "gpu.v1", "passthrough.v1", "mig.v1", "nvidia.v1", "image.v1", "workspace.v1"])
    );
}

#[test]
fn t40_what_was_applied_of_an_epoch_that_was_left_is_nothing_of_this_one_and_before_the_first_there_is_none() {
    let wishes = DesiredReport {
        observed: Observed { applied: Some(id("old", 900)), ..Observed::default() },
        ..DesiredReport::default()
    };
    let settings = ManagerSettings { zone: Some("z".into()), ..ManagerSettings::default() };
    for (in_force, epoch, revision) in [(Some(id("new", 3)), "new", 3), (None, "none", 0)] {
        let body = build(&full(), &CheckinFacts { in_force, wishes: &wishes, ..facts(&settings, &[]) });
        let body = serde_json::to_value(body).unwrap();
        let observed =
            json!({"epoch": epoch, "revision": revision, "applied_revision": 0, "unmet": [], "unmet_total": 0});
        assert_eq!((&body["observed"], faults(&body)), (&observed, Vec::new()));
        let effective = json!({"labels": {}, "zone": "z", "pool": null, "enabled": true, "draining": false});
        assert_eq!((&body["effective"], &body["status"]), (&effective, &json!("running")));
    }
}

#[test]
fn unmet_items_are_bounded_and_their_number_is_always_told() {
    let settings = ManagerSettings::default();
    for (count, message) in [(64, "m".repeat(80)), (300, "\u{1b}\"ä".repeat(3000)), (1, "x".repeat(1 << 20))] {
        let unmet: Vec<_> = (0..count).map(|n| unmet(&format!("gpus[{n}].use"), message.clone())).collect();
        let observed = Observed { applied: None, unmet_total: 1000 + count, unmet };
        let wishes = DesiredReport { observed, ..DesiredReport::default() };
        let body = build(&full(), &CheckinFacts { wishes: &wishes, ..facts(&settings, &[]) });
        let body = serde_json::to_value(body).unwrap();
        assert_eq!(faults(&body), Vec::<String>::new());
        let sent = &body["observed"];
        assert_eq!(
            (sent["unmet"].as_array().unwrap().len(), &sent["unmet_total"]),
            (count.min(UNMET_MAX), &json!(1000 + count))
        );
        assert!(sent.to_string().len() < 26_000, "{}", sent.to_string().len());
        let slim = build(&full(), &CheckinFacts { omit: Omit::Optional, wishes: &wishes, ..facts(&settings, &[]) });
        let slim = serde_json::to_value(slim).unwrap();
        assert!(slim.get("effective").is_none() && slim["observed"].get("unmet").is_none());
        assert_eq!(slim["observed"]["unmet_total"], json!(1000 + count));
    }
}
