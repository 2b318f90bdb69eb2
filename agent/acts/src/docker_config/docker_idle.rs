//! What runs in Docker, asked by the hand itself right before a restart: two requests over the socket.

use model::docker_config::DockerRunning;
use model::nvidia_container::{NvidiaRole, NvidiaSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Docker answers both from memory.
const WITHIN: Duration = Duration::from_secs(5);
/// Longest answer: a thousand containers have two megabytes.
const MOST_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "LiveRestoreEnabled")]
    live_restore: Option<bool>,
}

#[derive(Deserialize)]
struct RunningContainer {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

/// What runs now. A label can be set by any program that may use Docker, which may end every container as well.
pub(super) async fn running(socket: &Path) -> Result<DockerRunning, String> {
    let info: Info = get(socket, "/info").await?;
    // Without a parameter those that run, paused ones included.
    let containers: Vec<RunningContainer> = get(socket, "/containers/json").await?;
    Ok(running_in(&info, &containers))
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
        return Err(model::printable::printable(&first, 100));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(text: &str) -> Vec<RunningContainer> {
        body(format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{text}").as_bytes()).unwrap()
    }

    #[test]
    fn everything_that_is_not_one_of_nvidias_two_containers_counts() {
        let info = Info { live_restore: Some(false) };
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
