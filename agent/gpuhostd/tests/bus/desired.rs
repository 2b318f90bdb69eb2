//! What the bus shows of the desired state, when it announces it, and how a left epoch is accepted again.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, busctl_refused, client, until};
use engine::reconcile::Reconciled;
use futures_util::StreamExt;
use model::desired::{
    DesiredDocument, DesiredSections, DesiredState, DocumentId, DocumentRefusal, FileFault, InForceDocument,
    LocalDocuments,
};
use model::reconcile::{ItemPath, Shown, Why, WishSource};
use model::settings::{HostSetting, Settings};
use model::time::UnixMillis;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::dbus::desired::DesiredView;
use zbus::MessageStream;

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
const DESIRED: &str = "org.gpuhost.Agent1.DesiredState";

fn id(revision: u64) -> DocumentId {
    DocumentId { epoch: "b0f4".to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
}

fn wished() -> DesiredState {
    DesiredState {
        manager: InForceDocument::InForce(Box::new(DesiredDocument {
            id: id(43),
            issued_at: None,
            server_id: None,
            not_after: None,
            requires: Vec::new(),
            wishes: DesiredSections::default(),
        })),
        refused: Some(DocumentRefusal {
            code: "stale_revision",
            id: Some(id(41)),
            message: "revision 41 is older than 43".to_owned(),
            since: UnixMillis(1_700_000_000_000),
        }),
        epochs_left: vec!["a1".to_owned().try_into().unwrap()],
        local: LocalDocuments {
            files: vec!["/etc/gpuhostd/desired.d/10-site.toml".to_owned()],
            faults: vec![FileFault {
                place: "/etc/gpuhostd/desired.d/20-rack.toml:3".to_owned(),
                message: "agent.zone: expected a text".to_owned(),
            }],
            ..LocalDocuments::default()
        },
    }
}

fn item(state: &'static str, why: Option<Why>, retry_at: Option<UnixMillis>) -> Shown {
    let path = ItemPath::new("gpus[0000:41:00.0].use");
    Shown { path, source: WishSource::Manager, state, why, since: UnixMillis(1_700_000_000_000), retry_at }
}

fn reconciled(item: Shown) -> Arc<Reconciled> {
    Arc::new(Reconciled { in_force: Some(id(43)), applied: Some(id(42)), items: vec![item] })
}

fn get(bus: &PrivateBus, property: &str) -> String {
    busctl(bus, &["get-property", NAME, ROOT, DESIRED, property]).trim().to_owned()
}

#[test]
fn it_shows_the_document_what_is_refused_every_item_and_what_is_set() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    assert_eq!((get(&bus, "Source"), get(&bus, "Ledger")), ("s \"none\"".to_owned(), "s \"none\"".to_owned()));
    let refused = busctl_refused(&bus, 0, &["get-property", NAME, ROOT, DESIRED, "Revision"]);
    assert!(refused.contains("Revision has no value now: none"), "{refused}");
    served.core.desired.send_replace(Arc::new(wished()));
    let why = Why::new("pending", "it has not been done yet");
    served.core.reconciled.send_replace(reconciled(item("to_do", Some(why), Some(UnixMillis(1_700_000_060_400)))));
    let mut settings = Settings::default();
    settings.desired.set(HostSetting::Zone(Some("ams-1".to_owned())));
    settings.desired.set(HostSetting::Labels(Some(BTreeMap::from([("rack".to_owned(), "7".to_owned())]))));
    served.core.settings.send_replace(Arc::new(settings));
    until("the zone is shown", || get(&bus, "Effective").contains("\"Zone\" s \"ams-1\""));
    assert_eq!((get(&bus, "Source"), get(&bus, "Ledger")), ("s \"both\"".to_owned(), "s \"in_force\"".to_owned()));
    assert_eq!(get(&bus, "Epoch"), "s \"b0f4\"");
    assert_eq!((get(&bus, "Revision"), get(&bus, "AppliedRevision")), ("t 43".to_owned(), "t 42".to_owned()));
    assert!(get(&bus, "Refused").contains("\"Document\" s \"b0f4.41\""), "{}", get(&bus, "Refused"));
    assert_eq!(get(&bus, "EpochsLeft"), "as 1 \"a1\"");
    assert!(get(&bus, "LocalFaults").contains("20-rack.toml:3"));
    // Anybody may read it; there is no secret in it.
    let read = busctl_as(&bus, NOBODY, &["--json=short", "call", NAME, ROOT, DESIRED, "Read", "a{sv}", "0"]);
    let answer: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    let view: DesiredView = serde_json::from_str(answer["data"][0].as_str().unwrap()).unwrap();
    let shown = &view.items[0];
    assert_eq!((shown.path.as_str(), shown.state.as_str()), ("gpus[0000:41:00.0].use", "to_do"));
    assert_eq!((shown.code.as_deref(), shown.retry_at), (Some("pending"), Some(1_700_000_060_000)));
    assert_eq!(view.effective.labels.unwrap()["rack"], "7");
    let unreadable = InForceDocument::Unreadable { why: "desired.json: it is cut".to_owned() };
    served.core.desired.send_modify(|state| Arc::make_mut(state).manager = unreadable);
    until("the fault is shown", || get(&bus, "Ledger") == "s \"unreadable\"");
    assert_eq!(get(&bus, "LedgerFault"), "s \"desired.json: it is cut\"");
    assert_eq!(get(&bus, "Source"), "s \"local\"");
}

