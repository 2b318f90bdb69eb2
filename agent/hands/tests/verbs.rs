//! Which hand serves which verb: the list in the documents is that of the code, and whatever is not on a hand's list is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which may"
)]

mod common;

use common::{LONG, Served, frame, limits, named_request, ourselves, read_response};
use hands::HandError;
use hands::program::{HandPaths, HandSettings};
use hands::registry::{Registry, VerbEntry};
use model::plan::{Lane, Scope};
use model::settings::Settings;
use protocol::hand::holders::FindHolders;
use protocol::hand::{HandRole, VerbKind, VerbOutcome, VerbResponse};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use tokio::io::AsyncWriteExt;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/HAND-VERBS.md");
const GENERATED: &str = "<!-- generated from the code: UPDATE_GOLDEN=1 cargo test -p hands --test verbs -->\n";

/// The registry of a hand as the product builds it, on a host where there is nothing.
fn registry(role: HandRole) -> Registry {
    let nowhere = Path::new("/nonexistent");
    let mut settings = Settings::default();
    settings.docker.socket = nowhere.join("docker.sock").display().to_string();
    let paths = HandPaths {
        sysfs: nowhere.join("sys"),
        policy: nowhere.join("policy.toml"),
        registries: nowhere.join("registries.json"),
    };
    registry_of(role, HandSettings { settings, wrong: None }, &paths)
}

fn verbs_of(role: HandRole) -> Vec<VerbEntry> {
    registry(role).verbs().cloned().collect()
}

fn all_verbs() -> Vec<VerbEntry> {
    HandRole::ALL.into_iter().flat_map(verbs_of).collect()
}

fn table() -> String {
    let mut table = "| hand | verb | kind | request | reply | deadline |\n|---|---|---|---|---|---|\n".to_owned();
    for VerbEntry { name, hand, kind, request, reply, deadline } in all_verbs() {
        writeln!(table, "| {} | `{name}` | {kind} | `{request}` | `{reply}` | {deadline} |", hand.name()).unwrap();
    }
    table
}

#[test]
fn the_documented_list_is_that_of_the_registries() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (head, listed) = document.split_once(GENERATED).expect("the document says where the list begins");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(DOCUMENT, [head, GENERATED, &table].concat()).unwrap();
    }
    assert!(listed == table, "docs/HAND-VERBS.md is not that of the code; look at it, then UPDATE_GOLDEN=1:\n{table}");
}

#[test]
fn the_holders_hand_only_looks_and_what_the_containers_hand_writes_is_four_verbs() {
    let writers: Vec<VerbEntry> = all_verbs().into_iter().filter(|verb| verb.kind == VerbKind::Write).collect();
    assert!(!writers.is_empty() && writers.iter().all(|verb| may_write(verb.hand)), "{writers:?}");
    let of_containers = writers.iter().filter(|verb| verb.hand == HandRole::Containers);
    assert_eq!(
        of_containers.map(|verb| verb.name).collect::<Vec<_>>(),
        ["apply_nvidia_deed", "apply_workspace_deed", "probe_toolkit", "remove_stored_image"]
    );
}

fn may_write(hand: HandRole) -> bool {
    matches!(hand, HandRole::Host | HandRole::Mig | HandRole::MigMode | HandRole::Containers)
}

#[test]
fn the_mode_is_switched_by_the_hand_that_does_nothing_else() {
    let names = |role| verbs_of(role).iter().map(|verb| verb.name).collect::<Vec<_>>();
    assert_eq!(names(HandRole::MigMode), ["set_mig_mode"]);
    assert_eq!(names(HandRole::Mig), ["apply_mig_step", "inspect_mig"]);
}

#[test]
fn a_verb_has_one_name_and_one_hand() {
    let verbs = all_verbs();
    let names: BTreeSet<&str> = verbs.iter().map(|verb| verb.name).collect();
    assert_eq!(names.len(), verbs.len());
    assert!(HandRole::ALL.into_iter().all(|role| verbs_of(role).iter().all(|verb| verb.hand == role)));
}

fn serve(role: HandRole) -> Served {
    Served::with(ourselves(), registry(role), limits())
}

fn refusal(response: VerbResponse) -> String {
    let VerbOutcome::Refused { why } = response.outcome else { panic!("{response:?}") };
    why
}

