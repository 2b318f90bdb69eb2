//! The last lines that a container has written, for people.

use super::shape::Shape;
use crate::client::{clean, client};
use crate::http::DockerError;
use crate::inspected::inspect;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use model::driver::ProbeError;
use model::ids::ContainerId;
use model::nvidia_container::NvidiaRole;
use model::snapshot::redact;
use std::collections::VecDeque;
use std::time::Duration;

/// So many lines.
const LINES: usize = 40;
/// More is not kept of the end of a log.
const TAIL_MAX_BYTES: usize = 256 * 1024;

pub(crate) async fn log_tail(
    socket: &str,
    role: NvidiaRole,
    id: &ContainerId,
    within: Duration,
) -> Result<Vec<String>, DockerError> {
    let found = inspect(socket, id).await?;
    let is_ours = |shape: Shape<'_>| shape.has_role(role) && shape.foreign(role).is_none();
    if !found.as_ref().is_some_and(|found| is_ours(Shape(found))) {
        let what = format!("the {role} container {}", id.short());
        let said = "there is no such container that gpuhostd has created".to_owned();
        return Err(DockerError::Fault(ProbeError::Absent { what, said }));
    }
    let docker = client(socket, within).await?;
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&LINES.to_string()).build();
    let mut parts = Box::pin(docker.logs(id.as_str(), Some(options)));
    let mut tail: VecDeque<u8> = VecDeque::new();
    while let Some(part) = parts.next().await {
        tail.extend(part?.into_bytes());
        let surplus = tail.len().saturating_sub(TAIL_MAX_BYTES);
        tail.drain(..surplus);
    }
    Ok(last_lines(&Vec::from(tail)))
}

/// The last lines that hold something. Secrets go before the lines are cut: some take several.
fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = redact::text(&String::from_utf8_lossy(bytes)).text;
    let lines: Vec<String> = text.lines().map(clean).filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(LINES)..).map(<[String]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_printable_and_without_secrets() {
        let many: String = (0..100).map(|number| format!("line {number}\r\n")).collect();
        let lines = last_lines(many.as_bytes());
        assert_eq!((lines.len(), lines.first().map(String::as_str)), (40, Some("line 60")));
        let lines =
            last_lines(b"\x1b[31mred\x07 https://user:hunter2@mirror.example/x\n\n\xff UBUNTU_PRO_TOKEN=C1abcdefgh");
        assert_eq!(lines.len(), 2);
        let all = lines.join("\n");
        assert!(all.contains("red") && all.contains("mirror.example"), "{all}");
        assert!(!all.contains("hunter2") && !all.contains("C1abcdefgh") && !all.contains('\x1b'), "{all}");
        assert_eq!(last_lines(&vec![b'x'; 5_000_000]).iter().map(String::len).max(), Some(600));
    }
}
