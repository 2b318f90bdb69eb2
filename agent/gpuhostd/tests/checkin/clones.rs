//! A second host with this one's identity: a virtual machine that was restored from a snapshot with its memory, so with the same
//! boot id.

use crate::clock::VirtualClock;
use crate::world::{Host, TOKEN, UP, with_token};
use model::enrol::CheckinState;
use model::ports::Clock;
use model::time::BootMillis;
use std::path::Path;
use std::sync::Arc;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            let _bytes = std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// The same machine as it was five minutes after the start of the other one, beside it: its CLOCK_BOOTTIME stood still meanwhile.
fn restored(host: &Host) -> Host {
    let boot = BootMillis(UP.0 + 300_000);
    let state = tempfile::tempdir().unwrap();
    copy(host.state.path(), state.path());
    let clock = Arc::new(VirtualClock::new(boot, host.clock.wall_now()));
    Host { clock, state, settings: host.settings.clone(), seen: host.seen.clone(), keeps_events: false }
}

#[tokio::test]
async fn a_machine_restored_with_its_memory_is_noticed_the_first_one_beats_on_and_a_rollback_comes_back_by_itself() {
    let mut host = Host::new();
    let manager = host.manager(with_token()).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    host.clock.advance(900_000).await;
    let clone = restored(&host);
    let second = clone.start().await;
    assert_eq!(second.state(), CheckinState::DuplicateIdentity);
    assert!(second.condition("duplicate_identity").contains("gpuhostctl leave"), "{:?}", second.now());
    for _ in 0..4 {
        host.clock.advance(30_000).await;
        clone.clock.advance(30_000).await;
        assert_eq!((running.state(), second.state()), (CheckinState::Ok, CheckinState::DuplicateIdentity));
    }
    let boots: Vec<_> = manager.heartbeats().iter().map(|beat| beat.body["boot_id"].clone()).collect();
    assert!(boots.windows(2).all(|pair| pair[0] == pair[1]), "the test is about one boot id");
    // Where the machine was rolled back there is no other one: it is let in as soon as its clock has passed what was seen.
    running.stop().await;
    clone.clock.advance(900_000).await;
    assert_eq!(second.state(), CheckinState::Ok);
    assert!(!second.conditions().contains(&"duplicate_identity".to_owned()), "{:?}", second.now());
    second.stop().await;
}
