//! A manager's answers: any status, header and body give an acceptance or a refusal within the contract's limits.

use crate::bounds::Bounds;
use crate::targets::desired;
use crate::{Target, pieces};
use model::checkin::answer::RETRY_AFTER_MAX_S;
use model::checkin::managers::MANAGERS_MAX;
use model::checkin::slot::{INTERVAL_MAX_S, INTERVAL_MIN_S};
use model::checkin::{
    Answer, CheckinAction, CheckinConfig, CheckinMachine, Code, EnrolFor, Goal, Key, KeyId, KnownManagers,
    ManagerAddress, ManagerRefusal, Worth,
};
use model::enrol::Secret;
use model::time::{BootMillis, Now, UnixMillis};
use wire::manager::enroll::{EnrollResponse, Given, is_uuid};
use wire::manager::reply::{ComeBack, HeartbeatReply, Version, apart, refusal};

/// The target.
pub const TARGET: Target = Target {
    name: "reply",
    what: "HeartbeatReply, EnrollResponse, Version and Error of a manager",
    run,
    seeds,
    words: &[
        "\"next_heartbeat_s\":",
        "\"managers\":[",
        "{\"hostname\":\"a\",\"port\":1}",
        "\"need_inventory\":true",
        "\"server_time\":\"2026-03-31T13:13:13Z\"",
        "\"error_message\":",
        "\"code\":\"agent_deleted\"",
        "\"retry_after_s\":",
        "\"server_id\":\"5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7\"",
        "\"secret\":\"hidden-word\"",
        "\"next_token\":\"hidden-word\"",
        "\"cert_chain_pem\":",
        "\"not_after\":",
        "\"protocols\":[\"2\"]",
        "\"features\":[\"gzip\"]",
        "\"early_gap_s\":5.0",
        "\"rotate_credential\":\"now\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "\"priority\":-9223372036854775808",
        "::1",
        "429 120\n\n",
    ],
    // Lists and objects of at most 64 KiB become a tree, which may be a hundred times as large.
    bounds: Bounds { heap: 8 * 1024 * 1024, ..Bounds::USUAL },
};

/// `STATUS RETRY-AFTER`, an empty line, the body.
fn run(input: &[u8]) {
    let (head, body) = pieces::halves(input);
    let head = String::from_utf8_lossy(head);
    let (status, header) = pieces::word(&head);
    let status = status.parse().unwrap_or(200);
    let (body, document) = apart(body);
    if let Some(document) = &document {
        desired::document(document);
    }
    let come_back = ComeBack { retry_after: Some(header), date: Some(header), received: UnixMillis(1_790_000_000_123) };
    let refused = refusal(status, come_back, body.as_ref());
    if let Some(refused) = &refused {
        within_the_contract(refused);
    }
    let Some(body) = body else { return };
    let reply = HeartbeatReply::read(body.clone());
    reply.steering.managers.iter().for_each(plain);
    goes_on(refused.map_or_else(|| Answer::Accepted(reply.steering.clone()), Answer::Refused));
    let text = body.to_string();
    keeps_its_secret(&text, &format!("{reply:?}"), reply.next_token.as_ref());
    if let Ok(enrolled) = EnrollResponse::read(body.clone()) {
        assert!(is_uuid(&enrolled.server_id), "{}", enrolled.server_id);
        enrolled.managers.iter().for_each(plain);
        match &enrolled.given {
            Given::Secret(secret) => {
                let word = secret.expose();
                assert!((1..=4096).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic()), "{word:?}");
                keeps_its_secret(&text, &format!("{enrolled:?}"), Some(secret));
            }
            Given::Certificate(chain) => assert!(!chain.is_empty()),
        }
    }
    let version = Version::read(&body);
    assert_eq!(version.features().gzip, version.features.contains(&"gzip".to_owned()));
}

fn within_the_contract(refused: &ManagerRefusal) {
    let words = refused.words();
    // Four bytes for a character at most.
    assert!(words.len() <= 2048, "{} bytes of words", words.len());
    assert!(refused.retry_after_ms().is_none_or(|ms| (1000..=RETRY_AFTER_MAX_S * 1000).contains(&ms)));
}

