//! The command line of the reference manager.

use lexopt::prelude::*;
use manager::Mode;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
The reference manager: takes the heartbeats of gpuhostd. For tests and demonstrations on one machine.

Usage: reference-manager --state DIR [OPTIONS]

Options:
  --listen ADDR:PORT   where to listen [default: 127.0.0.1:8443]; port 0 takes a free one
  --state DIR          keeps its authority and the enrolled agents there
  --mode MODE          how agents authenticate: certificates (default), secrets or shared
  --token-file FILE    writes a fresh one-use enrolment token there (0600); with --mode shared the shared token
  --ca-file FILE       writes the certificate of its authority there
  --dump-last FILE     keeps the last accepted heartbeat there
  --desired FILE       hands out the desired state in FILE (JSON), as soon as it changes
  --script FILE        gives the answers in FILE (JSON) before any of its own, again whenever the file changes
  --ca-bundle FILE     gives these authorities with each credential, so that hosts trust the next one too
  --no-long-poll       holds no request for the desired state: agents fetch what a reply names
  --every SECONDS      when agents should come back [default: 30]
  --quiet              says nothing of accepted heartbeats
  --i-know             listens on an address that other machines reach, too
  --help               says this
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Where the fleet is kept.
    pub(crate) state: PathBuf,
    /// How agents authenticate; the shared token is filled in later.
    pub(crate) mode: Mode,
    /// Where the token goes.
    pub(crate) token_file: Option<PathBuf>,
    /// Where the authority's certificate goes.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where the last heartbeat goes.
    pub(crate) dump_last: Option<PathBuf>,
    /// The desired state that agents get.
    pub(crate) desired: Option<PathBuf>,
    /// Answers that are given before any others.
    pub(crate) script: Option<PathBuf>,
    /// Authorities that go with each credential.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Requests for the desired state are held until there is another one.
    pub(crate) long_poll: bool,
    /// Seconds between heartbeats that replies ask for.
    pub(crate) every: u64,
    /// Says nothing of accepted heartbeats.
    pub(crate) quiet: bool,
}

/// Reads the command line; none where help was asked for.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Arguments>, lexopt::Error> {
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 8443));
    let mut state = None;
    let mut mode = Mode::Certificates;
    let (mut token_file, mut ca_file, mut dump_last, mut desired) = (None, None, None, None);
    let (mut script, mut ca_bundle) = (None, None);
    let (mut quiet, mut i_know, mut long_poll) = (false, false, true);
    let mut every = 30;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = parser.value()?.parse()?,
            Long("state") => state = Some(PathBuf::from(parser.value()?)),
            Long("mode") => mode = parser.value()?.parse_with(mode_of)?,
            Long("token-file") => token_file = Some(PathBuf::from(parser.value()?)),
            Long("ca-file") => ca_file = Some(PathBuf::from(parser.value()?)),
            Long("dump-last") => dump_last = Some(PathBuf::from(parser.value()?)),
            Long("desired") => desired = Some(PathBuf::from(parser.value()?)),
            Long("script") => script = Some(PathBuf::from(parser.value()?)),
            Long("ca-bundle") => ca_bundle = Some(PathBuf::from(parser.value()?)),
            Long("every") => every = parser.value()?.parse()?,
            Long("no-long-poll") => long_poll = false,
            Long("quiet") => quiet = true,
            Long("i-know") => i_know = true,
            Long("help") | Short('h') => return Ok(None),
            Long(_) | Short(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    if !listen.ip().is_loopback() && !i_know {
        return Err(format!("--listen {listen} is not a loopback address: other machines would reach a test tool that lets in whoever holds its token; add --i-know to allow it").into());
    }
    let state = state.ok_or("--state DIR is missing: it keeps the authority and the agents there")?;
    Ok(Some(Arguments {
        listen,
        state,
        mode,
        token_file,
        ca_file,
        dump_last,
        desired,
        script,
        ca_bundle,
        long_poll,
        every,
        quiet,
    }))
}

fn mode_of(name: &str) -> Result<Mode, String> {
    match name {
        "certificates" => Ok(Mode::Certificates),
        "secrets" => Ok(Mode::Secrets),
        "shared" => Ok(Mode::SharedToken(String::new())),
        other => Err(format!("{other} is not a mode; there are certificates, secrets and shared")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Option<Arguments>, String> {
        parse(lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_loopback_and_certificates() {
        let got = of(&["--state", "d"]).unwrap().unwrap();
        assert_eq!((got.listen.to_string().as_str(), got.mode), ("127.0.0.1:8443", Mode::Certificates));
        assert!(of(&[]).unwrap_err().contains("--state"));
    }

    #[test]
    fn other_machines_reach_it_only_where_that_was_meant() {
        assert!(of(&["--state", "d", "--listen", "0.0.0.0:1"]).unwrap_err().contains("--i-know"));
        assert!(of(&["--state", "d", "--listen", "0.0.0.0:1", "--i-know"]).is_ok());
        assert!(of(&["--state", "d", "--listen", "[::1]:1"]).is_ok());
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(of(&["--state", "d", "--mode", "magic"]).unwrap_err().contains("magic"));
        assert!(of(&["--state", "d", "--quick"]).unwrap_err().contains("--quick"));
        assert_eq!(of(&["--help"]), Ok(None));
    }
}
