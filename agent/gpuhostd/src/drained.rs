//! Logs once that the host is drained, so that an administrator who waits for that finds when it was.

use model::message::Message;
use model::settings::Settings;
use model::workspace_life::WorkspacesState;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// It takes no new workspaces, and none runs any more.
fn is_drained(settings: &Settings, workspaces: &WorkspacesState) -> bool {
    settings.desired.is_draining() && workspaces.is_empty_of_containers()
}

/// Follows whether it is until it is cancelled.
pub(crate) async fn follow(
    mut settings: watch::Receiver<Arc<Settings>>,
    mut workspaces: watch::Receiver<Arc<WorkspacesState>>,
    cancel: CancellationToken,
) {
    let mut was_drained = false;
    loop {
        let is_now = is_drained(&settings.borrow_and_update(), &workspaces.borrow_and_update());
        if is_now && !was_drained {
            tracing::info!(
                message_id = Message::HostDrained.id(),
                "the host is drained: no workspace runs, and it takes no new ones; see: gpuhostctl drain --status"
            );
        }
        was_drained = is_now;
        tokio::select! {
            () = cancel.cancelled() => return,
            Ok(()) = settings.changed() => {}
            Ok(()) = workspaces.changed() => {}
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_drained_while_it_is_draining_and_docker_shows_nothing_that_runs() {
        let mut settings = Settings::default();
        let seen = WorkspacesState { is_looked: true, ..WorkspacesState::default() };
        assert!(!is_drained(&settings, &seen));
        settings.desired.draining = Some(true);
        assert!(is_drained(&settings, &seen));
        assert!(!is_drained(&settings, &WorkspacesState::default()), "Docker was not asked yet");
        assert!(!is_drained(&settings, &WorkspacesState { unknown: Some("away".to_owned()), ..seen }));
    }
}
