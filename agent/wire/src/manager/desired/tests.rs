//! Documents that are right, wrong and hostile.

use super::*;
use model::desired::{Desired, DesiredMig, DesiredMigMode, DesiredUse};
use model::docker_config::DockerRestart;
use model::features::FeatureName;
use serde_json::{Value, json};

/// A document with these members besides its head.
fn with(members: Value) -> Vec<u8> {
    let mut document = json!({"epoch": "b0f4", "revision": 43, "issued_at": "2026-03-31T13:13:13Z"});
    let Value::Object(members) = members else { panic!("members are an object") };
    document.as_object_mut().unwrap().extend(members);
    document.to_string().into_bytes()
}

fn right(members: Value) -> DesiredDocument {
    read(&with(members)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The pointer of the first fault, and all that is said.
fn wrong(bytes: &[u8]) -> (String, String) {
    let fault = read(bytes).expect_err("it is wrong");
    let pointer = fault.faults.first().expect("there is a fault").pointer.clone();
    let said = fault.to_string();
    assert!(said.len() < 1500 && !said.chars().any(char::is_control), "{said}");
    (pointer, said)
}

#[test]
fn the_document_of_the_contract_is_read() {
    let text = include_bytes!("../../../../../docs/manager-api/examples/desired_state.json");
    let document = read(text).unwrap();
    assert_eq!(document.id.to_string(), "b0f4.43");
    assert_eq!(document.issued_at, Some(UnixMillis(1_774_962_793_000)));
    assert_eq!(document.requires, ["mig.v1", "workspace.v1"]);
    let agent = &document.wishes.agent;
    assert_eq!((&agent.enabled, &agent.drain_at), (&Desired::Value(true), &Desired::LocalDefault));
    assert_eq!(agent.overrides.millicores, Desired::Value(0));
    assert_eq!((&agent.sample_interval_s, &agent.max_workspaces), (&Desired::Value(30), &Desired::LocalDefault));
    let gpu = &document.wishes.gpus[0];
    assert_eq!(gpu.of.bdf.map(|bdf| bdf.to_string()).as_deref(), Some("0000:00:04.0"));
    assert_eq!((&gpu.usage, &gpu.of.wrong), (&Desired::Value(DesiredUse::Containers), &None));
    assert_eq!(gpu.features.get(&FeatureName::Nvenc), Some(&Desired::Value(false)));
    assert_eq!(document.wishes.nvidia.docker_restart, Desired::Value(DockerRestart::WhenIdle));
    let faults = examine(text, DesiredForm::Manager).faults;
    assert_eq!((faults.refused, faults.items), (vec![], vec![]));
    assert!(
        faults.ignored.iter().all(|fault| fault.message == "this version does nothing about it"),
        "none is unknown"
    );
    let ignored: Vec<&str> = faults.ignored.iter().map(|fault| fault.pointer.as_str()).collect();
    for part in ["/agent/metrics", "/gpus/0/mig/allow_reset"] {
        assert!(ignored.contains(&part), "{part}: {ignored:?}");
    }
}

#[test]
fn what_is_absent_and_what_is_null_are_two_things() {
    let nothing = right(json!({}));
    assert_eq!(nothing.wishes, DesiredSections::default());
    let null = right(json!({"agent": {"enabled": null, "labels": null, "zone": null, "overrides": null,
        "log_level": null, "heartbeat_interval_s": null}, "gpus": null, "images": null, "nvidia": null,
        "requires": null, "server_id": null, "not_after": null}));
    let agent = &null.wishes.agent;
    assert_eq!((&agent.enabled, &agent.labels), (&Desired::LocalDefault, &Desired::LocalDefault));
    assert_eq!((&agent.overrides.memory_bytes, &agent.pool), (&Desired::LocalDefault, &Desired::Absent));
    assert_eq!((null.server_id, null.not_after), (None, None));
}

#[test]
fn integers_may_have_a_point_and_cores_a_fraction() {
    let agent = right(json!({"agent": {"heartbeat_interval_s": 30.0, "max_workspaces": 4e1,
        "overrides": {"cores": 2.5, "memory": 2_768_000_000.0, "cuda_gpus": 10}}}))
    .wishes
    .agent;
    assert_eq!((agent.heartbeat_interval_s, agent.max_workspaces), (Desired::Value(30), Desired::Value(40)));
    assert_eq!(agent.overrides.millicores, Desired::Value(2_500));
    assert_eq!(agent.overrides.memory_bytes, Desired::Value(2_768_000_000));
    let text = br#"{"epoch": "e", "revision": 30.0}"#;
    assert_eq!(read(text).unwrap().id.to_string(), "e.30");
}

#[test]
fn a_value_that_is_not_known_costs_its_item_alone() {
    let document = right(
        json!({"agent": {"draining": true, "drain_at": "tomorrow", "log_level": "verbose", "zone": "",
        "heartbeat_interval_s": 4, "reconcile_interval_s": 30.5, "max_workspaces": -1, "pool": "a\nb",
        "overrides": {"cores": -0.5, "memory": 1e300, "cuda_gpus": 4_294_967_296_u64}, "labels": {"": "x"}, "new": 1},
        "gpus": [{"match": {"bdf": "0000:41:00.0"}, "use": "mining", "features": {"nvenc": {"enabled": true}, "x": {}}}],
        "newer": [[]]}),
    );
    let agent = &document.wishes.agent;
    assert_eq!(agent.draining, Desired::Value(true));
    for odd in [
        matches!(&agent.drain_at, Desired::Unsupported(why) if why.contains("\"tomorrow\": expected an instant")),
        matches!(&agent.log_level, Desired::Unsupported(why) if why.contains("expected one of off, error")),
        matches!(&agent.zone, Desired::Unsupported(_)),
        matches!(&agent.pool, Desired::Unsupported(_)),
        matches!(&agent.heartbeat_interval_s, Desired::Unsupported(why) if why == "is 4: expected a whole number from 5 to 300"),
        matches!(&agent.sample_interval_s, Desired::Unsupported(why) if why.contains("30.5")),
        matches!(&agent.max_workspaces, Desired::Unsupported(why) if why.contains("-1")),
        matches!(&agent.overrides.millicores, Desired::Unsupported(_)),
        matches!(&agent.overrides.memory_bytes, Desired::Unsupported(_)),
        matches!(&agent.overrides.cuda_gpus, Desired::Unsupported(_)),
        matches!(&agent.labels, Desired::Unsupported(_)),
    ] {
        assert!(odd, "{agent:?}");
    }
    let gpu = &document.wishes.gpus[0];
    assert!(matches!(&gpu.usage, Desired::Unsupported(why) if why.contains("auto, off, containers, passthrough")));
    assert_eq!(gpu.unknown_features, ["x"]);
    let faults = examine(&with(json!({"agent": {"new": 1}, "newer": 1})), DesiredForm::Manager).faults;
    let unknown: Vec<_> = faults.ignored.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(unknown, ["/agent/new", "/newer"]);
}

#[test]
fn a_match_that_cannot_be_read_matches_nothing() {
    for (of, why) in [
        (json!({}), "no match"),
        (json!(null), "no match"),
        (json!({"uuid": null}), "no match"),
        (json!({"bdf": "first"}), "bdf: \"first\" is not a PCI address"),
        (json!({"bdf": "0000:41:00.0", "serial": "1"}), "serial: this version does not know this key"),
        (json!({"bdf": "0000:41:00.0", "pci_id": "10de"}), "pci_id: "),
    ] {
        let document = right(json!({"gpus": [{"match": of, "use": "off"}, {"use": "off"}]}));
        let wrong = document.wishes.gpus[0].of.wrong.clone();
        assert!(wrong.as_ref().is_some_and(|said| said.contains(why)), "{of}: {wrong:?}");
        assert!(document.wishes.gpus[1].of.wrong.is_some());
    }
}

#[test]
fn a_wrong_shape_refuses_the_whole_document_and_names_the_field() {
    for (members, pointer) in [
        (json!({"agent": []}), "/agent"),
        (json!({"agent": {"enabled": "yes"}}), "/agent/enabled"),
        (json!({"agent": {"zone": 7}}), "/agent/zone"),
        (json!({"agent": {"labels": ["a"]}}), "/agent/labels"),
        (json!({"agent": {"labels": {"site": 7}}}), "/agent/labels/site"),
        (json!({"agent": {"labels": {"site": null}}}), "/agent/labels/site"),
        (json!({"agent": {"overrides": 0}}), "/agent/overrides"),
        (json!({"agent": {"overrides": {"cores": "4"}}}), "/agent/overrides/cores"),
        (json!({"agent": {"drain_at": 1_774_962_793}}), "/agent/drain_at"),
        (json!({"agent": {"heartbeat_interval_s": "30"}}), "/agent/heartbeat_interval_s"),
        (json!({"gpus": {}}), "/gpus"),
        (json!({"gpus": [{}, 7]}), "/gpus/1"),
        (json!({"gpus": [{"match": []}]}), "/gpus/0/match"),
        (json!({"gpus": [{"match": {"bdf": 41}}]}), "/gpus/0/match/bdf"),
        (json!({"gpus": [{"use": true}]}), "/gpus/0/use"),
        (json!({"gpus": [{"features": ["nvenc"]}]}), "/gpus/0/features"),
        (json!({"gpus": [{"features": {"nvenc": true}}]}), "/gpus/0/features/nvenc"),
        (json!({"gpus": [{"features": {"nvenc": {"enabled": 1}}}]}), "/gpus/0/features/nvenc/enabled"),
        (json!({"gpus": [{"mig": []}]}), "/gpus/0/mig"),
        (json!({"requires": "mig.v1"}), "/requires"),
        (json!({"requires": [null]}), "/requires/0"),
        (json!({"server_id": 5}), "/server_id"),
        (json!({"not_after": "soon"}), "/not_after"),
        (json!({"issued_at": 0}), "/issued_at"),
        (json!({"images": {}}), "/images"),
        (json!({"workspaces": [[]]}), "/workspaces/0"),
        (json!({"nvidia": true}), "/nvidia"),
        (json!({"proxy": []}), "/proxy"),
    ] {
        assert_eq!(wrong(&with(members.clone())).0, pointer, "{members}");
    }
    for (text, found) in [("[]", "an array"), ("7", "a number"), ("null", "null"), ("\"x\"", "a string")] {
        let (pointer, said) = wrong(text.as_bytes());
        assert!(pointer.is_empty() && said.contains(&format!("expected an object, found {found}")), "{said}");
    }
}

#[test]
fn epoch_and_revision_are_required_and_bounded() {
    let too_large = format!("1{}", "0".repeat(100_000));
    for revision in ["0", "-1", "1.5", "\"11\"", "18446744073709551616", "9223372036854775808", "1e300", "null", "true"]
    {
        let text = format!(r#"{{"epoch": "e", "revision": {revision}}}"#);
        assert_eq!(wrong(text.as_bytes()).0, "/revision", "{revision}");
    }
    assert_eq!(wrong(format!(r#"{{"epoch": "e", "revision": {too_large}}}"#).as_bytes()).0, "/revision");
    let long = format!("\"{}\"", "e".repeat(100_000));
    for epoch in ["\"\"", "\"a b\"", "\"a\\u0000\"", "7", "null", long.as_str()] {
        let text = format!(r#"{{"epoch": {epoch}, "revision": 1}}"#);
        assert_eq!(wrong(text.as_bytes()).0, "/epoch");
    }
    let (pointer, said) = wrong(b"{}");
    assert!(
        pointer == "/epoch" && said.contains("/epoch: is missing") && said.contains("/revision: is missing"),
        "{said}"
    );
    let most = br#"{"epoch": "e", "revision": 9223372036854775807}"#;
    assert_eq!(read(most).unwrap().id.to_string(), "e.9223372036854775807");
}

#[test]
fn limits_come_before_meaning() {
    let deep = |open: &str, count: usize| format!(r#"{{"epoch": "e", "revision": 1, "x": {}"#, open.repeat(count));
    for (bytes, said) in [
        (deep("[", 100_000).into_bytes(), "nested deeper than 32 levels"),
        (deep("{\"a\":", 100_000).into_bytes(), "nested deeper than 32 levels"),
        (vec![b' '; 17 * 1024 * 1024], "has 17825792 bytes, and 1048576 is the most"),
        (b"\0".to_vec(), "is not JSON"),
        (b"{\"epoch\": \"e\0\"}".to_vec(), "is not JSON"),
        (b"{\"epoch\": \"e\", \"revision\": 1".to_vec(), "is not JSON"),
        (b"".to_vec(), "is not JSON"),
        (b"{\"epoch\": \"e\", \"revision\": NaN}".to_vec(), "is not JSON"),
        (b"{\"epoch\": \"e\", \"revision\": 1} {}".to_vec(), "is not JSON"),
        (b"\xff\xfe{\0}\0".to_vec(), "byte 0 does not belong to a character"),
        (b"\xef\xbb\xbf{}".to_vec(), "is not JSON"),
        (br#"{"epoch": "e", "revision": 1, "x": 1e999}"#.to_vec(), "out of range"),
        (br#"{"epoch": "e", "revision": 1, "x": "\ud800"}"#.to_vec(), "/x: "),
    ] {
        let told = wrong(&bytes).1;
        assert!(told.contains(said), "{told}");
    }
    let (pointer, said) = wrong(br#"{"epoch": "e", "revision": 1, "agent": {"zone": "a", "zone": "b"}}"#);
    assert!(pointer == "/agent/zone" && said.contains("is there twice"), "{said}");
}

#[test]
fn the_number_of_things_is_bounded() {
    let list = |count: usize, one: Value| Value::Array(vec![one; count]);
    right(json!({"gpus": list(256, json!({}))}));
    right(json!({"images": list(4096, json!({})), "workspaces": list(4096, json!({}))}));
    for (members, pointer) in [
        (json!({"gpus": list(257, json!({}))}), "/gpus"),
        (json!({"gpus": list(100_000, json!({}))}), "/gpus"),
        (json!({"images": list(4097, json!({}))}), "/images"),
        (json!({"workspaces": list(4097, json!({}))}), "/workspaces"),
        (json!({"requires": list(257, json!("x"))}), "/requires"),
    ] {
        assert_eq!(wrong(&with(members)).0, pointer);
    }
    let labels = |count: usize| (0..count).map(|n| (format!("l{n}"), json!("x"))).collect::<serde_json::Map<_, _>>();
    right(json!({"agent": {"labels": labels(64)}}));
    assert_eq!(wrong(&with(json!({"agent": {"labels": labels(65)}}))).0, "/agent/labels");
    let label = |name: usize, value: usize| json!({"agent": {"labels": {"ä".repeat(name): "ö".repeat(value)}}});
    right(label(63, 253));
    let name_too_long = wrong(&with(label(64, 1))).0;
    assert_eq!(name_too_long, format!("/agent/labels/{}", "ä".repeat(64)));
    assert!(wrong(&with(label(1, 254))).1.contains("/agent/labels/ä: the value of a label has 254 characters"));
}

#[test]
fn faults_are_bounded_and_have_their_places() {
    let many = right_but_wrong(&vec![json!({"use": 7}); 256]);
    assert_eq!(many.faults.len(), 64);
    assert!(many.to_string().ends_with("; and 61 more faults"), "{many}");
    let text = "{\"epoch\": \"e\",\n \"revision\": 1,\n \"agent\": {\"enabled\": 1}}";
    let fault = read(text.as_bytes()).unwrap_err();
    assert_eq!(fault.faults[0].at.map(|at| at.to_string()).as_deref(), Some("line 3, column 23"));
    assert_eq!(fault.id.map(|id| id.to_string()).as_deref(), Some("e.1"), "it is known which one is wrong");
}

fn right_but_wrong(gpus: &[Value]) -> InvalidDocument {
    read(&with(json!({"gpus": gpus}))).unwrap_err()
}

#[test]
fn a_file_of_this_host_is_held_to_every_word() {
    let faults = |text: &str| {
        let reading = examine_toml(text, DesiredForm::Local);
        assert!(reading.faults.items.is_empty() && reading.faults.ignored.is_empty(), "{text}");
        let place = |fault: &DesiredFault| format!("{}: {fault}", fault.at.map_or(0, |at| at.line));
        reading.faults.refused.iter().map(place).collect::<Vec<_>>()
    };
    let good = "[agent]\ndraining = true\ndrain_at = 2026-03-31T13:13:13Z\nlabels = { site = 'ams' }\n\
                [[gpus]]\nmatch = { bdf = '41:00.0' }\nuse = 'passthrough'\n";
    assert_eq!(faults(good), [""; 0]);
    assert_eq!(faults(""), [""; 0]);
    for (text, said) in [
        ("[agent]\n\nlables = {}", "3: /agent/lables: this name is not known"),
        ("epoch = 'x'", "1: /epoch: belongs to a document of a manager"),
        ("server_id = 'x'", "1: /server_id: belongs"),
        ("[agent]\nlog_level = 'verbose'", "2: /agent/log_level: is \"verbose\": expected one of"),
        ("[[gpus]]\nuse = 'off'", "1: /gpus/0: the entry has no match"),
        ("[[gpus]]\nmatch = {bdf = 'x'}\n", "2: /gpus/0/match/bdf: \"x\" is not a PCI address"),
        (
            "[[gpus]]\nmatch = {bdf = '41:00.0'}\nfeatures.nvnec.enabled = true",
            "3: /gpus/0/features/nvnec: this feature",
        ),
        ("[agent\n", "1: "),
        ("agent = 1\nagent = 2", "2: "),
    ] {
        let told = faults(text);
        assert!(told.len() == 1 && told[0].starts_with(said), "{text}: {told:?}");
    }
    let json = examine(b"{\"agent\": {\"enabled\": true,}}", DesiredForm::Local).faults.refused;
    assert!(json[0].message.contains("nothing follows the comma") && json[0].at.is_some(), "{json:?}");
}

#[test]
fn a_file_is_a_managers_where_it_has_an_epoch_or_a_revision() {
    for (text, form) in [
        ("{\"epoch\": 1}", DesiredForm::Manager),
        ("revision = 1\n", DesiredForm::Manager),
        ("{\"agent\": {\"epoch\": 1}}", DesiredForm::Local),
        ("[agent]\n", DesiredForm::Local),
        ("{", DesiredForm::Local),
        ("[]", DesiredForm::Local),
    ] {
        assert_eq!(form_of(text), form, "{text}");
    }
}

#[test]
fn a_mig_layout_is_read_whole_or_refused_as_one_item() {
    let mig = |mig: Value| {
        right(json!({"gpus": [{"match": {"bdf": "0000:41:00.0"}, "mig": mig}]})).wishes.gpus[0].mig.clone()
    };
    let layout = json!([{"profile": "3g.20gb", "placement": 4}, {"profile": "1g.5gb", "count": 2}, {"profile": "1g.5gb+me", "count": 0}]);
    let read = mig(json!({"mode": "enabled", "layout": layout, "apply": "when_idle", "allow_reset": false}));
    assert_eq!(read.mode, Desired::Value(DesiredMigMode::Enabled));
    let Desired::Value(wishes) = &read.layout else { panic!("{read:?}") };
    let words: Vec<String> = wishes.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["3g.20gb@4", "1g.5gb:2"], "0 is none");
    assert_eq!(mig(json!({"mode": "unmanaged"})).mode, Desired::Value(DesiredMigMode::Unmanaged));
    assert_eq!((mig(Value::Null), mig(json!({"layout": []})).layout), (DesiredMig::default(), Desired::Value(vec![])));
    for wrong in [
        json!([{"profile": "3g.20gb"}, {"profile": "1g.0gb"}]),
        json!([{"count": 2}]),
        json!([{"profile": "1g.5gb", "count": 65}]),
        json!([{"profile": "1g.5gb", "count": -1}]),
        json!([{"profile": "1g.5gb", "placement": 4_294_967_296_u64}]),
    ] {
        assert!(matches!(mig(json!({"layout": wrong.clone()})).layout, Desired::Unsupported(_)), "{wrong}");
    }
    for (key, value) in [("mode", "on"), ("apply", "now")] {
        let read = mig(json!({key: value}));
        let is_refused = matches!(read.mode, Desired::Unsupported(_)) || matches!(read.apply, Desired::Unsupported(_));
        assert!(is_refused, "{key}: {value}");
    }
}
