//! A stand-in for nvidia-smi: `-q -x` of the host whose description lies above it, faults included.

use anyhow::{Context, bail};
use host_sim::smi_stub::{self, Ending};
use std::io::Write;
use std::process::{ExitCode, abort};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut sorted: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    if sorted != ["-q", "-x"] {
        bail!("this nvidia-smi is a simulated one and knows `-q -x` alone, not {arguments:?}");
    }
    let program = std::env::current_exe().context("cannot tell the path of this program")?;
    let ending = smi_stub::run(&smi_stub::description_above(&program)?)?;
    match ending {
        Ending::Answer { stdout, status } => {
            // A reader that has gone away is no fault of ours.
            let _ = std::io::stdout().lock().write_all(&stdout);
            Ok(ExitCode::from(status))
        }
        Ending::Hang { ignores_sigterm } => smi_stub::hang(ignores_sigterm),
        Ending::Abort => abort(),
        Ending::Segv => smi_stub::die_of_segv(),
    }
}
