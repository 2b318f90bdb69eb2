//! `config check`: all that is wrong with the configuration, and what of it the service could not use on this host.

use super::config_answer::ConfigAnswer;
use super::eyes::Eyes;
use super::unfit::Unfit;
use crate::paths::{POLICY, STATE};
use model::fields::{ConfigError, ConfigErrors};
use model::settings::Settings;
use program::settings::{Configuration, read};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit status where something is wrong.
const WRONG: u8 = 2;
/// A bundle of authorities is no larger than this.
const CA_MAX_BYTES: usize = 1024 * 1024;
/// A token is no longer than this.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Where the unit lets the service write. systemd makes them when it starts.
const WRITABLE: [&str; 2] = ["/run/gpuhostd", "/var/lib/gpuhostd"];

/// How the configuration is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckArgs {
    /// The files; empty = the default places.
    pub files: Vec<PathBuf>,
    /// Prints the settings as JSON.
    pub json: bool,
    /// Prints status and output as one line of JSON, for gpuhostctl: a process that has read from a file system that hangs may not
    /// be able to end.
    pub report: bool,
    /// Durable state, which shows whether this host is enrolled.
    pub state: PathBuf,
}

/// Checks, and prints what was found.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    checked(args)?.deliver(args.report)
}

fn checked(args: &CheckArgs) -> anyhow::Result<ConfigAnswer> {
    let configuration = read(&args.files);
    let eyes = Eyes::of_this_process(args.state == Path::new(STATE));
    let mut usable = Usable { eyes, configuration: &configuration, faults: Vec::new(), notes: Vec::new() };
    usable.all(&args.state);
    let Usable { faults, notes, .. } = usable;
    // With the files of the daemon goes its policy.
    let policy = if args.files.is_empty() { hands::policy::look(Path::new(POLICY)).err() } else { None };
    let wrong = configuration.faults.iter().map(ToString::to_string).chain(policy.map(|fault| fault.to_string()));
    let wrong: Vec<String> = wrong.chain(ConfigErrors::of(faults).map(|faults| faults.to_string())).collect();
    if !wrong.is_empty() {
        let lines: Vec<String> = notes.into_iter().chain(wrong).collect();
        return Ok(ConfigAnswer { status: WRONG, out: String::new(), err: lines.join("\n") + "\n" });
    }
    if args.json {
        let out = serde_json::to_string_pretty(&configuration.settings)? + "\n";
        return Ok(ConfigAnswer { status: 0, out, err: String::new() });
    }
    Ok(ConfigAnswer { status: 0, out: report_text(&configuration, &notes), err: String::new() })
}

fn report_text(configuration: &Configuration, notes: &[String]) -> String {
    let mut lines: Vec<String> = configuration.files.iter().map(|file| format!("read {}", file.display())).collect();
    if lines.is_empty() {
        lines.push("there is no configuration file; the defaults apply".to_owned());
    }
    lines.extend_from_slice(notes);
    if configuration.settings.manager.insecure_skip_verify {
        lines.push("manager.insecure_skip_verify is set: any certificate is trusted".to_owned());
    }
    lines.push("the configuration is valid".to_owned());
    lines.join("\n") + "\n"
}

/// What the service can use, as it is being found out.
struct Usable<'a> {
    eyes: Eyes,
    configuration: &'a Configuration,
    faults: Vec<ConfigError>,
    notes: Vec<String>,
}

