//! `desired show`, `diff` and `accept` against what a daemon shows.

use crate::rig::core::core;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, hosts, until};
use crate::run::{finish, gpuhostctl, json, program, told};
use engine::reconcile::Reconciled;
use model::desired::{
    DesiredDocument, DesiredSections, DesiredState, DocumentId, DocumentRefusal, FileFault, InForceDocument,
    LocalDocuments,
};
use model::reconcile::{ItemPath, Shown, Why, WishSource};
use model::settings::{HostSetting, Settings};
use model::time::UnixMillis;
use std::sync::Arc;

fn id(revision: u64) -> DocumentId {
    DocumentId { epoch: "b0f4".to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
}

fn item(path: &str, state: &'static str, why: Option<Why>) -> Shown {
    let (path, since) = (ItemPath::new(path), UnixMillis(1_700_000_000_000));
    Shown { path, source: WishSource::Manager, state, why, since, retry_at: None }
}

fn wished() -> (PrivateBus, Served) {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let document = DesiredDocument {
        id: id(43),
        issued_at: None,
        server_id: None,
        not_after: None,
        requires: Vec::new(),
        wishes: DesiredSections::default(),
    };
    let refused = DocumentRefusal {
        code: "stale_revision",
        id: Some(id(41)),
        message: "revision 41 is older than 43".to_owned(),
        since: UnixMillis(1_700_000_000_000),
    };
    let fault = FileFault { place: "20.toml:3:1".to_owned(), message: "/agent/zoen: \u{1b}[31mnot known".to_owned() };
    let local = LocalDocuments { files: vec!["10.toml".to_owned()], faults: vec![fault], ..LocalDocuments::default() };
    served.core.desired.send_replace(Arc::new(DesiredState {
        manager: InForceDocument::InForce(Box::new(document)),
        refused: Some(refused),
        epochs_left: vec!["a1".to_owned().try_into().unwrap()],
        local,
    }));
    let why = Why::new("denied_by_local_policy", "the local policy does not allow it");
    let items = vec![item("agent.zone", "met", None), item("gpus[0000:41:00.0].use", "refused", Some(why))];
    let reconciled = Reconciled { in_force: Some(id(43)), applied: Some(id(42)), items };
    served.core.reconciled.send_replace(Arc::new(reconciled));
    let mut settings = Settings::default();
    settings.desired.set(HostSetting::Zone(Some("ams-1".to_owned())));
    served.core.settings.send_replace(Arc::new(settings));
    until("the daemon shows it", || json(&bus, &["desired", "show", "--json"])["Effective"]["Zone"] == "ams-1");
    (bus, served)
}

#[test]
fn show_has_the_document_what_is_refused_and_each_item_with_its_reason() {
    let (bus, _served) = wished();
    let text = told(&bus, &["desired", "show"]);
    for line in [
        "Document     epoch b0f4, revision 43",
        "Applied      revision 42",
        "Refused      b0f4.41: revision 41 is older than 43 (stale_revision, ",
        "Left epochs  a1; see: gpuhostctl desired accept --help",
        "Local files  10.toml",
        "Wrong file   20.toml:3:1: /agent/zoen: [31mnot known",
        "Settings     zone ams-1",
        "1 of 2 items met",
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(line)), "{line} is missing:\n{text}");
    }
    let row = text.lines().find(|line| line.starts_with("gpus[0000:41:00.0].use  manager  refused  ")).unwrap();
    assert!(row.ends_with("the local policy does not allow it (denied_by_local_policy)"), "{row}");
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal");
    let mut coloured = program(&bus.address);
    coloured.args(["desired", "show"]).env("CLICOLOR_FORCE", "1");
    assert!(finish(coloured, b"").out.contains("\u{1b}[31mrefused"));
    assert_eq!(json(&bus, &["desired", "show", "--json"])["AppliedRevision"], 42);
}

#[test]
fn a_host_of_which_nothing_is_wished_says_so() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let text = told(&bus, &["desired", "show"]);
    assert!(
        text.contains("none: no manager has sent one") && text.contains("Nothing is wished of this host."),
        "{text}"
    );
    assert!(text.contains("all as the configuration files have them"), "{text}");
    assert_eq!(told(&bus, &["desired", "diff"]), "This host is as it is wished.\n");
}

#[test]
fn diff_has_what_is_not_met_or_what_a_file_would_change() {
    let (bus, _served) = wished();
    let text = told(&bus, &["desired", "diff"]);
    assert!(text.contains("gpus[0000:41:00.0].use") && !text.contains("agent.zone"), "{text}");
    assert_eq!(json(&bus, &["desired", "diff", "--json"])[0]["Code"], "denied_by_local_policy");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file(
        "a.toml",
        "[agent]\nzone = 'ams-1'\npool = 'p'\n[[gpus]]\nmatch = { bdf = '0000:c1:00.0' }\nuse = 'off'\n",
    );
    let changes = json(&bus, &["desired", "diff", &good, "--json"]);
    let rows: Vec<(&str, &str)> = changes
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["Path"].as_str().unwrap(), row["Message"].as_str().unwrap()))
        .collect();
    let expected = [("agent.pool", "set pool to p"), ("gpus[0000:c1:00.0].use", "place no workspace on 0000:c1:00.0")];
    assert_eq!(rows, expected, "the zone is so already");
    assert!(told(&bus, &["desired", "diff", &good]).contains("set pool to p"));
    let same = file("b.json", r#"{"agent": {"zone": "ams-1"}}"#);
    assert!(told(&bus, &["desired", "diff", &same]).starts_with("Nothing would change"));
    let wrong = gpuhostctl(&bus, &["desired", "diff", &file("c.toml", "[agent]\nzoen = 1\n")]);
    assert!(wrong.status == 1 && wrong.out.contains("c.toml:2:8: /agent/zoen: this name is not known"), "{wrong:?}");
    let huge =
        file("d.toml", &format!("[agent]\nzone = 'a'\n{}", "[[gpus]]\nmatch = { bdf = '0000:c1:00.0' }\n".repeat(200)));
    assert_eq!(gpuhostctl(&bus, &["desired", "diff", &huge]).status, 0, "many entries are one message");
}

#[test]
fn a_left_epoch_is_accepted_by_a_job() {
    let (bus, served) = wished();
    let text = told(&bus, &["desired", "accept", "a1"]);
    assert_eq!(text, "Documents of the epoch a1 are judged again as if it had never been left.\n");
    assert_eq!(served.core.got.borrow()[0].operation, "accept-epoch");
    let wrong = gpuhostctl(&bus, &["desired", "accept", "no epoch"]);
    assert!(wrong.status == 2 && wrong.err.contains("an epoch is 1 to 128"), "{wrong:?}");
}
