//! Tests of the spool: crash, damage, bounds, acknowledgement and identities.

use super::super::event_facts::AgentSighting;
use super::super::occurrence::EventKind;
use super::super::spool_disk::SPOOL_MAX_BYTES;
use super::*;

const A: &str = "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7";
const B: &str = "11111111-fdb7-40c7-a94e-2da71ae54dc7";

fn event(severity: EventSeverity, message: &str) -> Occurrence {
    Occurrence::new(EventKind::DiskReserve, "", severity, message)
}

fn happen(spool: &mut EventSpool, severity: EventSeverity, messages: &[&str]) {
    let happened = messages.iter().map(|message| event(severity, message)).collect();
    spool.turn((UnixMillis(1_000), false), happened, None, id);
}

fn id() -> String {
    "f23a1e49-9ab3-4ede-ba60-c5c4215467a6".to_owned()
}

fn messages(events: &[HostEvent]) -> Vec<&str> {
    events.iter().map(|event| event.what.message.as_str()).collect()
}

fn all(spool: &EventSpool) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = spool.page(&EventQuery { after, since: None, most: 500 });
        all.extend(page.events.iter().map(|event| event.what.message.clone()));
        if !page.more {
            return all;
        }
        after = page.next;
    }
}

/// A disk: does what is to be written, as long as there is any.
fn write(spool: &mut EventSpool, file: &mut Vec<u8>) {
    while let Some(write) = spool.next_write() {
        match write {
            SpoolWrite::Append { bytes, .. } => file.extend(bytes),
            SpoolWrite::Whole(bytes) => *file = bytes,
        }
        spool.written();
    }
}

fn stopped(run: &str) -> EventFacts {
    let agent = AgentSighting { run: run.to_owned(), is_stopping: true, ..AgentSighting::default() };
    EventFacts { agent, ..EventFacts::default() }
}

#[test]
fn what_is_written_is_there_after_a_restart_with_its_numbers_and_what_was_seen() {
    let (mut spool, mut file) = (EventSpool::empty(100), Vec::new());
    happen(&mut spool, EventSeverity::Info, &["one", "two"]);
    spool.turn((UnixMillis(2), false), Vec::new(), Some(stopped("r")), id);
    write(&mut spool, &mut file);
    let found = EventSpool::read(&file, 5).unwrap();
    assert_eq!((found.damaged, found.is_torn), (0, false));
    let mut again = found.spool;
    assert_eq!(again.facts().unwrap().agent.run, "r");
    assert_eq!(again.newest(), 104, "started and stopping are the third and the fourth");
    happen(&mut again, EventSeverity::Info, &["three"]);
    let page = again.page(&EventQuery { after: 0, since: None, most: 2 });
    assert_eq!((messages(&page.events), page.more, page.next), (vec!["one", "two"], true, 102));
    let page = again.page(&EventQuery { after: 104, since: None, most: 500 });
    assert_eq!((messages(&page.events), page.more), (vec!["three"], false));
    assert!(again.page(&EventQuery { after: 0, since: Some(UnixMillis(1_001)), most: 9 }).events.is_empty());
}

#[test]
fn a_crash_at_any_byte_of_any_write_leaves_the_events_and_what_was_seen_as_before_or_behind_it() {
    let (mut spool, mut file) = (EventSpool::empty(100), Vec::new());
    write(&mut spool, &mut file);
    happen(&mut spool, EventSeverity::Info, &["one"]);
    write(&mut spool, &mut file);
    let before = file.clone();
    spool.turn((UnixMillis(2), false), vec![event(EventSeverity::Info, "two")], Some(stopped("r")), id);
    write(&mut spool, &mut file);
    for cut in before.len()..=file.len() {
        let found = EventSpool::read(&file[..cut], 5).unwrap();
        let is_behind = cut >= file.len() - 1;
        assert_eq!(found.is_torn, cut > before.len() && cut < file.len(), "{cut}");
        let wanted = if is_behind { 4 } else { 1 };
        let spool = found.spool;
        assert_eq!(
            (all(&spool).len(), spool.facts().unwrap().agent.run.as_str()),
            (wanted, if is_behind { "r" } else { "" })
        );
        // It goes on from there, and nothing that was cut takes the next with it.
        let (mut spool, mut next) = (spool, file[..cut].to_vec());
        happen(&mut spool, EventSeverity::Info, &["three"]);
        write(&mut spool, &mut next);
        let found = EventSpool::read(&next, 5).unwrap();
        assert_eq!((found.damaged, found.is_torn, all(&found.spool).last().unwrap().as_str()), (0, false, "three"));
    }
}

