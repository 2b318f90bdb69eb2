//! Files of our own state: whole or not at all, and never through what somebody planted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use host::front::{StoreError, read_bounded, remove, remove_named, write_atomic, write_named};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let dir = folder();
    write_atomic(dir.path(), "state.json", b"one, and longer than two", 0o600).unwrap();
    let path = dir.path().join("state.json");
    let before = fs::metadata(&path).unwrap().ino();
    write_atomic(dir.path(), "state.json", b"two", 0o640).unwrap();
    assert_eq!(read_bounded(&path, 1024).unwrap(), b"two");
    assert_ne!(fs::metadata(&path).unwrap().ino(), before, "the old file was written into");
    assert_eq!((mode(&path), names(dir.path())), (0o640, vec!["state.json".to_owned()]));
}

#[test]
fn permissions_do_not_depend_on_the_umask() {
    let dir = folder();
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o777));
    let written = write_atomic(dir.path(), "secret", b"x", 0o600);
    nix::sys::stat::umask(old);
    written.unwrap();
    assert_eq!(mode(&dir.path().join("secret")), 0o600);
}

#[test]
fn a_failure_leaves_the_old_content_and_no_rubbish() {
    let dir = folder();
    write_atomic(dir.path(), "state", b"old", 0o600).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let fault = write_atomic(dir.path(), "folder", b"x", 0o600).unwrap_err();
    assert!(fault.to_string().contains("rename"), "{fault}");
    assert_eq!(names(dir.path()), ["folder", "state"]);
    assert_eq!(fs::read(dir.path().join("state")).unwrap(), b"old");
}

#[test]
fn the_draft_of_a_crash_is_no_obstacle() {
    let dir = folder();
    fs::write(dir.path().join(".state.new"), "half").unwrap();
    write_atomic(dir.path(), "state", b"whole", 0o600).unwrap();
    assert_eq!(names(dir.path()), ["state"]);
}

#[test]
fn planted_links_are_replaced_and_never_followed() {
    let (dir, elsewhere) = (folder(), folder());
    let target = elsewhere.path().join("shadow");
    fs::write(&target, "untouched").unwrap();
    for link in ["state", ".state.new"] {
        symlink(&target, dir.path().join(link)).unwrap();
    }
    assert!(matches!(read_bounded(&dir.path().join("state"), 99), Err(StoreError::NotPlain { .. })));
    write_atomic(dir.path(), "state", b"ours", 0o600).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"untouched");
    assert!(!dir.path().join("state").is_symlink());
    assert_eq!(read_bounded(&dir.path().join("state"), 99).unwrap(), b"ours");
}

/// What somebody could put in the place of a file of ours.
fn plant(what: &str, at: &Path, victim: &Path) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    match what {
        "hard link" => fs::hard_link(victim, at).unwrap(),
        "symlink" => symlink(victim, at).unwrap(),
        "pipe" => nix::unistd::mkfifo(at, Mode::S_IRWXU).unwrap(),
        "socket" => drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
        "device" => match mknod(at, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 7)) {
            Ok(()) => {}
            // A container without that power: a link to the device is the next best.
            Err(nix::errno::Errno::EPERM) => symlink("/dev/full", at).unwrap(),
            Err(said) => panic!("{said}"),
        },
        other => panic!("how is a {other} planted?"),
    }
}

#[test]
fn nothing_that_is_planted_is_written_into_or_waited_for() {
    for what in ["hard link", "symlink", "pipe", "socket", "device"] {
        for planted in ["state", ".state.new"] {
            let dir = folder();
            let victim = dir.path().join("victim");
            fs::write(&victim, "untouched").unwrap();
            plant(what, &dir.path().join(planted), &victim);
            write_atomic(dir.path(), "state", b"ours", 0o600).unwrap();
            assert_eq!(fs::read(&victim).unwrap(), b"untouched", "{what} as {planted}");
            let ours = fs::symlink_metadata(dir.path().join("state")).unwrap();
            assert!(ours.is_file() && ours.nlink() == 1 && ours.mode() & 0o777 == 0o600, "{what} as {planted}");
            assert_eq!(read_bounded(&dir.path().join("state"), 99).unwrap(), b"ours");
        }
    }
}

