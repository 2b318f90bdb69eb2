//! `trust` and `token`: whom this host trusts as its manager, and another token for it.

use crate::change_flags::Change;
use crate::daemon::{CHANGE_DEADLINE, Daemon};
use crate::failure::Failure;
use crate::input;
use crate::manage::{finish, options};
use crate::text::{Cell, Look, Table, ahead, print, print_json};
use crate::trust_args::{Added, TrustCommand};
use std::os::fd::AsFd;
use wire::dbus::host::{HostView, TrustView};

/// No bundle of authorities is larger; the bus takes no more in one message.
const CA_MAX_BYTES: usize = 60 * 1024;

/// `trust`.
pub(crate) async fn run(bus: Option<String>, what: TrustCommand, json: bool) -> Result<(), Failure> {
    let daemon = Daemon::connect(bus).await?;
    let (job, how, done) = match what {
        TrustCommand::Show => return show(&daemon.snapshot().await?.host, json),
        TrustCommand::Add { what: Added { ca_file, pin_sha256 }, how } => {
            let given = match (ca_file, pin_sha256) {
                (Some(file), _) => input::read_text(&file, CA_MAX_BYTES)?,
                (None, pin) => pin.unwrap_or_default(),
            };
            let host = daemon.host().await?;
            let job = daemon.answer(CHANGE_DEADLINE, host.add_trust(&given, options(how))).await?;
            (job, how, "It is trusted from now on; see: gpuhostctl trust show")
        }
        TrustCommand::Remove { sha256, how } => {
            let host = daemon.host().await?;
            let job = daemon.answer(CHANGE_DEADLINE, host.remove_trust(&sha256, options(how))).await?;
            (job, how, "It is not trusted any more; see: gpuhostctl trust show")
        }
    };
    finish(&daemon, &job, how, json, done).await
}

/// `token`.
pub(crate) async fn token(bus: Option<String>, file: &std::path::Path, how: Change, json: bool) -> Result<(), Failure> {
    // The daemon reads the token from it.
    let token = input::descriptor(file)?;
    let daemon = Daemon::connect(bus).await?;
    let host = daemon.host().await?;
    let job = daemon.answer(CHANGE_DEADLINE, host.set_token(token.as_fd().into(), options(how))).await?;
    finish(&daemon, &job, how, json, "The token is saved and tried now; see: gpuhostctl status").await
}

fn show(host: &HostView, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&host.manager_trust);
    }
    let mut table = Table::new(&["TRUSTED", "BY", "VALID", "SHA-256"]);
    for one in &host.manager_trust {
        let look = if one.kind == "any" { Look::Bad } else { Look::Plain };
        table.row(vec![
            Cell::new(what(one), look),
            Cell::plain(Some(by(one))),
            Cell::plain(one.not_after.map(ahead).as_deref()),
            Cell::plain(one.sha256.as_deref()),
        ]);
    }
    print(&table.lines())
}

fn what(one: &TrustView) -> String {
    match (one.kind.as_str(), &one.file) {
        ("system", _) => "the system's authorities".to_owned(),
        ("any", _) => "ANY certificate (manager.insecure_skip_verify)".to_owned(),
        ("pin", _) => "one certificate".to_owned(),
        ("authority", Some(file)) => format!("the authorities in {file}"),
        ("authority", None) => "an authority".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn by(one: &TrustView) -> &str {
    match one.source.as_str() {
        "default" => "default",
        "administrator" => "an administrator",
        "manager" => "the manager",
        other => other,
    }
}
