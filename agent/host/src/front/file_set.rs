//! A directory of small files that is kept as another program is to find it: each has its text, and what is no longer wished is removed.

use crate::front::store::{StoreError, read_bounded, remove_named, write_named};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A file that is longer is written again: ours are a few lines.
const SAME_MAX_BYTES: usize = 64 * 1024;
/// Every user may read them.
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;

/// Makes the directory where it is not there, removes each file whose name `is_ours` and is not among `wished`, and writes each wished one
/// that has another text. Files of other names stay. Blocking.
///
/// # Errors
/// The host refused; what was done until then is whole.
pub fn keep_file_set(
    dir: &Path,
    wished: &BTreeMap<String, String>,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let host = |attempted| move |source| StoreError::Host { attempted, path: dir.to_owned(), source };
    match std::fs::create_dir(dir) {
        Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(DIR_MODE)).map_err(host("open to others"))?,
        Err(said) if said.kind() == io::ErrorKind::AlreadyExists => {}
        Err(said) => return Err(host("create the directory")(said)),
    }
    for entry in std::fs::read_dir(dir).map_err(host("list"))? {
        let name = entry.map_err(host("list"))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_ours(name) && !wished.contains_key(name) {
            remove_named(dir, name)?;
        }
    }
    for (name, text) in wished {
        let is_there = read_bounded(&dir.join(name), SAME_MAX_BYTES).is_ok_and(|found| found == text.as_bytes());
        if !is_there {
            write_named(dir, name, text.as_bytes(), FILE_MODE)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn found(dir: &Path) -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
            .collect()
    }

    #[test]
    fn what_is_wished_is_there_what_is_not_is_gone_and_others_stay() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("jobs");
        let is_ours = |name: &str| name.len() == 1;
        keep_file_set(&dir, &set(&[("0", "a\n"), ("1", "b\n")]), is_ours).unwrap();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        std::fs::write(dir.join("README"), "of others").unwrap();
        let written = || dir.join("1").metadata().unwrap().modified().unwrap();
        let before = written();
        keep_file_set(&dir, &set(&[("1", "b\n"), ("2", "c\n")]), is_ours).unwrap();
        assert_eq!(found(&dir), set(&[("1", "b\n"), ("2", "c\n"), ("README", "of others")]));
        assert_eq!(written(), before, "what is the same is not written again");
        assert_eq!(dir.join("2").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn what_is_no_regular_file_stays_and_is_named() {
        let above = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", above.path().join("0")).unwrap();
        for wished in [set(&[]), set(&[("0", "a\n")])] {
            let said = keep_file_set(above.path(), &wished, |name| name == "0").unwrap_err().to_string();
            assert!(said.contains("/0") && said.contains("a link"), "{said}");
        }
        assert!(above.path().join("0").is_symlink());
    }
}