#[test]
fn what_a_caller_names_replaces_nothing_but_a_plain_file() {
    for what in ["symlink", "pipe", "socket", "device", "folder"] {
        let dir = folder();
        let (at, victim) = (dir.path().join("out"), dir.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        if what == "folder" {
            fs::create_dir(&at).unwrap()
        } else {
            plant(what, &at, &victim)
        }
        let before = fs::symlink_metadata(&at).unwrap().ino();
        for fault in [write_named(dir.path(), "out", b"x", 0o600), remove_named(dir.path(), "out")] {
            let fault = fault.unwrap_err();
            assert!(matches!(fault, StoreError::InTheWay { .. }), "{what}: {fault}");
            assert!(fault.to_string().contains("out is a "), "{what}: {fault}");
        }
        assert_eq!(fs::symlink_metadata(&at).unwrap().ino(), before, "{what}");
        assert_eq!(fs::read(&victim).unwrap(), b"untouched", "{what}");
    }
    let dir = folder();
    write_named(dir.path(), "out", b"one", 0o600).unwrap();
    write_named(dir.path(), "out", b"two", 0o600).unwrap();
    assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"two");
    remove_named(dir.path(), "out").unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_folder_that_is_swapped_for_a_link_all_the_time_never_leads_elsewhere() {
    let (above, elsewhere) = (TempDir::new_in("/dev/shm").unwrap(), TempDir::new_in("/dev/shm").unwrap());
    let (dir, aside, link) = (above.path().join("state"), above.path().join("aside"), above.path().join("link"));
    fs::create_dir(&dir).unwrap();
    symlink(elsewhere.path(), &link).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let (mut written, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for (from, to) in [(&dir, &aside), (&link, &dir), (&dir, &link), (&aside, &dir)] {
                    fs::rename(from, to).unwrap();
                }
            }
        });
        for _ in 0..100_000 {
            match write_atomic(&dir, "key", b"secret", 0o600) {
                Ok(()) => written += 1,
                Err(_) => refused += 1,
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(written > 100 && refused > 100, "{written} written, {refused} refused: both were tried");
    assert!(names(elsewhere.path()).is_empty(), "something was written elsewhere");
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let (dir, elsewhere) = (folder(), folder());
    let link = dir.path().join("identity");
    symlink(elsewhere.path(), &link).unwrap();
    let fault = write_atomic(&link, "key", b"secret", 0o600).unwrap_err();
    assert!(fault.to_string().contains("identity"), "{fault}");
    assert!(remove(&link, "key").is_err());
    assert!(names(elsewhere.path()).is_empty());
}

#[test]
fn names_stay_in_their_folder() {
    let dir = folder();
    let long = "x".repeat(300);
    for name in ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\0b", &long] {
        assert!(matches!(write_atomic(dir.path(), name, b"x", 0o600), Err(StoreError::BadName { .. })), "{name:?}");
        assert!(matches!(remove(dir.path(), name), Err(StoreError::BadName { .. })), "{name:?}");
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_is_read_is_a_plain_file_of_bounded_size() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("large"), vec![0; 1001]).unwrap();
    assert_eq!(read_bounded(&at("large"), 1001).unwrap().len(), 1001);
    assert!(matches!(read_bounded(&at("large"), 1000), Err(StoreError::TooLarge { max_bytes: 1000, .. })));
    assert!(matches!(read_bounded(&at("none"), 9), Err(StoreError::Missing { .. })));
    assert!(matches!(read_bounded(dir.path(), 9), Err(StoreError::NotPlain { .. })));
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    assert!(matches!(read_bounded(&at("pipe"), 9), Err(StoreError::NotPlain { .. })));
    assert!(matches!(read_bounded(Path::new("/dev/zero"), 9), Err(StoreError::NotPlain { .. })));
}

#[test]
fn removing_is_for_good_and_twice_is_no_error() {
    let dir = folder();
    write_atomic(dir.path(), "state", b"x", 0o600).unwrap();
    remove(dir.path(), "state").unwrap();
    remove(dir.path(), "state").unwrap();
    assert!(names(dir.path()).is_empty());
    let fault = remove(&dir.path().join("none"), "state").unwrap_err();
    assert!(fault.to_string().contains("none"), "{fault}");
}
