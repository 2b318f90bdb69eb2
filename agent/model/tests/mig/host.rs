//! Files against hosts: who is meant, whether it holds, the way there; exports, generated files and checkpoints.

use model::mig::files::assert::{Asserted, assert, plan_entry};
use model::mig::files::export::{export, generate};
use model::mig::files::host_gpus::{HostGpu, RecordedMigMode};
use model::mig::files::{MigConfig, checkpoint, choose, read};
use model::mig::layout::read_present;
use model::mig::products::Product;
use model::mig::{MigCatalog, Present};

const UUIDS: [&str; 3] = ["GPU-00000000-0000", "GPU-11111111-1111", "GPU-22222222-2222"];

pub(crate) fn catalog(product: &str) -> MigCatalog {
    Product::find(product).unwrap().catalog().unwrap()
}

/// A GPU of the table at `0000:0N:00.0`, with these instances; `-` has MIG off, `none` cannot do MIG.
pub(crate) fn gpu(number: usize, product: &str, layout: &str) -> HostGpu {
    let device = Product::find(product).unwrap().devices[0];
    let mode = match layout {
        "none" => RecordedMigMode::Unsupported,
        "off" => RecordedMigMode::Off,
        _ => RecordedMigMode::On,
    };
    let instances =
        if mode == RecordedMigMode::On { read_present(layout, &catalog(product)).unwrap() } else { Vec::new() };
    HostGpu {
        address: format!("0000:{:02x}:00.0", number + 1).parse().unwrap(),
        uuid: UUIDS.get(number).map(|uuid| uuid.parse().unwrap()),
        id: format!("0x{device:04X}10DE:0x{:04X}10DE", 0x1400 + number).parse().unwrap(),
        mode,
        pending: None,
        instances,
    }
}

pub(crate) fn config(version: &str, entries: &str) -> MigConfig {
    let text = format!("version: {version}\nmig-configs:\n  lab:\n{entries}");
    read(&text).unwrap_or_else(|fault| panic!("{text}\n{fault}")).configs.remove(0)
}

pub(crate) fn v1(entries: &str) -> MigConfig {
    config("v1", entries)
}

/// The lines of the entries that the GPUs got.
fn chosen(config: &MigConfig, host: &[HostGpu]) -> Result<Vec<Option<u64>>, String> {
    let chosen = choose(config, host).map_err(|fault| fault.to_string())?;
    Ok(chosen.into_iter().map(|entry| entry.map(|entry| entry.line)).collect())
}

#[test]
fn an_entry_is_about_those_that_it_names_and_its_filter_leaves() {
    let host = [gpu(0, "A100-40GB", "off"), gpu(1, "A30-24GB", "none"), gpu(2, "A100-40GB", "off")];
    for (entry, is_about) in [
        ("{devices: all, mig-enabled: no}", [Some(4), None, Some(4)]),
        ("{devices: [0], mig-enabled: no}", [Some(4), None, None]),
        ("{devices: [1], mig-enabled: no}", [None, None, None]),
        ("{devices: all, device-filter: '0x20B710DE', mig-enabled: no}", [None, None, None]),
        ("{devices: all, device-filter: '0x20B010DE:0x140210DE', mig-enabled: no}", [None, None, Some(4)]),
        ("{devices: [0, 2], device-filter: '0x20B010DE:0x140210DE', mig-enabled: no}", [None, None, Some(4)]),
        ("{devices: [], mig-enabled: no}", [None, None, None]),
    ] {
        assert_eq!(chosen(&v1(&format!("  - {entry}\n")), &host), Ok(is_about.to_vec()), "{entry}");
    }
    let own = config("gpuhostd/v1", "  - {devices: ['0000:03:00.0', GPU-00000000-0000, 0], mig-enabled: no}\n");
    assert_eq!(chosen(&own, &host), Ok(vec![Some(4), None, Some(4)]), "one GPU under two names is one");
}

