//! `enroll`: by a person, or as the one line of a start script, which takes what a template leaves, waits, and may run again.

use crate::args::Managers;
use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::{Failure, status_of_code};
use crate::input;
use crate::manage::{finish, options};
use crate::text::{clean_lines, print, print_json};
use model::enrol::Secret;
use model::settings::of_template;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::time::Instant;
use wire::dbus::host::HostView;
use zbus::OwnedObjectPath;

/// No bundle of authorities is larger; the bus takes no more in one message.
const CA_MAX_BYTES: usize = 120 * 1024;
/// What the daemon takes of a token.
const TOKEN_MAX_BYTES: usize = 4096;
/// With `--wait`, between two looks at the state of the check-in.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// With `--wait`, between two tries of what is not there yet: the daemon, the network, the manager.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// Enrols.
pub(crate) async fn run(bus: Option<String>, with: Managers, how: Change, json: bool) -> Result<(), Failure> {
    let urls = urls(&with)?;
    let ca_pem = with.ca_file.as_ref().map(|path| input::read_text(path, CA_MAX_BYTES)).transpose()?;
    let Some(wait) = with.wait else {
        // The daemon reads the token from it.
        let token = input::descriptor(&with.token_file)?;
        let daemon = Daemon::connect(bus).await?;
        let job = ask(&daemon, &with, (&urls, ca_pem.as_deref()), how, token).await?;
        return finish(&daemon, &job, how, json, "This host is enrolled.").await;
    };
    // It may have to be handed over more than once.
    let text = input::read_text(&with.token_file, TOKEN_MAX_BYTES)?;
    let token = Secret::take(text);
    let until = Instant::now() + Duration::from_secs(wait);
    loop {
        let tried = attempt(bus.clone(), &with, (&urls, ca_pem.as_deref()), how, &token, until).await;
        match tried {
            Err(failure) if may_pass(&failure) && Instant::now() + TRY_AGAIN < until => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(failure) => return Err(failure),
            Ok(host) if json => return print_json(&host),
            Ok(host) => return print(&[clean_lines(&accepted(&host))]),
        }
    }
}

fn accepted(host: &HostView) -> String {
    let id = host.server_id.as_deref().unwrap_or("an unknown id");
    let manager = host.manager.as_deref().unwrap_or("its manager");
    format!("This host is enrolled as {id}, and {manager} has accepted its heartbeat.")
}

/// One enrolment, and the wait until a heartbeat is accepted.
async fn attempt(
    bus: Option<String>,
    with: &Managers,
    given: (&[String], Option<&str>),
    how: Change,
    token: &Secret,
    until: Instant,
) -> Result<HostView, Failure> {
    let daemon = Daemon::connect(bus).await?;
    let job = ask(&daemon, with, given, how, piped(token)?).await?;
    crate::wait::until_ended(&daemon, &job).await?;
    loop {
        let host = daemon.snapshot().await?.host;
        let refused = |why: &str| Failure::Refused { status: status_of_code("conflict"), message: why.to_owned() };
        match host.manager_state.as_str() {
            "ok" => return Ok(host),
            "duplicate_identity" => return Err(refused("the manager knows another host under this identity")),
            "forgotten" => return Err(refused("the manager has deleted this host; run `gpuhostctl leave`")),
            state if Instant::now() + LOOK_AGAIN >= until => {
                let error = host.manager_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                let message = format!(
                    "no manager has accepted a heartbeat within the time of --wait ({}{error}); the host goes on by itself",
                    state.replace('_', " ")
                );
                return Err(Failure::Refused { status: status_of_code("timeout"), message });
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// It may be there in a moment: the daemon, the network, the manager.
fn may_pass(failure: &Failure) -> bool {
    let passing = [status_of_code("unavailable"), status_of_code("timeout"), status_of_code("busy")];
    !matches!(failure, Failure::Usage { .. }) && passing.contains(&failure.exit_status())
}

async fn ask(
    daemon: &Daemon,
    with: &Managers,
    (urls, ca_pem): (&[String], Option<&str>),
    how: Change,
    token: OwnedFd,
) -> Result<OwnedObjectPath, Failure> {
    let mut options = options(how);
    if let Some(pem) = ca_pem {
        options.insert("ca-pem", pem.into());
    }
    if !with.pin_sha256.is_empty() {
        options.insert("pin-sha256", with.pin_sha256.join(",").into());
    }
    if with.shared {
        options.insert("shared", true.into());
    }
    let named =
        [("server-id", &with.server_id), ("provider", &with.provider), ("public-hostname", &with.public_hostname)];
    for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, of_template(value.as_ref()?)?))) {
        options.insert(name, value.into());
    }
    if !with.manager.is_empty() {
        options.insert("unless-enrolled", true.into());
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let host = daemon.host().await?;
    daemon.answer(CHANGE_DEADLINE, host.enroll(token.as_fd().into(), &urls, options)).await
}

/// The addresses, where a template may have left some unset or without https://.
fn urls(with: &Managers) -> Result<Vec<String>, Failure> {
    if with.manager.is_empty() {
        return Ok(with.urls.clone());
    }
    let given = with.manager.iter().filter_map(|host| of_template(host));
    let url = |host: &str| if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let urls: Vec<String> = given.map(url).collect();
    if urls.is_empty() {
        let why =
            "--manager has no value: the template was not filled in; expected the address of a manager".to_owned();
        return Err(Failure::Usage { why });
    }
    Ok(urls)
}

/// The token in a pipe, which has room for it.
fn piped(token: &Secret) -> Result<OwnedFd, Failure> {
    let written = std::io::pipe().and_then(|(reader, mut writer)| {
        writer.write_all(token.expose().as_bytes())?;
        Ok(reader)
    });
    written.map(OwnedFd::from).map_err(|source| Failure::Output { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(managers: &[&str]) -> Result<Vec<String>, Failure> {
        let with = Managers {
            urls: Vec::new(),
            manager: managers.iter().map(|text| (*text).to_owned()).collect(),
            server_id: None,
            provider: None,
            public_hostname: None,
            wait: None,
            token_file: "-".into(),
            ca_file: None,
            pin_sha256: Vec::new(),
            shared: false,
        };
        urls(&with)
    }

    #[test]
    fn addresses_of_a_template_get_their_scheme_and_those_it_left_unset_go() {
        assert_eq!(
            given(&["m.example", " ", "None", "https://n:8443"]).unwrap(),
            ["https://m.example", "https://n:8443"]
        );
        assert_eq!(given(&["", "None"]).unwrap_err().exit_status(), 2);
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for_and_a_refusal_is_not() {
        let of = |code: &str| Failure::Refused { status: status_of_code(code), message: String::new() };
        assert!(may_pass(&of("unavailable")) && may_pass(&Failure::NotRunning { bus: String::new() }));
        assert!(!may_pass(&of("invalid_argument")) && !may_pass(&of("conflict")) && !may_pass(&of("not_authorized")));
    }
}
