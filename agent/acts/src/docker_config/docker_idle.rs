//! What runs in Docker, asked by the hand itself right before a restart: two requests over the socket, and a look at what dockerd has started.

use model::docker_config::DockerRunning;
use model::nvidia_container::{NvidiaRole, NvidiaSpec};
use model::printable::printable;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Docker answers both from memory.
const WITHIN: Duration = Duration::from_secs(5);
/// Longest answer: a thousand containers have two megabytes.
const MOST_BYTES: u64 = 16 << 20;
/// What dockerd starts and keeps: no more than these are an idle one's. A step of a build and a layer that is unpacked are others.
const OWN: [&str; 4] = ["dockerd", "containerd", "docker-proxy", "docker-init"];
/// Longest name of a process that the kernel keeps, with room for what is escaped.
const NAME_MAX_CHARS: usize = 64;

/// What Docker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DockerNow {
    /// What runs in it.
    pub(super) running: DockerRunning,
    /// It reads CDI specifications.
    pub(super) has_cdi: bool,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "LiveRestoreEnabled")]
    live_restore: Option<bool>,
    #[serde(rename = "CDISpecDirs")]
    cdi_spec_dirs: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RunningContainer {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

/// What runs now. A label can be set by any program that may use Docker, which may end every container as well.
pub(super) async fn now(socket: &Path) -> Result<DockerNow, String> {
    let info: Info = get(socket, "/info").await?;
    // Without a parameter those that run, paused ones included.
    let containers: Vec<RunningContainer> = get(socket, "/containers/json").await?;
    Ok(DockerNow { running: running_in(&info, &containers), has_cdi: has_cdi(&info) })
}

/// Whether dockerd has started nothing that a restart would cut: the steps of a build are no containers in its answers.
pub(super) async fn at_rest(pid: u32) -> Result<(), String> {
    let looked = tokio::task::spawn_blocking(move || at_rest_in(Path::new("/proc"), pid)).await;
    looked.map_err(|broken| broken.to_string())?
}

fn at_rest_in(proc: &Path, pid: u32) -> Result<(), String> {
    let unknown = |error: io::Error| {
        format!("whether a build runs in Docker cannot be determined: the children of process {pid}: {error}")
    };
    for child in children(proc, pid).map_err(unknown)? {
        let name = match read_to_string(proc.join(&child).join("comm")) {
            Ok(name) => name,
            // It has ended.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unknown(error)),
        };
        let name = name.trim_end();
        if !OWN.contains(&name) {
            let name = printable(name, NAME_MAX_CHARS);
            return Err(format!("a build or another program of Docker runs: {name} (process {child})"));
        }
    }
    Ok(())
}

/// Linux lists a child with the thread that started it. A thread that ends meanwhile is a fault: its children go to another one.
fn children(proc: &Path, pid: u32) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for thread in read_dir(proc.join(pid.to_string()).join("task"))? {
        let text = read_to_string(thread?.path().join("children"))?;
        found.extend(text.split_whitespace().map(str::to_owned));
    }
    Ok(found)
}

fn has_cdi(info: &Info) -> bool {
    info.cdi_spec_dirs.as_ref().is_some_and(|dirs| !dirs.is_empty())
}

fn running_in(info: &Info, containers: &[RunningContainer]) -> DockerRunning {
    let role = |one: &RunningContainer| one.labels.as_ref()?.get(NvidiaSpec::ROLE_LABEL)?.parse::<NvidiaRole>().ok();
    let of = |wanted: Option<NvidiaRole>| containers.iter().filter(|one| role(one) == wanted).count();
    DockerRunning {
        live_restore: info.live_restore,
        others: u32::try_from(of(None)).ok(),
        is_driver_up: of(Some(NvidiaRole::Driver)) > 0,
    }
}

async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, String> {
    let failed =
        |why: String| format!("what runs in Docker cannot be determined: GET {path} at {}: {why}", socket.display());
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        // HTTP/1.0: the answer ends with the connection.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(WITHIN, exchange).await.map_err(|_| failed("no answer within 5 s".to_owned()))?;
    body(&answer.map_err(|error| failed(error.to_string()))?).map_err(failed)
}

