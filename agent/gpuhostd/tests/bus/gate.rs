//! The gate: every member has its action, and who is not clearly allowed is refused.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::{PrivateBus, top};
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, busctl_refused, client, error_of, until};
use gpuhostd::bus::action::{PolkitAction, action_for};
use model::blocker::{Blocked, Blocker};
use model::change::{Bind, Change};
use model::machine_kind::Machine;
use model::refusal::Refusal;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use wire::dbus::proxy::{HostProxy, Options};

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
const HOST: &str = "org.gpuhost.Agent1.Host";
const GPU: &str = "org.gpuhost.Agent1.Gpu";
const GPU_PATH: &str = "/org/gpuhost/Agent1/gpu/0000_41_00_0";
/// Every method that changes something and takes options alone.
const CHANGES: [(&str, &str, &str); 9] = [
    (ROOT, "org.gpuhost.Agent1.Workspaces", "PruneImages"),
    (ROOT, HOST, "Rescan"),
    (ROOT, HOST, "Leave"),
    (ROOT, HOST, "Lock"),
    (ROOT, HOST, "Unlock"),
    (GPU_PATH, GPU, "BindPassthrough"),
    (GPU_PATH, GPU, "ReleasePassthrough"),
    (GPU_PATH, GPU, "ConfirmPassthrough"),
    (GPU_PATH, GPU, "ConfirmMig"),
];

/// What every object has from the library itself: it reads and changes nothing, because no property can be written.
const STANDARD: [&str; 8] = [
    "org.freedesktop.DBus.Introspectable.Introspect",
    "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
    "org.freedesktop.DBus.Peer.GetMachineId",
    "org.freedesktop.DBus.Peer.Ping",
    "org.freedesktop.DBus.Properties.Get",
    "org.freedesktop.DBus.Properties.GetAll",
    "org.freedesktop.DBus.Properties.Set",
    "org.gpuhost.Agent1.Gpu.GetMetrics",
];

/// Every path on the bus with its introspection.
pub(crate) fn introspection(bus: &PrivateBus) -> Vec<(String, String)> {
    let tree = busctl(bus, &["tree", "--list", NAME]);
    let read = |path: &str| busctl(bus, &["introspect", "--xml-interface", NAME, path]);
    tree.lines().map(|path| (path.to_owned(), read(path))).collect()
}

#[test]
fn every_member_on_the_bus_has_an_action_and_no_property_can_be_written() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    served.core.workspaces.send_replace(Arc::new(hosts::workspaces()));
    until("the workspace is there", || busctl(&bus, &["tree", "--list", NAME]).contains("/workspace/"));
    busctl(&bus, &["call", NAME, ROOT, HOST, "Rescan", "a{sv}", "0"]);
    let mut methods = BTreeSet::new();
    let mut properties = 0;
    for (path, xml) in introspection(&bus) {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&xml, options).unwrap();
        for member in document.descendants().filter(|n| ["method", "property"].contains(&n.tag_name().name())) {
            let interface = member.parent_element().unwrap().attribute("name").unwrap().to_owned();
            let name = member.attribute("name").unwrap();
            if member.tag_name().name() == "property" {
                assert_eq!(member.attribute("access"), Some("read"), "{path} {interface}.{name}");
                properties += 1;
            } else {
                methods.insert((interface, name.to_owned()));
            }
        }
    }
    assert!(properties > 100, "the walk saw only {properties} properties");
    let ours = methods.iter().filter(|(interface, _)| interface.starts_with("org.gpuhost.")).count();
    assert_eq!(ours, 38, "a new method needs its action, and its place in the tests of refusal: {methods:?}");
    for (interface, name) in &methods {
        let standard = STANDARD.contains(&format!("{interface}.{name}").as_str());
        assert!(standard || action_for(interface, name).is_some(), "{interface}.{name} has no action");
    }
}