impl Usable<'_> {
    fn all(&mut self, state: &Path) {
        let Settings { manager, metrics, readiness, .. } = &self.configuration.settings;
        if let Some(path) = &manager.ca_file {
            let read = self.eyes.read(Path::new(path), CA_MAX_BYTES);
            self.judge("manager.ca_file", path, read.map(|bytes| no_authority(&bytes)));
        }
        if let Some(path) = &manager.shared_token_file {
            let read = self.eyes.read(Path::new(path), TOKEN_MAX_BYTES);
            self.judge("manager.shared_token_file", path, read.map(|bytes| no_token(&bytes)));
        }
        if let Some(path) = &manager.enrolment_token_file {
            self.enrolment_token(path, state);
        }
        if let Some(path) = &readiness.ca_file {
            let read = self.eyes.read(Path::new(path), CA_MAX_BYTES);
            self.judge("readiness.ca_file", path, read.map(|bytes| no_authority(&bytes)));
        }
        if let Some(path) = &readiness.jwt_file {
            let read = self.eyes.read(Path::new(path), TOKEN_MAX_BYTES);
            self.judge("readiness.jwt_file", path, read.map(|bytes| no_token(&bytes)));
        }
        if let Some(path) = &metrics.socket {
            let outcome = self.writable(path, |kind| kind.is_socket());
            self.judge("metrics.socket", path, outcome);
        }
        if let Some(path) = &metrics.textfile {
            let outcome = self.writable(path, |kind| kind.is_plain());
            self.judge("metrics.textfile", path, outcome);
        }
        if let Some(path) = &metrics.job_mapping {
            let outcome = self.writable(path, super::eyes::Found::is_folder);
            self.judge("metrics.job_mapping", path, outcome);
        }
    }

    /// A one-use token is removed once it was used.
    fn enrolment_token(&mut self, path: &str, state: &Path) {
        let field = "manager.enrolment_token_file";
        let read = self.eyes.read(Path::new(path), TOKEN_MAX_BYTES);
        match (&read, state.join("identity/identity.json").try_exists()) {
            (Err(Unfit::Missing(_)), Ok(true)) => {
                self.notes.push(format!("{field}: {path} does not exist, but this host is already enrolled"));
            }
            (Err(Unfit::Missing(_)), Err(_)) => {
                self.notes.push(format!(
                    "{field}: {path} does not exist; whether this host is already enrolled was not checked: you may not read {}",
                    state.display()
                ));
            }
            _ => self.judge(field, path, read.map(|bytes| no_token(&bytes))),
        }
    }

    /// Whether the service can make its file there; `fits` shows what may stand in its place.
    fn writable(&mut self, path: &str, fits: impl FnOnce(super::eyes::Found) -> bool) -> Result<Option<String>, Unfit> {
        let path = Path::new(path);
        let folder = path.parent().unwrap_or(Path::new("/"));
        if let Some(found) = self.eyes.look(path)?.filter(|found| !fits(*found)) {
            return Ok(Some(format!("{} is {}, and is not replaced", path.display(), found.words())));
        }
        if WRITABLE.iter().any(|own| Path::new(own) == folder) {
            return Ok(None);
        }
        let outcome = self.eyes.write(folder)?;
        if outcome.is_none() && !self.eyes.in_unit() {
            self.notes.push(format!(
                "not checked: whether the unit lets the service write in {}; see ReadWritePaths= in systemctl cat gpuhostd",
                folder.display()
            ));
        }
        Ok(outcome)
    }

    fn judge(&mut self, field: &str, path: &str, outcome: Result<Option<String>, Unfit>) {
        let why = match outcome {
            Ok(None) => return,
            Ok(Some(why)) => why,
            Err(Unfit::Unknown) => {
                return self.notes.push(format!("{field}: not checked: you may not read {path}; run it as root"));
            }
            Err(Unfit::Missing(why) | Unfit::No(why)) => why,
        };
        let why = format!("cannot be used: {why}");
        let place = self.configuration.places.get(field);
        let alone =
            || ConfigError { file: "configuration".to_owned(), at: None, field: field.to_owned(), why: why.clone() };
        self.faults.push(place.map_or_else(alone, |place| place.fault(field, why.clone())));
    }
}

fn no_authority(pem: &[u8]) -> Option<String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let Ok(certificate) = certificate else { return Some("it has a block that is not PEM".to_owned()) };
        if let Err(fault) = store.add(certificate) {
            return Some(format!("it has a certificate that is not a certificate authority: {fault}"));
        }
    }
    store.is_empty().then(|| "it has no certificate; expected PEM, -----BEGIN CERTIFICATE-----".to_owned())
}

/// As the check-in takes it: one line of printable characters.
fn no_token(bytes: &[u8]) -> Option<String> {
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Some("it is empty".to_owned());
    }
    (!token.iter().all(u8::is_ascii_graphic)).then(|| "it has more than one line of printable ASCII".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_of_authorities_is_read_as_the_check_in_reads_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::new(["m.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        assert_eq!(no_authority(pem.as_bytes()), None);
        assert_eq!(no_authority(format!("# mine\n{pem}\n{pem}").as_bytes()), None);
        assert!(no_authority(b"nonsense").unwrap().contains("has no certificate"));
        assert!(no_authority(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").is_some());
    }

    #[test]
    fn a_token_is_one_line() {
        assert_eq!(no_token(b"one\n"), None);
        assert!(no_token(b" \n").unwrap().contains("empty"));
        assert!(no_token(b"two\nlines").is_some() && no_token(b"\xff").is_some());
    }
}
