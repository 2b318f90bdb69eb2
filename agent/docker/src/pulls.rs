//! The pulls that this process has begun: one for an image at a time, each in a task of its own, with what became of it.

use crate::client::{client, said, words};
use crate::images::present;
use crate::pull_progress::PullProgress;
use crate::registry_logins::LoginSource;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use model::image_ref::ImageRef;
use model::nvidia_container::ImageSeen;
use model::printable::printable;
use model::registry_login::RegistryLogin;
use model::snapshot::redact;
use model::time::{UnixMillis, whole_millis};
use model::workspace_life::pull_failure_code;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// More are not begun at once.
const AT_ONCE_MAX: usize = 16;
/// More failures are not remembered.
const FAILURES_MAX: usize = 256;
/// However slow it is: nothing waits for ever.
const PULL_WITHIN: Duration = Duration::from_secs(12 * 60 * 60);
/// Most that is repeated of why one failed.
const WHY_MAX_CHARS: usize = 800;

#[derive(Debug)]
enum Pull {
    Runs(PullProgress),
    Failed(String),
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Pulls {
    stalled_after: Duration,
    logins: LoginSource,
    pulls: Mutex<BTreeMap<ImageRef, Pull>>,
    /// When the last one ended, on the wall clock.
    ended: watch::Sender<UnixMillis>,
}

impl Pulls {
    pub(crate) fn new(stalled_after: Duration, logins: LoginSource) -> Self {
        Self { stalled_after, logins, pulls: Mutex::default(), ended: watch::Sender::new(UnixMillis(i64::MIN)) }
    }

    /// Begins one, or leaves the one that runs alone. The reason where too many run.
    pub(crate) fn begin(
        self: &Arc<Self>,
        socket: &str,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<(), String> {
        let mut pulls = self.lock();
        let running = pulls.values().filter(|pull| matches!(pull, Pull::Runs(_))).count();
        if matches!(pulls.get(image), Some(Pull::Runs(_))) {
            return Ok(());
        }
        if running >= AT_ONCE_MAX {
            return Err(format!("{running} other images are being pulled; try again when one is there"));
        }
        if pulls.len() >= FAILURES_MAX {
            pulls.retain(|_, pull| matches!(pull, Pull::Runs(_)));
        }
        pulls.insert(image.clone(), Pull::Runs(PullProgress::default()));
        drop(pulls);
        let (all, socket, image, login) = (Arc::clone(self), socket.to_owned(), image.clone(), login.cloned());
        tokio::spawn(async move {
            let outcome = timeout(PULL_WITHIN, all.pull(&socket, &image, login.as_ref())).await;
            let outcome = outcome.unwrap_or_else(|_| Err(format!("it was not there after {PULL_WITHIN:?}")));
            let mut pulls = all.lock();
            match outcome {
                Ok(()) => drop(pulls.remove(&image)),
                Err(why) => drop(pulls.insert(image, Pull::Failed(printable(&redact::text(&why).text, WHY_MAX_CHARS)))),
            }
            drop(pulls);
            all.ended.send_replace(wall_now());
        });
        Ok(())
    }

    /// How far one is that runs.
    pub(crate) fn progress(&self, image: &ImageRef) -> Option<ImageSeen> {
        match self.lock().get(image) {
            Some(Pull::Runs(progress)) => Some(progress.seen()),
            Some(Pull::Failed(_)) | None => None,
        }
    }

    /// Why the last one failed.
    pub(crate) fn failure(&self, image: &ImageRef) -> Option<String> {
        match self.lock().get(image) {
            Some(Pull::Failed(why)) => Some(why.clone()),
            Some(Pull::Runs(_)) | None => None,
        }
    }

    /// The image is there: how a pull failed before is history.
    pub(crate) fn forget_failure(&self, image: &ImageRef) {
        let mut pulls = self.lock();
        if matches!(pulls.get(image), Some(Pull::Failed(_))) {
            pulls.remove(image);
        }
    }

    /// Waits until one has ended at this instant or later, whatever came of it.
    pub(crate) async fn ended_after(&self, since: UnixMillis) {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as this does.
        let _seen = ended.wait_for(|at| *at >= since).await.is_ok();
    }

    /// Pulls it to the end. A digest is what counts where there is one. When this is dropped the connection closes, and Docker ends
    /// the pull.
    async fn pull(&self, socket: &str, image: &ImageRef, wished: Option<&RegistryLogin>) -> Result<(), String> {
        let (login, fault) = self.logins.login(image, wished).await;
        let pulled = self.pull_with(socket, image, login).await;
        pulled.map_err(|why| match fault {
            Some(fault) if pull_failure_code(&why) == "registry_auth" => format!("{why}; {fault}"),
            Some(_) | None => why,
        })
    }

    /// The login goes into one header of this one request, to Docker, which sends it to the registry that the image names.
    async fn pull_with(&self, socket: &str, image: &ImageRef, login: Option<DockerCredentials>) -> Result<(), String> {
        let docker = client(socket, self.stalled_after).await.map_err(|error| words(&error))?;
        let tag = image.digest().map_or_else(|| image.tag().unwrap_or("latest"), |digest| digest.as_str());
        let options = CreateImageOptionsBuilder::new().from_image(image.repository()).tag(tag).build();
        let mut lines = docker.create_image(Some(options), None, login);
        let mut moved = Instant::now();
        loop {
            let line = timeout_at(moved + self.stalled_after, lines.next()).await;
            let Ok(line) = line else {
                let ms = whole_millis(self.stalled_after);
                return Err(format!("Docker reported no progress for {ms} ms: the registry or the network stalls"));
            };
            let Some(line) = line else { break };
            let line = line.map_err(|error| said(&error))?;
            if let Some(Pull::Runs(progress)) = self.lock().get_mut(image)
                && progress.note(&line)
            {
                moved = Instant::now();
            }
        }
        match present(socket, image).await.map_err(|error| words(&error))? {
            Some(_) => Ok(()),
            None => Err("Docker finished the pull without an error, and does not have the image".to_owned()),
        }
    }

    /// No thread panics while it has it; one that did would have left the map whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ImageRef, Pull>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wall_now() -> UnixMillis {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
    UnixMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}
