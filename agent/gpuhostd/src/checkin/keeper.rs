//! What is to be on disk: the newest version of each document, one write at a time. A disk that hangs or refuses holds up no heartbeat.

use crate::checkin::identity::{Forgotten, Identity, LastReply, Pending};
use crate::checkin::store::{IdentityError, IdentityStore};
use model::time::BootMillis;

/// A write that the host refused is tried again after so long, in milliseconds.
const AGAIN_AFTER_MS: u64 = 30_000;

/// One write.
#[derive(Debug)]
pub(super) enum Write {
    /// The identity.
    Identity(Box<Identity>),
    /// What the last accepted reply reported.
    LastReply(Box<LastReply>),
    /// The enrolment under way.
    Pending(Box<Pending>),
    /// A deleted identity goes aside.
    Forget(Box<Forgotten>),
    /// The deleted identity is wiped.
    WipeForgotten,
}

/// What came of a write.
#[derive(Debug)]
pub(super) struct KeptBack {
    /// The write.
    pub(super) write: Write,
    /// It is on disk, or why not.
    pub(super) done: Result<(), IdentityError>,
}

/// Does one write.
pub(super) async fn keep(store: IdentityStore, write: Write) -> KeptBack {
    let done = match &write {
        Write::Identity(identity) => store.keep(identity).await,
        Write::LastReply(reply) => store.keep_last_reply(reply).await,
        Write::Pending(pending) => store.keep_pending(pending).await,
        Write::Forget(forgotten) => store.forget(forgotten).await,
        Write::WipeForgotten => store.wipe_forgotten().await,
    };
    KeptBack { write, done }
}

/// What is still to be written, the newest of each kind.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    identity: Option<Box<Identity>>,
    pending: Option<Box<Pending>>,
    forget: Option<Box<Forgotten>>,
    last_reply: Option<Box<LastReply>>,
    wipe_forgotten: bool,
    /// The host refused a write: not again before.
    not_before: Option<BootMillis>,
    fault: Option<String>,
}

impl Keeper {
    /// This is to be on disk.
    pub(super) fn want(&mut self, write: Write) {
        match write {
            Write::Identity(identity) => self.identity = Some(identity),
            Write::LastReply(reply) => self.last_reply = Some(reply),
            Write::Pending(pending) => self.pending = Some(pending),
            Write::Forget(forgotten) => {
                // What is kept of it otherwise would bring it back.
                *self = Self { forget: Some(forgotten), ..Self::default() };
            }
            Write::WipeForgotten => self.wipe_forgotten = true,
        }
    }

    /// Nothing of what was wanted matters any more.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// The identity as it is known is on disk.
    pub(super) const fn has_identity(&self) -> bool {
        self.identity.is_none()
    }

    /// Identity and enrolment as they are known are on disk.
    pub(super) const fn has_all(&self) -> bool {
        self.identity.is_none() && self.pending.is_none()
    }

    /// What to write now. The credentials come first.
    pub(super) fn next(&mut self, now: BootMillis) -> Option<Write> {
        if self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let identity = self.identity.take().map(Write::Identity);
        identity
            .or_else(|| self.forget.take().map(Write::Forget))
            .or_else(|| self.pending.take().map(Write::Pending))
            .or_else(|| self.last_reply.take().map(Write::LastReply))
            .or_else(|| std::mem::take(&mut self.wipe_forgotten).then_some(Write::WipeForgotten))
    }

    /// When the next try is due; `None` where nothing waits.
    #[must_use]
    pub(super) fn wakes(&self) -> Option<BootMillis> {
        let waits = self.identity.is_some()
            || self.forget.is_some()
            || self.pending.is_some()
            || self.last_reply.is_some()
            || self.wipe_forgotten;
        self.not_before.filter(|_| waits)
    }

    /// A write was refused: again after a while, unless something newer is wanted by then.
    pub(super) fn refused(&mut self, now: BootMillis, write: Write, fault: &IdentityError) {
        self.not_before = Some(now.plus(AGAIN_AFTER_MS));
        self.fault = Some(fault.to_string());
        match write {
            Write::Identity(identity) => {
                self.identity.get_or_insert(identity);
            }
            Write::Pending(pending) => {
                self.pending.get_or_insert(pending);
            }
            Write::Forget(forgotten) => {
                self.forget.get_or_insert(forgotten);
            }
            Write::LastReply(reply) => {
                self.last_reply.get_or_insert(reply);
            }
            Write::WipeForgotten => self.wipe_forgotten = true,
        }
    }

    /// A write has been done.
    pub(super) fn done(&mut self) {
        self.not_before = None;
        self.fault = None;
    }

    /// Why nothing can be written.
    #[must_use]
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}
