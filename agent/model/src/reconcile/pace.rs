//! When which item is worked on: the only part of the reconciler that remembers anything.
//!
//! Each turn takes all items as they stand now and gives what is to be started. An item that fails is tried again after 1 s, doubling
//! to 5 min, give or take a fifth by its path; at once where its wish or what could be in its way changed. What is met starts nothing.

use super::item::{Deed, Item, ItemPath, ItemState, Why, WishSource};
use crate::change::Change;
use crate::settings::HostSetting;
use crate::time::{BootMillis, Now, UnixMillis};
use std::collections::BTreeMap;

/// At most so many changes of the host are under way at once.
pub const MOST_AT_ONCE: usize = 8;
/// The shortest time between two attempts of an item, in milliseconds.
const FIRST_MS: u64 = 1_000;
/// The longest.
const LONGEST_MS: u64 = 300_000;

/// Which item.
pub type ItemKey = (WishSource, ItemPath);

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Whose wish it is.
    pub source: WishSource,
    /// Its items.
    pub paths: Vec<ItemPath>,
    /// What.
    pub deeds: AtOnce,
    /// 1 for the first attempt, more where nothing has changed since an earlier one.
    pub attempt: u32,
}

/// What one job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtOnce {
    /// All these settings, in one write.
    Settings(Vec<HostSetting>),
    /// One change of the host.
    Change(Change),
}

/// What comes of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// Started now.
    pub start: Vec<Start>,
    /// When the next turn is due by itself.
    pub next: Option<BootMillis>,
}

/// How the attempt at an item ended.
pub type Ended = Result<(), Why>;

/// What is remembered of an item that was worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Track {
    deed: Deed,
    blockers: String,
    /// Attempts since its wish or its blockers changed, or since it was last met for long enough.
    attempts: u32,
    started: BootMillis,
    not_before: BootMillis,
    is_running: bool,
    /// Why the last attempt failed.
    failed: Option<Why>,
}

