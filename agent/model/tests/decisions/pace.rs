//! When items are worked on: once, with a back-off of their own, and never so that one holds up another.

use crate::world::at;
use model::change::{Bind, Change};
use model::reconcile::{AtOnce, Deed, Item, ItemKey, ItemPath, ItemState, MOST_AT_ONCE, Pacer, Start, Why, WishSource};
use model::settings::HostSetting;
use model::time::{BootMillis, Now, UnixMillis};
use proptest::prelude::*;

fn item(source: WishSource, path: &str, state: ItemState) -> Item {
    Item { path: ItemPath::new(path), source, state, blockers: String::new() }
}

fn set(path: &str, zone: &str) -> Item {
    item(WishSource::Manager, path, ItemState::ToDo(Deed::Set(HostSetting::Zone(Some(zone.to_owned())))))
}

fn bind(number: usize) -> Item {
    let gpu = at(&format!("0000:{number:02x}:00.0"));
    let change = Change::PassthroughBind(Bind { gpu, confirm_within_ms: None, guest_memory_mib: None });
    item(WishSource::Manager, &format!("gpus[{number}].use"), ItemState::ToDo(Deed::Change(change)))
}

fn release(number: usize) -> Item {
    let change = Change::PassthroughRelease(at(&format!("0000:{number:02x}:00.0")));
    item(WishSource::Manager, &format!("gpus[{number}].use"), ItemState::ToDo(Deed::Change(change)))
}

fn keys(start: &Start) -> Vec<ItemKey> {
    start.paths.iter().map(|path| (start.source, path.clone())).collect()
}

fn refused() -> Result<(), Why> {
    Err(Why::new("in_use", "a guest has it open"))
}

#[test]
fn all_settings_of_a_source_are_one_job_and_nothing_is_started_twice() {
    let mut pacer = Pacer::default();
    let local = item(WishSource::Local, "agent.pool", ItemState::ToDo(Deed::Set(HostSetting::Pool(None))));
    let items = [set("agent.zone", "a"), set("agent.pool", "b"), local];
    let turn = pacer.turn(BootMillis(0), &items);
    let counts: Vec<(WishSource, usize)> = turn.start.iter().map(|start| (start.source, start.paths.len())).collect();
    assert_eq!(counts, [(WishSource::Local, 1), (WishSource::Manager, 2)]);
    assert!(matches!(&turn.start[1].deeds, AtOnce::Settings(settings) if settings.len() == 2));
    assert_eq!(pacer.turn(BootMillis(1), &items).start, []);
    let met = [item(WishSource::Manager, "agent.zone", ItemState::Met)];
    pacer.ended(BootMillis(2), &keys(&turn.start[1]), &Ok(()));
    assert_eq!(pacer.turn(BootMillis(2), &met), model::reconcile::Turn::default());
}

