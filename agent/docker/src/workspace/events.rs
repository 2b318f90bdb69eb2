//! Waiting for Docker's events, so that no one asks every few seconds. Docker keeps the last 256 of all kinds, and none over its own restart:
//! after each wait, and after each gap, the caller looks again.

use crate::http::{DockerError, filters, wait_for_data};
use crate::pulls::Pulls;
use model::time::UnixMillis;
use model::workspace::WorkspaceContainer;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// What changes the look; commands that are executed in a container and health checks do not. `oom` is not among them: a program in the
/// container can cause one after the other by processes that the kernel kills, and if it kills the container itself, `die` follows.
const OF_CONTAINERS: [&str; 8] = ["create", "start", "die", "destroy", "pause", "unpause", "rename", "update"];
/// An image of ours has gone or come, or Docker has read its configuration again: then its runtimes may be others.
const OF_OTHERS: [&str; 5] = ["delete", "untag", "load", "pull", "reload"];

/// Waits for the first one that happened after `since`, or for Docker's end; `most` at most.
pub(crate) async fn await_event(
    socket: &str,
    pulls: &Pulls,
    since: UnixMillis,
    most: Duration,
) -> Result<(), DockerError> {
    let containers = json!({ "type": ["container"], "label": [WorkspaceContainer::ID_LABEL], "event": OF_CONTAINERS });
    let others = json!({ "type": ["image", "daemon"], "event": OF_OTHERS });
    let (containers, others) = (path(since, &containers), path(since, &others));
    let waiting = async {
        tokio::select! {
            changed = wait_for_data(socket, &containers) => changed,
            changed = wait_for_data(socket, &others) => changed,
            () = pulls.ended_after(since) => Ok(()),
        }
    };
    timeout(most, waiting).await.unwrap_or(Ok(()))
}

fn path(since: UnixMillis, filter: &serde_json::Value) -> String {
    let since = since.0.max(0);
    format!("/events?since={}.{:03}000000&{}", since / 1000, since % 1000, filters(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instant_is_in_seconds_with_nine_decimals() {
        let path = path(UnixMillis(1_764_000_000_007), &json!({ "type": ["daemon"] }));
        assert_eq!(path, "/events?since=1764000000.007000000&filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D");
    }
}