#[test]
fn a_change_is_announced_once_and_an_attempt_that_is_as_far_away_as_before_is_none() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let rule = zbus::MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(NAME).path(ROOT).build();
        let mut signals = MessageStream::for_match_rule(rule.unwrap(), &client, None).await.unwrap();
        let mut next = async || {
            let signal = signals.next().await.unwrap().unwrap();
            let body = signal.body();
            let (interface, changed, gone): (String, BTreeMap<String, zbus::OwnedVariant>, Vec<String>) =
                body.deserialize().unwrap();
            (interface, changed.into_keys().collect::<Vec<_>>(), gone)
        };
        let why = || Some(Why::new("pending", "it has not been done yet"));
        let to_do = |ms| reconciled(item("to_do", why(), Some(UnixMillis(ms))));
        served.core.reconciled.send_replace(to_do(1_700_000_060_400));
        assert_eq!(next().await, (DESIRED.to_owned(), vec!["Items".to_owned()], Vec::new()));
        served.core.reconciled.send_replace(to_do(1_700_000_060_402));
        served.core.desired.send_replace(Arc::new(wished()));
        let (interface, changed, gone) = next().await;
        assert_eq!((interface.as_str(), gone), (DESIRED, Vec::new()));
        assert!(changed.contains(&"Revision".to_owned()) && !changed.contains(&"Items".to_owned()), "{changed:?}");
        served.core.reconciled.send_replace(reconciled(item("met", None, None)));
        assert_eq!(next().await, (DESIRED.to_owned(), vec!["Items".to_owned()], Vec::new()));
    });
}

#[test]
fn an_epoch_is_accepted_by_name_and_by_no_one_else_than_an_administrator() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let call = |epoch: &'static str| ["call", NAME, ROOT, DESIRED, "AcceptEpoch", "sa{sv}", epoch, "0"];
    let said = busctl_refused(&bus, NOBODY, &call("a1"));
    assert!(said.contains("not authorized") && said.contains("only root is authorized"), "{said}");
    let said = busctl_refused(&bus, 0, &call("no epoch"));
    assert!(said.contains("an epoch is 1 to 128 of the characters"), "{said}");
    assert!(served.core.got.borrow().is_empty(), "nothing got through");
    assert_eq!(busctl(&bus, &call("a1")).trim(), r#"o "/org/gpuhost/Agent1/job/1""#);
    assert_eq!(served.core.got.borrow()[0].operation, "accept-epoch");
}