/// The state of an item, for people and for the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Where it is.
    pub path: ItemPath,
    /// Whose wish it is.
    pub source: WishSource,
    /// `met`, `to_do`, `waiting`, `held` or `refused`.
    pub state: &'static str,
    /// Why it is not met; `None` exactly where it is.
    pub why: Option<Why>,
    /// Since when it has been so, for this reason.
    pub since: UnixMillis,
    /// When it is tried again.
    pub retry_at: Option<UnixMillis>,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Pacer {
    tracks: BTreeMap<ItemKey, Track>,
    /// State and code of each item, and since when.
    since: BTreeMap<ItemKey, (&'static str, Option<String>, UnixMillis)>,
}

impl Pacer {
    /// Looks at all items and gives what is to be started. What it gives counts as started.
    pub fn turn(&mut self, now: BootMillis, items: &[Item]) -> Turn {
        self.follow(now, items);
        let due: Vec<&Item> = items.iter().filter(|item| self.is_due(now, item)).collect();
        let mut turn = Turn::default();
        for source in [WishSource::Local, WishSource::Manager] {
            turn.start.extend(self.settings(source, &due));
        }
        let mut free = MOST_AT_ONCE.saturating_sub(self.changes_under_way());
        let takes_back = |item: &&&Item| matches!(&item.state, ItemState::ToDo(deed) if deed.takes_back());
        let (back, away): (Vec<&&Item>, Vec<&&Item>) = due.iter().partition(|item| takes_back(item));
        let is_taking_back = !back.is_empty() || self.is_taking_back();
        // What is given away may need what is taken back.
        let away = if is_taking_back { Vec::new() } else { away };
        for item in back.into_iter().chain(away) {
            let ItemState::ToDo(Deed::Change(change)) = &item.state else { continue };
            if free == 0 {
                break;
            }
            free -= 1;
            let (source, paths) = (item.source, vec![item.path.clone()]);
            turn.start.push(Start { source, paths, deeds: AtOnce::Change(change.clone()), attempt: 0 });
        }
        for start in &mut turn.start {
            let begun = start.paths.iter().filter_map(|path| self.began(now, &(start.source, path.clone())));
            start.attempt = begun.min().unwrap_or(1);
        }
        let to_do = items.iter().filter(|item| matches!(item.state, ItemState::ToDo(_)));
        let tracks = to_do.filter_map(|item| self.tracks.get(&(item.source, item.path.clone())));
        let waiting = tracks.filter(|track| !track.is_running && track.not_before > now);
        turn.next = waiting.map(|track| track.not_before).min();
        turn
    }

    /// The attempt at these items has ended.
    pub fn ended(&mut self, now: BootMillis, keys: &[ItemKey], end: &Ended) {
        for key in keys {
            let Some(track) = self.tracks.get_mut(key) else { continue };
            track.is_running = false;
            // Also after a success: one who undoes it at once is not fought once a millisecond.
            track.not_before = now.plus(pause_ms(key, track.attempts));
            track.failed = end.as_ref().err().cloned();
        }
    }

    /// The states of all items. `now` has both clocks.
    pub fn shown(&mut self, now: Now, items: &[Item]) -> Vec<Shown> {
        let mut since = BTreeMap::new();
        let shown: Vec<Shown> = items
            .iter()
            .map(|item| {
                let key = (item.source, item.path.clone());
                let track = self.tracks.get(&key);
                let (state, why) = self.standing(item, track);
                let code = why.as_ref().map(|why| why.code.clone());
                let before = self.since.get(&key).filter(|(was, of, _)| *was == state && *of == code);
                let at = before.map_or(now.wall, |(_, _, at)| *at);
                since.insert(key, (state, code, at));
                let is_to_do = matches!(item.state, ItemState::ToDo(_));
                let retry = track.filter(|track| is_to_do && !track.is_running && track.not_before > now.boot);
                let retry_at = retry.map(|track| in_wall(now, track.not_before));
                Shown { path: item.path.clone(), source: item.source, state, why, since: at, retry_at }
            })
            .collect();
        self.since = since;
        shown
    }

    fn standing(&self, item: &Item, track: Option<&Track>) -> (&'static str, Option<Why>) {
        match &item.state {
            ItemState::Met => ("met", None),
            ItemState::Waiting(why) => ("waiting", Some(why.clone())),
            ItemState::Held(why) => ("held", Some(why.clone())),
            ItemState::Refused(why) => ("refused", Some(why.clone())),
            ItemState::ToDo(_) => {
                let running = track.is_some_and(|track| track.is_running);
                let failed = track.and_then(|track| track.failed.clone());
                let why = failed.unwrap_or_else(|| {
                    let message = if running { "it is being done" } else { "it has not been done yet" };
                    Why::new(if running { "under_way" } else { "pending" }, message)
                });
                ("to_do", Some(why))
            }
        }
    }

    /// Takes in what is wished now: what changed begins again, and what nobody wishes any more is forgotten.
    fn follow(&mut self, now: BootMillis, items: &[Item]) {
        let by_key: BTreeMap<ItemKey, &Item> =
            items.iter().map(|item| ((item.source, item.path.clone()), item)).collect();
        self.tracks.retain(|key, track| {
            let Some(item) = by_key.get(key) else { return track.is_running };
            match &item.state {
                ItemState::ToDo(deed) => {
                    let is_other = track.deed != *deed;
                    if !track.is_running && (is_other || track.blockers != item.blockers) {
                        track.attempts = 0;
                        track.not_before = track.started.plus(FIRST_MS);
                        (track.deed, track.blockers) = (deed.clone(), item.blockers.clone());
                        // Why it failed is worth knowing until it is tried again.
                        track.failed = track.failed.take().filter(|_| !is_other);
                    }
                    true
                }
                // Long enough so that whoever undid it has not come again.
                ItemState::Met => track.is_running || now.since(track.started) < LONGEST_MS,
                ItemState::Waiting(_) => true,
                ItemState::Held(_) | ItemState::Refused(_) => track.is_running,
            }
        });
        for (key, item) in by_key {
            let ItemState::ToDo(deed) = &item.state else { continue };
            self.tracks.entry(key).or_insert_with(|| Track {
                deed: deed.clone(),
                blockers: item.blockers.clone(),
                attempts: 0,
                started: BootMillis(0),
                not_before: BootMillis(0),
                is_running: false,
                failed: None,
            });
        }
    }

    fn is_due(&self, now: BootMillis, item: &Item) -> bool {
        let track = self.tracks.get(&(item.source, item.path.clone()));
        matches!(item.state, ItemState::ToDo(_))
            && track.is_some_and(|track| !track.is_running && track.not_before <= now)
    }

    /// All settings of a source that are due, where none of its are being set now.
    fn settings(&self, source: WishSource, due: &[&Item]) -> Option<Start> {
        let is_setting = |(key, track): (&ItemKey, &Track)| {
            key.0 == source && track.is_running && matches!(track.deed, Deed::Set(_))
        };
        if self.tracks.iter().any(is_setting) {
            return None;
        }
        let (paths, settings): (Vec<ItemPath>, Vec<HostSetting>) = due
            .iter()
            .filter(|item| item.source == source)
            .filter_map(|item| match &item.state {
                ItemState::ToDo(Deed::Set(setting)) => Some((item.path.clone(), setting.clone())),
                ItemState::ToDo(Deed::Change(_))
                | ItemState::Met
                | ItemState::Waiting(_)
                | ItemState::Held(_)
                | ItemState::Refused(_) => None,
            })
            .unzip();
        (!paths.is_empty()).then_some(Start { source, paths, deeds: AtOnce::Settings(settings), attempt: 0 })
    }

    fn changes_under_way(&self) -> usize {
        self.tracks.values().filter(|track| track.is_running && matches!(track.deed, Deed::Change(_))).count()
    }

    fn is_taking_back(&self) -> bool {
        self.tracks.values().any(|track| track.is_running && track.deed.takes_back())
    }

    /// Returns how many attempts there have been, with this one.
    fn began(&mut self, now: BootMillis, key: &ItemKey) -> Option<u32> {
        let track = self.tracks.get_mut(key)?;
        track.is_running = true;
        track.started = now;
        track.attempts = track.attempts.saturating_add(1);
        Some(track.attempts)
    }
}

/// 1 s, doubled with each attempt, to 5 min; give or take a fifth, by the path, so that items do not come in step.
fn pause_ms(key: &ItemKey, attempts: u32) -> u64 {
    let doubled = FIRST_MS.checked_shl(attempts.saturating_sub(1).min(16)).unwrap_or(LONGEST_MS).min(LONGEST_MS);
    let hash =
        key.1.as_str().bytes().fold(u64::from(attempts), |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let per_mille = 800_u64.saturating_add(hash % 401);
    (doubled.saturating_mul(per_mille) / 1000).max(FIRST_MS)
}

/// An instant of CLOCK_BOOTTIME on the wall clock.
fn in_wall(now: Now, at: BootMillis) -> UnixMillis {
    let left = i64::try_from(at.since(now.boot)).unwrap_or(i64::MAX);
    UnixMillis(now.wall.0.saturating_add(left))
}
