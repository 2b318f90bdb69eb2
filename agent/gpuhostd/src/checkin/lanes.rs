//! What runs beside the session task: one task for each kind of work, at most one of a kind at a time, and its result for the session
//! task to take in.

use crate::checkin::beat::BeatBack;
use crate::checkin::byhand::ByHandBack;
use crate::checkin::deliver::DeliverBack;
use crate::checkin::enrolment::EnrolBack;
use crate::checkin::goodbye::GoodbyeBack;
use crate::checkin::keeper::KeptBack;
use crate::checkin::poll::PollBack;
use crate::checkin::probe::ProbeBack;
use crate::checkin::renewal::RenewalBack;
use crate::checkin::token_file::TokenRead;
use crate::checkin::version::VersionBack;
use crate::checkin::wake::{Prepared, WakeBack};
use crate::desired::Taken;
use host::front::FileWatch;
use std::collections::BTreeMap;
use std::io;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Reads what this host is from its files.
    Wake,
    /// Makes ready what begins with a token of a file.
    Prepare,
    /// Reads the token file.
    TokenFile,
    /// Waits until something happens to the token file.
    TokenWatch,
    /// A heartbeat.
    Beat,
    /// Asks a manager for its optional features.
    Version,
    /// A request for desired state that the manager holds until there is another document.
    Poll,
    /// A request for desired state that is answered at once.
    Fetch,
    /// Has the document that came with a reply judged.
    Offer,
    /// Delivers events.
    Events,
    /// Asks for a new credential.
    Renewal,
    /// Asks for an identity.
    Enrolment,
    /// Enrols because a person asked for it.
    ByHand,
    /// Looks at the manager with another trust.
    Probe,
    /// Notifies the manager and wipes.
    Goodbye,
    /// Writes to disk.
    Keeping,
}

impl Lane {
    /// As it is shown.
    const fn name(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Prepare => "prepare",
            Self::TokenFile => "token_file",
            Self::TokenWatch => "token_watch",
            Self::Beat => "heartbeat",
            Self::Version => "version",
            Self::Poll => "long_poll",
            Self::Fetch => "desired_state",
            Self::Offer => "offer",
            Self::Events => "events",
            Self::Renewal => "renewal",
            Self::Enrolment => "enrolment",
            Self::ByHand => "enrolment_by_hand",
            Self::Probe => "probe",
            Self::Goodbye => "goodbye",
            Self::Keeping => "keeping",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Back {
    /// What the files say.
    Wake(Box<WakeBack>),
    /// What begins with a token of a file.
    Prepare(Box<Result<Prepared, String>>),
    /// What the token file holds.
    TokenFile(TokenRead),
    /// The token file may be another one now; the watch for what comes next, which began before anybody looks.
    TokenWatch(io::Result<FileWatch>),
    /// The answer to a heartbeat.
    Beat(Box<BeatBack>),
    /// What a manager reported about its features.
    Version(Box<VersionBack>),
    /// What came of a request for desired state.
    Poll(Box<PollBack>),
    /// What became of the document that came with a reply.
    Offered(Taken),
    /// What came of a batch of events.
    Delivered(Box<DeliverBack>),
    /// An event that the manager refuses by itself was handed in, or will be offered again.
    Skipped,
    /// A new credential, or none.
    Renewal(Box<RenewalBack>),
    /// An identity, or none.
    Enrolment(Box<EnrolBack>),
    /// What to say to the person, and what to do.
    ByHand(Box<ByHandBack>),
    /// Whether the manager would be trusted.
    Probed(Box<ProbeBack>),
    /// This host has left.
    Goodbye(GoodbyeBack),
    /// It is on disk, or not.
    Keeping(KeptBack),
}

/// The work that is under way.
#[derive(Debug)]
pub(super) struct Lanes {
    tasks: JoinSet<(Lane, Back)>,
    running: BTreeMap<Lane, AbortHandle>,
    /// Which run: for anyone who must not disturb.
    under_way: watch::Sender<Vec<&'static str>>,
}

impl Lanes {
    /// None yet, and where to read which run.
    #[must_use]
    pub(super) fn new() -> (Self, watch::Receiver<Vec<&'static str>>) {
        let (under_way, reader) = watch::channel(Vec::new());
        (Self { tasks: JoinSet::new(), running: BTreeMap::new(), under_way }, reader)
    }

    /// Nothing of this kind is under way.
    #[must_use]
    pub(super) fn is_free(&self, lane: Lane) -> bool {
        !self.running.contains_key(&lane)
    }

    /// Nothing of these kinds is under way.
    #[must_use]
    pub(super) fn are_free(&self, lanes: &[Lane]) -> bool {
        lanes.iter().all(|lane| self.is_free(*lane))
    }

    /// Starts it; whatever of this kind was under way is stopped.
    pub(super) fn start(&mut self, lane: Lane, work: impl Future<Output = Back> + Send + 'static) {
        self.stop(&[lane]);
        let handle = self.tasks.spawn(async move { (lane, work.await) });
        self.running.insert(lane, handle);
    }

    /// Stops what is under way of these kinds: nothing of it returns.
    pub(super) fn stop(&mut self, lanes: &[Lane]) {
        for lane in lanes {
            if let Some(handle) = self.running.remove(lane) {
                handle.abort();
            }
        }
    }

    /// Shows which run. The watch of the token file only waits, and is none of them.
    pub(super) fn show(&self) {
        let running = || self.running.keys().filter(|lane| **lane != Lane::TokenWatch).map(|lane| lane.name());
        self.under_way.send_if_modified(|shown| {
            let changed = !shown.iter().copied().eq(running());
            if changed {
                *shown = running().collect();
            }
            changed
        });
    }

    /// What returns next; never where nothing is under way. Work that broke ends the daemon: it is started again.
    pub(super) async fn next(&mut self) -> Back {
        loop {
            match self.tasks.join_next_with_id().await {
                Some(Ok((id, (lane, back)))) => {
                    // What was stopped may have come to its end before it heard of it.
                    if self.running.get(&lane).is_some_and(|handle| handle.id() == id) {
                        self.running.remove(&lane);
                        return back;
                    }
                }
                Some(Err(broken)) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}
