//! Docker's files: its executable, `daemon.json`, and the group of its socket.

use super::place::Place;
use model::absence::{Absence, Reading};
use model::doctor::doctor_facts::{DockerConfig, DockerFiles};
use serde_json::Value;

const EXECUTABLES: [&str; 4] = ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/snap/bin/dockerd"];
const CONFIG: &str = "/etc/docker/daemon.json";
const HAND: &str = "gpuhostd-containers";

/// Reads them.
pub(super) fn read(place: &Place) -> DockerFiles {
    DockerFiles {
        installed: Reading::Known(EXECUTABLES.iter().any(|path| place.has(path))),
        config: match place.text(CONFIG) {
            Ok(text) => Reading::Known(config(place, &text)),
            Err(why) => Reading::Absent(why),
        },
        hand_in_group: hand_in_group(place),
    }
}

fn config(place: &Place, text: &str) -> DockerConfig {
    let mut config = DockerConfig { path: CONFIG.to_owned(), ..DockerConfig::default() };
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => {
            config.error = Some("it is not a JSON object".to_owned());
            return config;
        }
        Err(error) => {
            config.error = Some(if text.trim().is_empty() { "it is empty".to_owned() } else { error.to_string() });
            return config;
        }
    };
    config.cdi = value.pointer("/features/cdi").and_then(Value::as_bool);
    config.selinux = value.get("selinux-enabled").and_then(Value::as_bool).unwrap_or(false);
    let runtimes = value.get("runtimes").and_then(Value::as_object).into_iter().flatten();
    let paths = runtimes.filter_map(|(name, runtime)| Some((name, runtime.get("path")?.as_str()?)));
    let missing = paths.filter(|(_, path)| !is_there(place, path));
    config.missing_runtimes = missing.map(|(name, path)| (name.clone(), path.to_owned())).collect();
    config
}

/// A bare name is looked for where a service looks.
fn is_there(place: &Place, path: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    if path.starts_with('/') {
        return place.has(path);
    }
    folders.iter().any(|folder| place.has(&format!("{folder}/{path}")))
}

/// By the files alone: a directory service may know more groups, and then the user is none of the package's.
fn hand_in_group(place: &Place) -> Reading<bool> {
    let (passwd, group) = match (place.text("/etc/passwd"), place.text("/etc/group")) {
        (Ok(passwd), Ok(group)) => (passwd, group),
        (Err(why), _) | (_, Err(why)) => return Reading::Absent(why),
    };
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let find =
        |text: &str, name: &str| text.lines().map(fields).find(|line| line.first().is_some_and(|first| first == name));
    let (Some(user), Some(docker)) = (find(&passwd, HAND), find(&group, "docker")) else {
        return Reading::Absent(Absence::None);
    };
    let member = docker.get(3).is_some_and(|members| members.split(',').any(|name| name == HAND));
    Reading::Known(member || (user.get(3).is_some() && user.get(3) == docker.get(2)))
}
