//! Where the keepers of containers and the keeper of images meet: what was pulled, what is wished, what is asked, and what is shown.

use model::event::{EventKind, EventSeverity, Occurrence};
use model::image_ref::ImageRef;
use model::refusal::Refusal;
use model::time::whole_millis;
use model::workspace_life::{ImageAsk, ImagesState, WishedImages, pull_failure_code};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// So many pulls can begin before the first of them is written down.
const PULLS_MOST: usize = 256;
/// So much can be asked before the first is taken.
const ASKS_MOST: usize = 32;
/// Docker is waited for so long until it has removed what a person wants removed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30 * 60);

/// What is answered.
#[derive(Debug, Clone)]
pub struct ImageAnswer {
    /// What was done, in one sentence; empty where nothing was asked to be done.
    pub said: String,
    /// The images, as they are afterwards.
    pub state: Arc<ImagesState>,
}

/// What is asked of images, and where the answer goes.
#[derive(Debug)]
pub struct ImageQuestion {
    /// What is asked.
    pub ask: ImageAsk,
    /// Gets the answer when it is done.
    pub answer: oneshot::Sender<Result<ImageAnswer, Refusal>>,
}

/// What arrives for the keeper of images.
#[derive(Debug)]
pub struct ImageInbox {
    /// Images whose pull begins.
    pub pulls: mpsc::Receiver<ImageRef>,
    /// What is asked.
    pub questions: mpsc::Receiver<ImageQuestion>,
}

/// What something names; `None` = that is not known.
type Named<T> = Option<Arc<T>>;

/// The meeting place.
#[derive(Debug)]
pub struct ImageBoard {
    pulls: mpsc::Sender<ImageRef>,
    questions: mpsc::Sender<ImageQuestion>,
    inbox: Mutex<Option<ImageInbox>>,
    shown: watch::Sender<Arc<ImagesState>>,
    of_documents: watch::Sender<Named<WishedImages>>,
    of_nvidia: watch::Sender<Named<BTreeSet<ImageRef>>>,
}

impl Default for ImageBoard {
    fn default() -> Self {
        let (pulls, begun) = mpsc::channel(PULLS_MOST);
        let (questions, asked) = mpsc::channel(ASKS_MOST);
        Self {
            pulls,
            questions,
            inbox: Mutex::new(Some(ImageInbox { pulls: begun, questions: asked })),
            shown: watch::Sender::default(),
            of_documents: watch::Sender::default(),
            of_nvidia: watch::Sender::default(),
        }
    }
}

impl ImageBoard {
    /// The pull of an image begins now. What finds no room is not remembered as ours, so that it is never removed.
    pub fn pull_begins(&self, image: &ImageRef) {
        let _dropped = self.pulls.try_send(image.clone());
    }

    /// The documents in force name these images.
    pub fn show_documents(&self, images: Option<WishedImages>) {
        put(&self.of_documents, images);
    }

    /// The driver container and the toolkit container need these images.
    pub fn show_nvidia(&self, images: BTreeSet<ImageRef>) {
        put(&self.of_nvidia, Some(images));
    }

    /// Everything that is named; `None` = a part of it is not known.
    #[must_use]
    pub fn named(&self) -> Option<WishedImages> {
        let (documents, nvidia) = (self.of_documents.borrow().clone()?, self.of_nvidia.borrow().clone()?);
        let mut named = (*documents).clone();
        named.needed.extend(nvidia.iter().cloned());
        Some(named)
    }

    /// What is shown of images.
    #[must_use]
    pub fn shown(&self) -> watch::Receiver<Arc<ImagesState>> {
        self.shown.subscribe()
    }

    /// Shows it.
    pub fn show(&self, state: ImagesState) {
        self.shown.send_replace(Arc::new(state));
    }

    /// Asks, and waits until it is done.
    ///
    /// # Errors
    /// The keeper's refusal; `Busy` where too much is asked at once, `Unavailable` where no task keeps images.
    pub async fn ask(&self, ask: ImageAsk) -> Result<ImageAnswer, Refusal> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Refusal::stopping("the keeper of images");
        self.questions.try_send(ImageQuestion { ask, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::Busy { why: "too much is asked of images at once; try again in a few seconds".to_owned() }
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer.map_err(|_| stopping())?,
            Err(_) => {
                let what = "the keeper of images".to_owned();
                Err(Refusal::Timeout { what, after_ms: whole_millis(ANSWER_WITHIN) })
            }
        }
    }

    /// What arrives, for the one who keeps images. None: that one has it already.
    #[must_use]
    pub fn take_inbox(&self) -> Option<ImageInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn put<T: PartialEq>(to: &watch::Sender<Named<T>>, images: Option<T>) {
    to.send_if_modified(|known| {
        let is_new = known.as_deref() != images.as_ref();
        if is_new {
            *known = images.map(Arc::new);
        }
        is_new
    });
}

/// That a pull has ended, and how.
#[must_use]
pub fn pull_ended(image: &ImageRef, ended: Result<(), &str>) -> Occurrence {
    let subject = image.to_string();
    match ended {
        Ok(()) => Occurrence {
            kind: EventKind::ImagePulled,
            message: format!("{image} was pulled"),
            severity: EventSeverity::Info,
            code: None,
            subject,
            data: BTreeMap::new(),
        },
        Err(why) => Occurrence {
            kind: EventKind::ImagePullFailed,
            message: format!("{image} could not be pulled: {why}"),
            severity: EventSeverity::Warning,
            code: Some(pull_failure_code(why).to_owned()),
            subject,
            data: BTreeMap::new(),
        },
    }
}