fn body<T: DeserializeOwned>(answer: &[u8]) -> Result<T, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("it is not an answer of HTTP")?;
    let (head, body) = answer.split_at(end + 4);
    let first = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    if first.split(' ').nth(1) != Some("200") {
        return Err(printable(&first, 100));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn containers(text: &str) -> Vec<RunningContainer> {
        body(format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{text}").as_bytes()).unwrap()
    }

    #[test]
    fn everything_that_is_not_one_of_nvidias_two_containers_counts() {
        let info = Info { live_restore: Some(false), cdi_spec_dirs: None };
        let of = |text: &str| running_in(&info, &containers(text));
        let toolkit = r#"{"Id": "a", "Labels": {"org.gpuhost.Agent1.role": "toolkit"}}"#;
        let driver = r#"{"Id": "b", "Labels": {"org.gpuhost.Agent1.role": "driver"}}"#;
        let workspace = r#"{"Id": "c", "Labels": {"org.gpuhost.Agent1.workspace": "w1"}}"#;
        assert_eq!((of("[]").others, of("[]").is_driver_up), (Some(0), false));
        let three = of(&format!("[{toolkit}, {driver}, {workspace}, {{\"Id\": \"d\", \"Labels\": null}}]"));
        assert_eq!((three.others, three.is_driver_up, three.live_restore), (Some(2), true, Some(false)));
        let other = of(r#"[{"Labels": {"org.gpuhost.Agent1.role": "toolkit2"}}]"#);
        assert_eq!(other.others, Some(1));
    }

    #[test]
    fn directories_for_specifications_show_that_docker_has_cdi() {
        for (text, expected) in [
            (r#"{"CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]}"#, true),
            (r#"{"CDISpecDirs": []}"#, false),
            (r#"{"CDISpecDirs": null}"#, false),
            (r#"{"LiveRestoreEnabled": true}"#, false),
        ] {
            assert_eq!(has_cdi(&serde_json::from_str(text).unwrap()), expected, "{text}");
        }
    }

    /// dockerd as process 7, with two threads that have started these.
    fn with_children(names: [Option<&str>; 2]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (number, name) in (8..).zip(names) {
            let thread = proc.path().join(format!("7/task/{number}"));
            fs::create_dir_all(&thread).unwrap();
            fs::write(thread.join("children"), name.map_or(String::new(), |_| format!("1{number} "))).unwrap();
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                let child = proc.path().join(format!("1{number}"));
                fs::create_dir(&child).unwrap();
                fs::write(child.join("comm"), format!("{name}\n")).unwrap();
            }
        }
        proc
    }

    #[test]
    fn a_program_of_a_build_keeps_docker_from_being_idle() {
        let of = |names| at_rest_in(with_children(names).path(), 7);
        for own in [[None, None], [Some("containerd"), Some("docker-proxy")], [Some("dockerd"), Some("docker-init")]] {
            assert_eq!(of(own), Ok(()), "{own:?}");
        }
        assert_eq!(of([None, Some("")]), Ok(()), "it has ended since it was listed");
        for other in ["runc", "buildkit-runc", "git", "containerd-shim", "docker"] {
            let why = of([Some("containerd"), Some(other)]).unwrap_err();
            assert!(why.contains(&format!("runs: {other} (process 19)")), "{why}");
        }
    }

    #[test]
    fn a_docker_that_cannot_be_looked_at_is_not_idle() {
        let proc = with_children([None, None]);
        assert!(at_rest_in(proc.path(), 6).is_err(), "there is no such process");
        fs::remove_file(proc.path().join("7/task/9/children")).unwrap();
        assert!(at_rest_in(proc.path(), 7).unwrap_err().contains("cannot be determined"));
    }

    #[test]
    fn what_is_no_answer_is_no_idle_docker() {
        for answer in [
            "",
            "[]",
            "HTTP/1.0 500 Internal Server Error\r\n\r\n[]",
            "HTTP/1.0 200 OK\r\n\r\n[{",
            "HTTP/1.0 200 OK\r\n\r\n{}",
        ] {
            assert!(body::<Vec<RunningContainer>>(answer.as_bytes()).is_err(), "{answer:?}");
        }
    }
}
