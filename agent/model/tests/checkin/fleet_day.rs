//! A day of a fleet: deploys, outages, rotations, steps of the clock, clones, restarts, damaged files and fronts that fail, all of
//! it at once. `cargo test` runs a few hosts; `make fleet` a hundred thousand for 24 hours (docs/manager-api/FLEET.md).

use crate::fleet_outcome::{Kind, Outcome};
use crate::fleet_scenario::{Scenario, Start};
use crate::fleet_world::Fleet;
use model::checkin::renewal::Rotate;
use model::checkin::slot::mix;
use std::time::Instant;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Hosts of a fleet that is too small for clones and lost files of one in a thousand to be there.
const SMALL: u64 = 10_000;

/// A host in so many is cloned, enrols in the course of the day, or loses its file in an hour.
fn one_in(hosts: u64, of_many: u64) -> u64 {
    if hosts < SMALL { of_many.min(50) } else { of_many }
}

/// One of `of_many` hosts is cloned, and the clone started in the course of the day; one in a hundred enrols in it.
fn hosts(count: u64, until: u64) -> Vec<Start> {
    let mut all = Scenario::steady(count, until).hosts;
    let latest = until.saturating_sub(30 * MINUTE_MS).max(1);
    for n in (7..count).step_by(100) {
        let host = &mut all[usize::try_from(n).unwrap()];
        (host.starts_at, host.enrols) = (mix(n) % latest, true);
    }
    let step = usize::try_from(one_in(count, 1000)).unwrap();
    for n in (0..count).step_by(step) {
        let clone_of = Some(usize::try_from(n).unwrap());
        all.push(Start { boots_at: None, starts_at: HOUR_MS + mix(n) % latest, enrols: false, clone_of });
    }
    all
}

/// What happens to them.
fn day(count: u64, hours: u64) -> Scenario {
    let until = hours * HOUR_MS;
    let mut day = Scenario { hosts: hosts(count, until), until, flaky: 2000, ..Scenario::default() };
    for hour in 0..hours {
        let at = |minute: u64| hour * HOUR_MS + minute * MINUTE_MS;
        day.documents.extend((0..6).map(|n| at(n * 10) + 5 * SECOND_MS));
        // A front in twenty is behind while the next document is handed out.
        day.stale.push(at(16)..at(19));
        // A deploy of all fronts; in the hours between an outage, or a manager that cannot keep up.
        day.outages.push(at(20)..at(20) + 2 * SECOND_MS);
        match hour % 3 {
            1 => day.outages.push(at(40)..at(43)),
            2 => day.busy.push((at(40)..at(40) + 20 * SECOND_MS, 45)),
            _ => {}
        }
        day.losses.push((at(30), one_in(count, 1000)));
        let by_ms = if hour % 3 == 0 { -2 } else { 1 } * i64::try_from(HOUR_MS).unwrap();
        day.clock_steps.push((at(50), by_ms, 7));
        day.restarts.extend((0..4).map(|n| (at(n * 15) + 12 * SECOND_MS, 200)));
    }
    day.document_spread_s = 300;
    day.rotate = Some((until / 2..until / 2 + MINUTE_MS, Rotate::WithinAnHour));
    day.life_ms = Some(20 * HOUR_MS);
    day
}

/// The figures of a day, and their bounds.
fn judge(count: u64, hours: u64, outcome: &Outcome, all: usize) {
    let seconds = usize::try_from(hours * 3600).unwrap();
    let steady = f64::from(u32::try_from(all).unwrap()) / 30.0;
    let (beats, polls) = (outcome.peak(Kind::Beat, 60..seconds), outcome.peak(Kind::Poll, 60..seconds));
    println!(
        "{count} hosts, {hours} h: {} requests ({} heartbeats, {} for desired state, {} renewals, {} enrolments); peaks {:.2} \
         (second {}) and {:.2} (second {}) x N/interval; {} of {all} hold the newest document; {} identities were given",
        outcome.requests,
        outcome.sum(Kind::Beat, 0..seconds),
        outcome.sum(Kind::Poll, 0..seconds),
        outcome.sum(Kind::Renewal, 0..seconds),
        outcome.sum(Kind::Enrolment, 0..seconds),
        beats / steady,
        outcome.peak_second(Kind::Beat, 60..seconds),
        polls / steady,
        outcome.peak_second(Kind::Poll, 60..seconds),
        outcome.up_to_date,
        outcome.identities,
    );
    let clones = all - usize::try_from(count).unwrap();
    let enrol = (7..count).step_by(100).count();
    assert_eq!(outcome.identities, enrol, "each host that enrols has one identity");
    // A clone gets no document. The last document was handed out ten minutes ago, and reached all others.
    assert_eq!(outcome.up_to_date, all - clones);
    // Few hosts are noisy: what comes in a second differs by its root.
    let noise = 6.0 * steady.sqrt();
    assert!(beats <= 1.15 * steady + noise, "{beats} {steady}");
    // A host that has missed a document in an outage asks twice: the first request brings it, the second is held.
    assert!(polls <= 2.0 * steady + noise, "{polls} {steady}");
}

/// A day, or as much of it as is asked for.
#[test]
#[allow(clippy::disallowed_methods, reason = "a longer day is asked for by the environment")]
fn a_day_of_a_fleet() {
    let asked = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (count, hours) = (asked("FLEET_HOSTS", 200), asked("FLEET_HOURS", 12));
    let began = Instant::now();
    let scenario = day(count, hours);
    let all = scenario.hosts.len();
    let outcome = Fleet::run_long(scenario);
    println!("{:.1} s by the wall", began.elapsed().as_secs_f64());
    judge(count, hours, &outcome, all);
}
