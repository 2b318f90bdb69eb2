//! Where the compiled stand-ins of the NVIDIA user space are found: beside the program that runs.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The compiled stand-ins that a tree is furnished with.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The `nvidia-smi` stub.
    pub smi: PathBuf,
    /// The NVML library.
    pub nvml: PathBuf,
}

impl Artifacts {
    /// Finds them in the cargo target folder of the program that runs (`target/debug` or its `deps`).
    ///
    /// # Errors
    /// One is not there; the text says how to build it.
    pub fn beside_this_program() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell the path of this program")?;
        Self::beside(&program)
    }

    /// Finds them around a given program.
    ///
    /// # Errors
    /// As [`Artifacts::beside_this_program`].
    pub fn beside(program: &Path) -> anyhow::Result<Self> {
        // A test runs in `target/debug/deps`, a program one step higher. `deps` comes first: cargo renews the library
        // there whenever it builds it, and a step higher only where the library itself was asked for.
        let folders: Vec<PathBuf> =
            program.ancestors().skip(1).take(2).flat_map(|dir| [dir.join("deps"), dir.to_owned()]).collect();
        let find = |name: &str| match folders.iter().map(|dir| dir.join(name)).find(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => bail!("{name} is in none of {folders:?}: build it with `cargo build -p host-sim -p nvml-sim`"),
        };
        Ok(Self { smi: find("nvidia-smi")?, nvml: find("libnvidia_ml.so")? })
    }
}
