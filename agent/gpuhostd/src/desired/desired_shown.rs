//! What everybody is shown of the desired state: the state itself on a watch, and conditions for what is wrong.

use engine::publish::Publisher;
use model::condition::{Condition, ConditionStatus};
use model::desired::{DesiredState, DocumentError, DocumentId, DocumentRefusal, InForceDocument};
use model::message::Message;
use model::time::UnixMillis;
use std::sync::Arc;
use tokio::sync::watch;

/// Type of the condition, and code of an offer, while an accepted document cannot be saved.
pub(super) const NOT_SAVED: &str = "desired_state_not_saved";
/// Type of the condition while the document on disk cannot be used.
const UNREADABLE: &str = "desired_state_unreadable";
/// Type of the condition while a local file is wrong.
const FILES_INVALID: &str = "desired_files_invalid";
/// So many faults of files are in a message.
const FAULTS_SHOWN: usize = 3;

/// Where it is shown. What has not changed is neither published nor logged again.
pub(super) struct Shown {
    publisher: Arc<Publisher>,
    state: watch::Sender<Arc<DesiredState>>,
    not_saved: Option<String>,
}

impl Shown {
    pub(super) const fn new(publisher: Arc<Publisher>, state: watch::Sender<Arc<DesiredState>>) -> Self {
        Self { publisher, state, not_saved: None }
    }

    /// This is the state from now on.
    pub(super) fn publish(&self, state: DesiredState, now: UnixMillis) {
        let before = Arc::clone(&self.state.borrow());
        if *before == state {
            return;
        }
        if before.manager != state.manager {
            self.show_manager(&state.manager, now);
        }
        if before.refused != state.refused {
            self.show_refused(state.refused.as_ref());
        }
        if before.local.faults != state.local.faults {
            self.show_faults(&state, now);
        }
        self.state.send_replace(Arc::new(state));
    }

    fn show_manager(&self, manager: &InForceDocument, now: UnixMillis) {
        let InForceDocument::Unreadable { why } = manager else { return self.publisher.lift(UNREADABLE) };
        tracing::error!(message_id = Message::DesiredStateUnreadable.id(), "the desired state cannot be used: {why}");
        self.stand(UNREADABLE, "host_fault", format!("the desired state cannot be used: {why}"), now);
    }

    fn show_refused(&self, refused: Option<&DocumentRefusal>) {
        let code = refused.map(|refused| refused.code);
        for other in DocumentError::CODES.into_iter().filter(|other| Some(*other) != code) {
            self.publisher.lift(other);
        }
        let Some(DocumentRefusal { code, id, message, since }) = refused else { return };
        let which = id.as_ref().map_or_else(|| "a document".to_owned(), |id| format!("the document {id}"));
        let said = format!("{which} of the manager is refused, and what was in force stays: {message}");
        tracing::warn!(message_id = Message::DocumentRefused.id(), condition = code, "{said}");
        self.stand(code, "refused", said, *since);
    }

    fn show_faults(&self, state: &DesiredState, now: UnixMillis) {
        let faults = &state.local.faults;
        if faults.is_empty() {
            return self.publisher.lift(FILES_INVALID);
        }
        let mut said: Vec<String> = faults
            .iter()
            .take(FAULTS_SHOWN)
            .map(|fault| {
                if fault.message.contains(&fault.place) {
                    fault.message.clone()
                } else {
                    format!("{}: {}", fault.place, fault.message)
                }
            })
            .collect();
        if faults.len() > FAULTS_SHOWN {
            said.push(format!("and {} more faults", faults.len() - FAULTS_SHOWN));
        }
        let message = format!(
            "the files of the desired state are not applied, and the last right ones stay: {}; `gpuhostctl desired check FILE` \
             shows all; when they are corrected they are read at once",
            said.join("; ")
        );
        tracing::error!(message_id = Message::DesiredFilesWrong.id(), "{message}");
        self.stand(FILES_INVALID, "wrong_file", message, now);
    }

    /// A document that was accepted is not on disk.
    pub(super) fn not_saved(&mut self, id: &DocumentId, why: &str, now: UnixMillis) {
        let message = format!(
            "the manager's document {id} is right and cannot be saved, so that it is not applied, and what was in force stays: \
             {why}; it is tried again at least every 5 minutes (`df -h /var/lib/gpuhostd` shows a full disk)"
        );
        if self.not_saved.as_ref() != Some(&message) {
            tracing::error!(message_id = Message::DesiredStateNotSaved.id(), "{message}");
            self.not_saved = Some(message.clone());
        }
        self.stand(NOT_SAVED, "host_fault", message, now);
    }

    /// No document waits to be saved.
    pub(super) fn saved(&mut self) {
        if self.not_saved.take().is_some() {
            self.publisher.lift(NOT_SAVED);
        }
    }

    fn stand(&self, kind: &str, reason: &str, message: String, since: UnixMillis) {
        self.publisher.stand(Condition {
            kind: kind.to_owned(),
            status: ConditionStatus::True,
            reason: reason.to_owned(),
            message,
            since,
        });
    }
}