#[test]
fn a_gpu_that_is_not_there_or_is_named_twice_is_refused_with_what_there_is() {
    let host = [gpu(0, "A100-40GB", "off"), gpu(1, "A30-24GB", "none")];
    for (version, entries, parts) in [
        (
            "v1",
            "  - {devices: [2], mig-enabled: no}\n",
            ["line 4: mig-configs.lab[0].devices", "0 = 0000:01:00.0 (0x20B010DE"],
        ),
        ("v1", "  - {devices: [1], mig-enabled: yes, mig-devices: {}}\n", ["GPU 1 (0000:02:00.0", "cannot do MIG"]),
        (
            "gpuhostd/v1",
            "  - {devices: ['0000:09:00.0'], mig-enabled: no}\n",
            ["there is no GPU 0000:09:00.0", "1 = 0000:02:00.0"],
        ),
        (
            "gpuhostd/v1",
            "  - {devices: [0], mig-enabled: no}\n  - {devices: ['01:00.0'], mig-enabled: no}\n",
            ["line 5", "[0] (line 4)"],
        ),
        (
            "v1",
            "  - {devices: all, device-filter: '0x20B010DE', mig-enabled: no}\n  - {devices: [0], mig-enabled: no}\n",
            ["line 5", "(line 4)"],
        ),
    ] {
        let said = chosen(&config(version, entries), &host).unwrap_err();
        assert!(parts.iter().all(|part| said.contains(part)), "{entries}: {said}");
    }
    let said = chosen(&v1("  - {devices: [0], mig-enabled: no}\n"), &[]).unwrap_err();
    assert!(said.contains("there is no GPU that the driver lists"), "{said}");
}

fn told(asserted: &Asserted) -> String {
    let all: Vec<String> = asserted.differs.iter().map(|(_, differs)| differs.to_string()).collect();
    all.join(" | ")
}

#[test]
fn what_differs_is_told_and_what_is_equal_by_another_spelling_is_not() {
    let entry = |devices: &str| v1(&format!("  - devices: all\n    mig-enabled: true\n    mig-devices: {devices}\n"));
    for (there, wanted, differs) in [
        ("3g.20gb@0,3g.20gb@4", "{3g.20gb: 2, 1g.5gb: 0}", ""),
        ("3g.20gb@0,3g.20gb@4", "{3c.3g.20gb: 2}", ""),
        ("1c.2g.10gb@0,1c.2g.10gb@0", "{1c.2g.10gb: 2}", ""),
        ("1c.2g.10gb@0,1c.2g.10gb@4", "{1c.2g.10gb: 2}", ""),
        ("3g.20gb@0", "{3g.20gb: 1, 1g.5gb+me: 1}", "missing: 1 x 1g.5gb+me; not wanted: nothing"),
        ("3g.20gb@0,1g.5gb@4,1g.5gb@5", "{3g.20gb: 1}", "missing: nothing; not wanted: 2 x 1g.5gb"),
        ("off", "{}", "MIG mode is off, but on is wanted"),
        ("-", "{}", ""),
    ] {
        let asserted = assert(&entry(wanted), &[gpu(0, "A100-40GB", there)], false).unwrap();
        assert_eq!(told(&asserted), differs, "{there} against {wanted}");
        assert_eq!(asserted.holds(true), differs.is_empty());
    }
    let mode_only = assert(&entry("{7g.40gb: 1}"), &[gpu(0, "A100-40GB", "-")], true).unwrap();
    assert!(mode_only.holds(true));
    let pending = HostGpu { pending: Some(false), ..gpu(0, "A100-40GB", "-") };
    assert_eq!(
        told(&assert(&entry("{}"), &[pending], false).unwrap()),
        "MIG mode is on and will be off after the next reset"
    );
    let mut empty = gpu(0, "A100-40GB", "3g.20gb@0,1g.5gb@4");
    empty.instances[1].compute.clear();
    let asserted = assert(&entry("{3g.20gb: 1}"), &[empty], false).unwrap();
    assert_eq!(told(&asserted), "1g.5gb@4 has no compute instance");
}

#[test]
fn a_place_counts_where_our_own_form_names_it() {
    let entry = |devices: &str| {
        config("gpuhostd/v1", &format!("  - devices: all\n    mig-enabled: true\n    mig-devices: {devices}\n"))
    };
    let host = [gpu(0, "A100-40GB", "1g.5gb@0,1g.5gb@4")];
    assert!(assert(&entry("{1g.5gb@4: 1, 1g.5gb: 1}"), &host, false).unwrap().holds(true));
    let asserted = assert(&entry("{1g.5gb@6: 1, 1g.5gb: 1}"), &host, false).unwrap();
    assert_eq!(told(&asserted), "missing: 1 x 1g.5gb; not wanted: 1 x 1g.5gb");
}

fn counts(there: &str, wanted: &str) -> (usize, usize, usize, bool) {
    let entry = v1(&format!("  - devices: all\n    mig-enabled: true\n    mig-devices: {wanted}\n")).entries.remove(0);
    let present: Vec<Present> = read_present(there, &catalog("A100-40GB")).unwrap();
    let plan = plan_entry(&catalog("A100-40GB"), &present, &entry).unwrap();
    (plan.keep.len(), plan.destroy.len(), plan.create.len(), plan.is_done())
}

