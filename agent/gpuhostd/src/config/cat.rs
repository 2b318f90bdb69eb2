//! `config cat`: the files that the daemon reads, in their order, each behind its path, without secrets.

use super::config_answer::ConfigAnswer;
use crate::paths::POLICY;
use files::{ReadError, USUAL_TIME, in_time, read_text};
use model::snapshot::redact::{self, MARK};
use program::settings;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit status where a file cannot be read.
const UNREADABLE: u8 = 1;
/// A file of the configuration or the policy is no larger than this.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatArgs {
    /// Files of the configuration; empty = the default places.
    pub config: Vec<PathBuf>,
    /// The policy.
    pub policy: PathBuf,
    /// One of the two alone.
    pub only: Option<CatOnly>,
    /// Prints status and output as one line of JSON, for gpuhostctl.
    pub report: bool,
}

impl Default for CatArgs {
    fn default() -> Self {
        Self { config: Vec::new(), policy: PathBuf::from(POLICY), only: None, report: false }
    }
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatOnly {
    /// The files of the configuration.
    Config,
    /// The policy.
    Policy,
}

/// Prints them.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &CatArgs) -> anyhow::Result<ExitCode> {
    let mut report = ConfigAnswer { status: 0, out: String::new(), err: String::new() };
    if args.only != Some(CatOnly::Policy) {
        let read = settings::read(&args.config);
        for file in &read.files {
            append(&mut report, file);
        }
        if read.files.is_empty() {
            report.out += "# there is no configuration file; the defaults apply\n";
        }
        // What is wrong inside a file is shown by `config check`; a file that is not shown has to be named.
        let shown = |line: &str| read.files.iter().any(|file| line.starts_with(&format!("{}:", file.display())));
        let faults = read.faults.map(|faults| faults.to_string()).unwrap_or_default();
        for line in faults.lines().filter(|line| !shown(line)) {
            report.fail(UNREADABLE, line);
        }
    }
    if args.only != Some(CatOnly::Config) {
        append(&mut report, &args.policy);
    }
    report.deliver(args.report)
}

fn append(report: &mut ConfigAnswer, file: &Path) {
    let path = file.to_owned();
    if !report.out.is_empty() {
        report.out.push('\n');
    }
    match in_time(file, USUAL_TIME, move || read_text(&path, FILE_MAX_BYTES)) {
        Ok(text) => report.out += &format!("# {}\n{}\n", file.display(), without_secrets(&text).trim_end()),
        Err(ReadError::Missing { .. }) => {
            report.out += &format!("# {} does not exist; the defaults apply\n", file.display());
        }
        Err(fault) => report.fail(UNREADABLE, &fault.to_string()),
    }
}

/// The text without secrets. The path of a token file is none.
fn without_secrets(text: &str) -> String {
    let redacted = redact::text(text).text;
    // A block of PEM is cut out with its lines: then no line is known to be the same one.
    if redacted.lines().count() != text.lines().count() {
        return redacted;
    }
    let line = |(before, after): (&str, &str)| {
        let is_none = after.contains(MARK) && is_no_secret(before);
        if is_none { before.to_owned() } else { after.to_owned() }
    };
    text.lines().zip(redacted.lines()).map(line).collect::<Vec<_>>().join("\n")
}

/// A truth value, or the path of a key that has one, also in a comment: `some_token_file = "/a/path"`.
fn is_no_secret(line: &str) -> bool {
    let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once('=') else { return false };
    let (key, value) = (key.trim(), value.trim());
    if matches!(value, "true" | "false") {
        return true;
    }
    let value = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let is_path =
        |value: &str| value.starts_with('/') && value.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    // `credentials` is a path of the manager's API.
    (key.ends_with("_file") || key == "credentials") && value.is_some_and(is_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_and_secrets_go() {
        let text = "# File with the token.\n#shared_token_file = \"/etc/gpuhostd/shared-token\"\n\
                    enrolment_token_file = '/etc/gpuhostd/token'\nshared_token_file = 'Zx81kQ0pLw27'\n\
                    urls = [\"https://joe:hunter2@m.example\"]\nsample_interval_s = 30";
        let shown = without_secrets(text);
        assert!(shown.contains("enrolment_token_file = '/etc/gpuhostd/token'"), "{shown}");
        assert!(shown.contains("#shared_token_file = \"/etc/gpuhostd/shared-token\""), "{shown}");
        assert!(!shown.contains("Zx81kQ0pLw27") && !shown.contains("hunter2"), "{shown}");
        assert!(shown.ends_with("sample_interval_s = 30") && shown.lines().count() == 6, "{shown}");
        let pem = format!("a = 1\n-----BEGIN {}\nMIIB\n-----END {}\nb_token = 'abcdef123'\n", "X-----", "X-----");
        let shown = without_secrets(&pem);
        assert!(shown.contains("a = 1") && !shown.contains("MIIB") && !shown.contains("abcdef123"), "{shown}");
    }

    #[test]
    fn what_ships_is_shown_as_it_is() {
        for text in [
            include_str!("../../../../packaging/config/config.toml"),
            include_str!("../../../../packaging/config/policy.toml"),
        ] {
            let shown = without_secrets(text);
            let differ: Vec<_> = text.lines().zip(shown.lines()).filter(|(one, other)| one != other).collect();
            assert!(differ.is_empty(), "{differ:?}");
        }
    }
}
