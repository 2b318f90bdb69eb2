//! The journal on a real file system, with whatever can stand where an entry should be.

use super::*;
use model::os_cause::{CauseSite, OsCauseKind};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("journal");
    (above, dir)
}

/// Names, each with its text or with what kept it from being read.
async fn all(journal: &FileJournal) -> Vec<(String, Result<String, String>)> {
    let documents = journal.read_all().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    documents.into_iter().map(|one| (one.name, one.content.map(text).map_err(|cause| cause.to_string()))).collect()
}

fn named(name: &str, text: &str) -> (String, Result<String, String>) {
    (name.to_owned(), Ok(text.to_owned()))
}

#[tokio::test]
async fn what_is_put_is_read_again_and_nobody_else_may_read_it() {
    let (_above, dir) = folder();
    let journal = FileJournal::at(dir.clone());
    assert_eq!(all(&journal).await, [], "no folder is an empty journal");
    journal.put("group-7.json", b"old".to_vec()).await.unwrap();
    journal.put("group-7.json", b"new".to_vec()).await.unwrap();
    journal.put("group-1.json", b"one".to_vec()).await.unwrap();
    fs::write(dir.join(".group-9.json.new"), "half").unwrap();
    let next = FileJournal::at(dir.clone());
    assert_eq!(all(&next).await, [named("group-1.json", "one"), named("group-7.json", "new")]);
    assert_eq!((mode(&dir), mode(&dir.join("group-7.json"))), (0o700, 0o600));
    next.put("group-1.json", b"two".to_vec()).await.unwrap();
    next.remove("group-7.json").await.unwrap();
    next.remove("group-7.json").await.unwrap();
    assert_eq!(all(&next).await, [named("group-1.json", "two")]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_is_a_fault_and_never_an_empty_journal() {
    let (_above, dir) = folder();
    fs::write(&dir, "").unwrap();
    let fault = FileJournal::at(dir.clone()).read_all().await.unwrap_err();
    assert!(fault.to_string().contains(dir.to_str().unwrap()), "{fault}");
    let fault = FileJournal::at(dir).put("../x.json", vec![]).await.unwrap_err();
    assert!(fault.to_string().contains("../x.json") || fault.to_string().contains("Not a directory"), "{fault}");
}

/// Nobody may make a file in `/sys/kernel`, root included: it is forbidden, or read-only where a container shows it.
#[tokio::test]
async fn what_the_host_answers_keeps_its_number_and_its_file_on_the_way_through_the_port() {
    let number = fs::File::create("/sys/kernel/group-1.json").unwrap_err().raw_os_error();
    let fault = FileJournal::at("/sys/kernel".into()).put("group-1.json", b"x".to_vec()).await.unwrap_err();
    assert_eq!(fault.cause.errno, number, "{fault:?}");
    let (cure, text) = (fault.cause.remedy(CauseSite::StateFile(&fault.path)).unwrap(), fault.to_string());
    assert!(text.contains("/sys/kernel/.group-1.json.new") && text.ends_with(&cure), "{text}");
    assert!([OsCauseKind::Denied, OsCauseKind::ReadOnly].contains(&fault.cause.kind()), "{fault:?}");
}

/// A journal with something of each kind that is no readable file, and one good entry.
fn with_rubbish() -> (tempfile::TempDir, PathBuf, Vec<&'static str>) {
    let (above, dir) = folder();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("group-1.json"), "good").unwrap();
    fs::create_dir_all(dir.join("group-2.json/inside")).unwrap();
    mkfifo(&dir.join("group-3.json"), Mode::from_bits_truncate(0o600)).unwrap();
    symlink("/etc/passwd", dir.join("group-4.json")).unwrap();
    symlink("/nonexistent", dir.join("group-5.json")).unwrap();
    fs::File::create(dir.join("group-6.json")).unwrap().set_len(1 << 40).unwrap();
    let bad = vec!["group-2.json", "group-3.json", "group-4.json", "group-5.json", "group-6.json"];
    (above, dir, bad)
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_costs_no_other_entry() {
    let (_above, dir, bad) = with_rubbish();
    let unnameable = OsString::from_vec(b"\xff.json".to_vec());
    fs::write(dir.join(&unnameable), "x").unwrap();
    let found = all(&FileJournal::at(dir)).await;
    assert_eq!(found[0], named("group-1.json", "good"));
    for (name, (found, content)) in bad.iter().zip(&found[1..]) {
        assert_eq!(found, name);
        assert!(content.as_ref().is_err_and(|said| said.contains(name)), "{name}: {content:?}");
    }
    assert_eq!(found.last().unwrap(), &named("\u{fffd}.json", "x"), "a name of any bytes is one more file");
}

#[tokio::test]
async fn nothing_is_written_over_or_removed_under_a_name_that_was_not_read() {
    let (_above, dir, bad) = with_rubbish();
    let journal = FileJournal::at(dir.clone());
    journal.read_all().await.unwrap();
    let list = || {
        let listed = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> = listed.map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        files.sort();
        files
    };
    let before = list();
    for name in &bad {
        let fault = journal.put(name, b"mine".to_vec()).await.unwrap_err();
        assert!(fault.to_string().contains(name) && fault.to_string().contains("was not read"), "{fault}");
        let fault = journal.remove(name).await.unwrap_err();
        assert!(fault.to_string().contains(name) && fault.to_string().contains("was not read"), "{fault}");
    }
    assert_eq!(list(), before);
    // Somebody puts a record back while the daemon runs.
    fs::write(dir.join("group-8.json"), "restored").unwrap();
    assert!(journal.put("group-8.json", b"mine".to_vec()).await.is_err());
    assert!(journal.remove("group-8.json").await.is_err());
    assert_eq!(fs::read(dir.join("group-8.json")).unwrap(), b"restored");
    journal.put("group-1.json", b"mine".to_vec()).await.unwrap();
    assert_eq!(fs::read(dir.join("group-1.json")).unwrap(), b"mine", "what was read is ours to replace");
}
