//! Device events of the real kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use host::front::UdevChanges;
use model::ports::{ChangePort, HostChange};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// Where root may ask the kernel for an event of a PCI function; the rig's virtual machine covers hosts without any.
fn function_with_events() -> Option<PathBuf> {
    let listed = fs::read_dir("/sys/bus/pci/devices").ok()?;
    let mut files = listed.flatten().map(|entry| entry.path().join("uevent"));
    files.find(|file| fs::OpenOptions::new().write(true).open(file).is_ok())
}

/// Asks the kernel for so many events of a device.
fn ask_for_events(file: &Path, times: usize) -> bool {
    (0..times).all(|_| fs::write(file, "change").is_ok())
}

async fn silence(changes: &mut UdevChanges) -> bool {
    timeout(Duration::from_millis(400), changes.next_change()).await.is_err()
}

/// One test: events are the whole machine's, and two listeners would hear each other's.
#[tokio::test(flavor = "current_thread")]
async fn events_of_pci_functions_are_announced_and_no_others() {
    let loopback = Path::new("/sys/class/net/lo/uevent");
    let (Some(function), true) = (function_with_events(), ask_for_events(loopback, 1)) else {
        println!("SKIPPED: this user may not ask the kernel for events, or there is no PCI function");
        return;
    };
    let mut changes = UdevChanges::listen();
    assert!(changes.is_listening());
    assert!(silence(&mut changes).await);
    assert!(ask_for_events(loopback, 3));
    assert!(silence(&mut changes).await, "a network interface is none of our business");
    for _ in 0..2 {
        assert!(ask_for_events(&function, 2));
        let change = timeout(Duration::from_secs(60), changes.next_change()).await;
        assert_eq!(change, Ok(HostChange::Devices));
        // Two events may come as one wake-up or as two; then it must be quiet.
        assert!(silence(&mut changes).await || silence(&mut changes).await, "announces without end");
    }
    // A flood of others hides none of ours, and is not announced itself.
    assert!(ask_for_events(loopback, 2_000) && ask_for_events(&function, 1));
    assert_eq!(timeout(Duration::from_secs(60), changes.next_change()).await, Ok(HostChange::Devices));
    assert!(silence(&mut changes).await || silence(&mut changes).await, "announces without end");
}
