//! The environment of the service, as far as it decides how a manager is reached: the doctor goes the way that the daemon goes.

use std::path::PathBuf;
use std::time::Duration;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Proxy};

/// The variables that HTTP and TLS libraries read: a proxy, and authorities.
const NAMES: [&str; 8] =
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// systemd answers at once; where it does not, the doctor has its own environment.
const WITHIN: Duration = Duration::from_secs(3);
const UNIT: &str = "gpuhostd.service";
/// The kernel bounds an environment by a quarter of the stack; ours is far smaller.
const ENVIRON_MAX_BYTES: usize = 1 << 20;

/// Each of the variables with its value in the service, `None` where it has none. Nothing where systemd does not know the service.
pub(super) async fn of_service() -> Vec<(&'static str, Option<String>)> {
    let asked = tokio::time::timeout(WITHIN, assignments()).await;
    let Some(assignments) = asked.ok().and_then(Result::ok).flatten() else { return Vec::new() };
    NAMES.map(|name| (name, value(&assignments, name))).to_vec()
}

fn value(assignments: &[String], name: &str) -> Option<String> {
    let of_name = |text: &String| text.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    assignments.iter().rev().find_map(of_name)
}

/// `NAME=VALUE` of the running process, which only root may see; else those that stand in the unit.
async fn assignments() -> zbus::Result<Option<Vec<String>>> {
    let bus = Connection::system().await?;
    let manager =
        Proxy::new(&bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
            .await?;
    let unit: OwnedObjectPath = manager.call("LoadUnit", &(UNIT,)).await?;
    let unit = Proxy::new(&bus, "org.freedesktop.systemd1", unit.clone(), "org.freedesktop.DBus.Properties").await?;
    let state: OwnedVariant = unit.call("Get", &("org.freedesktop.systemd1.Unit", "LoadState")).await?;
    if String::try_from(state)? != "loaded" {
        return Ok(None);
    }
    let pid: OwnedVariant = unit.call("Get", &("org.freedesktop.systemd1.Service", "MainPID")).await?;
    if let Some(running) = environ(u32::try_from(pid)?) {
        return Ok(Some(running));
    }
    let written: OwnedVariant = unit.call("Get", &("org.freedesktop.systemd1.Service", "Environment")).await?;
    Ok(Some(Vec::<String>::try_from(written)?))
}

fn environ(pid: u32) -> Option<Vec<String>> {
    let file = PathBuf::from(format!("/proc/{pid}/environ"));
    let bytes = files::read(&file, ENVIRON_MAX_BYTES).ok().filter(|bytes| pid != 0 && !bytes.is_empty())?;
    let assignments = bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    Some(assignments.filter_map(|text| String::from_utf8(text.to_vec()).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_last_assignment_counts_and_a_longer_name_is_another_one() {
        let all = ["HTTPS_PROXY_X=no", "HTTPS_PROXY=http://a", "HTTPS_PROXY=http://b=c", "NO_PROXY"].map(str::to_owned);
        assert_eq!(value(&all, "HTTPS_PROXY").as_deref(), Some("http://b=c"));
        assert_eq!((value(&all, "NO_PROXY"), value(&all, "https_proxy")), (None, None));
    }

    #[test]
    fn the_environment_of_a_process_is_read() {
        let mut child =
            std::process::Command::new("sleep").arg("60").env_clear().env("SSL_CERT_FILE", "/ca.pem").spawn().unwrap();
        // Until the program is there, the environment is that of the test. The bound is for a test that would hang, not for speed.
        let until = Instant::now() + Duration::from_secs(60);
        let mut found = environ(child.id());
        while found.as_ref().is_none_or(|all| all.len() != 1) && Instant::now() < until {
            std::thread::yield_now();
            found = environ(child.id());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.and_then(|all| value(&all, "SSL_CERT_FILE")).as_deref(), Some("/ca.pem"));
        assert_eq!(environ(0), None);
    }
}
