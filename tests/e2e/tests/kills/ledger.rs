//! `desired.json` of the shipped daemon, damaged while it is down and while it runs, and a disk that is full: nothing is undone, the
//! reason is shown, heartbeats go on, and the next document makes it good again.

use crate::place::Place;
use crate::wisher::{Wisher, named, until_it_polls};
use manager::{Endpoint, Manager};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A host with the first document applied. The wisher is gone before the place is.
fn with_a_document(place: Place) -> (Wisher, Place) {
    let wisher = Wisher::inside();
    wisher.wish(1);
    wisher.enrol(&place);
    place.until("the first document", || wisher.has_reported(1).then_some(()));
    until_it_polls(&place);
    (wisher, place)
}

fn shown(place: &Place) -> Value {
    place.json(&["desired", "show"])
}

/// What is set on the host: the revision that its settings name.
fn set(place: &Place) -> u64 {
    let effective = &shown(place)["Effective"];
    let all = [&effective["Zone"], &effective["Pool"], &effective["Labels"]["n"]].map(named);
    assert!(all.iter().all(|one| *one == all[0]), "{effective}");
    all[0]
}

/// So many more heartbeats are accepted.
fn more_heartbeats(place: &Place, manager: &Manager, count: u64) {
    let begun = *manager.heartbeat_count().borrow();
    place.until("heartbeats", || (*manager.heartbeat_count().borrow() >= begun + count).then_some(()));
    assert!(manager.heartbeats().pop().is_some_and(|beat| beat.accepted));
}

/// What is done to the file, and what the message names.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: [Damage; 6] = [
    ("a folder", |file| swap(file, None), "is not a regular file"),
    ("cut", |file| rewrite(file, |text| text[..text.len() / 2].to_owned()), "it is damaged"),
    ("zeroed", |file| rewrite(file, |text| "\0".repeat(text.len())), "it holds zeros only"),
    ("empty", |file| rewrite(file, |_| String::new()), "it is empty"),
    (
        "of another schema",
        |file| rewrite(file, |text| text.replacen("\"schema\":1", "\"schema\":2", 1)),
        "it has schema 2",
    ),
    ("of another host", |file| rewrite(file, another_host), "it is of another identity"),
];

/// Another file, or a folder, in its place.
fn swap(file: &Path, content: Option<String>) {
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(file).unwrap());
    fs::remove_file(file).unwrap();
    match content {
        Some(text) => fs::write(file, text).unwrap(),
        None => fs::create_dir(file).unwrap(),
    }
    std::os::unix::fs::chown(file, Some(owner), None).unwrap();
}

fn rewrite(file: &Path, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(file).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed);
    swap(file, Some(changed));
}

fn another_host(text: &str) -> String {
    let ledger: Value = serde_json::from_str(text).unwrap();
    text.replace(ledger["server_id"].as_str().unwrap(), "5f0c2f0e-7f4e-4d0b-9d0a-0d5a1a6c1b11")
}

#[test]
fn t36_whatever_has_become_of_the_ledger_while_the_daemon_was_down_nothing_is_undone_and_the_manager_is_asked_anew() {
    let (wisher, mut place) = with_a_document(Place::new());
    let manager = wisher.manager();
    for (number, (what, damage, words)) in (1..).zip(DAMAGES) {
        place.kill();
        damage(&place.state("desired.json"));
        // Without a manager: what the host does by itself.
        manager.set_down(true);
        let _before = wisher.has_reported(number);
        wisher.ledger_is_gone();
        place.up();
        let told = place.until(what, || place.condition("desired_state_unreadable"));
        assert!(told.contains(words) && told.contains("nothing is undone"), "{what}: {told}");
        assert_eq!((&shown(&place)["Ledger"], set(&place)), (&"unreadable".into(), number), "{what}");
        let asked = manager.requests().len();
        manager.set_down(false);
        wisher.wish(number + 1);
        place.until(what, || wisher.has_reported(number + 1).then_some(()));
        assert_eq!((place.condition("desired_state_unreadable"), set(&place)), (None, number + 1), "{what}");
        let requests = manager.requests().split_off(asked);
        let first = requests.iter().find(|one| one.endpoint == Some(Endpoint::DesiredState)).expect("a request");
        assert!(!first.headers.contains_key("if-none-match"), "{what}: {:?}", first.headers);
        assert!(place.state(&format!("desired.json.damaged-{number}")).exists(), "{what}: it is not kept beside");
        until_it_polls(&place);
    }
    wisher.no_violations();
}

#[test]
fn what_becomes_of_the_ledger_while_the_daemon_runs_undoes_nothing_and_the_next_document_is_saved_over_it() {
    let (wisher, place) = with_a_document(Place::new());
    for (revision, (what, damage, _)) in (2..).zip(DAMAGES) {
        damage(&place.state("desired.json"));
        more_heartbeats(&place, wisher.manager(), 1);
        assert_eq!((&shown(&place)["Revision"], set(&place)), (&(revision - 1).into(), revision - 1), "{what}");
        wisher.wish(revision);
        if what == "a folder" {
            let told = place.until(what, || place.condition("desired_state_not_saved"));
            assert!(told.contains("desired.json"), "{told}");
            more_heartbeats(&place, wisher.manager(), 1);
            assert_eq!((&shown(&place)["Revision"], set(&place)), (&1.into(), 1), "applied, and not saved");
            fs::remove_dir(place.state("desired.json")).unwrap();
        }
        place.until(what, || wisher.has_reported(revision).then_some(()));
        assert_eq!((set(&place), place.condition("desired_state_not_saved")), (revision, None), "{what}");
        let kept: Value = serde_json::from_slice(&fs::read(place.state("desired.json")).unwrap()).unwrap();
        assert_eq!(kept["document"]["revision"], revision, "{what}");
        until_it_polls(&place);
    }
    wisher.no_violations();
}

/// A file system of its own over the state, so that it can be full.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn over(folder: &Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs"]).arg(folder).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }

    /// Takes what is left of it, to the last byte.
    fn fill(&self) {
        let filler = fs::File::create(self.0.join("filler")).unwrap();
        let mut bytes = 4096;
        while std::os::unix::fs::FileExt::write_all_at(&filler, &[1; 4096], bytes - 4096).is_ok() {
            bytes += 4096;
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_the_old_document_in_force_and_heartbeats_going_and_the_new_one_comes_when_there_is_room() {
    let mut place = Place::unstarted();
    let state = place.state("");
    fs::create_dir_all(&state).unwrap();
    let Some(disk) = SmallDisk::over(&state) else {
        return println!("SKIPPED: no file system can be mounted here, so no disk was full");
    };
    place.up();
    let (wisher, mut place) = with_a_document(place);
    let manager = wisher.manager();
    disk.fill();
    wisher.wish(2);
    let told = place.until("the condition", || place.condition("desired_state_not_saved"));
    assert!(told.contains("desired.json") && told.contains("No space left on device"), "{told}");
    more_heartbeats(&place, manager, 2);
    assert_eq!((&shown(&place)["Revision"], set(&place)), (&1.into(), 1));
    assert!(!wisher.has_reported(2));
    disk.make_room();
    place.until("the second document", || wisher.has_reported(2).then_some(()));
    assert_eq!((place.condition("desired_state_not_saved"), set(&place)), (None, 2));
    wisher.no_violations();
    // Without the daemon, so that nothing of it stays behind.
    place.kill();
    drop(disk);
}
