//! The policy that is in force: read at the start and at each reload. An invalid file is reported, and the present policy stays in force.

use engine::publish::Publisher;
use model::condition::{Condition, ConditionStatus};
use model::message::Message;
use model::policy::Policy;
use model::time::UnixMillis;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Type of the condition that holds while the file is wrong.
const INVALID: &str = "policy_invalid";

/// The policy on a watch. Before a file was read it is the strictest.
pub(crate) struct InForce {
    file: PathBuf,
    policy: watch::Sender<Arc<Policy>>,
    publisher: Arc<Publisher>,
}

impl InForce {
    /// The policy that will be read from this file; conditions go to `publisher`.
    pub(crate) fn new(file: PathBuf, publisher: Arc<Publisher>) -> Self {
        Self { file, policy: watch::Sender::new(Arc::new(Policy::strictest())), publisher }
    }

    /// What is in force.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// Reads the file again. Never fails: what is wrong with it holds as a condition until it is right.
    pub(crate) async fn read(&self, now: UnixMillis) {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || hands::policy::look(&file)).await;
        let why = match read {
            Ok(Ok(policy)) => {
                self.policy.send_replace(Arc::new(policy));
                return self.publisher.lift(INVALID);
            }
            Ok(Err(fault)) => fault.to_string(),
            Err(fault) => format!("{} could not be read: {fault}", self.file.display()),
        };
        let why = why.replace('\n', "; ");
        tracing::error!(
            message_id = Message::PolicyUnusable.id(),
            "the policy is invalid, and the present one stays in force: {why}"
        );
        self.publisher.stand(Condition {
            kind: INVALID.to_owned(),
            status: ConditionStatus::True,
            reason: "wrong_file".to_owned(),
            message: format!(
                "{why}; until it is valid, GPUs can only be taken back: correct it, then `systemctl reload gpuhostd`"
            ),
            since: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::start::EngineParts;
    use std::path::Path;

    fn write(file: &Path, text: &str) {
        std::fs::write(file, text).unwrap();
    }

    #[tokio::test]
    async fn a_wrong_file_keeps_the_old_policy_and_says_what_is_wrong_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let ends = EngineParts::default();
        let shown = ends.handle().observation;
        let told = || shown.borrow().conditions.iter().find(|one| one.kind == INVALID).cloned();
        let policy = InForce::new(file.clone(), ends.publisher());
        let now = policy.watch();
        write(&file, "[host.passthrough]\nalowed = true\n");
        policy.read(UnixMillis(7)).await;
        assert_eq!(**now.borrow(), Policy::strictest(), "nothing was read before");
        let condition = told().unwrap();
        assert!(
            ["policy.toml:2:1:", "host.passthrough.alowed"].iter().all(|word| condition.message.contains(word)),
            "{condition:?}"
        );
        write(&file, "[host.passthrough]\nchanges_per_minute = 2\n");
        policy.read(UnixMillis(8)).await;
        assert_eq!((now.borrow().host.passthrough.changes_per_minute, told()), (2, None));
        write(&file, "[nonsense]");
        policy.read(UnixMillis(9)).await;
        assert_eq!(now.borrow().host.passthrough.changes_per_minute, 2, "the old one stays");
        assert_eq!(told().unwrap().since, UnixMillis(9));
        std::fs::remove_file(&file).unwrap();
        policy.read(UnixMillis(10)).await;
        assert_eq!((&**now.borrow(), told()), (&Policy::default(), None), "no file means the defaults");
    }
}
