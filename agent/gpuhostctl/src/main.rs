//! The command line of gpuhostd: reads the arguments, runs one command, and ends with the exit status of the table.

mod args;
mod cat_config;
mod change_flags;
mod complete;
mod config_check;
mod daemon;
mod daemon_json;
mod desired;
mod docker_check;
mod doctor;
mod enrol;
mod events;
mod failure;
mod images;
mod import_kasm;
mod input;
mod kernel_log;
mod man;
mod man_of_file;
mod manage;
mod mig;
mod nvidia;
mod parse_smi;
mod passthrough;
mod policy;
mod role;
mod show;
mod text;
mod top;
mod trust;
mod trust_args;
mod verdict;
mod wait;
mod wait_nvidia;
mod workspace_plan;
mod workspaces;
mod wrap;

use args::{Arguments, Config, Debug, DockerCommand, GpuCommand, Jobs, Verb};
use clap::Parser;
use daemon::Daemon;
use failure::Failure;
use model::nvidia_container::NvidiaRole;
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Arguments::try_parse() {
        Ok(arguments) => run(arguments),
        Err(said) => return explain(&said),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has gone (`gpuhostctl gpus | head -1`): nothing is left to say.
        Err(Failure::Output { source }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(printed @ (Failure::Ill | Failure::Refusable | Failure::NotAsWanted | Failure::WouldChange)) => {
            ExitCode::from(printed.exit_status())
        }
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    let told = writeln!(anstream::stderr(), "gpuhostctl: {}", text::clean_lines(&failure.with_causes()));
    drop(told);
    ExitCode::from(failure.exit_status())
}

/// Help, version, or what is wrong with the arguments.
fn explain(said: &clap::Error) -> ExitCode {
    match said.print() {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => fail(&Failure::Output { source }),
        Ok(()) | Err(_) => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { json, bus, verb } = arguments;
    match verb {
        Verb::Config { what: Config::Check { files } } => config_check::run(files, json),
        Verb::Policy { what } => policy::run(&what, json),
        Verb::Desired { what } => desired::run(bus, what, json),
        Verb::Debug { what: Debug::ParseSmi { file } } => parse_smi::run(&file),
        Verb::Debug { what: Debug::KernelLog { file } } => kernel_log::run(&file, json),
        Verb::Debug { what: Debug::DaemonJson { add, remove, engine, file } } => {
            daemon_json::run(add.as_ref(), remove.as_ref(), engine.as_deref(), &file)
        }
        Verb::Debug { what: Debug::WorkspacePlan { host, document } } => workspace_plan::run(&host, &document, json),
        Verb::Debug { what: Debug::Snapshot { output, root, config } } => {
            Err(role::run_snapshot(&role::Snapshot { output, root, config, bus, json }))
        }
        Verb::Mig { what } => block_on(mig::run(bus, what, json)),
        Verb::Driver { what } => block_on(nvidia::run(bus, NvidiaRole::Driver, what, json)),
        Verb::Toolkit { what } => block_on(nvidia::run(bus, NvidiaRole::Toolkit, what, json)),
        Verb::Workspaces { what } => block_on(workspaces::run(bus, what, json)),
        Verb::Ps => look(bus, |snapshot| show::ps::print(&snapshot, json)),
        Verb::Run(wanted) => block_on(workspaces::create(bus, *wanted, json)),
        Verb::Drain(how) => block_on(workspaces::drain(bus, how, json)),
        Verb::Images => block_on(images::list(bus, json)),
        Verb::Prune(how) => block_on(images::prune(bus, how, json)),
        Verb::Docker { what: DockerCommand::Check { engine, file } } => {
            docker_check::run(file.as_deref(), engine.as_deref(), json)
        }
        Verb::Doctor(how) => doctor::run(how, bus, json),
        Verb::CatConfig { what } => cat_config::run(what),
        Verb::Completions { shell } => complete::print_script(shell),
        Verb::Complete { words } => complete::run(bus, &words),
        Verb::Man(how) => man::run(&how),
        Verb::Status => look(bus, |snapshot| show::status::print(&snapshot, json)),
        Verb::Gpus => look(bus, |snapshot| show::gpus::print(&snapshot, json)),
        Verb::Gpu { what: GpuCommand::Show { address } } => look(bus, |s| show::gpu::print(&s, &address, json)),
        Verb::Gpu { what: GpuCommand::Acknowledge { address, how } } => {
            block_on(manage::acknowledge(bus, &address, how, json))
        }
        Verb::Top(how) => block_on(top::run(bus, how, json)),
        Verb::Iommu => look(bus, |snapshot| show::iommu::print(&snapshot, json)),
        Verb::Jobs(Jobs { job: None, .. }) => look(bus, |snapshot| show::jobs::print(&snapshot, json)),
        Verb::Jobs(Jobs { job: Some(job), wait: false }) => look(bus, |s| show::job::print(&s, &job, json)),
        Verb::Jobs(Jobs { job: Some(job), wait: true }) => block_on(manage::await_job(bus, &job, json)),
        Verb::Conditions => look(bus, |snapshot| show::conditions::print(&snapshot, json)),
        Verb::Events(how) => block_on(events::run(bus, how, json)),
        Verb::Rescan { how } => block_on(manage::rescan(bus, how, json)),
        Verb::Enroll { with, how } => block_on(enrol::run(bus, with, how, json)),
        Verb::ImportKasm(how) => import_kasm::run(&how, json),
        Verb::Leave { how } => block_on(manage::leave(bus, how, json)),
        Verb::Trust { what } => block_on(trust::run(bus, what, json)),
        Verb::Token { token_file, how } => block_on(trust::token(bus, &token_file, how, json)),
        Verb::Lock { how } => block_on(manage::lock(bus, true, how, json)),
        Verb::Unlock { how } => block_on(manage::lock(bus, false, how, json)),
        Verb::Passthrough { what } => block_on(passthrough::run(bus, what, json)),
    }
}

fn look(
    bus: Option<String>,
    print: impl FnOnce(wire::dbus::snapshot::Snapshot) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let snapshot = block_on(async { Daemon::connect(bus).await?.snapshot().await })?;
    print(snapshot)
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::Output { source })?.block_on(work)
}
