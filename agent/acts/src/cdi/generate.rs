//! Runs `nvidia-ctk cdi generate` in a child with a deadline.

use crate::exited::as_cause;
use model::nvidia_container::DriverRootKind;
use model::os_cause::OsCause;
use model::printable::printable;
use spawn::{Own, Program, Supervisor};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest text of the generator that is passed on, in characters: its last lines name the cause.
const TEXT_MAX_CHARS: usize = 400;
/// The program that containers start at their creation, beside the generator.
const HOOK: &str = "nvidia-cdi-hook";

/// An `nvidia-ctk` that is installed.
pub(super) struct Generator {
    path: PathBuf,
}

impl Generator {
    /// The first that is there.
    pub(super) fn find(paths: &[PathBuf]) -> Option<Self> {
        paths.iter().find(|path| path.is_file()).map(|path| Self { path: path.clone() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it writes to standard output. The one of a toolkit container is a script, which its interpreter opens by its path: so it is
    /// looked at as a program of ours would be, and started by its path.
    pub(super) async fn run(
        &self,
        supervisor: &Supervisor,
        root: DriverRootKind,
        within: Duration,
    ) -> Result<Vec<u8>, OsCause> {
        let name = self.path.display();
        Own::at(&self.path)
            .check()
            .map_err(|error| OsCause { said: format!("{name}: {error}"), errno: error.raw_os_error() })?;
        let program = Program::new(&self.path, self.arguments(root), within);
        let finished = supervisor.run("nvidia-ctk", program).await.map_err(|fault| {
            let cause = as_cause(&fault);
            OsCause { said: format!("{name}: {}", cause.said), ..cause }
        })?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        let text = String::from_utf8_lossy(&finished.stderr);
        let last: String =
            text.trim().chars().rev().take(TEXT_MAX_CHARS).collect::<Vec<_>>().into_iter().rev().collect();
        Err(OsCause::found(format!("{name} exited with {}: {}", finished.status, printable(&last, TEXT_MAX_CHARS))))
    }

    /// Without `--output` it writes to standard output. Index and UUID are named, since the default of older versions is the index alone;
    /// the hook too, which it otherwise looks for in `PATH` and, where it is not, takes to be in `/usr/bin`.
    fn arguments(&self, root: DriverRootKind) -> Vec<OsString> {
        let (driver, dev) = match root {
            DriverRootKind::Host => ("/", "/"),
            DriverRootKind::Container => (CONTAINER, container_dev()),
        };
        let fixed = ["cdi", "generate", "--format=json", "--device-name-strategy=index", "--device-name-strategy=uuid"];
        let mut all: Vec<OsString> = fixed.map(OsString::from).to_vec();
        all.extend([format!("--driver-root={driver}"), format!("--dev-root={dev}")].map(OsString::from));
        let hook = self.path.with_file_name(HOOK);
        if hook.is_file() {
            let mut argument = OsString::from("--nvidia-cdi-hook-path=");
            argument.push(hook);
            all.push(argument);
        }
        all
    }
}

/// Where a driver container has the driver's files.
const CONTAINER: &str = "/run/nvidia/driver";

/// A driver container makes the device files in its own `/dev`, unless the host has them.
fn container_dev() -> &'static str {
    if Path::new(CONTAINER).join("dev/nvidiactl").exists() { CONTAINER } else { "/" }
}
