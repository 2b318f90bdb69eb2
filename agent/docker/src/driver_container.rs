//! `nvidia-smi -q -x` inside the running driver container, with fixed arguments.

use crate::http::{DockerError, get, post};
use crate::json::Json;
use crate::within;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt;
use hyper::StatusCode;
use model::driver::{DriverReport, DriverSource, ProbeError};
use model::smi::{ARGUMENTS, DOCUMENT_MAX_BYTES, document};
use std::time::Duration;
use tokio::time::Instant;

/// Running containers with the label `org.gpuhost.Agent1.role=driver`.
const RUNNING_DRIVERS: &str = "/containers/json?filters=%7B%22label%22%3A%5B%22org.gpuhost.Agent1.role%3Ddriver%22%5D%2C\
                               %22status%22%3A%5B%22running%22%5D%7D";
/// The program, found through the container's own `PATH`.
const PROGRAM: &str = "nvidia-smi";

/// More driver containers than these are not asked.
const CONTAINERS_MAX: usize = 4;

/// What ended inside the container.
struct Ended {
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Asks nvidia-smi in a container that is labelled as the driver's. Where there are several, one that fails or hangs costs only
/// its share of the time.
///
/// # Errors
/// There is no such container, one of our earlier questions still hangs in it, nvidia-smi fails, or Docker does: of several
/// containers what the first one reported.
pub async fn smi_in_driver_container(socket: &str, deadline: Duration) -> Result<DriverReport, ProbeError> {
    let what = "nvidia-smi in the driver container";
    let begin = Instant::now();
    let containers = within(what, deadline, driver_containers(what, socket)).await?;
    let mut first = None;
    for (container, shares) in containers.iter().zip((1..=u32::try_from(containers.len()).unwrap_or(1)).rev()) {
        let share = deadline.saturating_sub(begin.elapsed()) / shares;
        let answer = within(what, share, ask(what, socket, container, share)).await.and_then(|ended| {
            document(what, ended.status, &ended.stdout, &ended.stderr, DriverSource::SmiInDriverContainer)
        });
        match answer {
            Ok(report) => return Ok(report),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    Err(first.unwrap_or_else(|| ProbeError::Absent {
        what: what.to_owned(),
        said: "no running container has the label org.gpuhost.Agent1.role=driver".to_owned(),
    }))
}

async fn ask(what: &str, socket: &str, container: &str, deadline: Duration) -> Result<Ended, DockerError> {
    refuse_while_one_hangs(what, socket, container).await?;
    let command: Vec<&str> = [PROGRAM].into_iter().chain(ARGUMENTS).collect();
    let config = serde_json::json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true, "Env": ["LC_ALL=C"]});
    let made = post(socket, &format!("/containers/{container}/exec"), config.to_string()).await?;
    let exec = identifier(made.get("Id")).ok_or_else(|| garbled(what, "Docker returned no identifier for the exec"))?;
    let docker = Docker::connect_with_unix(socket, deadline.as_secs().saturating_add(1), API_DEFAULT_VERSION)?;
    let started = docker.start_exec(exec, None::<StartExecOptions>).await?;
    let (stdout, stderr) = output(what, started).await?;
    let seen = get(socket, &format!("/exec/{exec}/json")).await?;
    let status = seen.get("ExitCode").number().ok_or_else(|| garbled(what, "Docker returned no exit status"))?;
    Ok(Ended { status, stdout, stderr })
}

fn garbled(what: &str, why: &str) -> DockerError {
    DockerError::Fault(ProbeError::Garbled { what: what.to_owned(), why: why.to_owned() })
}

/// Identifiers go into paths: Docker's own are hexadecimal, and nothing else is taken.
fn identifier(value: &Json) -> Option<&str> {
    value.text().filter(|id| (12..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

async fn driver_containers(what: &str, socket: &str) -> Result<Vec<String>, DockerError> {
    let listed = get(socket, RUNNING_DRIVERS).await?;
    if !matches!(listed, Json::List(_)) {
        return Err(garbled(what, "Docker's list of containers is not a list"));
    }
    let ids = listed.items().iter().filter_map(|container| identifier(container.get("Id")));
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids.truncate(CONTAINERS_MAX);
    Ok(ids)
}

/// Docker cannot end an exec. One of ours that never ended hangs in the kernel, and is found again even after a restart.
async fn refuse_while_one_hangs(what: &str, socket: &str, container: &str) -> Result<(), DockerError> {
    let seen = get(socket, &format!("/containers/{container}/json")).await?;
    for exec in seen.get("ExecIDs").items().iter().filter_map(identifier) {
        let seen = match get(socket, &format!("/exec/{exec}/json")).await {
            // It has ended meanwhile.
            Err(DockerError::Refused { status: StatusCode::NOT_FOUND, .. }) => continue,
            seen => seen?,
        };
        let program = seen.get("ProcessConfig").get("entrypoint").text();
        let runs = seen.get("Running").flag() == Some(true);
        let pid = seen.get("Pid").number();
        if let (Some(PROGRAM), true, Some(pid)) = (program, runs, pid) {
            return Err(DockerError::Fault(ProbeError::Stuck { what: what.to_owned(), pid }));
        }
    }
    Ok(())
}

async fn output(what: &str, started: StartExecResults) -> Result<(Vec<u8>, Vec<u8>), DockerError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let StartExecResults::Attached { output, .. } = started else {
        return Err(garbled(what, "Docker started it without its output"));
    };
    let mut output = output;
    while let Some(part) = output.next().await {
        match part? {
            LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => stdout.extend_from_slice(&message),
            LogOutput::StdIn { .. } => {}
        }
        if stdout.len().max(stderr.len()) > DOCUMENT_MAX_BYTES {
            return Err(garbled(what, "it wrote more than 16 MiB"));
        }
    }
    Ok((stdout, stderr))
}
