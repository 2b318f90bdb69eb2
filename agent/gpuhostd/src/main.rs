//! The executable: picks the role and its adapters, and reports what broke.

use gpuhostd::args::{self, FrontArgs, HandArgs, Role};
use gpuhostd::{config, doctor, front, logging, snapshot};
use model::message::Message;
use std::process::ExitCode;

fn main() -> ExitCode {
    let role = match args::parse(std::env::args_os().skip(1), |name| std::env::var(name).ok()) {
        Ok(role) => role,
        Err(fault) => return report(&fault.into(), ExitCode::from(2)),
    };
    let outcome = match role {
        Role::Print(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Role::Front(args) if args.with_hands => launch(&args),
        Role::Front(args) => front::run(*args).map(|()| ExitCode::SUCCESS),
        Role::Hand(args) => serve_hand(&args),
        Role::Snapshot(args) => snapshot::run(&args).map(|()| ExitCode::SUCCESS),
        Role::Doctor(args) => doctor::run(&args).map(|()| ExitCode::SUCCESS),
        Role::Child(word, rest) => return hands::linux::child(&word, &rest).unwrap_or(ExitCode::from(2)),
        Role::ConfigCheck(files) => config::read(&files).map_err(Into::into).map(|_| {
            println!("the configuration is right");
            ExitCode::SUCCESS
        }),
    };
    outcome.unwrap_or_else(|fault| report(&fault, ExitCode::FAILURE))
}

fn launch(args: &FrontArgs) -> anyhow::Result<ExitCode> {
    let _level = logging::start("info", std::env::var("JOURNAL_STREAM").ok().as_deref());
    // What is wrong with the configuration is said once, here, and not by three processes.
    config::read(&args.config)?;
    Ok(hands::launcher::run(&args.launch(std::env::current_exe()?))?)
}

fn serve_hand(args: &HandArgs) -> anyhow::Result<ExitCode> {
    let settings = config::read(&args.config)?;
    let _level = logging::start(&settings.agent.log_level, std::env::var("JOURNAL_STREAM").ok().as_deref());
    if let Some(launcher) = args.launcher {
        hands::launcher::end_with(launcher)?;
    }
    if let Err(error) = hands::linux::prepare() {
        tracing::warn!(message_id = Message::ChildrenUnbounded.id(), %error, "what the children of this hand take and leave behind is not bounded by the hand itself");
    }
    let ground = hands::linux::Ground { sysfs: args.sysfs.clone(), policy: args.policy.clone() };
    let acts = hands::linux::acts(args.role, settings, model::smi::parse, &ground);
    Ok(hands::entry::main(args.role, args.front_uid, acts))
}

/// The one place where a fault is told: with all its causes.
fn report(fault: &anyhow::Error, code: ExitCode) -> ExitCode {
    eprintln!("gpuhostd: {fault:#}");
    code
}