#[test]
fn every_action_stands_in_the_polkit_file_and_no_change_is_open() {
    let text = std::fs::read_to_string(top().join("packaging/polkit-1/actions/org.gpuhost.agent1.policy")).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&text, options).unwrap();
    let actions: Vec<_> = document.descendants().filter(|n| n.has_tag_name("action")).collect();
    let ids: BTreeSet<_> = actions.iter().map(|n| n.attribute("id").unwrap()).collect();
    assert_eq!(ids, PolkitAction::ALL.map(PolkitAction::id).into_iter().collect());
    for action in actions {
        let reads = action.attribute("id") == Some(PolkitAction::Inspect.id());
        for allow in action.descendants().filter(|n| n.tag_name().name().starts_with("allow_")) {
            assert_eq!(allow.text() == Some("yes"), reads, "{:?}", action.attribute("id"));
        }
        let owner = action.children().find(|n| n.attribute("key") == Some("org.freedesktop.policykit.owner"));
        assert_eq!(owner.and_then(|n| n.text()), Some("unix-user:gpuhostd"));
    }
}

#[test]
fn without_polkit_root_may_and_nobody_may_not() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    for (path, interface, method) in CHANGES {
        let said = busctl_refused(&bus, NOBODY, &["call", NAME, path, interface, method, "a{sv}", "0"]);
        assert!(said.contains("not authorized") && said.contains("only root is authorized"), "{said}");
    }
    assert!(served.core.got.borrow().is_empty(), "nothing got through");
    let said = busctl(&bus, &["call", NAME, ROOT, HOST, "Rescan", "a{sv}", "0"]);
    assert_eq!(said.trim(), r#"o "/org/gpuhost/Agent1/job/1""#);
    let got = served.core.got.borrow().clone();
    assert_eq!((got[0].operation, got[0].actor.uid), ("rescan", Some(0)));
}

#[test]
fn the_object_of_a_job_is_there_when_its_path_comes_back_and_shows_the_end() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let refusal = model::refusal::Refusal::Conflict { why: "the host is locked".into() };
    served.core.ending.send_modify(|ending| *ending = Err(refusal));
    for number in 1..=20 {
        let path = format!("{ROOT}/job/{number}");
        busctl(&bus, &["call", NAME, ROOT, HOST, "Rescan", "a{sv}", "0"]);
        let operation = busctl(&bus, &["get-property", NAME, &path, "org.gpuhost.Agent1.Job", "Operation"]);
        assert_eq!(operation.trim(), r#"s "rescan""#);
    }
    let first = format!("{ROOT}/job/1");
    let get = |property| busctl(&bus, &["get-property", NAME, &first, "org.gpuhost.Agent1.Job", property]);
    until("the job has ended", || get("State").contains("finished"));
    assert_eq!(get("Result").trim(), r#"s "failed""#);
    assert_eq!(get("Error").trim(), r#"(ss) "conflict" "the host is locked""#);
    assert_eq!(get("StartedByUid").trim(), "u 0");
}

#[test]
fn an_unknown_option_is_refused_in_every_method() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let looks = [(ROOT, HOST, "GetObservation"), (ROOT, HOST, "Sample"), (GPU_PATH, GPU, "GetMetrics")];
    for (path, interface, method) in CHANGES.into_iter().chain(looks) {
        let said = busctl_refused(&bus, 0, &["call", NAME, path, interface, method, "a{sv}", "1", "as-user", "s", "x"]);
        assert!(said.contains("there is no option \"as-user\";"), "{method}: {said}");
        let wrong = ["call", NAME, path, interface, method, "a{sv}", "1", "auth.no-user-interaction", "s", "yes"];
        let said = busctl_refused(&bus, 0, &wrong);
        assert!(said.contains("expected a boolean"), "{method}: {said}");
    }
    assert!(served.core.got.borrow().is_empty());
}

#[test]
fn a_gpu_is_given_away_with_the_options_that_were_named_and_taken_back() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let call = |method: &'static str, options: &[&'static str]| {
        [&["call", NAME, GPU_PATH, GPU, method, "a{sv}"][..], options].concat()
    };
    let all = ["3", "dry-run", "b", "true", "confirm-within", "t", "60", "guest-memory-mib", "t", "4096"];
    let said = busctl(&bus, &call("BindPassthrough", &all));
    assert_eq!(said.trim(), r#"o "/org/gpuhost/Agent1/job/1""#);
    busctl(&bus, &call("BindPassthrough", &["0"]));
    busctl(&bus, &call("ReleasePassthrough", &["1", "dry-run", "b", "true"]));
    busctl(&bus, &call("ConfirmPassthrough", &["0"]));
    for wrong in
        [["1", "confirm-within", "t", "0"], ["1", "confirm-within", "t", "86401"], ["1", "confirm-within", "u", "9"]]
    {
        let said = busctl_refused(&bus, 0, &call("BindPassthrough", &wrong));
        assert!(said.contains("confirm-within: expected"), "{said}");
    }
    busctl_refused(&bus, 0, &call("ReleasePassthrough", &["1", "confirm-within", "t", "9"]));
    let got = served.core.got.borrow().clone();
    let gpu = "0000:41:00.0".parse().unwrap();
    let bind = |confirm_within_ms, guest_memory_mib| {
        Change::PassthroughBind(Bind { gpu, confirm_within_ms, guest_memory_mib })
    };
    assert_eq!(got[0].change, Some((bind(Some(60_000), Some(4096)), true)));
    assert_eq!(got[1].change, Some((bind(None, None), false)));
    assert_eq!(got[2].change, Some((Change::PassthroughRelease(gpu), true)));
    assert_eq!((got[3].operation, got.len()), ("passthrough-confirm", 4));
}

