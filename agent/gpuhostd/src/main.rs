//! The executable: picks the role and its adapters, and reports what broke.

use gpuhostd::args::{self, FrontArgs, HandArgs, Role};
use gpuhostd::config::check;
use gpuhostd::front;
use hands::roles::{HandPaths, HandSettings};
use model::causes::with_causes;
use model::message::Message;
use model::settings::LogFilter;
use program::settings::{self, Configuration};
use program::{logging, say};
use std::process::ExitCode;

fn main() -> ExitCode {
    let role = match args::parse(std::env::args_os().skip(1), |name| std::env::var(name).ok()) {
        Ok(role) => role,
        Err(fault) => return report(&fault.into(), ExitCode::from(2)),
    };
    let outcome = match role {
        Role::Print(text) => say::out(text).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Role::Front(args) if args.with_hands => launch(&args),
        Role::Front(args) => front::run(*args).map(|()| ExitCode::SUCCESS),
        Role::Hand(args) => serve_hand(&args),
        Role::ConfigCheck(args) => check::run(&args),
    };
    outcome.unwrap_or_else(|fault| report(&fault, ExitCode::FAILURE))
}

fn launch(args: &FrontArgs) -> anyhow::Result<ExitCode> {
    let _level = logging::start(&LogFilter::default(), std::env::var("JOURNAL_STREAM").ok().as_deref());
    Ok(hands::launcher::run(&args.launch(std::env::current_exe()?))?)
}

fn serve_hand(args: &HandArgs) -> anyhow::Result<ExitCode> {
    let Configuration { settings, faults, .. } = settings::read(&args.config);
    let _level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    if let Some(launcher) = args.launcher {
        hands::launcher::end_with(launcher)?;
    }
    if let Some(faults) = &faults {
        tracing::error!(
            message_id = Message::ConfigurationWrong.id(),
            "the configuration is wrong; this hand goes by what is right in it, and by the defaults for the rest: {}",
            faults.to_string().replace('\n', "; ")
        );
    }
    if let Err(error) = hands::prepare() {
        tracing::warn!(
            message_id = Message::ChildrenUnbounded.id(),
            "what the children of this hand take and leave behind is not bounded by the hand itself: {error}"
        );
    }
    let paths = HandPaths { sysfs: args.sysfs.clone(), policy: args.policy.clone() };
    let settings = HandSettings { settings, wrong: faults.map(|faults| faults.in_short()) };
    let registry = hands::roles::registry(args.role, settings, &paths);
    Ok(hands::entry::main(args.front_uid, registry))
}

/// The one place where a fault is told: with all its causes.
fn report(fault: &anyhow::Error, code: ExitCode) -> ExitCode {
    say::error(&format!("gpuhostd: {}", with_causes(fault.as_ref())));
    code
}
