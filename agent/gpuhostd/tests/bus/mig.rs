//! MIG of a GPU over the bus: read by anybody, changed by who may, with nothing that is no layout let through.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_refused, client, error_of};
use model::change::Change;
use model::driver::MigMode;
use model::mig::{MigLayoutRequest, MigModeRequest};
use wire::dbus::mig_look::MigLookView;
use wire::dbus::proxy::{GpuProxy, Options};

const NAME: &str = "org.gpuhost.Agent1";
const GPU: &str = "org.gpuhost.Agent1.Gpu";
const PATH: &str = "/org/gpuhost/Agent1/gpu/0000_41_00_0";

fn call(method: &'static str, rest: &[&'static str]) -> Vec<&'static str> {
    [&["call", NAME, PATH, GPU, method][..], rest].concat()
}

#[test]
fn a_layout_and_a_mode_get_through_with_the_options_that_were_named() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    let all = ["2", "dry-run", "b", "true", "replace-foreign", "b", "true"];
    let layout = [&["sa{sv}", "1g.10gb:2,3g.40gb@4"][..], &all].concat();
    assert_eq!(busctl(&bus, &call("SetMigLayout", &layout)).trim(), r#"o "/org/gpuhost/Agent1/job/1""#);
    busctl(&bus, &call("SetMigLayout", &["sa{sv}", "-", "0"]));
    busctl(&bus, &call("SetMigMode", &["ba{sv}", "true", "1", "dry-run", "b", "true"]));
    busctl(&bus, &call("SetMigMode", &["ba{sv}", "false", "0"]));
    busctl(&bus, &call("SetMigMode", &["ba{sv}", "false", "1", "confirm-within", "t", "60"]));
    busctl(&bus, &call("SetMigLayout", &["sa{sv}", "-", "1", "confirm-within", "t", "60"]));
    busctl(&bus, &call("ConfirmMig", &["a{sv}", "0"]));
    assert_eq!(served.core.got.borrow().last().map(|got| got.operation), Some("mig-confirm"));
    let gpu = "0000:41:00.0".parse().unwrap();
    let layout = |layout: &str, replace_foreign| {
        Change::MigLayout(MigLayoutRequest { gpu, layout: layout.to_owned(), replace_foreign, confirm_within_ms: None })
    };
    let got: Vec<_> = served.core.got.borrow().iter().filter_map(|got| got.change.clone()).collect();
    let wanted = [
        (layout("1g.10gb:2,3g.40gb@4", true), true),
        (layout("-", false), false),
        (Change::MigMode(MigModeRequest { gpu, to: MigMode::Enabled, confirm_within_ms: None }), true),
        (Change::MigMode(MigModeRequest { gpu, to: MigMode::Disabled, confirm_within_ms: None }), false),
        (Change::MigMode(MigModeRequest { gpu, to: MigMode::Disabled, confirm_within_ms: Some(60_000) }), false),
        (
            Change::MigLayout(MigLayoutRequest {
                gpu,
                layout: "-".to_owned(),
                replace_foreign: false,
                confirm_within_ms: Some(60_000),
            }),
            false,
        ),
    ];
    assert_eq!(got, wanted);
}

#[test]
fn what_is_no_layout_and_who_may_not_are_refused() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    for text in ["", "all", "1g.10gb:-1", "1g.10gb:010", "1g.10gb@", "1g.10gb; reboot", "19"] {
        let said = busctl_refused(&bus, 0, &["call", NAME, PATH, GPU, "SetMigLayout", "sa{sv}", text, "0"]);
        assert!(said.contains("PROFILE[@START][:COUNT]"), "{text:?}: {said}");
    }
    for call in [
        call("SetMigLayout", &["sa{sv}", "-", "0"]),
        call("SetMigMode", &["ba{sv}", "false", "0"]),
        call("ConfirmMig", &["a{sv}", "0"]),
    ] {
        let said = busctl_refused(&bus, NOBODY, &call);
        assert!(said.contains("not authorized"), "{said}");
    }
    assert!(served.core.got.borrow().is_empty(), "nothing got through");
}

#[test]
fn anybody_reads_the_instances_with_who_has_them_and_whose_they_are() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    block_on(async {
        let client = client(&bus).await;
        let gpu = GpuProxy::builder(&client).path(PATH).build().await.unwrap();
        let look: MigLookView = serde_json::from_str(&gpu.read_mig(Options::new()).await.unwrap()).unwrap();
        let shown: Vec<_> = look.instances.iter().map(|one| (one.id, one.start, one.in_use, one.ours)).collect();
        assert_eq!(shown, [(9, 0, true, false), (12, 1, false, false), (1, 4, false, true)]);
        assert_eq!(look.instances[0].held_by[0].remedy, "docker stop lab-3");
        assert_eq!(look.instances[2].compute_instances[0].uuid.as_deref().map(|uuid| &uuid[..4]), Some("MIG-"));
        assert_eq!(look.catalog.as_ref().map(model::mig::MigCatalog::slots), Some(8));
        served.core.mig.send_replace(Vec::new());
        let (name, said) = error_of(gpu.read_mig(Options::new()).await);
        assert_eq!(name, "org.gpuhost.Agent1.Error.HostFault", "{said}");
    });
}