#[test]
fn a_write_that_fails_in_the_middle_is_done_again_and_counts_once() {
    let (mut spool, mut file) = (EventSpool::empty(100), Vec::new());
    write(&mut spool, &mut file);
    for part in [0, 10, usize::MAX] {
        happen(&mut spool, EventSeverity::Info, &["x"]);
        let Some(SpoolWrite::Append { bytes, .. }) = spool.next_write() else { panic!("an append") };
        file.extend(&bytes[..part.min(bytes.len())]);
        spool.not_written();
        assert!(spool.next_write().is_some(), "again");
        spool.not_written();
        assert!(matches!(spool.next_write(), Some(SpoolWrite::Whole(_))), "the third time as a whole");
        spool.not_written();
        write(&mut spool, &mut file);
    }
    assert_eq!(all(&EventSpool::read(&file, 5).unwrap().spool).len(), 3);
    happen(&mut spool, EventSeverity::Info, &["y"]);
    let Some(SpoolWrite::Append { bytes, .. }) = spool.next_write() else { panic!("an append") };
    file.extend(&bytes[..bytes.len() - 3]);
    spool.not_written();
    let Some(SpoolWrite::Append { bytes, .. }) = spool.next_write() else { panic!("an append") };
    file.extend(bytes);
    spool.written();
    let found = EventSpool::read(&file, 5).unwrap();
    assert_eq!((all(&found.spool).len(), found.damaged), (4, 1), "the part that was there costs itself alone");
}

#[test]
fn damage_anywhere_costs_a_line_and_nothing_is_reported_as_new_for_that() {
    let (mut spool, mut file) = (EventSpool::empty(100), Vec::new());
    spool.turn((UnixMillis(2), false), Vec::new(), Some(stopped("r")), id);
    write(&mut spool, &mut file);
    happen(&mut spool, EventSeverity::Info, &["one", "two", "three"]);
    write(&mut spool, &mut file);
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 0x55;
        let found = EventSpool::read(&bad, 5).unwrap();
        let mut spool = found.spool;
        assert!(found.damaged > 0 || found.is_torn, "byte {at}");
        assert!(all(&spool).len() <= 5);
        let count = spool.turn((UnixMillis(3), false), Vec::new(), Some(stopped("s")), id);
        assert!(count <= 2, "byte {at}: {count} events, where only start and stop are new");
        assert!(matches!(spool.next_write(), Some(SpoolWrite::Whole(_))), "byte {at}: the file is written again");
    }
}

#[test]
fn any_bytes_at_all_are_read_within_bounds() {
    for length in [0, 1, 8, 9, 10, 4096] {
        for byte in [0_u8, b'\n', b'0', b' ', 0xff] {
            let found = EventSpool::read(&vec![byte; length], 7).unwrap();
            assert_eq!((found.spool.newest(), all(&found.spool).len()), (7, 0));
        }
    }
}

#[test]
fn the_least_goes_first_and_errors_last_and_what_the_manager_has_before_all() {
    let mut spool = EventSpool::empty(0);
    spool.own(A);
    spool.note_taker(true);
    happen(&mut spool, EventSeverity::Error, &["error"]);
    happen(&mut spool, EventSeverity::Info, &["delivered"]);
    assert!(!spool.acknowledge(A, 3, 3), "beyond the last event");
    for _ in 0..5 {
        happen(&mut spool, EventSeverity::Debug, &["figure"; 1000]);
        happen(&mut spool, EventSeverity::Warning, &["warning"; 999]);
    }
    assert_eq!(all(&spool).len(), 9997);
    happen(&mut spool, EventSeverity::Info, &["info"; 4]);
    let kept = all(&spool);
    assert_eq!((kept.len(), kept.iter().filter(|one| *one == "figure").count(), spool.dropped()), (10_000, 4999, 1));
    happen(&mut spool, EventSeverity::Error, &["error"; 10_000]);
    let kept = all(&spool);
    assert!(kept.len() == 10_000 && kept.iter().all(|one| one == "error"), "errors are never dropped before others");
    assert_eq!(spool.waiting(), 10_000);
}

#[test]
fn what_is_delivered_stays_as_history_and_goes_first() {
    let mut spool = EventSpool::empty(0);
    spool.own(A);
    happen(&mut spool, EventSeverity::Error, &["old"; 3000]);
    assert!(spool.acknowledge(A, 3000, 3000));
    assert_eq!((all(&spool).len(), spool.waiting()), (1000, 0));
    happen(&mut spool, EventSeverity::Debug, &["new"; 9_500]);
    let kept = all(&spool);
    assert_eq!((kept.iter().filter(|one| *one == "old").count(), spool.dropped()), (500, 0));
}

