//! Starts the front and the hands where there is no systemd; `gpuhostd --with-hands` becomes this program.

mod launcher;

use launcher::Launch;
use lexopt::prelude::*;
use model::causes::with_causes;
use model::settings::LogFilter;
use program::args::ArgsError;
use program::{logging, say};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let failed = |fault: &(dyn std::error::Error + 'static), code: u8| {
        say::error(&format!("gpuhostd: {}", with_causes(fault)));
        ExitCode::from(code)
    };
    let launch = match read(std::env::args_os().skip(1)) {
        Ok(launch) => launch,
        Err(fault) => return failed(&fault, 2),
    };
    let _level = logging::start(&LogFilter::default(), std::env::var("JOURNAL_STREAM").ok().as_deref());
    launcher::run(&launch).unwrap_or_else(|fault| failed(&fault, 1))
}

/// The options as the front hands them over, each with its value: what they mean is in `gpuhostd --help`.
fn read(args: impl IntoIterator<Item = OsString>) -> Result<Launch, ArgsError> {
    let (mut state, mut run, mut kernel_log) = (PathBuf::new(), PathBuf::new(), PathBuf::new());
    let (mut user, mut files, mut front, mut hand) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut given = 0_usize;
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        let name = match arg {
            Long(name) => format!("--{name}"),
            other @ (Short(_) | Value(_)) => return Err(other.unexpected().into()),
        };
        let value = parser.value()?;
        let both = [OsString::from(&name), value.clone()];
        match name.as_str() {
            "--state" | "--run" | "--bus" | "--desired" => front.extend(both),
            "--sysfs" | "--policy" | "--config" => {
                front.extend(both.clone());
                hand.extend(both);
            }
            "--kernel-log" | "--user" => {}
            _ => return Err(ArgsError::word(&name, USAGE)),
        }
        match name.as_str() {
            "--state" => state = value.into(),
            "--run" => run = value.into(),
            "--kernel-log" => kernel_log = value.into(),
            "--config" => files.push(value.into()),
            "--user" => user = Some(value.string()?),
            _ => continue,
        }
        given = given.saturating_add(1);
    }
    let places = [&state, &run, &kernel_log];
    if given < places.len() || places.iter().any(|place| place.as_os_str().is_empty()) {
        return Err(ArgsError::word("", USAGE));
    }
    Ok(Launch { run, state, kernel_log, files, front, hand, user })
}

const USAGE: &str = "the options that gpuhostd --with-hands hands over: start that instead";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Launch, ArgsError> {
        read(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn front_and_hands_get_what_is_theirs() {
        let line =
            "--state /s --run /r --kernel-log /k --bus none --config /c --sysfs /y --policy /p --desired /d --user u";
        let launch = of(line).unwrap();
        let words =
            |args: &[OsString]| args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(&launch.front),
            "--state /s --run /r --bus none --config /c --sysfs /y --policy /p --desired /d"
        );
        assert_eq!(words(&launch.hand), "--config /c --sysfs /y --policy /p");
        assert_eq!((launch.user.as_deref(), launch.files), (Some("u"), vec![PathBuf::from("/c")]));
    }

    #[test]
    fn a_person_who_starts_it_is_told_what_to_start() {
        for line in ["", "--help x", "--state /s", "now"] {
            let said = of(line).unwrap_err().to_string();
            assert!(said.contains("--with-hands") || said.contains("now"), "{line}: {said}");
        }
    }
}