#[tokio::test]
async fn a_hand_refuses_each_verb_of_another_by_name() {
    for role in HandRole::ALL {
        let served = serve(role);
        let mut stream = served.connect().await;
        for verb in all_verbs().into_iter().filter(|verb| verb.hand != role) {
            stream.write_all(&named_request(1, verb.name, "{}")).await.unwrap();
            let why = refusal(read_response(&mut stream).await);
            let expected = format!("the verb \"{}\" is not served by the {} hand", verb.name, role.name());
            assert!(why.starts_with(&expected), "{why}");
        }
    }
}

#[tokio::test]
async fn no_verb_takes_a_field_that_it_does_not_know() {
    for role in HandRole::ALL {
        let served = serve(role);
        let mut stream = served.connect().await;
        for verb in verbs_of(role) {
            stream.write_all(&named_request(1, verb.name, r#"{"as_user":"root"}"#)).await.unwrap();
            let why = refusal(read_response(&mut stream).await);
            assert!(why.contains(verb.name) && why.contains("unknown field `as_user`"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_refusal_repeats_little_of_what_it_was_sent() {
    let served = serve(HandRole::Host);
    let mut stream = served.connect().await;
    let long = "\u{7}x".repeat(256 * 1024);
    let field = format!(r#"{{"{}":1}}"#, "x".repeat(1024 * 1024));
    for request in [named_request(1, &long, "{}"), named_request(1, "probe_nvml", &field)] {
        stream.write_all(&request).await.unwrap();
        let why = refusal(read_response(&mut stream).await);
        assert!(why.len() < 1000 && !why.contains('\u{7}'), "{} bytes", why.len());
    }
}

#[tokio::test]
async fn the_client_reports_the_refusal_of_a_verb_of_another_hand() {
    let gpu = "0000:41:00.0".parse().unwrap();
    let verb = FindHolders { scope: Scope { lane: Lane::Gpu(gpu), gpu, members: vec![gpu] } };
    let refused = serve(HandRole::Host).client().call(&verb, LONG).await;
    assert!(
        matches!(&refused, Err(HandError::Refused { why, .. }) if why.contains("\"find_holders\" is not served")),
        "{refused:?}"
    );
}

/// The protocol of the versions before the verbs had types of their own: both sides get an error in words, at once.
#[tokio::test]
async fn front_and_hand_of_different_versions_refuse_each_other() {
    let served = serve(HandRole::Host);
    let mut older_front = served.connect().await;
    older_front.write_all(&frame(br#"{"id":5,"deadline_ms":600000,"ask":{"probe_driver":"nvml"}}"#)).await.unwrap();
    let response = read_response(&mut older_front).await;
    assert_eq!(response.id, 5);
    // What the older front reads: {"id":5,"said":{"refused":{"why":"..."}}}.
    let read = serde_json::to_value(&response).unwrap();
    let why = read["said"]["refused"]["why"].as_str().unwrap();
    assert!(why.contains("unknown field `ask`"), "{why}");

    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::UnixListener::bind(folder.path().join("holders.sock")).unwrap();
    let older_hand = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let why = "this hand does not understand the request: unknown field `verb`";
        stream
            .write_all(&frame(format!(r#"{{"id":1,"said":{{"refused":{{"why":"{why}"}}}}}}"#).as_bytes()))
            .await
            .unwrap();
        stream
    });
    let fault = hands::Client::at(HandRole::Holders, folder.path()).hello(LONG).await.unwrap_err();
    let said = fault.to_string();
    assert!(said.contains("refused: this hand does not understand the request: unknown field `verb`"), "{said}");
    assert!(said.contains("different versions: systemctl restart gpuhostd-holders.service"), "{said}");
    drop(older_hand.await);
}

/// The registry of this hand, as its program builds it.
fn registry_of(role: HandRole, settings: HandSettings, paths: &HandPaths) -> Registry {
    match role {
        HandRole::Host => gpuhostd_host::registry(settings, paths),
        HandRole::Containers => gpuhostd_containers::registry(settings, paths),
        HandRole::Holders => gpuhostd_holders::registry(settings, paths),
        HandRole::Mig => gpuhostd_mig::layout_registry(settings, paths),
        HandRole::MigMode => gpuhostd_mig::mode_registry(settings, paths),
    }
}