#[test]
fn the_file_never_grows_beyond_its_bound_and_is_written_again_when_little_of_it_counts() {
    let (mut spool, mut file) = (EventSpool::empty(0), Vec::new());
    let long = "x".repeat(1000);
    let mut largest = 0;
    for _ in 0..34 {
        happen(&mut spool, EventSeverity::Info, &[long.as_str(); 500]);
        write(&mut spool, &mut file);
        largest = largest.max(file.len());
    }
    assert!(largest <= SPOOL_MAX_BYTES, "{largest}");
    assert_eq!(EventSpool::read(&file, 0).unwrap().spool.newest(), 17_000 + NUMBERS_SKIPPED);
    let mut spool = EventSpool::empty(0);
    spool.own(A);
    for _ in 0..16 {
        happen(&mut spool, EventSeverity::Info, &[long.as_str(); 500]);
        write(&mut spool, &mut file);
        assert!(spool.acknowledge(A, spool.newest(), spool.newest()));
        assert!(file.len() < 8 * 1024 * 1024, "{}", file.len());
    }
}

#[test]
fn acknowledgements_that_go_back_or_beyond_change_nothing() {
    let mut spool = EventSpool::empty(10);
    happen(&mut spool, EventSeverity::Info, &["one", "two", "three"]);
    assert!(spool.batch(A, 500, None).events.is_empty(), "this host has no identity");
    spool.own(A);
    let mut file = Vec::new();
    assert_eq!(spool.batch(A, 500, None).last(), None, "nothing is on disk");
    write(&mut spool, &mut file);
    assert_eq!(messages(&spool.batch(A, 2, None).events), ["one", "two"]);
    assert_eq!(messages(&spool.batch(A, 500, Some(11)).events), ["one"], "as it was sent before");
    for (acked, sent) in [(0, 12), (10, 12), (13, 12), (u64::MAX, 12), (u64::MAX, u64::MAX), (99, 99)] {
        assert!(!spool.acknowledge(A, acked, sent), "{acked} of {sent}");
    }
    assert!(!spool.acknowledge(B, 11, 12), "another identity");
    assert!(spool.acknowledge(A, 11, 12) && !spool.acknowledge(A, 11, 12) && !spool.acknowledge(A, 10, 12));
    assert_eq!(messages(&spool.batch(A, 500, None).events), ["two", "three"]);
    write(&mut spool, &mut file);
    let mut spool = EventSpool::read(&file, 0).unwrap().spool;
    assert_eq!(messages(&spool.batch(A, 500, None).events), ["two", "three"], "after a restart too");
    spool.skip(A, 12);
    assert_eq!((messages(&spool.batch(A, 500, None).events), spool.dropped()), (vec!["three"], 1));
}

#[test]
fn another_identity_gets_nothing_of_what_happened_under_the_one_before() {
    let (mut spool, mut file) = (EventSpool::empty(0), Vec::new());
    happen(&mut spool, EventSeverity::Info, &["before any"]);
    spool.own(A);
    happen(&mut spool, EventSeverity::Info, &["of A"]);
    write(&mut spool, &mut file);
    assert_eq!(messages(&spool.batch(A, 500, None).events), ["before any", "of A"]);
    spool.own(B);
    happen(&mut spool, EventSeverity::Info, &["of B"]);
    write(&mut spool, &mut file);
    for spool in [spool, EventSpool::read(&file, 0).unwrap().spool] {
        assert_eq!(messages(&spool.batch(B, 500, None).events), ["of B"]);
        assert!(spool.batch(A, 500, None).events.is_empty());
        assert_eq!(all(&spool).len(), 3, "people see all");
    }
}

#[test]
fn without_a_manager_that_takes_events_the_oldest_goes_first_and_nothing_counts_as_dropped() {
    for server_id in [None, Some(A)] {
        let mut spool = EventSpool::empty(0);
        if let Some(server_id) = server_id {
            spool.own(server_id);
            spool.note_taker(false);
        }
        happen(&mut spool, EventSeverity::Warning, &["old"; SPOOL_MOST]);
        happen(&mut spool, EventSeverity::Debug, &["new", "newest"]);
        let kept = all(&spool);
        assert_eq!((kept.len(), spool.dropped()), (SPOOL_MOST, 0));
        assert_eq!(kept[SPOOL_MOST - 2..], ["new", "newest"]);
    }
}