#[test]
fn a_host_that_holds_is_left_alone_and_what_stays_changes_only_inside() {
    assert_eq!(counts("1c.2g.10gb@0,1c.2g.10gb@4", "{1c.2g.10gb: 2}"), (2, 0, 0, true), "spread over two instances");
    assert_eq!(counts("1g.5gb@3", "{1g.5gb: 1}"), (1, 0, 0, true));
    assert_eq!(counts("3g.20gb@4", "{1c.3g.20gb: 3}"), (1, 0, 0, false), "only the compute instances change");
    assert_eq!(counts("3g.20gb@4", "{1c.3g.20gb: 4}"), (1, 0, 1, false));
    assert_eq!(counts("3g.20gb@4,1g.5gb@0", "{3g.20gb: 2}"), (1, 1, 1, false));
}

#[test]
fn a_compute_instance_in_use_is_never_taken_apart() {
    let a100 = catalog("A100-40GB");
    let plan = |there: &str, wanted: &str| {
        let wishes = model::mig::layout::read_wishes(wanted, &a100).unwrap();
        model::mig::plan(&a100, &read_present(there, &a100).unwrap(), &wishes)
    };
    let kept = plan("1c.3g.20gb@0:in-use,2c.3g.20gb@0", "1c.3g.20gb:3").unwrap();
    assert_eq!((kept.keep[0].destroy_compute.clone(), kept.keep[0].create_compute.clone()), (vec![2], vec![1, 1]));
    let refused = plan("3g.20gb@0:in-use", "1c.3g.20gb:3").unwrap_err();
    assert_eq!(refused.why.code(), "in_use_blocks", "{refused}");
    let two = plan("1c.3g.20gb@0:in-use,2c.3g.20gb@4:in-use", "2c.3g.20gb:1,1c.3g.20gb:1").unwrap_err();
    assert_eq!(two.why.code(), "in_use_not_wanted", "shared out they take one GPU instance: {two}");
    let split = plan("1c.3g.20gb@0,1c.3g.20gb@4", "1c.3g.20gb@0:3,2c.3g.20gb@4").unwrap();
    let inside: Vec<_> = split.keep.iter().map(|kept| (&kept.destroy_compute[..], &kept.create_compute[..])).collect();
    assert_eq!(inside, [(&[][..], &[1, 1][..]), (&[1][..], &[2][..])]);
    let unknown = plan("-", "5c.7g.40gb").unwrap_err();
    assert!(unknown.to_string().contains("it has 1c.7g.40gb, 2c.7g.40gb"), "{unknown}");
}

#[test]
fn what_was_exported_reads_the_same_and_holds() {
    let host = [
        gpu(0, "A100-40GB", "3g.20gb@0,1c.3g.20gb@4,2c.3g.20gb@4"),
        gpu(1, "A30-24GB", "off"),
        gpu(2, "A100-40GB", "-"),
    ];
    for label in ["current", "a: b", "yes", "42", "\"", ""] {
        let (file, lost) = export(&host, label);
        let again = read(&file.yaml()).unwrap_or_else(|fault| panic!("{label}: {fault}\n{}", file.yaml()));
        assert!(assert(again.select(Some(label)).unwrap(), &host, false).unwrap().holds(true), "{}", file.yaml());
        assert!(lost.is_empty());
    }
    let mut empty = gpu(0, "A100-40GB", "1g.5gb@6");
    empty.instances[0].compute.clear();
    let (file, lost) = export(&[empty], "current");
    assert_eq!(lost[0].to_string(), "1g.5gb@6", "what a file cannot hold is told");
    assert!(file.yaml().contains("mig-devices: {}"));
}

#[test]
fn a_generated_file_has_what_each_gpu_could_have() {
    let id = |text: &str| text.parse().unwrap();
    let two = generate(&[(id("0x20B710DE"), catalog("A30-24GB")), (id("0x20B010DE"), catalog("A100-40GB"))]);
    let json = serde_json::to_value(&two).unwrap();
    let configs = &json["mig-configs"];
    assert_eq!(configs["all-1g.5gb.me"][0]["device-filter"], serde_json::json!(["0x20B010DE"]));
    assert_eq!(configs["all-balanced"][0]["mig-devices"], serde_json::json!({ "1g.6gb": 2, "2g.12gb": 1 }));
    assert_eq!(
        configs["all-balanced"][1]["mig-devices"],
        serde_json::json!({ "1g.5gb": 2, "2g.10gb": 1, "3g.20gb": 1 })
    );
    assert_eq!(configs["all-disabled"][0], serde_json::json!({ "devices": "all", "mig-enabled": false }));
    let one = generate(&[(id("0x2BB510DE"), catalog("RTX-PRO-6000-96GB"))]);
    let text = one.yaml();
    assert!(text.contains("\"all-1g.24gb.me.all\":") && !text.contains("device-filter"), "{text}");
    let file = read(&text).unwrap();
    let rtx = catalog("RTX-PRO-6000-96GB");
    for config in file.configs.iter().filter(|config| config.entries[0].enabled) {
        assert!(plan_entry(&rtx, &[], &config.entries[0]).is_ok(), "{} fits", config.name);
    }
    assert_eq!(file.configs.len(), rtx.profiles().len() + 3);
}

