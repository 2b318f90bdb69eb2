//! The reference manager as a program, for `make run` and for whoever develops a manager.

mod arguments;
mod narrate;

use anyhow::Context as _;
use arguments::{Arguments, HELP};
use manager::{EnrolToken, Fleet, Manager, Mode, Options, read_script, write_file};
use narrate::Narrator;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// The files of the desired state and of the script are looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Requests that are remembered: enough for those that come while the last ones are told.
const HISTORY: usize = 256;

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            let _ = std::io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error.to_string(), 2),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("can't start: {error}"), 1),
    };
    let result = runtime.block_on(run(arguments));
    // A thread that is stuck on a full pipe must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}"), 1),
    }
}

fn fail(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "reference-manager: {why}");
    ExitCode::from(code)
}

/// Serves until SIGTERM or SIGINT.
async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (desired, script, bundle) = (arguments.desired.clone(), arguments.script.clone(), arguments.ca_bundle.clone());
    let narrator = Narrator::new(arguments.quiet, arguments.dump_last.clone());
    let manager = open(arguments).await?;
    if let Some(file) = bundle {
        let pem = tokio::fs::read_to_string(&file).await.with_context(|| format!("cannot read {}", file.display()))?;
        manager.set_issue(move |issued| issued["ca_bundle_pem"] = pem.as_str().into());
    }
    let said = format!("listening on {} fingerprint={}", manager.url(), manager.fingerprint_sha256());
    tokio::task::spawn_blocking(move || say(&said)).await??;
    tokio::select! {
        told = narrate(&manager, narrator) => told?,
        () = whenever_changed(desired, |bytes| hand_out(&manager, bytes)) => {}
        () = whenever_changed(script, |bytes| follow(&manager, bytes)) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    manager.stop().await;
    Ok(())
}

/// Opens the state, writes token and authority where they were asked for, and listens.
async fn open(arguments: Arguments) -> anyhow::Result<Manager> {
    let (listen, options) = tokio::task::spawn_blocking(move || prepare(arguments)).await??;
    Manager::start(options).await.with_context(|| format!("the manager does not start on {listen}"))
}

fn prepare(arguments: Arguments) -> anyhow::Result<(String, Options)> {
    let fleet = Fleet::open(&arguments.state)?;
    let fresh = format!("token-{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let (mode, token) = match arguments.mode {
        Mode::SharedToken(_) => {
            let token = arguments.token_file.as_deref().and_then(shared_token).unwrap_or(fresh);
            (Mode::SharedToken(token.clone()), token)
        }
        other @ (Mode::Certificates | Mode::Secrets) => (other, fresh),
    };
    if let Some(file) = &arguments.token_file {
        write_file(file, &format!("{token}\n"), 0o600)?;
        fleet.add_token(&EnrolToken::new(&token));
    }
    if let Some(file) = &arguments.ca_file {
        write_file(file, &fleet.ca_pem(), 0o644)?;
    }
    fleet.save()?;
    let features: &[&str] = if arguments.long_poll { &["gzip", "long_poll"] } else { &["gzip"] };
    let options = Options {
        bind: arguments.listen,
        mode,
        fleet: Some(fleet),
        history: HISTORY,
        next_heartbeat_s: arguments.every,
        features: features.iter().map(|name| (*name).to_owned()).collect(),
        ..Options::default()
    };
    Ok((arguments.listen.to_string(), options))
}

/// A shared token outlives a restart: the one in the file stays good.
fn shared_token(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("can't write to standard output")
}

/// Hands out a document.
fn hand_out(manager: &Manager, bytes: &[u8]) -> anyhow::Result<()> {
    manager.set_desired(Some(serde_json::from_slice(bytes)?));
    Ok(())
}

/// Queues the answers of a script behind those that are still to come.
fn follow(manager: &Manager, bytes: &[u8]) -> anyhow::Result<()> {
    for (endpoint, answer) in read_script(std::str::from_utf8(bytes)?)? {
        manager.script(endpoint, vec![answer]);
    }
    Ok(())
}

/// Takes up a file whenever it is another one; a fault in it is printed, and what was taken up before stays.
async fn whenever_changed(file: Option<PathBuf>, take_up: impl Fn(&[u8]) -> anyhow::Result<()>) {
    let Some(file) = file else { return std::future::pending().await };
    let mut known: Option<SystemTime> = None;
    loop {
        let changed = tokio::fs::metadata(&file).await.and_then(|found| found.modified()).ok();
        if changed.is_some() && changed != known {
            known = changed;
            let read = tokio::fs::read(&file).await.map_err(anyhow::Error::from);
            if let Err(fault) = read.and_then(|bytes| take_up(&bytes)) {
                drop(writeln!(std::io::stderr(), "reference-manager: {}: {fault:#}", file.display()));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells of each heartbeat as it comes, on a thread that may block on the terminal.
async fn narrate(manager: &Manager, mut narrator: Narrator) -> anyhow::Result<()> {
    let mut count = manager.heartbeat_count();
    let mut told = 0_u64;
    loop {
        let total = *count.wait_for(|total| *total > told).await?;
        let beats = manager.heartbeats_after(told);
        let telling = tokio::task::spawn_blocking(move || {
            let result = beats.into_iter().try_for_each(|beat| narrator.tell(&beat));
            (narrator, result)
        });
        let result;
        (narrator, result) = telling.await?;
        result?;
        told = total;
    }
}
