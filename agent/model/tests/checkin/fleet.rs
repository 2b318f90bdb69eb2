//! Ten thousand hosts and what happens to a fleet: no second in which they all come at once.

use crate::fleet_outcome::{Kind, Outcome};
use crate::fleet_scenario::{INTERVAL_S, Scenario, Start};
use crate::fleet_world::Fleet;
use model::checkin::machine::START_SPREAD_MS;
use model::checkin::renewal::Rotate;
use model::checkin::slot::mix;

const HOSTS: u32 = 10_000;
const MINUTE_MS: u64 = 60_000;

/// Requests a second in steady state.
fn steady() -> f64 {
    f64::from(HOSTS) / f64::from(u32::try_from(INTERVAL_S).unwrap())
}

fn fleet(until: u64) -> Scenario {
    Scenario::steady(u64::from(HOSTS), until)
}

/// The peak of a kind, in parts of what is steady; printed, and held below 1.2.
fn is_flat(what: &str, outcome: &Outcome, kind: Kind, seconds: std::ops::Range<usize>, steady: f64) {
    let peak = outcome.peak(kind, seconds) / steady;
    println!("{what}: {kind:?} peak {peak:.2} x {steady:.0} a second, {} requests in all", outcome.requests);
    assert!(peak <= 1.2, "{what}: {kind:?} {peak:.2}");
    assert!(peak > 0.5, "{what}: {kind:?} {peak:.2}: nothing came");
}

#[test]
fn an_outage_of_two_minutes_is_followed_by_no_wave() {
    let outage = 3 * MINUTE_MS..5 * MINUTE_MS;
    let outcome = Fleet::run(Scenario { outages: vec![outage.clone()], ..fleet(8 * MINUTE_MS) });
    is_flat("outage of 120 s", &outcome, Kind::Beat, 180..479, steady());
    is_flat("outage of 120 s", &outcome, Kind::Poll, 180..479, steady());
    let back = outcome.back_after(outage.end);
    let (p99, last) = (back[back.len() * 99 / 100], *back.last().unwrap());
    println!("outage of 120 s: 99 % are back after {p99} ms, all after {last} ms");
    assert!(p99 <= 33_000 && last <= 33_000, "{p99} {last}");
}

#[test]
fn fronts_that_restart_with_every_request_open_are_followed_by_no_wave() {
    for down_ms in [1, 2000] {
        let outage = 3 * MINUTE_MS..3 * MINUTE_MS + down_ms;
        let outcome = Fleet::run(Scenario { outages: vec![outage], ..fleet(5 * MINUTE_MS) });
        let what = format!("all fronts down for {down_ms} ms");
        is_flat(&what, &outcome, Kind::Beat, 180..299, steady());
        is_flat(&what, &outcome, Kind::Poll, 180..299, steady());
    }
}

#[test]
fn a_data_centre_that_is_powered_on_within_a_minute_comes_in_its_slots() {
    let host = |n: u64| {
        let boots_at = mix(n) % MINUTE_MS;
        Start {
            boots_at: Some(boots_at),
            starts_at: boots_at + 15_000 + mix(n + 1) % 5000,
            enrols: false,
            clone_of: None,
        }
    };
    let hosts = (0..u64::from(HOSTS)).map(host).collect();
    let outcome = Fleet::run(Scenario { hosts, until: 4 * MINUTE_MS, ..Scenario::default() });
    is_flat("power-on within 60 s", &outcome, Kind::Beat, 0..239, steady());
    is_flat("power-on within 60 s", &outcome, Kind::Poll, 0..239, steady());
    assert!(outcome.accepted.iter().all(|beats| beats.first().is_some_and(|first| *first <= 120_000)));
}

#[test]
fn daemons_that_all_start_within_a_second_come_spread_over_four() {
    let host = |n: u64| Start { boots_at: None, starts_at: mix(n) % 1000, enrols: false, clone_of: None };
    let hosts = (0..u64::from(HOSTS)).map(host).collect();
    let outcome = Fleet::run(Scenario { hosts, until: 3 * MINUTE_MS, ..Scenario::default() });
    let a_quarter = f64::from(HOSTS) / 4.0;
    is_flat("start of all daemons", &outcome, Kind::Beat, 0..10, a_quarter);
    is_flat("start of all daemons", &outcome, Kind::Poll, 0..10, a_quarter);
    // Everybody has been in the slot once, and some twice: the second heartbeat of a start is nearer than an interval.
    is_flat("start of all daemons, later", &outcome, Kind::Beat, 40..179, steady());
    let latest = outcome.accepted.iter().map(|beats| beats[0]).max().unwrap();
    assert!(latest <= START_SPREAD_MS + 1000, "{latest}");
}