/// What follows a heartbeat that was answered so: the next one within the contract's bounds, and no more managers than fit.
fn goes_on(answer: Answer) {
    let configured = vec![ManagerAddress::new("a.example", 443)];
    let config = CheckinConfig {
        key: "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7".to_owned(),
        goal: Goal::Beat,
        interval_s: 30,
        asked_interval_s: None,
        zone: None,
        managers: KnownManagers { configured, ..KnownManagers::default() },
        keys: vec![Key { id: KeyId(0), until: None, worth: Worth::Proven, shared: false }],
        may_enrol_again: false,
        began: BootMillis(0),
    };
    let now = Now { boot: BootMillis(864_000_000), wall: UnixMillis(1_790_000_000_123) };
    let mut machine = CheckinMachine::new(config, now.boot, now.wall).at_once(now.boot);
    assert!(matches!(machine.next(now, "rev"), CheckinAction::Beat(_)));
    // The manager's word that the credential has ended is enough to ask for another one, with the same key.
    let has_ended = matches!(&answer, Answer::Refused(refused) if refused.status == 401 && refused.code == Some(Code::TokenExpired));
    machine.on_answer(now, answer);
    assert!(machine.managers().addresses().len() <= MANAGERS_MAX);
    assert!((INTERVAL_MIN_S..=INTERVAL_MAX_S).contains(&machine.interval_s()));
    assert!(machine.standing(now).iter().all(|standing| standing.message.len() < 2048));
    match machine.next(now, "rev") {
        CheckinAction::Wait(Some(until)) => {
            assert!(until.since(now.boot) <= (INTERVAL_MAX_S + RETRY_AFTER_MAX_S) * 1000 + 1000, "{until:?}");
        }
        CheckinAction::Enrol(_, EnrolFor::Ended) if has_ended => {}
        CheckinAction::Beat(_) => {}
        other @ (CheckinAction::Wait(None) | CheckinAction::Enrol(..)) => panic!("{other:?}"),
    }
}

/// The URL of a manager says host and port and nothing else, and reads as the same place.
fn plain(manager: &ManagerAddress) {
    let url = manager.base_url();
    let rest = url.strip_prefix("https://").expect("always over TLS");
    assert!(!rest.contains(['/', '@', '?', '#', '\\', ' ']) && rest.chars().all(|c| !c.is_control()), "{url:?}");
    let again: ManagerAddress = url.parse().expect("its own URL is one");
    assert!(again.same_place(manager), "{url:?} is read as {again:?}");
}

/// A secret long enough to be told from the names of fields, and sent in no other field, is not printed.
fn keeps_its_secret(sent: &str, printed: &str, secret: Option<&Secret>) {
    let canary = "hidden-word";
    let is_canary = secret.is_some_and(|secret| secret.expose() == canary) && sent.matches(canary).count() == 1;
    assert!(!is_canary || !printed.contains(canary), "{printed}");
}

fn seeds() -> Vec<Vec<u8>> {
    let accepted = r#"200

{"server_time":"2026-03-31T13:13:13.140Z","next_heartbeat_s":30,"need_inventory":true,"managers":[{"hostname":"a.example",
"zone":"z","priority":1},{"hostname":"::1","port":8443},{"port":1},7],"next_token":"hidden-word","enabled":false,"more":{}}"#;
    let enrolled = r#"200

{"server_id":"5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7","secret":"hidden-word","not_after":"2027-01-01T00:00:00Z","managers":[]}"#;
    let refused = "429 120\n\n{\"code\":\"rate_limited\",\"error_message\":\"slow down\",\"retry_after_s\":9999}";
    let version = "200\n\n{\"protocols\":[\"2\"],\"features\":[\"gzip\",\"events\"]}";
    let texts = [accepted, enrolled, refused, version, "502 \n\n<html>", "410\n\n{\"code\":\"agent_deleted\"}"];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