#[test]
fn a_gpu_that_is_gone_is_acknowledged_by_its_address() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let call = |address: &'static str| ["call", NAME, ROOT, HOST, "AcknowledgeGoneGpu", "sa{sv}", address, "0"];
    let said = busctl_refused(&bus, NOBODY, &call("0000:c1:00.0"));
    assert!(said.contains("not authorized") && said.contains("only root is authorized"), "{said}");
    let said = busctl_refused(&bus, 0, &call("the second one"));
    assert!(said.contains("PCI address"), "{said}");
    assert!(served.core.got.borrow().is_empty(), "nothing got through");
    assert_eq!(busctl(&bus, &call("C1:00.0")).trim(), r#"o "/org/gpuhost/Agent1/job/1""#);
    assert_eq!(served.core.got.borrow()[0].operation, "acknowledge-gone-gpu");
}

#[test]
fn all_that_stands_in_the_way_is_in_the_job_with_what_to_do() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let gpu = "0000:41:00.0".parse().unwrap();
    let blocked = Blocked::by(gpu, vec![Blocker::BootVga, Blocker::IommuOff { machine: Machine::X86 }]).unwrap();
    served.core.ending.send_modify(|ending| *ending = Err(Refusal::Blocked(blocked)));
    busctl(&bus, &["call", NAME, GPU_PATH, GPU, "BindPassthrough", "a{sv}", "0"]);
    let job = format!("{ROOT}/job/1");
    let get = |property| busctl(&bus, &["get-property", NAME, &job, "org.gpuhost.Agent1.Job", property]);
    until("the job has ended", || get("State").contains("finished"));
    assert!(get("Error").starts_with(r#"(ss) "boot_vga""#), "the first gives the code: {}", get("Error"));
    let blockers = get("Blockers");
    assert!(
        ["\"boot_vga\"", "\"iommu_off\"", "intel_iommu=on"].iter().all(|word| blockers.contains(word)),
        "{blockers}"
    );
}

#[test]
fn a_refusal_has_the_error_name_of_its_code() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let unknown = Options::from([("dry-run", true.into())]);
        let (name, message) = error_of(host.rescan(unknown).await);
        assert_eq!(name, "org.gpuhost.Agent1.Error.InvalidArgument");
        assert!(message.contains("auth.no-user-interaction"), "the known ones are named: {message}");
    });
}

#[test]
fn an_enrolment_takes_the_token_from_the_pipe_and_nothing_shows_it() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"one-use-token\n").unwrap();
        drop(writer);
        let options = Options::from([("shared", true.into())]);
        host.enroll(reader.as_fd().into(), &["https://manager.example:443"], options).await.unwrap();
        let document = host.get_observation(Options::new()).await.unwrap();
        assert!(!document.contains("one-use-token"));
    });
    let spec = served.core.got.borrow()[0].enrolment.clone().unwrap();
    assert_eq!((spec.token.expose(), spec.shared), ("one-use-token", true));
    assert_eq!(spec.urls, ["https://manager.example:443"]);
}

#[test]
fn nobody_learns_nothing_from_an_enrolment_and_its_token_is_not_even_read() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    // Standard input of busctl stands in for the descriptor, which busctl cannot pass: the bus refuses by signature.
    let output = busctl_as(&bus, NOBODY, &["call", NAME, ROOT, HOST, "Enroll", "as", "1", "https://x"]);
    assert!(!output.status.success());
    assert!(served.core.got.borrow().is_empty());
}
