//! The reference agent as a program, for whoever writes a manager.

use anyhow::Context as _;
use lexopt::prelude::*;
use reference_agent::{Trial, check};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
The reference agent: tries a manager with the real check-in of gpuhostd on a simulated host, and reports what breaks the contract.
It enrols a host, reports from it and leaves again: give it a token of a manager for tests.

Usage: reference-agent URL --token-file FILE [OPTIONS]

Options:
  --token-file FILE    a one-use enrolment token of the manager
  --ca-file FILE       the manager's authority, PEM [default: the authorities of this system]
  --host NAME          the simulated host, as gpuhostd-sim has them [default: dgx-a100]
  --beats N            awaits so many heartbeats of the check-in [default: 3]
  --patience SECONDS   awaits each of them so long [default: 90]
  --help               prints this

Exit status: 0 the contract is kept, 1 something breaks it, 2 it could not be tried.
";

fn main() -> ExitCode {
    let trial = match parse(lexopt::Parser::from_env()) {
        Ok(Some(trial)) => trial,
        Ok(None) => {
            let _ = std::io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let findings = match runtime.block_on(check(&trial)) {
        Ok(findings) => findings,
        Err(error) => return fail(&error),
    };
    let wrong = findings.iter().filter(|finding| finding.is_wrong()).count();
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        let _ = writeln!(out, "{finding}");
    }
    let _ = writeln!(out, "{} of {} break the contract", wrong, findings.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "reference-agent: {error:#}");
    ExitCode::from(2)
}

fn parse(mut parser: lexopt::Parser) -> anyhow::Result<Option<Trial>> {
    let (mut url, mut token_file, mut ca_file) = (None, None, None);
    let (mut host, mut beats, mut patience) = ("dgx-a100".to_owned(), 3, 90);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("token-file") => token_file = Some(PathBuf::from(parser.value()?)),
            Long("ca-file") => ca_file = Some(PathBuf::from(parser.value()?)),
            Long("host") => host = parser.value()?.string()?,
            Long("beats") => beats = parser.value()?.parse()?,
            Long("patience") => patience = parser.value()?.parse()?,
            Long("help") | Short('h') => return Ok(None),
            Value(value) if url.is_none() => url = Some(value.string()?),
            Long(_) | Short(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let token_file = token_file.context("--token-file FILE is missing: a host needs a token to enrol")?;
    Ok(Some(Trial {
        url: url.context("which manager? reference-agent URL; see reference-agent --help")?,
        token: read(&token_file)?.trim().to_owned(),
        ca_pem: ca_file.as_ref().map(read).transpose()?,
        host,
        beats,
        patience: Duration::from_secs(patience),
    }))
}
