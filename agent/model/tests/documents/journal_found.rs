//! What is found in the journal: which document is an entry, and what each other one holds.

use model::change::{Aftermath, ChangeId, Entry, Held, Phase, encode, name_of, sort_out};
use model::os_cause::OsCause;
use model::plan::{Bounds, Disruption, Former, FunctionsWanted, Lane, Plan, Postcondition, Scope};
use model::policy::Act;
use model::ports::JournalDocument;
use model::time::UnixMillis;
use model::{IommuGroupId, JobId, PciAddress};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn group(id: u32) -> Lane {
    Lane::Group(IommuGroupId(id))
}

/// An entry of schema 2.
fn numbered(number: u64, lane: Lane) -> Entry {
    let scope = Scope { lane, gpu: at("0000:41:00.0"), members: vec![at("0000:41:00.0")] };
    let postcondition = Postcondition::Functions(FunctionsWanted { members: vec![], guest_ready: None });
    let bounds = Bounds::of_functions(scope);
    Entry {
        id: ChangeId::Number(number),
        operation: Act::PassthroughBind,
        job: JobId(1),
        actor_uid: None,
        began_at: UnixMillis(0),
        boot_id: "boot".to_owned(),
        plan: Plan { bounds, steps: vec![], postcondition, disruption: Disruption::None },
        before: Former::Functions(vec![]),
        home: Former::Functions(vec![]),
        confirm_within_ms: None,
        aftermath: Aftermath::of(Act::PassthroughBind),
        phase: Phase::Standing,
    }
}

/// An entry that has the name which schema 1 gave it.
fn entry(lane: Lane) -> Entry {
    Entry { id: ChangeId::Lane(lane), ..numbered(0, lane) }
}

fn document(name: &str, content: Result<Vec<u8>, &str>) -> JournalDocument {
    JournalDocument {
        name: name.to_owned(),
        place: format!("/journal/{name}"),
        content: content.map_err(OsCause::found),
    }
}

/// Names of entries, and of what was not read with the lanes that it holds.
fn found(documents: Vec<JournalDocument>) -> (Vec<String>, Vec<(String, Held)>) {
    let found = sort_out(documents, "boot");
    let entries = found.entries.iter().map(Entry::name).collect();
    (entries, found.unread.into_iter().map(|unread| (unread.name, unread.held)).collect())
}

#[test]
fn what_is_no_entry_holds_the_lane_of_its_name_and_no_other_is_lost_by_it() {
    let good = encode(&entry(group(7))).unwrap();
    let (entries, unread) = found(vec![
        document("group-7.json", Ok(good.clone())),
        document("group-8.json", Ok(good[..9].to_vec())),
        document("gpu-0000_41_00_0.json", Err("Permission denied")),
        document("notes.json", Ok(vec![])),
    ]);
    assert_eq!(entries, ["group-7.json"]);
    let wanted = [
        ("gpu-0000_41_00_0.json".to_owned(), lanes([Lane::Gpu(at("0000:41:00.0"))])),
        ("group-8.json".to_owned(), lanes([group(8)])),
        ("notes.json".to_owned(), lanes([])),
    ];
    assert_eq!(unread, wanted);
}

#[test]
fn an_entry_under_a_wrong_name_holds_both_lanes_unless_its_own_has_a_record() {
    let (seven, eight) = (group(7), group(8));
    let good = encode(&entry(seven)).unwrap();
    let (entries, unread) = found(vec![document("group-8.json", Ok(good.clone()))]);
    assert_eq!((entries.len(), unread), (0, vec![("group-8.json".to_owned(), lanes([eight, seven]))]));
    let both = vec![document("group-8.json", Ok(good.clone())), document("group-7.json", Ok(good))];
    let (entries, unread) = found(both);
    assert_eq!((entries, unread), (vec!["group-7.json".to_owned()], vec![("group-8.json".to_owned(), lanes([eight]))]));
}

#[test]
fn what_to_do_fits_what_is_wrong() {
    let good = String::from_utf8(encode(&entry(group(7))).unwrap()).unwrap();
    let newer = good.replacen("\"schema\": 2", "\"schema\": 12", 1);
    let of = |name: &str, bytes: &str| sort_out(vec![document(name, Ok(bytes.into()))], "boot").unread.remove(0);
    let newer = of("group-7.json", &newer);
    assert!(newer.why.contains("schema 12") && newer.remedy.contains("install the version"), "{newer:?}");
    let garbled = of("group-7.json", "{");
    assert!(garbled.why.contains("not a journal entry") && garbled.remedy.contains("reboot"), "{garbled:?}");
    let misnamed = of("copy.json", &good);
    assert!(misnamed.remedy.contains("rename it to group-7.json"), "{misnamed:?}");
    for unread in [newer, garbled, misnamed] {
        assert!(unread.remedy.ends_with("then systemctl restart gpuhostd"), "{unread:?}");
        assert!(unread.blocker().to_string().contains(&unread.place));
    }
}

