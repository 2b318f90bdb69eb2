//! A certificate and its key as a pair on disk: each version in a directory of its own, and one link that leads to the one that
//! counts. A program that resolves the link once finds a certificate with its own key, also while the link is replaced: the version
//! before the one that counts stays. One that resolves it for each file can find the old certificate with the new key, and reads both
//! again.

use super::folder::make_private_dir;
use super::store::{StoreError, read_bounded, write_atomic};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, fsync, symlinkat, unlinkat};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The link that leads to the pair that counts.
const CURRENT: &str = "current";
/// The same while it is made.
const DRAFT: &str = ".current.new";
/// The certificate with its chain.
const CERT: &str = "cert.pem";
/// Its key.
const KEY: &str = "key.pem";
/// No certificate and no key is larger.
const MAX_BYTES: usize = 256 * 1024;
/// A version is named by so many hexadecimal digits: the directory may have other names in it, and those are not ours.
const VERSION_DIGITS: usize = 32;
/// For the daemon's user and root alone.
const MODE: u32 = 0o600;

/// A pair as it is on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct PairOnDisk {
    /// The certificate with its chain.
    pub cert: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for PairOnDisk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PairOnDisk({} bytes, …)", self.cert.len())
    }
}

/// Where writing can be interrupted, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PairStep {
    Directories,
    Key,
    Certificate,
    Draft,
    Link,
    Rest,
}

/// Puts a pair into the directory under this name, and lets the link lead to it; on disk when it returns. Whatever interrupts it leaves
/// the pair that was there, or this one. The version that counted before stays, and older ones are removed. Blocking.
///
/// # Errors
/// The directory cannot be used, or the host refused.
pub fn put_pair(dir: &Path, version: &str, pair: &PairOnDisk) -> Result<(), StoreError> {
    put_pair_by_steps(dir, version, pair, |_| Ok(()))
}

fn put_pair_by_steps(
    dir: &Path,
    version: &str,
    pair: &PairOnDisk,
    mut done: impl FnMut(PairStep) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if !is_version(version) {
        return Err(StoreError::BadName { dir: dir.to_owned(), name: version.to_owned() });
    }
    make_private_dir(dir)?;
    let folder = open_dir(dir)?;
    check_ours(&folder, dir)?;
    let place = dir.join(version);
    make_private_dir(&place)?;
    sync(&folder, dir)?;
    done(PairStep::Directories)?;
    // The pair that counts has the same certificate where it has the same name: its key may only be written in another form.
    write_atomic(&place, KEY, &pair.key, MODE)?;
    done(PairStep::Key)?;
    write_atomic(&place, CERT, &pair.cert, MODE)?;
    done(PairStep::Certificate)?;
    let before = readlinkat(&folder, CURRENT).ok().and_then(|target| target.into_string().ok());
    let draft = dir.join(DRAFT);
    match unlinkat(&folder, DRAFT, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(said) => return Err(host("remove", &draft, said)),
    }
    symlinkat(version, &folder, DRAFT).map_err(|said| host("create the link", &draft, said))?;
    done(PairStep::Draft)?;
    let link = dir.join(CURRENT);
    renameat(&folder, DRAFT, &folder, CURRENT).map_err(|said| host("rename to its final name", &link, said))?;
    sync(&folder, dir)?;
    done(PairStep::Link)?;
    // Where the version that counts is put again, the one before it is not known: the next other version removes what is left.
    if before.as_deref() != Some(version) {
        remove_others(dir, &folder, [Some(version), before.as_deref()]);
    }
    done(PairStep::Rest)
}