#[test]
fn whether_the_manager_takes_events_outlives_a_restart_and_what_counted_does_not_once_it_takes_none() {
    let (mut spool, mut file) = (EventSpool::empty(0), Vec::new());
    spool.own(A);
    spool.note_taker(true);
    happen(&mut spool, EventSeverity::Error, &["error"; SPOOL_MOST]);
    write(&mut spool, &mut file);
    let mut spool = EventSpool::read(&file, 0).unwrap().spool;
    happen(&mut spool, EventSeverity::Info, &["info"]);
    assert_eq!((spool.dropped(), all(&spool).iter().any(|one| one == "info")), (1, false), "errors go last");
    spool.note_taker(false);
    assert_eq!(spool.dropped(), 0);
    happen(&mut spool, EventSeverity::Info, &["info"]);
    assert_eq!((spool.dropped(), all(&spool).last().unwrap().as_str()), (0, "info"), "the oldest goes");
}

#[test]
fn what_happened_before_a_host_left_waits_no_longer_and_is_for_no_other_manager() {
    let (mut spool, mut file) = (EventSpool::empty(0), Vec::new());
    spool.disown();
    happen(&mut spool, EventSeverity::Info, &["before any"]);
    spool.own(A);
    write(&mut spool, &mut file);
    assert_eq!(spool.waiting(), 1, "a host that had no manager has not left one");
    spool.disown();
    assert_eq!((spool.waiting(), spool.deliverable(), spool.batch(A, 500, None).last()), (0, None, None));
    write(&mut spool, &mut file);
    let mut spool = EventSpool::read(&file, 0).unwrap().spool;
    assert_eq!((spool.waiting(), all(&spool).len()), (0, 1), "people see all");
    happen(&mut spool, EventSeverity::Info, &["alone"]);
    spool.own(B);
    write(&mut spool, &mut file);
    assert_eq!(messages(&spool.batch(B, 500, None).events), ["alone"]);
    assert_eq!(messages(&EventSpool::read(&file, 0).unwrap().spool.batch(B, 500, None).events), ["alone"]);
}

#[test]
fn what_happened_while_the_file_could_not_be_read_follows_behind_it() {
    let (mut kept, mut file) = (EventSpool::empty(0), Vec::new());
    kept.own(A);
    happen(&mut kept, EventSeverity::Info, &["kept"]);
    write(&mut kept, &mut file);
    let mut blind = EventSpool::unread(500);
    blind.own(A);
    happen(&mut blind, EventSeverity::Info, &["delivered", "not delivered"]);
    assert_eq!(messages(&blind.batch(A, 1, None).events), ["delivered"], "from memory, since there is no disk");
    assert!(blind.acknowledge(A, 501, 501));
    let mut spool = EventSpool::read(&file, 0).unwrap().spool;
    spool.follow(blind);
    write(&mut spool, &mut file);
    let again = EventSpool::read(&file, 0).unwrap().spool;
    assert_eq!(all(&again), ["kept", "not delivered"]);
    assert_eq!(messages(&again.batch(A, 500, None).events), ["kept", "not delivered"]);
}

#[test]
fn numbers_go_on_behind_those_that_were_given_while_the_file_could_not_be_read() {
    for (count, delivered) in [(2, 1), (2, 2), (0, 0)] {
        let (mut kept, mut file) = (EventSpool::empty(0), Vec::new());
        kept.own(A);
        happen(&mut kept, EventSeverity::Info, &["kept"]);
        write(&mut kept, &mut file);
        let mut blind = EventSpool::unread(500_000);
        blind.own(A);
        happen(&mut blind, EventSeverity::Info, &["one", "two"][..count]);
        let before = blind.newest();
        assert_eq!(blind.acknowledge(A, 500_000 + delivered, before), delivered > 0);
        let mut spool = EventSpool::read(&file, 0).unwrap().spool;
        spool.follow(blind);
        happen(&mut spool, EventSeverity::Info, &["behind"]);
        write(&mut spool, &mut file);
        let behind = spool.page(&EventQuery { after: before, since: None, most: 500 });
        assert_eq!(messages(&behind.events).last(), Some(&"behind"), "who follows sees it: {behind:?}");
        let batch = spool.batch(A, 500, None);
        assert!(batch.events.windows(2).all(|two| two[0].seq < two[1].seq), "{batch:?}");
        assert!(spool.acknowledge(A, batch.last().unwrap(), batch.last().unwrap()));
        assert_eq!(spool.waiting(), 0);
    }
}

#[test]
fn a_batch_is_bounded_in_bytes_and_has_one_event_at_least() {
    let mut spool = EventSpool::unread(0);
    spool.own(A);
    let long = "\u{1f600}".repeat(1024);
    happen(&mut spool, EventSeverity::Info, &[long.as_str(); 100]);
    let batch = spool.batch(A, 500, None);
    assert!((20..40).contains(&batch.events.len()), "{}", batch.events.len());
    assert_eq!(spool.batch(A, 1, None).events.len(), 1);
}
