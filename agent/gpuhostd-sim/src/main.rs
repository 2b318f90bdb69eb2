//! The daemon on a simulated host: the same front, the same faces, and a host that is described in a file.

use anyhow::{Context, bail};
use gpuhostd::args::{self, FrontArgs, Role};
use gpuhostd::front;
use model::causes::with_causes;
use program::say;
use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
gpuhostd-sim, the GPU host agent on a simulated host

Usage: gpuhostd-sim --host NAME|FILE [OPTIONS of gpuhostd]

FILE: a description (tests/hosts/README.md), or a snapshot of a real host, FILE.tar.gz

Hosts: ";

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say::error(&format!("gpuhostd-sim: {}", with_causes(fault.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<OsString>) -> anyhow::Result<()> {
    let Some((name, front)) = split(args)? else {
        let names: Vec<&str> = sim::BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Ok(say::out(&format!("{USAGE}{}\n", names.join(", ")))?);
    };
    match sim::load_any(&name)? {
        sim::Loaded::Described(description) => {
            let host = sim::SimHost::new(*description)?;
            let (changes, log) = (host.changes(), host.kernel_log());
            front::run_on(front, |_| (host, changes, log))
        }
        sim::Loaded::Recorded(host) => {
            let log = host.kernel_log();
            front::run_on(front, |_| (host, sim::NoChanges, log))
        }
    }
}

/// Takes `--host NAME` out; the rest is the front's. `None` where help is wanted.
fn split(args: Vec<OsString>) -> anyhow::Result<Option<(String, FrontArgs)>> {
    let (mut name, mut rest, mut args) = (None, Vec::new(), args.into_iter());
    while let Some(arg) = args.next() {
        if arg == "--host" {
            let value = args.next().context("--host needs the name of a host, or a file")?;
            name = Some(value.to_string_lossy().into_owned());
        } else {
            rest.push(arg);
        }
    }
    match (args::parse(rest, |name| std::env::var(name).ok())?, name) {
        (Role::Front(front), Some(name)) if !front.with_hands => Ok(Some((name, *front))),
        (Role::Front(front), Some(_)) if front.with_hands => {
            bail!("a simulated host has no hands: leave --with-hands out")
        }
        (Role::Front(_), _) => bail!("which host? --host NAME; see gpuhostd-sim --help"),
        (Role::Print(_), _) => Ok(None),
        (Role::ConfigCheck(_) | Role::ConfigCat(_) | Role::DesiredInstall(_), _) => {
            bail!("only the front can run on a simulated host")
        }
    }
}
