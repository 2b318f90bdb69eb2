//! The program behind `gpuhostctl debug snapshot` and `gpuhostctl doctor`.

use gpuhostd_collect::{doctor, snapshot};
use lexopt::prelude::*;
use model::causes::with_causes;
use program::args::ArgsError;
use program::say;
use std::process::ExitCode;

const USAGE: &str = "\
gpuhostd-collect, the part of the GPU host agent that reads a whole host; gpuhostctl starts it

Usage:
  gpuhostd-collect snapshot [-o FILE]  writes what this host looks like to an archive, without secrets
  gpuhostd-collect doctor-facts        prints the facts that gpuhostctl doctor judges

Options:
  --config FILE  configuration file of the daemon; may be given several times, later ones win
  --bus ADDRESS  message bus where the daemon is asked [default: the system bus]
  --root DIR     another root of the file system
  --state DIR    doctor-facts: the daemon's durable state
  --json         snapshot: lists what is in it as JSON
  -h, --help     this text
  -V, --version  the version
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say::error(&format!("gpuhostd-collect: {}", with_causes(fault.as_ref())));
            ExitCode::from(if fault.is::<ArgsError>() { 2 } else { 1 })
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut parser = lexopt::Parser::from_env();
    match parser.next().map_err(ArgsError::from)? {
        Some(Value(word)) if word == "snapshot" => snapshot::run(&snapshot::parse(&mut parser)?),
        Some(Value(word)) if word == "doctor-facts" => doctor::run(&doctor::parse(&mut parser)?),
        Some(Short('h') | Long("help")) => Ok(say::out(USAGE)?),
        Some(Short('V') | Long("version")) => {
            Ok(say::out(concat!("gpuhostd-collect ", env!("CARGO_PKG_VERSION"), "\n"))?)
        }
        Some(Value(word)) => Err(ArgsError::word(&word.to_string_lossy(), "snapshot or doctor-facts").into()),
        Some(other @ (Short(_) | Long(_))) => Err(ArgsError::from(other.unexpected()).into()),
        None => Err(ArgsError::word("", "snapshot or doctor-facts").into()),
    }
}
