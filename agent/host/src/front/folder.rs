//! Folders of our own state that nobody else may look into.

use crate::front::store::StoreError;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes the folder with mode 0700 where it is not there; the folder above it must be. Blocking.
///
/// # Errors
/// The host refused.
pub fn make_private_dir(dir: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(said) if said.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::Host { attempted: "create the directory", path: dir.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_private_and_making_it_twice_is_no_error() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("identity");
        make_private_dir(&dir).unwrap();
        make_private_dir(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(make_private_dir(&above.path().join("a/b")).is_err());
    }
}
