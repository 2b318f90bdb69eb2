//! Cards that stay, leave, come back, move and are exchanged.

use super::*;

const A: &str = "0000:41:00.0";
const B: &str = "0000:42:00.0";
const H100: &str = "10de:2330";
const A100: &str = "10de:20b0";

fn at(address: &str) -> PciAddress {
    address.parse().unwrap()
}

fn card(address: &str, id: &str, uuid: &str) -> Card {
    Card {
        address: at(address),
        id: id.parse().unwrap(),
        name: Some("NVIDIA H100".to_owned()),
        uuid: (!uuid.is_empty()).then(|| format!("GPU-{uuid}").parse().unwrap()),
        serial: Some("1562821003218".to_owned()),
        removable: false,
    }
}

fn sight(second: i64, cards: Vec<Card>) -> Sight {
    Sight { at: UnixMillis(1_700_000_000_000 + second * 1000), cards, unreadable: Vec::new() }
}

/// A host of which these were seen in second 0.
fn after(cards: Vec<Card>) -> Roster {
    let mut roster = Roster::default();
    assert_eq!(roster.look(&sight(0, cards)), [], "what is new is no news: nothing is known of the time before");
    roster
}

fn gone(roster: &Roster) -> Vec<String> {
    roster.gone().iter().map(|known| known.card.address.to_string()).collect()
}

#[test]
fn a_gpu_that_leaves_is_gone_with_what_it_was_until_it_is_back() {
    let mut roster = after(vec![card(A, H100, "1"), card(B, H100, "2")]);
    roster.look(&sight(10, vec![card(A, H100, "1"), card(B, H100, "2")]));
    assert_eq!(roster.condition(), None);
    let news = roster.look(&sight(20, vec![card(B, H100, "2")]));
    let [GpuNews::Gone(known)] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!(
        known.sentence(),
        "GPU 0000:41:00.0 was here until 2023-11-14 22:13:30 UTC, last known as NVIDIA H100, GPU-1, serial number 1562821003218"
    );
    assert_eq!(roster.look(&sight(30, vec![card(B, H100, "2")])), [], "it is told once");
    let condition = roster.condition().unwrap();
    assert_eq!((condition.kind.as_str(), condition.since), (GONE, UnixMillis(1_700_000_020_000)));
    assert!(condition.message.contains(&known.sentence()), "{}", condition.message);
    assert!(condition.message.contains("gpuhostctl gpu acknowledge 0000:41:00.0"), "{}", condition.message);
    // Before its driver has an answer it is taken for itself.
    let back = roster.look(&sight(40, vec![card(A, H100, ""), card(B, H100, "2")]));
    assert!(matches!(back.as_slice(), [GpuNews::Back(known, address)] if known.card.address == *address), "{back:?}");
    assert_eq!((roster.condition(), roster.known()[0].card.uuid.clone()), (None, card(A, H100, "1").uuid));
}

#[test]
fn it_is_forgotten_when_somebody_knows() {
    let mut roster = after(vec![card(A, H100, "1")]);
    assert_eq!(roster.acknowledge(at(A)), [], "one that is here cannot be forgotten");
    roster.look(&sight(1, Vec::new()));
    assert_eq!(roster.acknowledge(at(B)), []);
    assert_eq!(roster.acknowledge(at(A)).len(), 1);
    assert_eq!((roster.condition(), roster.known().len()), (None, 0));
    assert_eq!(roster.look(&sight(2, vec![card(A, H100, "1")])), [], "from then on it is a new one");
}

#[test]
fn a_function_that_could_not_be_read_is_not_gone() {
    let mut roster = after(vec![card(A, H100, "1")]);
    let broken = Sight { unreadable: vec![at(A)], ..sight(1, Vec::new()) };
    assert_eq!((roster.look(&broken), gone(&roster).len()), (Vec::new(), 0));
}

/// A card added or taken out makes the firmware number the buses anew.
#[test]
fn a_card_at_another_address_is_the_same_one() {
    // Recognised by the UUID, and before the driver is asked by its model.
    for uuids in [["1", "2"], ["", ""]] {
        let mut roster = after(vec![card(A, H100, "1"), card(B, H100, "2")]);
        let moved = vec![card("0000:51:00.0", H100, uuids[0]), card("0000:52:00.0", H100, uuids[1])];
        assert_eq!((roster.look(&sight(1, moved)), gone(&roster).len()), (Vec::new(), 0), "{uuids:?}");
    }
    // Of two cards that moved one is missing: it is the one whose UUID is nowhere.
    let mut roster = after(vec![card(A, H100, "1"), card(B, H100, "2")]);
    let news = roster.look(&sight(1, vec![card(A, H100, "2")]));
    assert!(
        matches!(news.as_slice(), [GpuNews::Gone(known)] if known.card.uuid == card(A, H100, "1").uuid),
        "{news:?}"
    );
    // A guess that the driver contradicts is taken back.
    let mut roster = after(vec![card(A, H100, "1")]);
    assert_eq!(roster.look(&sight(1, vec![card(B, H100, "")])), []);
    let news = roster.look(&sight(2, vec![card(B, H100, "9")]));
    assert!(
        matches!(news.as_slice(), [GpuNews::Replaced(known, _)] if known.card.uuid == card(A, H100, "1").uuid),
        "{news:?}"
    );
}

