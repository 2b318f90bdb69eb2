//! The executable: the front, the check of its configuration, the writer of local wishes, or the way to the launcher; and it reports what broke.

use gpuhostd::args::{self, Role};
use gpuhostd::config::{cat, check};
use gpuhostd::{desired, front, launch};
use model::causes::with_causes;
use program::say;
use std::process::ExitCode;

fn main() -> ExitCode {
    let role = match args::parse(std::env::args_os().skip(1), |name| std::env::var(name).ok()) {
        Ok(role) => role,
        Err(fault) => return report(&fault.into(), ExitCode::from(2)),
    };
    let outcome = match role {
        Role::Print(text) => say::out(text).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Role::Front(args) if args.with_hands => launch::launch(&args).map(|never| match never {}),
        Role::Front(args) => front::run(*args).map(|()| ExitCode::SUCCESS),
        Role::ConfigCheck(args) => check::run(&args),
        Role::ConfigCat(args) => cat::run(&args),
        Role::DesiredInstall(args) => desired::install(&args),
    };
    outcome.unwrap_or_else(|fault| report(&fault, ExitCode::FAILURE))
}

/// The one place where a fault is reported: with all its causes.
fn report(fault: &anyhow::Error, code: ExitCode) -> ExitCode {
    say::error(&format!("gpuhostd: {}", with_causes(fault.as_ref())));
    code
}