/// The pair that counts; `None` where there is none. Blocking.
///
/// # Errors
/// There is one that cannot be read.
pub fn read_pair(dir: &Path) -> Result<Option<PairOnDisk>, StoreError> {
    let folder = match open_dir(dir) {
        Ok(folder) => folder,
        Err(StoreError::Host { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let version = match readlinkat(&folder, CURRENT) {
        Ok(target) => target,
        Err(Errno::ENOENT) => return Ok(None),
        Err(said) => return Err(host("read the link", &dir.join(CURRENT), said)),
    };
    let place = dir.join(version);
    let read = |name: &str| match read_bounded(&place.join(name), MAX_BYTES) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(fault) => Err(fault),
    };
    Ok(read(CERT)?.zip(read(KEY)?).map(|(cert, key)| PairOnDisk { cert, key }))
}

/// What is left over costs nothing but room, and a fault there must not count as one of the pair.
fn remove_others(dir: &Path, folder: &OwnedFd, kept: [Option<&str>; 2]) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_other = name.to_str().is_some_and(|name| is_version(name) && !kept.contains(&Some(name)));
        let is_dir = fstatat(folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR);
        if is_other && is_dir {
            let place = dir.join(&name);
            for file in [KEY, CERT, ".key.pem.new", ".cert.pem.new"] {
                let _left = super::store::remove(&place, file);
            }
            let _left = unlinkat(folder, name.as_os_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

/// The name of a version.
fn is_version(name: &str) -> bool {
    name.len() == VERSION_DIGITS && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// In a directory of another user, or one that others may write, anybody could exchange the pair.
fn check_ours(folder: &OwnedFd, dir: &Path) -> Result<(), StoreError> {
    let found = fstat(folder).map_err(|said| host("look at the directory", dir, said))?;
    let why = if found.st_uid != Uid::effective().as_raw() {
        format!("it belongs to user {}: set another one, or give it to user {}", found.st_uid, Uid::effective())
    } else if Mode::from_bits_truncate(found.st_mode).intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
        format!("other users may write it: `chmod go-w {}`", dir.display())
    } else {
        return Ok(());
    };
    let source = std::io::Error::other(why);
    Err(StoreError::Host { attempted: "use the directory", path: dir.to_owned(), source })
}

fn open_dir(dir: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(dir, flags, Mode::empty()).map_err(|said| host("open the directory", dir, said))
}

fn sync(folder: &OwnedFd, dir: &Path) -> Result<(), StoreError> {
    fsync(folder).map_err(|said| host("sync the directory", dir, said))
}

fn host(attempted: &'static str, path: &Path, said: Errno) -> StoreError {
    StoreError::Host { attempted, path: PathBuf::from(path), source: said.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const STEPS: [PairStep; 6] =
        [PairStep::Directories, PairStep::Key, PairStep::Certificate, PairStep::Draft, PairStep::Link, PairStep::Rest];

    /// Names of versions.
    const A1: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    const B2: &str = "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2";
    const C3: &str = "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3";
    const D4: &str = "d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4";

    fn pair(name: &str) -> PairOnDisk {
        PairOnDisk { cert: format!("cert {name}").into_bytes(), key: format!("key {name}").into_bytes() }
    }

    fn names_in(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn cut() -> StoreError {
        StoreError::Missing { path: PathBuf::from("a crash") }
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_pair_or_the_new_one_and_the_next_try_completes_it() {
        for crash in STEPS {
            let above = tempfile::tempdir().unwrap();
            let dir = above.path().join("proxy");
            assert_eq!(read_pair(&dir).unwrap(), None);
            put_pair(&dir, A1, &pair("old")).unwrap();
            let stop = |step| if step == crash { Err(cut()) } else { Ok(()) };
            put_pair_by_steps(&dir, B2, &pair("new"), stop).unwrap_err();
            let found = read_pair(&dir).unwrap().unwrap();
            let is_new = matches!(crash, PairStep::Link | PairStep::Rest);
            assert_eq!(found, pair(if is_new { "new" } else { "old" }), "{crash:?}");
            put_pair(&dir, B2, &pair("new")).unwrap();
            assert_eq!(read_pair(&dir).unwrap(), Some(pair("new")));
            assert_eq!(names_in(&dir), [A1, B2, "current"], "{crash:?}");
            put_pair(&dir, C3, &pair("newer")).unwrap();
            assert_eq!(names_in(&dir), [B2, C3, "current"], "{crash:?}");
        }
    }

    #[test]
    fn the_version_before_stays_whole_for_a_program_that_resolved_the_link_before_it_was_replaced() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("proxy");
        put_pair(&dir, A1, &pair("old")).unwrap();
        let resolved = dir.join("current").canonicalize().unwrap();
        let read = |name: &str| std::fs::read(resolved.join(name)).unwrap();
        let cert = read(CERT);
        // A version that never counted is not the one before.
        let stop = |step| if step == PairStep::Certificate { Err(cut()) } else { Ok(()) };
        put_pair_by_steps(&dir, D4, &pair("interrupted"), stop).unwrap_err();
        put_pair(&dir, B2, &pair("new")).unwrap();
        assert_eq!(PairOnDisk { cert, key: read(KEY) }, pair("old"));
        assert_eq!(names_in(&dir), [A1, B2, "current"]);
        put_pair(&dir, B2, &pair("new")).unwrap();
        assert_eq!(names_in(&dir), [A1, B2, "current"], "the same again takes nothing away");
        put_pair(&dir, C3, &pair("newer")).unwrap();
        assert_eq!(names_in(&dir), [B2, C3, "current"]);
    }

    #[test]
    fn a_first_pair_that_is_interrupted_is_none_until_it_is_whole() {
        for crash in &STEPS[..4] {
            let above = tempfile::tempdir().unwrap();
            let dir = above.path().join("proxy");
            let stop = |step| if step == *crash { Err(cut()) } else { Ok(()) };
            put_pair_by_steps(&dir, A1, &pair("new"), stop).unwrap_err();
            assert_eq!(read_pair(&dir).unwrap(), None, "{crash:?}");
        }
    }

    #[test]
    fn nobody_else_can_read_it_and_nothing_planted_is_followed() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("proxy");
        put_pair(&dir, A1, &pair("x")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(A1))), (0o700, 0o700));
        assert_eq!((mode(&dir.join("current/cert.pem")), mode(&dir.join("current/key.pem"))), (0o600, 0o600));
        assert_eq!(format!("{:?}", pair("secret")), "PairOnDisk(11 bytes, …)");
        for name in ["", "..", "a/b", "a.b", ".current", "a1", &A1.to_uppercase(), &A1[1..]] {
            assert!(put_pair(&dir, name, &pair("x")).is_err(), "{name:?}");
        }
        std::os::unix::fs::symlink(above.path().join("elsewhere"), dir.join(C3)).unwrap();
        assert!(put_pair(&dir, C3, &pair("y")).is_err(), "a link in the place of a version");
        assert_eq!(read_pair(&dir).unwrap(), Some(pair("x")));
        let linked = above.path().join("linked");
        std::os::unix::fs::symlink(&dir, &linked).unwrap();
        assert!(put_pair(&linked, D4, &pair("y")).is_err(), "a link in the place of the directory");
    }

    #[test]
    fn what_is_not_ours_in_the_directory_stays_and_a_directory_that_others_may_write_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("proxy");
        let theirs = dir.join("site7");
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("key.pem"), "theirs").unwrap();
        for (mode, is_taken) in [(0o775, false), (0o757, false), (0o755, true)] {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
            let put = put_pair(&dir, A1, &pair("x"));
            assert_eq!(put.is_ok(), is_taken, "{mode:o}: {put:?}");
            let words = put.err().map(|fault| fault.to_string()).unwrap_or_default();
            assert_eq!(words.contains("other users may write it: `chmod go-w "), !is_taken, "{words}");
            assert_eq!(dir.join(A1).exists(), is_taken, "{mode:o}");
        }
        put_pair(&dir, B2, &pair("y")).unwrap();
        put_pair(&dir, C3, &pair("z")).unwrap();
        assert!(!dir.join(A1).exists());
        assert_eq!(std::fs::read_to_string(theirs.join("key.pem")).unwrap(), "theirs");
    }
}
