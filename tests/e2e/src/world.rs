//! One folder with everything a daemon under test needs, and the executables that it is made of.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// One of our executables, as `cargo build --workspace` left it.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let path = test.ancestors().nth(2).expect("target folder").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first (make test does)", path.display());
    path
}

/// A folder of its own for one test.
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// An empty world. It lies outside of folders that other users may not enter, since the front is not root.
    ///
    /// # Panics
    /// Where no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::Builder::new().prefix("gpuhostd-e2e-").tempdir().expect("a folder in /tmp");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("mode of the folder");
        Self { dir }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A copy of the front in the folder `place` of this world, both with the mode that is given, and beside it what it starts.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[must_use]
    pub fn copied_with_hands(&self, place: &str, folder_mode: u32, file_mode: u32) -> PathBuf {
        let front = self.copied("gpuhostd", place, folder_mode, file_mode);
        for name in ["launcher", "host", "containers", "holders", "child"] {
            let name = format!("gpuhostd-{name}");
            let copy = front.with_file_name(&name);
            let copied = Command::new("install").args(["-m", "755"]).arg(executable(&name)).arg(&copy).status();
            assert!(copied.is_ok_and(|status| status.success()), "{} cannot be made", copy.display());
        }
        front
    }

    /// A copy of one of our executables in the folder `place` of this world, both with the mode that is given.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[must_use]
    pub fn copied(&self, name: &str, place: &str, folder_mode: u32, file_mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.path().join(place);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(folder_mode)).expect("its mode");
        let copy = folder.join(name);
        // By a process of its own: a child of another test would inherit the file while it is written, and keep it from
        // starting.
        let mode = format!("{file_mode:o}");
        let copied = Command::new("install").args(["-m", &mode]).arg(executable(name)).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} cannot be made", copy.display());
        copy
    }

    /// Writes a simulated host to disk and returns its folder (`sys`, `usr`, …).
    ///
    /// # Panics
    /// Where the tree cannot be written.
    #[must_use]
    pub fn host_tree(&self, description: &str) -> PathBuf {
        let tree = self.path().join("host");
        let output =
            Command::new(executable("host-sim")).args(["tree", description]).arg(&tree).output().expect("host-sim");
        assert!(output.status.success(), "host-sim: {}", String::from_utf8_lossy(&output.stderr));
        tree
    }

    /// Runs the command line against a bus.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn ctl(&self, address: &str, args: &[&str]) -> Output {
        Command::new(executable("gpuhostctl")).args(["--bus", address]).args(args).output().expect("gpuhostctl")
    }

    /// Runs the command line, expects success and returns its JSON.
    ///
    /// # Panics
    /// Where it fails or prints no JSON.
    #[must_use]
    pub fn ctl_json(&self, address: &str, args: &[&str]) -> serde_json::Value {
        let output = self.ctl(address, &[&["--json"], args].concat());
        assert!(output.status.success(), "gpuhostctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
