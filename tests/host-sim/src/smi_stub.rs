//! How the simulated nvidia-smi ends: what it writes and returns, or that it hangs or crashes.

use crate::smi_xml::{Branch, document};
use crate::tree::DESCRIPTION;
use anyhow::bail;
use model::driver::DriverSource;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{getpid, pause};
use sim::Description;
use sim::bus::Bus;
use sim::driver::{report, without_values};
use sim::faults::Signal as Crash;
use sim::smi::{SmiBehaviour, Spoilt, behaviour};
use std::path::Path;

/// How the program ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// It writes and returns.
    Answer {
        /// What it writes to stdout.
        stdout: Vec<u8>,
        /// Exit status.
        status: u8,
    },
    /// It never ends.
    Hang {
        /// SIGTERM does not end it either.
        ignores_sigterm: bool,
    },
    /// SIGABRT.
    Abort,
    /// SIGSEGV.
    Segv,
}

/// The description that lies nearest above a program; `GPUHOSTD_SIM_DESCRIPTION` names another.
///
/// # Errors
/// There is none, or it is none.
pub fn description_above(program: &Path) -> anyhow::Result<Description> {
    if let Some(named) = std::env::var_os("GPUHOSTD_SIM_DESCRIPTION") {
        return Ok(sim::load_file(Path::new(&named))?);
    }
    let above = program.ancestors().skip(1).map(|dir| dir.join(DESCRIPTION)).find(|path| path.is_file());
    let Some(path) = above else { bail!("no folder above {} has a {DESCRIPTION}", program.display()) };
    Ok(sim::load_file(&path)?)
}

/// What the program does on a host.
///
/// # Errors
/// The description describes a bus that cannot be.
pub fn run(description: &Description) -> anyhow::Result<Ending> {
    let bus = Bus::lay_out(description)?;
    Ok(match behaviour(description, &bus) {
        SmiBehaviour::Missing => bail!("the description says that nvidia-smi is not there, and yet it runs"),
        SmiBehaviour::Hang { ignores_sigterm } => Ending::Hang { ignores_sigterm },
        SmiBehaviour::Crash(Crash::Abort) => Ending::Abort,
        SmiBehaviour::Crash(Crash::Segv) => Ending::Segv,
        SmiBehaviour::Exit { status, text } => Ending::Answer { stdout: text.into_bytes(), status },
        SmiBehaviour::Document(spoilt) => {
            let branch = Branch(description.driver.as_ref().and_then(|d| d.branch()).unwrap_or(0));
            let said = report(description, &bus, DriverSource::Smi);
            let stdout = match spoilt {
                Spoilt::Not => document(&said, branch).into_bytes(),
                Spoilt::NotAvailable => document(&without_values(said), branch).into_bytes(),
                Spoilt::Truncated(bytes) => {
                    let mut whole = document(&said, branch).into_bytes();
                    whole.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
                    whole
                }
                Spoilt::Garbage => b"\x7fELF\x00\xff\xfe<<<]]>&;\x1b[31m not a document\n".repeat(40),
                Spoilt::EntityBomb => entity_bomb().into_bytes(),
            };
            Ending::Answer { stdout, status: 0 }
        }
    })
}

/// Ten levels of ten references each: ten gigabytes for a reader that expands them.
fn entity_bomb() -> String {
    let mut declarations = "<!ENTITY e0 \"lol\">\n".to_owned();
    for level in 1..=10 {
        let inner = format!("&e{};", level - 1).repeat(10);
        declarations.push_str(&format!("<!ENTITY e{level} \"{inner}\">\n"));
    }
    format!(
        "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log [\n{declarations}]>\n<nvidia_smi_log>\n\
         \t<driver_version>&e10;</driver_version>\n</nvidia_smi_log>\n"
    )
}

/// Waits for ever.
pub fn hang(ignores_sigterm: bool) -> ! {
    if ignores_sigterm {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        // A blocked SIGTERM stays pending; nothing but SIGKILL ends the program.
        let _ = blocked.thread_block();
    }
    loop {
        pause();
    }
}

/// Ends by SIGSEGV, without a core.
pub fn die_of_segv() -> ! {
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // The first one meets the handler that the Rust runtime has set, which gives the signal back its default.
    loop {
        let _ = kill(getpid(), Signal::SIGSEGV);
    }
}
