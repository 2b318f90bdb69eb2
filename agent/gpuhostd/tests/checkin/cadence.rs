//! When heartbeats come: first one, slot, interval, early ones, clock steps.

use crate::world::{Host, TOKEN, no_violations, times, with_token};
use manager::Options;
use model::checkin::{Slot, slot::stable_hash};
use model::enrol::CheckinState;
use model::ports::Clock;
use model::time::BootMillis;

#[tokio::test]
async fn t04_first_heartbeat_at_once_after_enrolment_and_after_a_restart() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let began = host.clock.wall_now().0;
    let running = host.start().await;
    assert_eq!(running.state(), CheckinState::Ok);
    assert!(manager.heartbeats()[0].received_at - began <= 5000);
    running.stop().await;

    host.clock.jump(1500);
    let began = host.clock.wall_now().0;
    let running = host.start().await;
    // One more where the own slot comes within these seconds.
    let beats = manager.heartbeats();
    assert!((2..=3).contains(&beats.len()), "{}", beats.len());
    assert!(beats[1].received_at - began <= 5000);
    assert!(running.now().accepted >= 1);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t04_own_slot_after_a_host_boot() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    host.start().await.stop().await;
    let server_id = host.kept()["server_id"].as_str().unwrap().to_owned();

    let booted = Host::at(BootMillis(30_000));
    let booted = Host { state: host.state, settings: host.settings, ..booted };
    let before = manager.heartbeats().len();
    let running = booted.start().await;
    assert_eq!(manager.heartbeats().len(), before, "sent at once after a host boot");
    let slot = Slot::anchored(&server_id, booted.clock.boot_now(), booted.clock.wall_now());
    let due = slot.next_after(booted.clock.boot_now(), 30);
    booted.clock.advance(due.since(booted.clock.boot_now()) - 1).await;
    assert_eq!(manager.heartbeats().len(), before);
    booted.clock.advance(1).await;
    assert_eq!(manager.heartbeats().len(), before + 1);
    running.stop().await;
}

#[tokio::test]
async fn t05_cadence_and_slot_over_a_hundred_beats_on_one_connection() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(100 * 30_000).await;
    let beats = manager.heartbeats();
    assert!((101..=102).contains(&beats.len()), "{}", beats.len());
    let phase = i64::try_from(stable_hash(host.kept()["server_id"].as_str().unwrap()) % 30_000).unwrap();
    assert!(beats[1..].iter().all(|b| (b.received_at.rem_euclid(30_000) - phase).abs() <= 1000));
    assert!(times(&beats)[2..].windows(2).all(|w| w[1] - w[0] == 30_000));
    let seqs: Vec<_> = beats.iter().map(|b| b.body["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|w| w[1] > w[0]));
    assert!(beats.iter().all(|b| b.connection_id == beats[0].connection_id), "the connection is not kept");
    assert_eq!(running.now().accepted, u64::try_from(beats.len()).unwrap());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t06_interval_of_the_reply_is_clamped() {
    for (asked, kept) in [(1, 5), (9999, 300)] {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        manager.set_reply(move |reply| reply["next_heartbeat_s"] = asked.into());
        host.unattended(&[&manager], TOKEN);
        let running = host.start().await;
        host.clock.advance(kept * 4000).await;
        assert_eq!(running.now().interval_s, kept);
        // The second heartbeat keeps a second's distance from the first, whatever its slot.
        let gaps: Vec<_> = times(&manager.heartbeats())[2..].windows(2).map(|w| w[1] - w[0]).collect();
        assert!(!gaps.is_empty() && gaps.iter().all(|g| *g == i64::try_from(kept).unwrap() * 1000), "{gaps:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn t07_fifty_changes_in_a_tenth_of_a_second_are_one_request() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(30_000).await;
    // Rest until just after a slot, so that the slot's own heartbeat does not come into it.
    let slot = host.clock.rest().await;
    host.clock.advance(slot.since(host.clock.boot_now()) + 3000).await;
    let before = manager.heartbeats().len();
    for n in 0..50_u32 {
        host.see(|seen| seen.docker = if n % 2 == 0 { Ok(Default::default()) } else { seen.docker.clone() }).await;
        host.clock.advance(2).await;
    }
    host.clock.advance(5000).await;
    assert_eq!(manager.heartbeats().len(), before + 1);
    host.see(|seen| seen.host.cpu = model::Reading::default()).await;
    host.clock.advance(5000).await;
    assert_eq!(manager.heartbeats().len(), before + 1, "a figure is no change");
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t12_clock_steps_leave_the_cadence_alone_and_the_skew_is_reported() {
    let mut host = Host::new();
    let true_time = host.clock.wall_now().0 - i64::try_from(host.clock.boot_now().0).unwrap();
    let clock = std::sync::Arc::clone(&host.clock);
    let right: manager::Clock = std::sync::Arc::new(move || true_time + i64::try_from(clock.boot_now().0).unwrap());
    let manager = host.manager(manager::Options { clock: Some(right), ..with_token() }).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(90_000).await;
    assert_eq!(running.now().clock_skew_ms, Some(0));
    host.clock.step_wall(3_600_000);
    host.clock.advance(60_000).await;
    assert_eq!(running.now().clock_skew_ms, Some(-3_600_000));
    assert!(running.condition("clock_skew").contains("3600 s ahead of"));
    host.clock.step_wall(-3 * 3_600_000);
    host.clock.advance(60_000).await;
    assert_eq!(running.now().clock_skew_ms, Some(7_200_000));
    let beats = manager.heartbeats();
    assert!(times(&beats)[2..].windows(2).all(|w| w[1] - w[0] == 30_000), "{:?}", times(&beats));
    assert_eq!(beats.last().unwrap().body["clock_skew_ms"], 7_200_000);
    running.stop().await;
}

#[tokio::test]
async fn a_reload_takes_up_further_managers_and_keeps_the_identity() {
    let mut host = Host::new();
    let first = host.manager(with_token()).await;
    let second = host.manager(Options { fleet: Some(first.fleet()), ..Options::default() }).await;
    host.unattended(&[&first], TOKEN);
    let running = host.start().await;
    let id = host.kept()["server_id"].clone();
    let beats = first.heartbeats().len();
    running.reload(host.settings.clone()).await;
    assert_eq!(first.heartbeats().len(), beats, "the same settings change nothing");
    host.unattended(&[&second], TOKEN);
    running.reload(host.settings.clone()).await;
    first.set_down(true);
    host.clock.advance(120_000).await;
    let moved = second.heartbeats();
    assert!(!moved.is_empty() && moved.iter().all(|beat| beat.body["server_id"] == id), "{:?}", running.now());
    running.stop().await;
    no_violations(&second);
}