#[test]
fn the_name_of_a_document_says_what_it_holds() {
    let gpu = Lane::Gpu(at("0000:41:00.0"));
    for (name, held) in [
        ("group-7.json", lanes([group(7)])),
        ("change-12.group-7.json", lanes([group(7)])),
        ("change-12.group-7.gpu-0000_41_00_0.docker.json", lanes([group(7), gpu, Lane::Docker])),
        // What begins like ours and goes on otherwise is of a version that knows more, or of too many lanes.
        ("change-12.group-7.fabric-0.json", Held::All),
        ("change-12.all.json", Held::All),
        ("change-12.json", Held::All),
        ("change-012.group-7.json", Held::All),
        ("change-.group-7.json", Held::All),
        ("change-12.group-7 (copy).json", Held::All),
        // What no version writes is nobody's record.
        ("notes.json", lanes([])),
        ("group-07.json", lanes([])),
        ("12.group-7.json", lanes([])),
        ("change-12.group-7.json.bak", lanes([])),
    ] {
        assert_eq!(Held::by_name(name), held, "{name}");
    }
}

#[test]
fn a_change_of_more_lanes_than_a_name_can_list_holds_all_of_them() {
    let many: BTreeSet<Lane> =
        (0..64).map(|bus| Lane::Gpu(PciAddress { domain: 0, bus, device: 0, function: 0 })).collect();
    let name = name_of(ChangeId::Number(3), &many);
    assert_eq!((name.as_str(), Held::by_name(&name)), ("change-3.all.json", Held::All));
}

#[test]
fn two_records_of_one_lane_are_both_left_alone() {
    let old = document("group-7.json", Ok(encode(&entry(group(7))).unwrap()));
    let new = document("change-4.group-7.json", Ok(encode(&numbered(4, group(7))).unwrap()));
    let other = document("change-5.group-8.json", Ok(encode(&numbered(5, group(8))).unwrap()));
    let found_by_name = found(vec![new.clone(), other.clone(), old.clone()]);
    let held = |name: &str| (name.to_owned(), lanes([group(7)]));
    let both = vec![held("change-4.group-7.json"), held("group-7.json")];
    assert_eq!(found_by_name, (vec!["change-5.group-8.json".to_owned()], both));
    let found = sort_out(vec![new.clone(), other, old.clone()], "boot");
    assert_eq!(found.last_number, 5);
    assert!(found.unread.iter().all(|unread| unread.why.contains("change-4.group-7.json and group-7.json")));
    let after_a_reboot = sort_out(vec![new, old], "another boot");
    assert_eq!((after_a_reboot.entries.len(), after_a_reboot.unread.len()), (2, 0), "both only wait to be removed");
}

#[test]
fn what_cannot_be_read_keeps_from_what_it_may_be_about() {
    let bounds = entry(group(7)).plan.bounds;
    for (held, keeps, names) in [
        (lanes([group(7)]), true, true),
        (lanes([group(8)]), false, false),
        (lanes([Lane::Gpu(at("0000:41:00.0"))]), true, true),
        (lanes([Lane::Gpu(at("0000:42:00.0"))]), false, false),
        (lanes([Lane::Docker]), false, false),
        (lanes([Lane::Docker, group(7)]), true, true),
        (lanes([]), false, false),
        (Held::All, true, false),
    ] {
        assert_eq!((held.keeps_from(&bounds), held.names(&bounds)), (keeps, names), "{held:?}");
    }
}

fn lanes<const N: usize>(lanes: [Lane; N]) -> Held {
    Held::Lanes(lanes.into())
}

fn any_lane() -> impl Strategy<Value = Lane> {
    let address = (0..=u32::MAX, 0..=u8::MAX, 0..32u8, 0..8u8);
    let address = address.prop_map(|(domain, bus, device, function)| PciAddress { domain, bus, device, function });
    prop_oneof![
        (0..=u32::MAX).prop_map(|id| Lane::Group(IommuGroupId(id))),
        address.prop_map(Lane::Gpu),
        Just(Lane::Docker)
    ]
}

proptest! {
    #[test]
    fn a_lane_is_told_by_its_name(lane in any_lane()) {
        prop_assert_eq!(Lane::named(&lane.to_string()), Some(lane));
    }

    #[test]
    fn a_name_is_that_of_one_lane_or_of_none(text in "(group-|gpu-|docker|)[0-9a-fA-F_+ ]{0,14}") {
        prop_assert!(Lane::named(&text).is_none_or(|lane| lane.to_string() == text));
    }

    #[test]
    fn a_name_holds_the_lanes_that_it_was_made_of(number in 0..=u64::MAX, lanes in prop::collection::btree_set(any_lane(), 1..30)) {
        let held = Held::by_name(&name_of(ChangeId::Number(number), &lanes));
        prop_assert!(held == Held::All && lanes.len() > 8 || held == Held::Lanes(lanes));
    }

    #[test]
    fn no_name_breaks_the_reader(name in ".{0,40}", tail in "[a-z0-9.-]{0,40}") {
        for name in [name.clone(), format!("change-{tail}.json"), format!("{name}.json")] {
            let _any = Held::by_name(&name);
        }
    }
}
