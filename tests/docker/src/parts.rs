//! Where the parts are that `fetch.sh` has unpacked, and which engines there are.

use std::fmt;
use std::path::{Path, PathBuf};

/// A release of Docker that can be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 20.10, Debian 12: API 1.41, no CDI.
    V20_10,
    /// 26.1, Debian 13: API 1.45, CDI after a restart with `features.cdi`.
    V26_1,
    /// 28.5, Debian unstable: API 1.51, CDI on. May be absent.
    V28_5,
}

impl Release {
    /// As its folder is named.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V20_10 => "20.10",
            Self::V26_1 => "26.1",
            Self::V28_5 => "28.5",
        }
    }

    /// The folder of its files.
    pub(crate) fn tree(self) -> PathBuf {
        part(self.name())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Every engine that a test has to pass on. Only 28.5 may be missing, which is printed with the reason: its suite moves on.
///
/// # Panics
/// Where 28.5 is missing without a reason.
#[must_use]
pub fn releases() -> Vec<Release> {
    let mut releases = vec![Release::V20_10, Release::V26_1];
    if Release::V28_5.tree().exists() {
        releases.push(Release::V28_5);
    } else {
        let why =
            std::fs::read_to_string(part("28.5.absent")).expect("28.5, or why it is absent: tests/docker/fetch.sh");
        println!("SKIPPED: Docker 28.5: {}", why.trim());
    }
    releases
}

/// A file or folder below `target/docker` of the checkout, where `fetch.sh` puts them.
pub(crate) fn part(name: &str) -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/docker");
    let top = top.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run `make test-docker`", top.display()));
    top.join(name)
}

/// A tool that must be there.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = part("tools").join(name);
    assert!(path.exists(), "{} is missing: run these tests with `make test-docker`", path.display());
    path
}
