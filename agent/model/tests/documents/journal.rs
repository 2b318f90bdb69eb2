//! The journal's document: a golden copy of each version that was ever shipped, and what is not taken for one.

use model::IommuGroupId;
use model::change::{AtStart, BadJournalEntry, ChangeId, Phase, at_start, decode, encode};
use model::plan::Lane;
use model::time::BootMillis;

const NAME: &str = "group-0.json";
const VERSION_1: &str = r#"{
  "schema": 1,
  "entry": {
    "operation": "passthrough-bind",
    "job": 7,
    "actor_uid": 0,
    "began_at": 1700000000000,
    "boot_id": "b0",
    "plan": {
      "scope": { "lane": { "group": 0 }, "gpu": "0000:41:00.0", "members": ["0000:41:00.0"] },
      "steps": [
        { "load_module": { "driver": "vfio-pci" } },
        { "set_driver_override": { "address": "0000:41:00.0", "to": "vfio-pci" } },
        { "unbind": { "address": "0000:41:00.0", "driver": "nvidia" } },
        { "probe": { "address": "0000:41:00.0" } },
        { "set_d3cold": { "address": "0000:41:00.0", "allowed": false } },
        { "set_power_control": { "address": "0000:41:00.0", "to": "on" } }
      ],
      "postcondition": {
        "members": [
          {
            "address": "0000:41:00.0", "driver": "vfio-pci", "driver_override": "vfio-pci",
            "d3cold_allowed": false, "power_control": "on"
          }
        ],
        "guest_ready": 0
      },
      "disruption": "none"
    },
    "before": [
      {
        "address": "0000:41:00.0", "driver": "nvidia", "driver_override": null,
        "d3cold_allowed": true, "power_control": "auto"
      }
    ],
    "home": [
      {
        "address": "0000:41:00.0", "driver": "nvidia", "driver_override": null,
        "d3cold_allowed": true, "power_control": "auto"
      }
    ],
    "confirm_within_ms": 60000,
    "phase": { "unconfirmed": { "until": 1060000 } }
  }
}"#;

fn json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

