//! What is found in the journal: which document is an entry, and what each other one holds.

use model::change::{Entry, Phase, encode, sort_out};
use model::plan::{Disruption, Lane, Plan, Postcondition, Scope};
use model::policy::Operation;
use model::ports::JournalDocument;
use model::time::UnixMillis;
use model::{IommuGroupId, JobId, PciAddress};
use proptest::prelude::*;

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn entry(lane: Lane) -> Entry {
    let scope = Scope { lane, gpu: at("0000:41:00.0"), members: vec![at("0000:41:00.0")] };
    let postcondition = Postcondition { members: vec![], guest_ready: None };
    Entry {
        operation: Operation::PassthroughBind,
        job: JobId(1),
        actor_uid: None,
        began_at: UnixMillis(0),
        boot_id: "boot".to_owned(),
        plan: Plan { scope, steps: vec![], postcondition, disruption: Disruption::None },
        before: vec![],
        home: vec![],
        confirm_within_ms: None,
        phase: Phase::Standing,
    }
}

fn document(name: &str, content: Result<Vec<u8>, &str>) -> JournalDocument {
    JournalDocument {
        name: name.to_owned(),
        place: format!("/journal/{name}"),
        content: content.map_err(str::to_owned),
    }
}

/// Names of entries, and of what was not read with the lanes that it holds.
fn found(documents: Vec<JournalDocument>) -> (Vec<String>, Vec<(String, Vec<Lane>)>) {
    let found = sort_out(documents);
    let entries = found.entries.into_iter().map(|(name, _)| name).collect();
    (entries, found.unread.into_iter().map(|unread| (unread.name, unread.lanes)).collect())
}

#[test]
fn what_is_no_entry_holds_the_lane_of_its_name_and_no_other_is_lost_by_it() {
    let good = encode(&entry(Lane::Group(IommuGroupId(7)))).unwrap();
    let (entries, unread) = found(vec![
        document("group-7.json", Ok(good.clone())),
        document("group-8.json", Ok(good[..9].to_vec())),
        document("gpu-0000_41_00_0.json", Err("Permission denied")),
        document("notes.json", Ok(vec![])),
    ]);
    assert_eq!(entries, ["group-7.json"]);
    let wanted = [
        ("gpu-0000_41_00_0.json".to_owned(), vec![Lane::Gpu(at("0000:41:00.0"))]),
        ("group-8.json".to_owned(), vec![Lane::Group(IommuGroupId(8))]),
        ("notes.json".to_owned(), vec![]),
    ];
    assert_eq!(unread, wanted);
}

#[test]
fn an_entry_under_a_wrong_name_holds_both_lanes_unless_its_own_has_a_record() {
    let (seven, eight) = (Lane::Group(IommuGroupId(7)), Lane::Group(IommuGroupId(8)));
    let good = encode(&entry(seven)).unwrap();
    let (entries, unread) = found(vec![document("group-8.json", Ok(good.clone()))]);
    assert_eq!((entries.len(), unread), (0, vec![("group-8.json".to_owned(), vec![eight, seven])]));
    let both = vec![document("group-8.json", Ok(good.clone())), document("group-7.json", Ok(good))];
    let (entries, unread) = found(both);
    assert_eq!((entries, unread), (vec!["group-7.json".to_owned()], vec![("group-8.json".to_owned(), vec![eight])]));
}

#[test]
fn what_to_do_fits_what_is_wrong() {
    let good = String::from_utf8(encode(&entry(Lane::Group(IommuGroupId(7)))).unwrap()).unwrap();
    let newer = good.replacen("\"schema\": 1", "\"schema\": 12", 1);
    let of = |name: &str, bytes: &str| sort_out(vec![document(name, Ok(bytes.into()))]).unread.remove(0);
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
fn a_lane_concerns_the_scope_that_is_its_own_and_that_of_its_gpu() {
    let scope = entry(Lane::Group(IommuGroupId(7))).plan.scope;
    for (lane, concerns) in [
        (Lane::Group(IommuGroupId(7)), true),
        (Lane::Group(IommuGroupId(8)), false),
        (Lane::Gpu(at("0000:41:00.0")), true),
        (Lane::Gpu(at("0000:42:00.0")), false),
        (Lane::Docker, false),
    ] {
        assert_eq!(lane.concerns(&scope), concerns, "{lane}");
    }
}

fn lanes() -> impl Strategy<Value = Lane> {
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
    fn a_lane_is_told_by_its_name(lane in lanes()) {
        prop_assert_eq!(Lane::named(&lane.to_string()), Some(lane));
    }

    #[test]
    fn a_name_is_that_of_one_lane_or_of_none(text in "(group-|gpu-|docker|)[0-9a-fA-F_+ ]{0,14}") {
        prop_assert!(Lane::named(&text).is_none_or(|lane| lane.to_string() == text));
    }
}
