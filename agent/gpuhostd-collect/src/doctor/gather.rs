//! Reads the facts for `gpuhostctl doctor` and prints them as one line of JSON; it judges nothing.

use super::{DoctorRequest, running_daemon, take};
use anyhow::Context;
use files::OwnProgram;
use gpuhostd::checkin::look::look;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DoctorFacts, GuardedKind};
use model::settings::Settings;
use model::time::UnixMillis;
use program::args::ArgsError;
use program::say;
use program::settings::{self, Configuration};
use spawn::Own;
use std::path::{Path, PathBuf};

/// How the facts are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorArgs {
    /// Address of the bus where the daemon is asked; the system bus where nothing is set.
    pub bus: Option<String>,
    /// The root of the file system that is read.
    pub root: PathBuf,
    /// Configuration files; empty = the default places.
    pub config: Vec<PathBuf>,
    /// The daemon's durable state.
    pub state: PathBuf,
}

/// Reads the arguments behind `doctor-facts`.
///
/// # Errors
/// Unknown words and options.
pub fn parse(parser: &mut lexopt::Parser) -> Result<DoctorArgs, ArgsError> {
    use lexopt::prelude::*;
    let state = PathBuf::from("/var/lib/gpuhostd");
    let mut args = DoctorArgs { bus: None, root: PathBuf::from("/"), config: Vec::new(), state };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("bus") => args.bus = Some(parser.value()?.string()?),
            Long("root") => args.root = parser.value()?.into(),
            Long("config") => args.config.push(parser.value()?.into()),
            Long("state") => args.state = parser.value()?.into(),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(args)
}

/// Reads the facts and prints them.
///
/// # Errors
/// They cannot be printed. What of the host cannot be read is absent in them instead.
pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    // Where it cannot be, the driver's library and tools are asked all the same: the doctor is gone in a minute.
    let _ = spawn::prepare();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let facts = runtime.block_on(facts(args));
    // A file of a driver that never answers must not keep the process.
    runtime.shutdown_background();
    let facts = serde_json::to_string(&facts).context("the facts cannot be written as JSON")?;
    Ok(say::out(&format!("{facts}\n"))?)
}

async fn facts(args: &DoctorArgs) -> DoctorFacts {
    let Configuration { settings, faults, denied, .. } = settings::read(&args.config);
    let error = match faults {
        None => Reading::Absent(Absence::None),
        // What the service may read the caller perhaps may not.
        Some(_) if denied => Reading::Absent(Absence::NoPermission),
        Some(faults) => Reading::Known(faults.in_short()),
    };
    let request = DoctorRequest {
        root: args.root.clone(),
        guarded: guarded(&settings, &args.state),
        sockets: ["host", "containers", "holders", "mig", "mig-mode"]
            .map(|hand| format!("/run/gpuhostd/hands/{hand}.sock").into())
            .to_vec(),
        state: args.state.clone(),
        child: Own::find(OwnProgram::Child),
        version: env!("CARGO_PKG_VERSION"),
        taken_at: UnixMillis(jiff::Timestamp::now().as_millisecond()),
        settings,
    };
    let bus = running_daemon::ask(args.bus.as_deref());
    let managers = look(&request.settings.manager, &args.state);
    let (mut facts, daemon, looked) = tokio::join!(take(&request), bus, managers);
    let no_bus = args.bus.is_none() && facts.service.bus_socket.get() == Some(false);
    facts.service.daemon = if no_bus { Reading::Absent(Absence::None) } else { daemon };
    facts.service.config_error = error;
    facts.service.credential_until = looked.credential_until;
    facts.managers = looked.managers;
    facts
}

/// Files of the daemon that others must not read, or must not write.
fn guarded(settings: &Settings, state: &Path) -> Vec<(PathBuf, GuardedKind)> {
    let manager = &settings.manager;
    let tokens = [&manager.enrolment_token_file, &manager.shared_token_file].into_iter().flatten();
    let tokens = tokens.map(|path| (PathBuf::from(path), GuardedKind::Token));
    let identity = ["identity", "identity/identity.json", "identity/enrolment.json"];
    let identity = identity.map(|name| (state.join(name), GuardedKind::Credentials));
    let rules = ["/etc/gpuhostd", "/etc/gpuhostd/config.toml", "/etc/gpuhostd/config.d", "/etc/gpuhostd/policy.toml"];
    let rules = rules.map(|path| (PathBuf::from(path), GuardedKind::Rules));
    tokens.chain(identity).chain(rules).collect()
}
