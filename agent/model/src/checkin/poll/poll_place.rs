//! What is known of each manager's way to give documents, and which way follows from it.

use super::fetch_status::DesiredFetch;
use crate::checkin::features::FEATURES_FOR_MS;
use crate::checkin::manager::ManagerAddress;
use crate::checkin::managers::MANAGERS_MAX;
use crate::desired::DocumentId;
use crate::time::BootMillis;
use std::collections::BTreeMap;

/// A long-poll that is answered 304 sooner was not held at all, in milliseconds.
const HELD_FOR_MS: u64 = 1000;
/// So many of them in a row, and the manager is not polled.
const HURRIED_MAX: u8 = 2;

/// What the reply to an accepted heartbeat reports of the newest document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyHints {
    /// `desired`: which document is the newest.
    pub newest: Option<DocumentId>,
    /// `desired_state`: the document itself came with the reply.
    pub embedded: bool,
}

/// One manager.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// It holds a long-poll; `None` = it has not been asked.
    pub(super) long_poll: Option<bool>,
    /// Long-polls in a row that were answered at once.
    hurried: u8,
    /// Long-polls are of no use before.
    no_poll_before: BootMillis,
    /// It asked not to be asked before, or does not have the path until then.
    pub(super) not_before: BootMillis,
    /// It does not have the path.
    pub(super) no_path: bool,
}

impl Place {
    /// The way that is used at `now` behind a reply with these hints.
    pub(super) fn way(&self, now: BootMillis, hints: &ReplyHints) -> DesiredFetch {
        let is_off = self.no_path && now < self.not_before;
        match self.long_poll {
            _ if is_off && hints.embedded => DesiredFetch::Embedded,
            _ if is_off => DesiredFetch::Off,
            Some(true) if now >= self.no_poll_before => DesiredFetch::LongPoll,
            _ if hints.embedded => DesiredFetch::Embedded,
            _ if hints.newest.is_some() => DesiredFetch::Hint,
            Some(_) => DesiredFetch::Interval,
            None => DesiredFetch::None,
        }
    }

    /// 304, so many milliseconds after the request was opened that the manager might hold for `wait_s`.
    pub(super) const fn unchanged(&mut self, now: BootMillis, after_ms: u64, wait_s: u64) {
        if wait_s == 0 {
            return;
        }
        if after_ms >= HELD_FOR_MS {
            self.hurried = 0;
            return;
        }
        self.hurried += 1;
        if self.hurried >= HURRIED_MAX {
            self.hurried = 0;
            self.no_poll_before = now.plus(FEATURES_FOR_MS);
        }
    }
}

/// What is known of all managers: what one of them cannot do is no matter of the others.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(BTreeMap<(String, u16), Place>);

impl Places {
    /// What is known of that one, if anything.
    pub(super) fn get(&self, manager: &ManagerAddress) -> Option<&Place> {
        self.0.get(&name(manager))
    }

    /// What is known of that one, to be changed. Another one gives way where there are too many.
    pub(super) fn of(&mut self, manager: &ManagerAddress) -> &mut Place {
        let name = name(manager);
        if self.0.len() >= MANAGERS_MAX && !self.0.contains_key(&name) {
            self.0.pop_first();
        }
        self.0.entry(name).or_default()
    }
}

fn name(manager: &ManagerAddress) -> (String, u16) {
    (manager.host.to_ascii_lowercase(), manager.port)
}
