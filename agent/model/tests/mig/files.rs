//! Files that declare layouts: mig-parted's forms, our own, and what is refused with its line and field.

use model::mig::files::{ConfigFile, Devices, read};

pub(crate) fn lab(entry: &str) -> String {
    format!("version: v1\nmig-configs:\n  lab:\n  - {}\n", entry.replace('\n', "\n    "))
}

fn fault(text: &str) -> String {
    match read(text) {
        Ok(file) => panic!("{text} was taken: {file:?}"),
        Err(fault) => fault.to_string(),
    }
}

/// The first entry of the first configuration in one line.
fn meaning(file: &ConfigFile) -> String {
    let entry = &file.configs[0].entries[0];
    let devices = match &entry.devices {
        Devices::All => "all".to_owned(),
        Devices::These(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let filter: Vec<String> = entry.filter.iter().map(ToString::to_string).collect();
    let one = |i: &model::mig::files::Instances| {
        let start = i.start.map(|start| format!("@{start}")).unwrap_or_default();
        format!("{}{start} x{}", i.profile, i.count)
    };
    let instances: Vec<String> = entry.instances.iter().map(one).collect();
    format!("[{}] {devices}: {} {}", filter.join(" "), entry.enabled, instances.join(", "))
}

fn read_one(text: &str) -> String {
    meaning(&read(text).unwrap_or_else(|fault| panic!("{text}: {fault}")))
}

#[test]
fn every_form_of_an_entry_is_read() {
    for (entry, means) in [
        ("devices: all\nmig-enabled: no", "[] all: false "),
        ("devices: 'all'\nmig-enabled: off\nmig-devices: null", "[] all: false "),
        ("devices: [0, 3, 0]\nmig-enabled: yes\nmig-devices: {}", "[] 0 3: true "),
        ("devices: []\nmig-enabled: false\nmig-devices: {}", "[] : false "),
        ("devices: [0]\nmig-enabled: on\nmig-devices: {1g.5gb: 2, 2g.10gb: 0}", "[] 0: true 1g.5gb x2"),
        (
            "devices: [0]\nmig-enabled: true\nmig-devices:\n  \"1c.3g.20gb\": 0x3\n  1g.5gb+me: 1",
            "[] 0: true 1c.3g.20gb x3, 1g.5gb+me x1",
        ),
        ("device-filter: '0x20b010de'\ndevices: all\nmig-enabled: false", "[0x20B010DE] all: false "),
        ("device-filter: ''\ndevices: all\nmig-enabled: false", "[] all: false "),
        (
            "device-filter: [\"0x20B010DE\", '0x233010DE:0x16C110DE']\ndevices: all\nmig-enabled: false",
            "[0x20B010DE 0x233010DE:0x16C110DE] all: false ",
        ),
        ("devices: [0]\nmig-enabled: true\nmig-devices: {0g.0gb: 100}", "[] 0: true 0g.0gb x100"),
    ] {
        assert_eq!(read_one(&lab(entry)), means, "{entry}");
    }
    let json = r#"{"mig-configs": {"lab": [{"devices": [1], "mig-enabled": true, "mig-devices": {"7g.40gb": 1},}]}, "version": "v1"}"#;
    assert_eq!(read_one(json), "[] 1: true 7g.40gb x1");
    assert_eq!(read_one(&format!("\u{feff}{}", lab("devices: all\nmig-enabled: false"))), "[] all: false ");
}

#[test]
fn our_own_form_names_addresses_uuids_and_starts() {
    let own = |text: &str| text.replacen("version: v1", "version: gpuhostd/v1", 1);
    let entry = "devices: ['0000:41:00.0', GPU-5f2ae64e-fdb7, 2, 43:00.0]\nmig-enabled: true\nmig-devices: {3g.20gb@4: 1, 1g.5gb: 2}";
    assert_eq!(
        read_one(&own(&lab(entry))),
        "[] 0000:41:00.0 GPU-5f2ae64e-fdb7 2 0000:43:00.0: true 3g.20gb@4 x1, 1g.5gb x2"
    );
    assert!(fault(&lab(entry)).contains("mig-configs.lab[0].devices[0]"), "mig-parted's form has none of it");
    let start =
        |start: &str| own(&lab(&format!("devices: all\nmig-enabled: true\nmig-devices: {{3g.20gb{start}: 1}}")));
    for wrong in ["@", "@-1", "@4@4", "@4294967296"] {
        assert!(fault(&start(wrong)).contains("mig-devices.3g.20gb@"), "{wrong}");
    }
}

#[test]
fn one_wrong_configuration_refuses_the_file_with_line_and_field() {
    let good = "version: v1\nmig-configs:\n  good:\n  - devices: all\n    mig-enabled: false\n";
    for (text, line, parts) in [
        (
            format!("{good}  bad:\n  - devices: all\n    mig-enabled: perhaps\n"),
            8,
            ["mig-configs.bad[0].mig-enabled", "perhaps"],
        ),
        (lab("devices: all"), 4, ["mig-configs.lab[0].mig-enabled", "required"]),
        (lab("mig-enabled: false"), 4, ["lab[0].devices", "required"]),
        (lab("device: all\nmig-enabled: false"), 4, ["lab[0].device: unexpected field device", "devices"]),
        (lab("Devices: all\nmig-enabled: false"), 4, ["Devices", "unexpected"]),
        (lab("devices: all\nmig-enabled: true"), 4, ["mig-devices", "{} is not an instance"]),
        (lab("devices: all\nmig-enabled: true\nmig-devices: null"), 4, ["mig-devices", "{} is not an instance"]),
        (lab("devices: all\nmig-enabled: false\nmig-devices: {1g.5gb: 1}"), 6, ["mig-devices", "mig-enabled is false"]),
        (lab("devices: all\nmig-enabled: false\nmig-devices: {1g.5gb: 0}"), 6, ["mig-devices", "all counts are 0"]),
        (lab("devices: all\nmig-enabled: true\nmig-devices: {1g.5gb: -2}"), 6, ["mig-devices.1g.5gb", "negative"]),
        (lab("devices: all\nmig-enabled: true\nmig-devices: {1g.5gb: 010}"), 6, ["mig-devices.1g.5gb", "octal"]),
        (
            lab("devices: all\nmig-enabled: true\nmig-devices: {1g.5gb: 4294967296}"),
            6,
            ["mig-devices.1g.5gb", "more than 1000"],
        ),
        (
            lab("devices: all\nmig-enabled: true\nmig-devices: {1g.5gb: 1, 01g.5gb: 1}"),
            6,
            ["mig-devices.01g.5gb", "twice"],
        ),
        (lab("devices: all\nmig-enabled: true\nmig-devices: {3g.20gb@4: 1}"), 6, ["3g.20gb@4", "not a MIG profile"]),
        (lab("devices: all\nmig-enabled: true\nmig-devices: {1g.0gb: 1}"), 6, ["1g.0gb", "no memory"]),
        (lab("devices: all\nmig-enabled: true\nmig-devices: [1g.5gb]"), 6, ["mig-devices", "expected a map"]),
        (lab("devices: ALL\nmig-enabled: false"), 4, ["devices", "ALL is not all"]),
        (lab("devices: 0\nmig-enabled: false"), 4, ["devices", "list of indices"]),
        (lab("devices: [-1]\nmig-enabled: false"), 4, ["devices[0]", "negative"]),
        (lab("devices: ['0']\nmig-enabled: false"), 4, ["devices[0]", "not a whole number"]),
        (lab("device-filter: 0x20B010DE\ndevices: all\nmig-enabled: false"), 4, ["device-filter", "in quotes"]),
        (lab("device-filter: A100-SXM4-40GB\ndevices: all\nmig-enabled: false"), 4, ["device-filter", "not a PCI id"]),
        (lab("device-filter: ['']\ndevices: all\nmig-enabled: false"), 4, ["device-filter[0]", "not a PCI id"]),
        ("version: v1\nmig-configs: {}\n".to_owned(), 2, ["mig-configs", "at least one"]),
        ("version: v1\nmig-configs: {lab: []}\n".to_owned(), 2, ["mig-configs.lab", "at least one"]),
        ("version: v2\n".to_owned(), 1, ["version", "unknown version v2"]),
        ("{}\n".to_owned(), 1, ["version", "required"]),
        ("- version: v1\n".to_owned(), 1, ["expected a map", "mig-configs"]),
        ("apiVersion: v1\nkind: ConfigMap\n".to_owned(), 1, ["apiVersion", "kubectl"]),
        ("version: v1\nhooks:\n  apply-start: []\n".to_owned(), 2, ["hooks", "not run"]),
        ("{\"Version\": \"v1\", \"MigState\": {}}".to_owned(), 1, ["MigState", "checkpoint"]),
        (format!("{good}---\n{good}"), 6, ["a second document", ""]),
        (format!("{good}    mig-enabled: true\n"), 6, ["mig-configs.good[0]", "mig-enabled occurs twice"]),
    ] {
        let said = fault(&text);
        assert!(said.starts_with(&format!("line {line}: ")), "{text}\n{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{text}\n{said}");
    }
}

#[test]
fn entries_that_must_meet_at_one_gpu_are_refused_both_named() {
    let two = |one: &str, other: &str| {
        format!(
            "version: v1\nmig-configs:\n  lab:\n  - {{{one}, mig-enabled: false}}\n  - {{{other}, mig-enabled: true, mig-devices: {{}}}}\n"
        )
    };
    for (one, other) in [
        ("devices: all", "devices: [0]"),
        ("devices: [1, 2]", "devices: [3, 2]"),
        ("devices: all, device-filter: '0x20B010DE'", "devices: all, device-filter: ['0x233010DE', '0x20B010DE']"),
    ] {
        let said = fault(&two(one, other));
        assert!(said.starts_with("line 5: mig-configs.lab[1].devices") && said.contains("lab[0] (line 4)"), "{said}");
    }
    for (one, other) in [
        ("devices: [0]", "devices: [1]"),
        ("devices: all", "devices: []"),
        ("devices: all, device-filter: '0x20B010DE'", "devices: all, device-filter: '0x20B710DE'"),
        ("devices: all, device-filter: '0x20B010DE'", "devices: all"),
    ] {
        assert!(read(&two(one, other)).is_ok(), "only a host can tell: {one} and {other}");
    }
}

#[test]
fn a_configuration_is_chosen_by_its_whole_name() {
    let text = "version: v1\nmig-configs:\n  a: &a [{devices: all, mig-enabled: false}]\n  42: *a\n";
    let file = read(text).unwrap();
    assert_eq!(file.select(Some("42")).unwrap().name, "42");
    assert_eq!(file.select(Some("4")).unwrap_err(), "there is no configuration 4; there are: a, 42");
    assert!(file.select(None).unwrap_err().contains("name one of them: a, 42"));
    for empty in ["", "---\n", "null\n", "version: v1\n"] {
        assert!(read(empty).unwrap().select(None).unwrap_err().contains("no configuration"), "{empty:?}");
    }
    let only = read(&lab("devices: all\nmig-enabled: false")).unwrap();
    assert_eq!(only.select(None).unwrap().name, "lab");
    assert!(only.select(Some("")).is_err());
}

#[test]
fn a_file_costs_no_more_than_its_size() {
    let entry = "  - {devices: [0], mig-enabled: no}\n";
    let many = format!("version: v1\nmig-configs:\n  lab:\n{}", entry.repeat(300));
    assert!(fault(&many).contains("mig-configs.lab: it has 300 entries"));
    let wide = format!("devices: [{}]\nmig-enabled: no", "1,".repeat(300));
    assert!(fault(&lab(&wide)).contains("more than 256 GPUs"));
    let deep = lab(&format!("devices: {}", "[".repeat(3000)));
    assert!(fault(&deep).contains("nested deeper"));
    let long = format!("version: v1\nmig-configs:\n  lab:\n  - {}: 1\n", "x".repeat(100_000));
    assert!(fault(&long).len() < 400, "a fault is short whatever the file holds");
}
