//! A fleet after an outage (bench B14): ten thousand real check-in machines in virtual time.

use crate::world::{WALL, accepted, at, config, down, run};
use model::checkin::{CheckinConfig, CheckinMachine};
use model::time::BootMillis;

const AGENTS: u64 = 10_000;
const OUTAGE: std::ops::Range<u64> = 1_000_000_000..1_000_120_000;

struct Fleet {
    per_second: Vec<u32>,
    back_after_ms: Vec<u64>,
}

fn fleet_through_an_outage(fault_takes_ms: u64) -> Fleet {
    let start = BootMillis(OUTAGE.start - 90_000);
    let end = BootMillis(OUTAGE.end + 90_000);
    let mut per_second = vec![0_u32; usize::try_from(end.since(start) / 1000 + 1).unwrap()];
    let mut back_after_ms = Vec::new();
    for n in 0..AGENTS {
        let began = start.plus(n * 3 % 30_000);
        let mut m = CheckinMachine::new(config(&format!("host-{n}"), &["a"]), began, WALL);
        let latency = |when: BootMillis| if OUTAGE.contains(&when.0) { fault_takes_ms } else { 40 };
        let mut now = began;
        let mut back = None;
        while now < end {
            let until = end;
            let sent = run_one(&mut m, &mut now, until, &latency);
            let Some(when) = sent else { break };
            per_second[usize::try_from(when.since(start) / 1000).unwrap()] += 1;
            if when.0 >= OUTAGE.end && back.is_none() {
                back = Some(when.0 - OUTAGE.end);
            }
        }
        back_after_ms.push(back.unwrap());
    }
    back_after_ms.sort_unstable();
    Fleet { per_second, back_after_ms }
}

fn run_one(
    m: &mut CheckinMachine,
    now: &mut BootMillis,
    end: BootMillis,
    latency: &impl Fn(BootMillis) -> u64,
) -> Option<BootMillis> {
    use model::checkin::CheckinAction;
    loop {
        match m.next(at(*now), "r") {
            CheckinAction::Wait(Some(until)) if until < end => *now = until,
            CheckinAction::Wait(_) | CheckinAction::Enrol(..) => return None,
            CheckinAction::Beat(_) => {
                let sent = *now;
                *now = now.plus(latency(sent));
                m.on_answer(at(*now), if OUTAGE.contains(&sent.0) { down() } else { accepted() });
                return Some(sent);
            }
        }
    }
}

#[test]
fn b14_ten_thousand_come_back_in_their_own_slots() {
    for fault_takes_ms in [2, 5_000, 15_000] {
        let fleet = fleet_through_an_outage(fault_takes_ms);
        let steady = f64::from(u32::try_from(AGENTS).unwrap()) / 30.0;
        let from_outage = &fleet.per_second[90..fleet.per_second.len() - 1];
        let peak = f64::from(*from_outage.iter().max().unwrap()) / steady;
        let p99 = fleet.back_after_ms[fleet.back_after_ms.len() * 99 / 100];
        println!("fault takes {fault_takes_ms} ms: peak {peak:.2} x steady, 99 % back after {p99} ms");
        assert!(peak <= 1.2, "peak {peak}");
        assert!(p99 <= 33_000, "99 % back after {p99} ms");
        assert!(*fleet.back_after_ms.last().unwrap() <= 33_000);
    }
}

#[test]
fn t08_retries_in_the_own_slot_through_ten_minutes_and_all_are_back_within_an_interval() {
    for (hosts, interval) in [(vec!["a"], 30), (vec!["a", "b", "c"], 30), (vec!["a", "b"], 300)] {
        for n in 0..50 {
            let start = BootMillis(1_000_000_000);
            let (from, to) = (start.plus(60_000), start.plus(660_000));
            let cfg = CheckinConfig { interval_s: interval, ..config(&format!("h{n}"), &hosts) };
            let mut m = CheckinMachine::new(cfg, start, WALL);
            let out = |when: BootMillis| when >= from && when < to;
            let sent = run(&mut m, start, to.plus(31_000), 3, |when, _| if out(when) { down() } else { accepted() });
            let rounds: Vec<_> = sent.iter().filter(|s| out(s.at)).map(|s| s.at.0 / 1000).collect();
            let allowed = 600_usize.div_ceil(30) * hosts.len() + hosts.len();
            assert!(rounds.len() <= allowed, "{} requests during the outage", rounds.len());
            let back = sent.iter().find(|s| s.at >= to).map(|s| s.at.since(to));
            assert!(interval == 300 && rounds.is_empty() || back.is_some_and(|b| b <= 30_000), "{back:?} {interval}");
        }
    }
}

/// Requests a second of a fleet whose daemons all start at one instant, until the first slots are over.
#[test]
fn a_fleet_whose_daemons_start_in_one_second_comes_spread_over_four() {
    let start = BootMillis(1_000_000_000);
    let mut per_second = [0_u32; 40];
    for n in 0..AGENTS {
        let cfg = CheckinConfig { began: start, ..config(&format!("host-{n}"), &["a"]) };
        let mut m = CheckinMachine::new(cfg, start, WALL);
        for sent in run(&mut m, start, start.plus(39_000), 40, |_, _| accepted()) {
            per_second[usize::try_from(sent.at.since(start) / 1000).unwrap()] += 1;
        }
    }
    let a_quarter = f64::from(u32::try_from(AGENTS).unwrap()) / 4.0;
    let peak = f64::from(*per_second.iter().max().unwrap()) / a_quarter;
    println!("start of 10,000: {:?}, peak {peak:.2} x of a quarter", &per_second[..8]);
    assert!(peak <= 1.2, "{per_second:?}");
    assert!(per_second[..4].iter().all(|n| f64::from(*n) >= 0.8 * a_quarter), "{per_second:?}");
}