/// A cloud instance that was stopped and started has another card in the same place, and so has a repaired machine.
#[test]
fn another_card_in_its_slot_has_replaced_it() {
    for other in [card(A, H100, "9"), card(A, A100, "9"), card(A, A100, "")] {
        let mut roster = after(vec![card(A, H100, "1")]);
        let news = roster.look(&sight(1, vec![other.clone()]));
        assert!(matches!(news.as_slice(), [GpuNews::Replaced(_, by)] if *by == other), "{news:?}");
        assert_eq!((roster.condition(), roster.known().len()), (None, 1));
    }
    // One that is gone stays gone when a card of its model comes into another slot.
    let mut roster = after(vec![card(A, H100, "1")]);
    roster.look(&sight(1, Vec::new()));
    assert_eq!((roster.look(&sight(2, vec![card(B, H100, "9")])), gone(&roster)), (Vec::new(), vec![A.to_owned()]));
}

#[test]
fn one_that_may_be_unplugged_is_no_alarm() {
    let mut roster = after(vec![Card { removable: true, ..card(A, H100, "1") }]);
    let news = roster.look(&sight(1, Vec::new()));
    assert!(matches!(news.as_slice(), [GpuNews::Unplugged(_)]), "{news:?}");
    assert_eq!((roster.condition(), roster.known().len()), (None, 0));
}

/// While its driver does not answer nothing of what was known of a card is lost.
#[test]
fn what_was_known_stays_known() {
    let mut roster = after(vec![card(A, H100, "1")]);
    let silent = Card { uuid: None, serial: None, name: Some("GH100 [H100]".to_owned()), ..card(A, H100, "") };
    roster.look(&sight(1, vec![silent]));
    assert_eq!(roster.known()[0].card, card(A, H100, "1"));
}

#[test]
fn the_record_is_bounded_and_those_gone_longest_go_first() {
    let mut roster = after(vec![card(A, H100, "1")]);
    roster.look(&sight(1, Vec::new()));
    let many = |domain: u32| (0..200).map(move |bus| card(&format!("{domain:04x}:{bus:02x}:00.0"), A100, ""));
    roster.look(&sight(2, many(1).collect()));
    roster.look(&sight(3, many(1).chain(many(2)).collect()));
    assert_eq!(roster.known().len(), CARDS_MAX);
    assert_eq!(gone(&roster).len(), 0);
}

#[test]
fn the_record_comes_back_as_it_was_written() {
    let mut roster = after(vec![card(A, H100, "1"), Card { name: None, removable: true, ..card(B, A100, "") }]);
    roster.look(&sight(1, vec![card(B, A100, "")]));
    let bytes = encode(&roster).unwrap();
    assert!(bytes.len() < DOCUMENT_MAX_BYTES);
    assert_eq!(decode(&bytes).unwrap(), roster);
}

#[test]
fn a_record_that_cannot_be_read_is_no_record() {
    for bytes in [&b""[..], b"{", b"[]", b"{\"schema\": 1}", b"{\"schema\": 1, \"gpus\": [{}]}", b"{\"gpus\": []}"] {
        assert!(matches!(decode(bytes), Err(RecordError::Damaged(_))), "{bytes:?}");
    }
    let later = decode(b"{\"schema\": 2, \"cards\": []}").unwrap_err();
    assert!(later == RecordError::Later { found: 2 } && later.to_string().contains("later version"), "{later}");
}

/// As version 0.1 writes it: this text never changes.
#[test]
fn the_golden_record_is_read() {
    let golden = br#"{
  "schema": 1,
  "gpus": [
    {
      "address": "0000:41:00.0",
      "id": "10de:2330",
      "name": "NVIDIA H100",
      "uuid": "GPU-1",
      "serial": "1562821003218",
      "removable": false,
      "seen_at": 1700000010000,
      "gone_at": 1700000020000
    },
    {
      "address": "0000:42:00.0",
      "id": "10de:20b0",
      "name": null,
      "uuid": null,
      "serial": null,
      "removable": false,
      "seen_at": 1700000010000,
      "gone_at": null
    }
  ]
}
"#;
    let roster = decode(golden).unwrap();
    assert_eq!((gone(&roster), roster.known().len()), (vec![A.to_owned()], 2));
    assert_eq!(String::from_utf8(encode(&roster).unwrap()).unwrap(), String::from_utf8(golden.to_vec()).unwrap());
}