#[test]
fn a_failure_is_tried_again_later_and_later_and_at_once_where_its_wish_changed() {
    let mut pacer = Pacer::default();
    let (mut now, mut pauses) = (0_u64, Vec::new());
    for _ in 0..12 {
        let turn = pacer.turn(BootMillis(now), &[bind(1)]);
        assert_eq!(turn.start.len(), 1, "at {now}");
        pacer.ended(BootMillis(now), &keys(&turn.start[0]), &refused());
        let next = pacer.turn(BootMillis(now), &[bind(1)]).next.unwrap().0;
        assert_eq!(pacer.turn(BootMillis(next - 1), &[bind(1)]).start, []);
        pauses.push(next - now);
        now = next;
    }
    let ideal = [1_u64, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map(|seconds| seconds * 1000);
    for (pause, ideal) in pauses.iter().zip(ideal) {
        assert!((ideal * 8 / 10..=ideal * 12 / 10).contains(pause), "{pause} for {ideal}");
    }
    let turn = pacer.turn(BootMillis(now), &[bind(1)]);
    pacer.ended(BootMillis(now), &keys(&turn.start[0]), &refused());
    now += 1_000;
    let changed = Item { blockers: "no guest".to_owned(), ..bind(1) };
    assert_eq!(pacer.turn(BootMillis(now), &[changed]).start.len(), 1, "what was in its way has changed");
}

#[test]
fn three_hundred_revisions_in_ninety_seconds_are_at_most_one_write_a_second() {
    let mut pacer = Pacer::default();
    let mut writes = 0;
    for tick in 0..300_u64 {
        let now = BootMillis(tick * 300);
        let turn = pacer.turn(now, &[set("agent.zone", &tick.to_string())]);
        for start in &turn.start {
            writes += 1;
            pacer.ended(now, &keys(start), &Ok(()));
        }
    }
    assert!((60..=91).contains(&writes), "{writes}");
}

#[test]
fn takings_back_go_first_and_no_more_than_eight_changes_are_under_way() {
    let mut pacer = Pacer::default();
    let items: Vec<Item> = (1..=20).map(bind).chain([release(40), release(41)]).collect();
    let first = pacer.turn(BootMillis(0), &items);
    let back: Vec<&str> = first.start.iter().map(|start| start.paths[0].as_str()).collect();
    assert_eq!(back, ["gpus[40].use", "gpus[41].use"]);
    assert_eq!(pacer.turn(BootMillis(1), &items).start, [], "what is given may need what is taken back");
    pacer.ended(BootMillis(2), &keys(&first.start[0]), &refused());
    pacer.ended(BootMillis(2), &keys(&first.start[1]), &Ok(()));
    let items: Vec<Item> = (1..=20).map(bind).chain([release(40)]).collect();
    let second = pacer.turn(BootMillis(3), &items);
    assert_eq!(second.start.len(), MOST_AT_ONCE, "a release that failed holds up nobody");
    pacer.ended(BootMillis(4), &keys(&second.start[0]), &refused());
    assert_eq!(pacer.turn(BootMillis(4), &items).start.len(), 1);
}

#[test]
fn what_is_shown_has_its_reason_and_the_time_of_the_next_attempt() {
    let mut pacer = Pacer::default();
    let now = |boot: u64| Now { boot: BootMillis(boot), wall: UnixMillis(100_000 + i64::try_from(boot).unwrap()) };
    let items = [bind(1)];
    let turn = pacer.turn(BootMillis(0), &items);
    let shown = pacer.shown(now(0), &items);
    assert_eq!(shown[0].why.as_ref().unwrap().code, "under_way");
    pacer.ended(BootMillis(5), &keys(&turn.start[0]), &refused());
    let shown = pacer.shown(now(5), &items);
    assert_eq!((shown[0].why.as_ref().unwrap().code.as_str(), shown[0].since), ("in_use", UnixMillis(100_005)));
    assert!(shown[0].retry_at.unwrap() >= UnixMillis(101_005));
    let later = pacer.shown(now(900), &items);
    assert_eq!(later[0].since, UnixMillis(100_005), "it has been so since the first time");
    let met = [item(WishSource::Manager, "gpus[1].use", ItemState::Met)];
    let shown = pacer.shown(now(950), &met);
    assert_eq!((shown[0].state, shown[0].why.as_ref(), shown[0].retry_at), ("met", None, None));
}

#[test]
fn who_undoes_what_was_done_is_fought_more_and_more_slowly() {
    let mut pacer = Pacer::default();
    let (mut now, mut attempts) = (0_u64, 0);
    let path = "gpus[1].use";
    while now < 60_000 {
        let turn = pacer.turn(BootMillis(now), &[bind(1)]);
        for start in &turn.start {
            attempts += 1;
            pacer.ended(BootMillis(now), &keys(start), &Ok(()));
            pacer.turn(BootMillis(now), &[item(WishSource::Manager, path, ItemState::Met)]);
        }
        now += 100;
    }
    assert!((4..=8).contains(&attempts), "{attempts} in a minute");
}

proptest! {
    /// Whatever items come and however attempts end: nothing runs twice at once, never more than the limit, and what can be done
    /// is begun within the longest pause.
    #[test]
    fn no_item_blocks_another(ends in proptest::collection::vec(any::<bool>(), 1..40), count in 1_usize..12) {
        let mut pacer = Pacer::default();
        let items: Vec<Item> = (1..=count).map(bind).collect();
        let mut running: Vec<Start> = Vec::new();
        let mut begun = std::collections::BTreeSet::new();
        let mut now = 0_u64;
        for end in ends {
            let turn = pacer.turn(BootMillis(now), &items);
            for start in &turn.start {
                prop_assert!(!running.iter().any(|other| other.paths == start.paths));
                begun.insert(start.paths.clone());
            }
            running.extend(turn.start);
            prop_assert!(running.len() <= MOST_AT_ONCE);
            if let Some(start) = (!running.is_empty()).then(|| running.remove(0)) {
                pacer.ended(BootMillis(now), &keys(&start), &if end { Ok(()) } else { refused() });
            }
            now += 500;
        }
        now += 400_000;
        for start in running.drain(..) {
            pacer.ended(BootMillis(now), &keys(&start), &refused());
        }
        for _ in 0..3 {
            let turn = pacer.turn(BootMillis(now), &items);
            for start in turn.start {
                begun.insert(start.paths.clone());
                pacer.ended(BootMillis(now), &keys(&start), &refused());
            }
            now += 400_000;
        }
        prop_assert_eq!(begun.len(), count);
    }
}