#[test]
fn a_change_that_every_host_reports_early_comes_in_the_slots_where_the_manager_asks_for_a_gap_of_the_interval() {
    let at = 3 * MINUTE_MS + 123;
    let with_gap = |gap| Fleet::run(Scenario { changes: vec![at], early_gap_s: Some(gap), ..fleet(5 * MINUTE_MS) });
    let outcome = with_gap(INTERVAL_S);
    is_flat("a change on all hosts, early_gap_s 30", &outcome, Kind::Beat, 180..299, steady());
    // Without it all come at once, each once: that is what the field is for.
    let outcome = with_gap(1);
    let in_two_seconds = outcome.sum(Kind::Beat, 180..182);
    println!("a change on all hosts, early_gap_s 1: {in_two_seconds} heartbeats in two seconds");
    assert!(in_two_seconds >= HOSTS && f64::from(in_two_seconds) <= f64::from(HOSTS) + 3.0 * steady());
    is_flat("a change on all hosts, early_gap_s 1, later", &outcome, Kind::Beat, 183..299, steady());
}

#[test]
fn a_new_credential_for_all_is_spread_over_an_hour_or_over_the_slots() {
    let rotate = Some((3 * MINUTE_MS..4 * MINUTE_MS, Rotate::WithinAnHour));
    let outcome = Fleet::run(Scenario { rotate, ..fleet(66 * MINUTE_MS) });
    assert_eq!(outcome.sum(Kind::Renewal, 0..66 * 60), HOSTS);
    let minutes = (0..66).map(|minute| outcome.sum(Kind::Renewal, minute * 60..minute * 60 + 60));
    let most = f64::from(minutes.max().unwrap()) / (f64::from(HOSTS) / 60.0);
    println!("rotate_credential true: at most {most:.2} x N/60 signatures a minute");
    assert!(most <= 1.3, "{most}");
    let rotate = Some((3 * MINUTE_MS..3 * MINUTE_MS + 30_000, Rotate::Now));
    let outcome = Fleet::run(Scenario { rotate, ..fleet(6 * MINUTE_MS) });
    assert_eq!(outcome.sum(Kind::Renewal, 0..360), HOSTS);
    is_flat("rotate_credential now", &outcome, Kind::Renewal, 180..359, steady());
}

#[test]
fn a_wave_of_enrolments_that_is_answered_429_ends_with_one_identity_for_each_host() {
    let host = |n: u64| Start { boots_at: None, starts_at: mix(n) % 1000, enrols: true, clone_of: None };
    let hosts = (0..u64::from(HOSTS)).map(host).collect();
    let scenario = Scenario { hosts, until: 10 * MINUTE_MS, enrolments: Some((100, 30)), ..Scenario::default() };
    let outcome = Fleet::run(scenario);
    assert_eq!(outcome.identities, usize::try_from(HOSTS).unwrap());
    // The first try comes as after any start; then only slots.
    is_flat("enrolment wave, 100 a second", &outcome, Kind::Enrolment, 6..599, steady());
    let last = *outcome.back_after(0).last().unwrap();
    println!("enrolment wave, 100 a second: the last host has its identity after {} s", last / 1000);
    assert!(last <= 300_000, "{last}");
}

#[test]
fn a_document_for_all_reaches_every_host_and_no_revision_ever_goes_back() {
    let documents = (0..25).map(|n| 2 * MINUTE_MS + n * 20_000).collect();
    let losses = vec![(5 * MINUTE_MS, 10)];
    let outages = std::iter::once(6 * MINUTE_MS..6 * MINUTE_MS + 45_000).collect();
    let outcome = Fleet::run(Scenario { documents, losses, outages, ..fleet(14 * MINUTE_MS) });
    assert_eq!(outcome.up_to_date, usize::try_from(HOSTS).unwrap());
}

/// A document for all is a wave of requests, of held ones that are answered and opened again: a manager hands it out over a while.
#[test]
fn a_document_that_is_handed_out_over_five_minutes_is_no_wave() {
    let with_spread = |document_spread_s| {
        let documents = vec![3 * MINUTE_MS + 1];
        Fleet::run(Scenario { documents, document_spread_s, ..fleet(10 * MINUTE_MS) })
    };
    // They come beside the others, which come back from being held in the rhythm in which they were opened.
    let peak = with_spread(300).peak(Kind::Poll, 180..599) / steady();
    println!("a document over 300 s: Poll peak {peak:.2} x {:.0} a second", steady());
    assert!((0.5..=1.3).contains(&peak), "{peak}");
    let at_once = with_spread(0);
    let in_two_seconds = at_once.sum(Kind::Poll, 180..182);
    println!("a document for all at once: {in_two_seconds} requests in two seconds");
    assert!(in_two_seconds >= HOSTS && f64::from(in_two_seconds) <= f64::from(HOSTS) + 3.0 * steady());
}
