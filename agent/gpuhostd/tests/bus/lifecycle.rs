//! The bus comes, goes, and comes again; the face says so and goes on.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{Served, block_on, busctl, client};
use gpuhostd::bus::BusState;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const NAME: &str = "org.gpuhost.Agent1";

fn unavailable(state: &BusState) -> bool {
    matches!(state, BusState::Unavailable { .. })
}

fn serving(state: &BusState) -> bool {
    matches!(state, BusState::Serving { .. })
}

#[test]
fn without_a_bus_it_says_so_and_serves_as_soon_as_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let address = format!("unix:path={}/bus", folder.path().display());
    let served = Served::start_at(&address, core(hosts::two_gpus()));
    served.wait_for("it is unavailable", unavailable);
    let BusState::Unavailable { why } = served.state.borrow().clone() else { panic!("it was unavailable") };
    assert!(why.contains(&address) && why.contains("No such file"), "{why}");
    let bus = PrivateBus::start_in(folder);
    served.wait_for("it serves", serving);
    assert!(busctl(&bus, &["tree", "--list", NAME]).contains("gpu/0000_41_00_0"));
}

#[test]
fn a_bus_that_is_started_anew_is_served_anew_with_what_is_so_by_then() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::two_gpus()));
    let folder = bus.stop();
    served.wait_for("it is unavailable", unavailable);
    served.core.with_gpus(1);
    let bus = PrivateBus::start_in(folder);
    served.wait_for("it serves", serving);
    let tree = busctl(&bus, &["tree", "--list", NAME]);
    assert!(tree.contains("gpu/0000_41_00_0") && !tree.contains("gpu/0000_c1_00_0"), "{tree}");
}

#[test]
fn a_name_that_another_owns_is_taken_when_it_is_free() {
    let bus = PrivateBus::start();
    block_on(async {
        let other = client(&bus).await;
        other.request_name(NAME).await.unwrap();
        let served = Served::start_at(&bus.address, core(hosts::two_gpus()));
        served.wait_for("it is unavailable", unavailable);
        let BusState::Unavailable { why } = served.state.borrow().clone() else { panic!("it was unavailable") };
        assert!(why.contains("is another gpuhostd running?"), "{why}");
        other.release_name(NAME).await.unwrap();
        served.wait_for("it serves", serving);
    });
}

/// Long before a bus would be given up, which takes ten seconds.
fn stops_at_once(served: &mut Served) {
    let start = Instant::now();
    served.stop();
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}

#[test]
fn it_stops_at_once_and_gives_the_name_back() {
    let bus = PrivateBus::start();
    let mut served = Served::start(&bus, core(hosts::two_gpus()));
    stops_at_once(&mut served);
    assert_eq!(*served.state.borrow(), BusState::Stopped);
    assert!(!busctl(&bus, &["list", "--acquired"]).contains(NAME));
}

#[test]
fn it_stops_at_once_where_there_is_no_bus_at_all() {
    let mut served = Served::start_at("unix:path=/nonexistent/bus", core(hosts::two_gpus()));
    served.wait_for("it is unavailable", unavailable);
    stops_at_once(&mut served);
}

/// A dbus-daemon that hangs takes no signal any more; the socket's buffer fills up.
#[test]
fn a_bus_that_hangs_keeps_it_from_nothing() {
    let bus = PrivateBus::start();
    let mut served = Served::start(&bus, core(hosts::two_gpus()));
    bus.freeze();
    served.core.observe(|next| next.driver_version = Some("5".repeat(1_000_000)));
    let silent =
        |state: &BusState| matches!(state, BusState::Unavailable { why } if why.contains("did not answer within"));
    served.wait_for("the bus is given up", silent);
    stops_at_once(&mut served);
}
