//! The local files: read at the start, when the folder changes, and on reload; wrong ones leave the last right set.

use crate::rig::{Rig, plain, put};
use model::desired::{Desired, DesiredState};
use sim::SimLedger;

fn zone(state: &DesiredState) -> Desired<String> {
    state.local.wishes.agent.zone.clone()
}

fn is(state: &DesiredState, name: &str) -> bool {
    zone(state) == Desired::Value(name.to_owned())
}

#[tokio::test]
async fn files_are_read_at_the_start_and_on_reload_without_a_manager() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "10.toml", "[agent]\nzone = 'a'\n");
    let rig = Rig::start(SimLedger::default(), dir.path().to_owned(), None).await;
    assert!(is(&rig.state(), "a"));
    put(dir.path(), "20.json", r#"{"agent": {"zone": "b"}}"#);
    rig.port.reload().await;
    assert!(is(&rig.state(), "b"));
    assert_eq!(rig.state().local.files.len(), 2);
}

#[tokio::test]
async fn a_wrong_file_is_named_and_the_last_right_set_stays() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "10.toml", "[agent]\nzone = 'a'\n");
    let rig = Rig::start(SimLedger::default(), dir.path().to_owned(), None).await;
    put(dir.path(), "20.toml", "[agent]\nzone = 'b'\nlog_level = 'verbose'\n");
    rig.port.reload().await;
    assert!(is(&rig.state(), "a"));
    let condition = rig.condition("desired_files_invalid").unwrap();
    assert!(condition.message.contains("20.toml:3:13: /agent/log_level: is \"verbose\""), "{condition:?}");
    assert_eq!(rig.state().local.faults.len(), 1);
    put(dir.path(), "20.toml", "[agent]\nzone = 'b'\n");
    rig.port.reload().await;
    assert!(is(&rig.state(), "b") && rig.conditions().is_empty());
    std::fs::remove_dir_all(dir.path()).unwrap();
    rig.port.reload().await;
    assert_eq!(
        (zone(&rig.state()), rig.conditions()),
        (Desired::Absent, vec![]),
        "who removes the files wishes nothing"
    );
}

#[tokio::test]
async fn a_change_of_the_folder_is_read_without_being_told_and_so_is_its_coming() {
    let rig = Rig::on(SimLedger::default()).await;
    let folder = rig.folder.clone();
    assert!(!folder.exists());
    // Each change is seen by the kernel, and read when the folder has been quiet for a while.
    let seen = async |name: &str| {
        let mut state = rig.port.state();
        let patience = tokio::time::timeout(crate::rig::PATIENCE, async {
            while !is(&state.borrow_and_update(), name) {
                rig.clock.advance(100);
                let _short = tokio::time::timeout(std::time::Duration::from_millis(10), state.changed()).await;
            }
        });
        patience.await.unwrap_or_else(|_| panic!("{name} is not seen"));
    };
    put(&folder, "10.toml", "[agent]\nzone = 'a'\n");
    seen("a").await;
    // As an editor saves: a copy is moved over the file.
    put(&folder, ".10.toml.swp", "[agent]\nzone = 'b'\n");
    std::fs::rename(folder.join(".10.toml.swp"), folder.join("10.toml")).unwrap();
    seen("b").await;
    put(&folder, "20.toml", "[agent]\nzone = 'c'\n");
    seen("c").await;
    std::fs::remove_file(folder.join("20.toml")).unwrap();
    seen("b").await;
}

#[tokio::test]
async fn files_and_a_manager_are_published_side_by_side() {
    let rig = Rig::on(SimLedger::default()).await;
    put(&rig.folder, "10.toml", "[agent]\nzone = 'a'\n");
    rig.offer(&plain("m", 1)).await;
    rig.port.reload().await;
    assert!(is(&rig.state(), "a") && rig.in_force().as_deref() == Some("m.1"));
}