/// What schema 2 makes of the same entry, under the name that it has already.
const VERSION_2: &str = r#"{
  "schema": 2,
  "entry": {
    "id": { "lane": { "group": 0 } },
    "operation": "passthrough-bind",
    "job": 7,
    "actor_uid": 0,
    "began_at": 1700000000000,
    "boot_id": "b0",
    "plan": {
      "bounds": {
        "subject": { "gpu": "0000:41:00.0" },
        "lanes": [{ "group": 0 }],
        "target": {
          "functions": { "lane": { "group": 0 }, "gpu": "0000:41:00.0", "members": ["0000:41:00.0"] }
        }
      },
      "steps": [
        { "functions": { "load_module": { "driver": "vfio-pci" } } },
        { "functions": { "set_driver_override": { "address": "0000:41:00.0", "to": "vfio-pci" } } },
        { "functions": { "unbind": { "address": "0000:41:00.0", "driver": "nvidia" } } },
        { "functions": { "probe": { "address": "0000:41:00.0" } } },
        { "functions": { "set_d3cold": { "address": "0000:41:00.0", "allowed": false } } },
        { "functions": { "set_power_control": { "address": "0000:41:00.0", "to": "on" } } }
      ],
      "postcondition": {
        "functions": {
          "members": [
            {
              "address": "0000:41:00.0", "driver": "vfio-pci", "driver_override": "vfio-pci",
              "d3cold_allowed": false, "power_control": "on"
            }
          ],
          "guest_ready": 0
        }
      },
      "disruption": "none"
    },
    "before": {
      "functions": [
        {
          "address": "0000:41:00.0", "driver": "nvidia", "driver_override": null,
          "d3cold_allowed": true, "power_control": "auto"
        }
      ]
    },
    "home": {
      "functions": [
        {
          "address": "0000:41:00.0", "driver": "nvidia", "driver_override": null,
          "d3cold_allowed": true, "power_control": "auto"
        }
      ]
    },
    "confirm_within_ms": 60000,
    "aftermath": { "on_done": "stand", "on_restored": "forget", "on_commit_failure": "undo" },
    "phase": { "unconfirmed": { "until": 1060000 } }
  }
}"#;
/// The id of a change that began under schema 2, and the name of its document.
const OWN_ID: (&str, &str) = (r#"{ "number": 12 }"#, "change-12.group-0.json");

#[test]
fn version_1_is_read_and_goes_on_as_version_2_under_its_name() {
    let entry = decode(NAME, VERSION_1.as_bytes()).unwrap();
    assert_eq!((entry.name().as_str(), entry.id), (NAME, ChangeId::Lane(Lane::Group(IommuGroupId(0)))));
    assert_eq!(entry.phase, Phase::Unconfirmed { until: BootMillis(1_060_000) });
    assert_eq!(json(&encode(&entry).unwrap()), json(VERSION_2.as_bytes()));
    let release = VERSION_1.replace("passthrough-bind", "passthrough-release");
    let release = decode(NAME, release.as_bytes()).unwrap();
    let stand_again = serde_json::json!({
        "on_done": "forget", "on_restored": { "stand_again": "passthrough-bind" }, "on_commit_failure": "accept"
    });
    assert_eq!(json(&encode(&release).unwrap())["entry"]["aftermath"], stand_again);
}

#[test]
fn version_2_is_read_and_written_as_it_was_shipped() {
    let entry = decode(NAME, VERSION_2.as_bytes()).unwrap();
    assert_eq!(entry, decode(NAME, VERSION_1.as_bytes()).unwrap());
    let own = VERSION_2.replace(
        r#"{ "lane": { "group": 0 } },
    "operation""#,
        &format!("{},\n    \"operation\"", OWN_ID.0),
    );
    let entry = decode(OWN_ID.1, own.as_bytes()).unwrap();
    assert_eq!((entry.name().as_str(), entry.id), (OWN_ID.1, ChangeId::Number(12)));
    assert_eq!(json(&encode(&entry).unwrap()), json(own.as_bytes()));
}

#[test]
fn an_entry_whose_lanes_are_not_those_of_its_name_or_target_is_refused() {
    for other in [
        VERSION_2.replace(r#""lanes": [{ "group": 0 }]"#, r#""lanes": [{ "group": 1 }]"#),
        VERSION_2.replace(r#""lanes": [{ "group": 0 }]"#, r#""lanes": [{ "group": 0 }, "docker"]"#),
        VERSION_2.replace(r#""lanes": [{ "group": 0 }]"#, r#""lanes": []"#),
        VERSION_2.replace(r#""id": { "lane": { "group": 0 } }"#, r#""id": { "lane": { "group": 1 } }"#),
    ] {
        assert!(matches!(decode(NAME, other.as_bytes()), Err(BadJournalEntry::LeavesBounds { .. })), "{other}");
    }
}

#[test]
fn what_is_no_entry_is_left_alone() {
    let refused = |text: String| decode(NAME, text.as_bytes()).unwrap_err();
    assert!(matches!(refused(String::new()), BadJournalEntry::Garbled { .. }));
    assert!(matches!(refused(VERSION_1[..400].to_owned()), BadJournalEntry::Garbled { .. }));
    assert!(matches!(
        refused(VERSION_1.replace("\"schema\": 1", "\"schema\": 3")),
        BadJournalEntry::TooNew { schema: 3, .. }
    ));
    assert!(matches!(refused(VERSION_1.replace("load_module", "run_script")), BadJournalEntry::Garbled { .. }));
}

#[test]
fn an_entry_that_would_write_outside_its_bounds_is_refused() {
    let unbind = r#""unbind": { "address": "0000:41:00.0""#;
    let elsewhere = VERSION_1.replace(unbind, r#""unbind": { "address": "0000:00:1f.2""#);
    assert!(matches!(decode(NAME, elsewhere.as_bytes()), Err(BadJournalEntry::LeavesBounds { .. })));
    let disk = VERSION_1.replacen(
        r#""address": "0000:41:00.0", "driver": "nvidia""#,
        r#""address": "0000:00:1f.2", "driver": "nvidia""#,
        1,
    );
    assert!(matches!(decode(NAME, disk.as_bytes()), Err(BadJournalEntry::LeavesBounds { .. })));
}

#[test]
fn the_boot_and_the_phase_decide_what_a_start_does() {
    let entry = decode(NAME, VERSION_1.as_bytes()).unwrap();
    let quarantined = Phase::Quarantined { why: "unbind hangs".to_owned() };
    for (phase, wanted) in [
        (Phase::Open, AtStart::Restore),
        (quarantined, AtStart::Restore),
        (Phase::Standing, AtStart::Keep),
        (Phase::Unconfirmed { until: BootMillis(5) }, AtStart::Await(BootMillis(5))),
    ] {
        let entry = entry.in_phase(phase);
        assert_eq!(at_start(&entry, "b0"), wanted);
        assert_eq!(at_start(&entry, "b1"), AtStart::Forget, "a boot forgets every binding");
    }
}
