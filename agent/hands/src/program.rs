//! The program of a hand: it reads its arguments and settings, starts its log, and serves.

use crate::entry;
use crate::registry::Registry;
use lexopt::prelude::*;
use model::causes::with_causes;
use model::driver::ProbeError;
use model::message::Message;
use model::settings::Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use program::args::ArgsError;
use program::settings::Configuration;
use program::{launched, logging, say, settings};
use protocol::hand::HandRole;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the kernel shows itself.
const SYSFS: &str = "/sys";
/// What the administrator allows.
const POLICY: &str = "/etc/gpuhostd/policy.toml";

/// The logins to registries.
const REGISTRIES: &str = "/etc/gpuhostd/registries.json";

/// Where a hand finds what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandPaths {
    /// `/sys`, or another root where a host is simulated.
    pub sysfs: PathBuf,
    /// The policy file, which the hand reads itself.
    pub policy: PathBuf,
    /// The file with the logins to registries, which the container hand reads itself.
    pub registries: PathBuf,
}

/// The settings of a hand, and what is wrong with the files that they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandSettings {
    /// What is right in the files; for the rest the defaults.
    pub settings: Settings,
    /// What is wrong, in short.
    pub wrong: Option<String>,
}

impl HandSettings {
    /// Added to the message where something is not found: it may have been looked for in the wrong place.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let wrong = self.wrong.as_ref()?;
        Some(format!(
            "the configuration is invalid ({wrong}), so this hand may use the default path instead of the configured one"
        ))
    }
}

/// A fault of something absent, with the note of a wrong configuration where there is one.
///
/// # Errors
/// As `outcome`.
pub fn with_note<T>(outcome: Result<T, ProbeError>, note: Option<&String>) -> Result<T, ProbeError> {
    outcome.map_err(|fault| match (fault, note) {
        (ProbeError::Absent { what, said }, Some(note)) => ProbeError::Absent { what, said: format!("{said}; {note}") },
        (other, _) => other,
    })
}

/// Why a hand is degraded, with the note of a wrong configuration where there is one.
#[must_use]
pub fn noted(why: String, note: Option<&String>) -> String {
    match note {
        Some(note) => format!("{why}; {note}"),
        None => why,
    }
}

/// Most writable memory of a hand that starts no child, in bytes.
const DATA_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Bounds what a hand takes that starts no child.
///
/// # Errors
/// What the host answered.
pub fn bound_memory() -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let most = DATA_MAX_BYTES.min(hard);
    Ok(setrlimit(Resource::RLIMIT_DATA, most, most)?)
}

/// The options of a hand.
#[derive(Debug, PartialEq, Eq)]
struct Args {
    /// Configuration files; empty = the default places.
    config: Vec<PathBuf>,
    /// The launcher that it ends with.
    launcher: Option<u32>,
    /// The uid that may ask, where it is not that of the package's user.
    front_uid: Option<u32>,
    paths: HandPaths,
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Serve(Args),
    Print(String),
}

fn read(role: HandRole, args: impl IntoIterator<Item = OsString>) -> Result<Wish, ArgsError> {
    let paths = HandPaths { sysfs: SYSFS.into(), policy: POLICY.into(), registries: REGISTRIES.into() };
    let mut wish = Args { config: Vec::new(), launcher: None, front_uid: None, paths };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("config") => wish.config.push(parser.value()?.into()),
            Long("launcher") => wish.launcher = Some(parser.value()?.parse()?),
            Long("front-uid") => wish.front_uid = Some(parser.value()?.parse()?),
            Long("sysfs") => wish.paths.sysfs = parser.value()?.into(),
            // One program for the two: the unit names the role.
            Long("mode") if role == HandRole::MigMode => {}
            Long("registries") => wish.paths.registries = parser.value()?.into(),
            Long("policy") => wish.paths.policy = parser.value()?.into(),
            Short('h') | Long("help") => {
                let name = role.name();
                return Ok(Wish::Print(format!(
                    "gpuhostd-{name}, the {name} hand of the GPU host agent: systemd starts it (gpuhostd-{name}.socket), or gpuhostd \
                     --with-hands\n"
                )));
            }
            Short('V') | Long("version") => {
                return Ok(Wish::Print(format!("gpuhostd-{} {}\n", role.name(), env!("CARGO_PKG_VERSION"))));
            }
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    if wish.launcher.is_none() && wish.paths.sysfs != Path::new(SYSFS) {
        return Err(ArgsError::SysfsAlone);
    }
    Ok(Wish::Serve(wish))
}

/// Runs the hand with the arguments of this process. `bound` bounds what the process takes; `registry` is what it serves.
#[must_use]
pub fn main(
    role: HandRole,
    bound: fn() -> std::io::Result<()>,
    registry: fn(HandSettings, &HandPaths) -> Registry,
) -> ExitCode {
    let failed = |fault: &(dyn std::error::Error + 'static), code: u8| {
        say::error(&format!("gpuhostd-{}: {}", role.name(), with_causes(fault)));
        ExitCode::from(code)
    };
    let args = match read(role, std::env::args_os().skip(1)) {
        Ok(Wish::Serve(args)) => args,
        Ok(Wish::Print(text)) => return say::out(&text).map_or_else(|fault| failed(&fault, 1), |()| ExitCode::SUCCESS),
        Err(fault) => return failed(&fault, 2),
    };
    let Configuration { settings, faults, .. } = settings::read(&args.config);
    let _level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    if let Some(launcher) = args.launcher
        && let Err(fault) = launched::end_with(launcher)
    {
        return failed(&fault, 1);
    }
    if let Some(faults) = &faults {
        tracing::error!(
            message_id = Message::ConfigurationWrong.id(),
            "the configuration is invalid; this hand uses its valid parts, and the defaults for the rest: {}",
            faults.to_string().replace('\n', "; ")
        );
    }
    if let Err(error) = bound() {
        tracing::warn!(
            message_id = Message::ChildrenUnbounded.id(),
            "limits for the child processes of this hand could not be set: {error}"
        );
    }
    let given = HandSettings { settings, wrong: faults.map(|faults| faults.in_short()) };
    entry::main(args.front_uid, registry(given, &args.paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Wish, ArgsError> {
        read(HandRole::Host, line.split_whitespace().map(Into::into))
    }

    #[test]
    fn another_sysfs_only_with_our_own_launcher() {
        assert!(of("--sysfs /tmp/x").unwrap_err().to_string().contains("--with-hands"));
        assert!(of("--sysfs /tmp/x --launcher 7").is_ok());
    }

    #[test]
    fn nonsense_is_named() {
        for (line, named) in [("foot", "foot"), ("--nope", "nope"), ("--launcher x", "x")] {
            let fault = of(line).unwrap_err().to_string();
            assert!(fault.contains(named), "{line}: {fault}");
        }
        assert!(matches!(of("--help").unwrap(), Wish::Print(text) if text.contains("gpuhostd-host.socket")));
    }
}