#[test]
fn a_checkpoint_is_written_as_mig_parted_does_and_read_again() {
    let host = [
        (gpu(0, "A100-40GB", "3g.20gb@4,1c.2g.10gb@0,1c.2g.10gb@0"), Some(catalog("A100-40GB"))),
        (gpu(1, "A30-24GB", "none"), None),
        (gpu(2, "RTX-PRO-6000-96GB", "1g.24gb+gfx@9"), Some(catalog("RTX-PRO-6000-96GB"))),
    ];
    let text = checkpoint::write(&host).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let devices = &json["MigState"]["Devices"];
    assert_eq!((devices.as_array().unwrap().len(), &json["Version"]), (2, &"v1".into()));
    let first = &devices[0]["GpuInstances"][0];
    assert_eq!(first["Placement"], serde_json::json!({ "Start": 4, "Size": 4 }));
    assert_eq!(first["ComputeInstances"], serde_json::json!([{ "ProfileID": 2, "EngProfileID": 0 }]));
    assert_eq!(devices[1]["GpuInstances"][0]["ProfileID"], 10, "the index, not the id 47");
    let restored = checkpoint::read(&text, &host).unwrap();
    let wishes: Vec<String> =
        restored.iter().map(|one| one.wishes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(wishes, ["3g.20gb@4,1c.2g.10gb@0:2", "1g.24gb+gfx@9"]);
    assert_eq!((restored[0].gpu, restored[1].gpu, restored[0].enabled), (0, 2, true));
}

#[test]
fn a_checkpoint_that_is_not_of_this_host_is_refused_as_a_whole() {
    let host = [(gpu(0, "A100-40GB", "off"), Some(catalog("A100-40GB")))];
    let of = |devices: &str| format!(r#"{{"Version":"v1","MigState":{{"Devices":{devices}}}}}"#);
    let one =
        |instances: &str| of(&format!(r#"[{{"UUID":"GPU-00000000-0000","MigMode":1,"GpuInstances":{instances}}}]"#));
    let place = |index: u32, start: u32, size: u32, compute: &str| {
        one(&format!(
            r#"[{{"ProfileID":{index},"Placement":{{"Start":{start},"Size":{size}}},"ComputeInstances":{compute}}}]"#
        ))
    };
    for text in [of("null"), of("[]"), one("null"), place(2, 4, 4, "null"), place(2, 4, 4, "[]")] {
        assert!(checkpoint::read(&text, &host).unwrap().iter().all(|one| one.wishes.is_empty()), "{text}");
    }
    for (text, why) in [
        (String::new(), "not a checkpoint"),
        ("[".repeat(3000), "not a checkpoint"),
        (of("[]").replace("v1", "v2"), "unknown version v2"),
        (
            of(r#"[{"UUID":"GPU-99999999-9999","MigMode":0}]"#),
            "GPU-99999999-9999 of the checkpoint is not on this host",
        ),
        (of(r#"[{"UUID":"GPU-00000000-0000","MigMode":0},{"UUID":"GPU-00000000-0000","MigMode":0}]"#), "twice"),
        (of(r#"[{"UUID":"GPU-00000000-0000","MigMode":2}]"#), "MIG mode 2"),
        (one("null").replace("UUID", "Uuid"), "not a checkpoint"),
        (place(9, 1, 2, "[]"), "1g.10gb cannot be placed at 1:2"),
        (place(2, 4, 3, "[]"), "3g.20gb cannot be placed at 4:3"),
        (place(99, 0, 1, "[]"), "no profile with the index 99"),
        (place(2, 0, 4, r#"[{"ProfileID":3,"EngProfileID":0}]"#), "holds no compute profile 3"),
        (place(2, 0, 4, r#"[{"ProfileID":0,"EngProfileID":1}]"#), "holds no compute profile 0"),
        (place(2, 0, 4, r#"[{"ProfileID":4294967295,"EngProfileID":0}]"#), "holds no compute profile"),
        (" ".repeat(checkpoint::MOST_BYTES + 1), "bytes"),
    ] {
        let said = checkpoint::read(&text, &host).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}
