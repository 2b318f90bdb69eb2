//! The spool: events in the order of their numbers until a manager has them, within bounds, and what of it is to be written.
//!
//! What is delivered stays as history for people as long as there is room. Under pressure the history goes first, then what matters
//! least, and errors last. Without a manager that takes events all of it is history: the oldest goes first, and none counts as dropped.

use super::event_facts::{AgentSighting, EventFacts};
use super::event_news::event_news;
use super::event_page::{EventPage, EventQuery};
use super::host_event::HostEvent;
use super::occurrence::{EventSeverity, Occurrence};
use super::spool_disk::{SpoolDisk, SpoolWrite};
use super::spool_record::{BadSpool, SPOOL_SCHEMA, SpoolHead, SpoolOwner, SpoolRecord, SpoolTurn, line, lines};
use crate::time::UnixMillis;
use std::collections::VecDeque;

/// Most events.
pub const SPOOL_MOST: usize = 10_000;
/// Most bytes of events: what is left up to the largest file is for what is appended until it is written again.
const LIVE_MAX_BYTES: usize = 12 * 1024 * 1024;
/// Most events that the manager has already.
const DELIVERED_MOST: usize = 1000;
/// Most events of one request to a manager, and of one page.
pub const DELIVER_MOST: usize = 500;
/// Most bytes of the events of one request, and of one page.
const BATCH_MAX_BYTES: usize = 112 * 1024;
/// After an end without a stop the numbers go on so much later: those between may have been delivered without having reached the disk.
const NUMBERS_SKIPPED: u64 = 10_000;

/// Events to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventBatch {
    /// The events, in the order of their numbers.
    pub events: Vec<HostEvent>,
}

impl EventBatch {
    /// The number of the last one; `None` = there is none.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.events.last().map(|event| event.seq)
    }
}

/// The spool of a file, and what was wrong with it.
#[derive(Debug)]
pub struct SpoolFound {
    /// The spool.
    pub spool: EventSpool,
    /// Lines that were damaged and are left out.
    pub damaged: usize,
    /// The last write was cut, and what was cut is left out.
    pub is_torn: bool,
}

#[derive(Debug)]
struct Spooled {
    event: HostEvent,
    bytes: usize,
}

/// The spool.
#[derive(Debug)]
pub struct EventSpool {
    kept: VecDeque<Spooled>,
    bytes: usize,
    last_seq: u64,
    /// The identity whose manager has all events up to this number.
    owner: Option<String>,
    acked: u64,
    /// That manager takes events, as far as is known.
    takes: bool,
    /// What the next look is compared with; `None` = it was lost.
    facts: Option<EventFacts>,
    /// The same as it is on disk.
    facts_kept: EventFacts,
    /// Events that were dropped since all were delivered last.
    dropped: u64,
    disk: SpoolDisk,
}

impl EventSpool {
    /// One without a file. Its numbers go on behind this one.
    #[must_use]
    pub fn empty(last_seq: u64) -> Self {
        Self {
            kept: VecDeque::new(),
            bytes: 0,
            last_seq,
            owner: None,
            acked: 0,
            takes: false,
            facts: Some(EventFacts::default()),
            facts_kept: EventFacts::default(),
            dropped: 0,
            disk: SpoolDisk::with(0, last_seq, true),
        }
    }

    /// One whose file cannot be read: what was seen before is not known, and what happens is only remembered.
    #[must_use]
    pub fn unread(last_seq: u64) -> Self {
        let mut spool = Self { facts: None, ..Self::empty(last_seq) };
        spool.disk.failed();
        spool
    }

    /// The file can be read after all: what happened since follows behind what is in it.
    pub fn follow(&mut self, since: Self) {
        let Self { kept, facts, owner, acked, last_seq, .. } = since;
        // A manager and a follower may have those numbers already: none goes back.
        self.last_seq = self.last_seq.max(last_seq);
        let had = self.owner.is_some() && self.owner == owner;
        for Spooled { mut event, .. } in kept {
            if had && event.seq <= acked {
                continue;
            }
            self.last_seq = self.last_seq.saturating_add(1);
            event.seq = self.last_seq;
            let turn = SpoolTurn { events: vec![event.clone()], ..SpoolTurn::default() };
            self.disk.queue(line(&SpoolRecord::Turn(Box::new(turn))), self.last_seq, true);
            self.push(event);
        }
        self.facts = facts.or(self.facts.take());
        self.make_room();
    }

    /// The spool of a file. Where its numbers are lost they go on behind this one.
    ///
    /// # Errors
    /// A later version has written it.
    pub fn read(bytes: &[u8], last_seq: u64) -> Result<SpoolFound, BadSpool> {
        let found = lines(bytes)?;
        let mut spool = Self { facts: None, last_seq: 0, ..Self::empty(0) };
        for record in found.records {
            spool.replay(record);
        }
        if spool.last_seq == 0 {
            spool.last_seq = last_seq;
        } else if !spool.facts.as_ref().is_some_and(|facts| facts.agent.is_stopping) {
            spool.last_seq = spool.last_seq.saturating_add(NUMBERS_SKIPPED);
        }
        if let Some(facts) = &spool.facts {
            spool.facts_kept.clone_from(facts);
        }
        let needs_whole = found.damaged > 0 || found.is_torn || spool.facts.is_none();
        spool.disk = SpoolDisk::with(bytes.len(), spool.last_seq, needs_whole);
        spool.make_room();
        spool.dropped = 0;
        Ok(SpoolFound { spool, damaged: found.damaged, is_torn: found.is_torn })
    }

    fn replay(&mut self, record: SpoolRecord) {
        match record {
            SpoolRecord::Head(head) => {
                let SpoolHead { last_seq, acked, owner, facts, .. } = *head;
                self.last_seq = self.last_seq.max(last_seq);
                self.acked = acked;
                self.takes = owner.as_ref().is_some_and(|owner| owner.takes);
                self.owner = owner.and_then(|owner| owner.server_id);
                self.facts = Some(facts);
            }
            SpoolRecord::Turn(turn) => {
                for event in turn.events {
                    // The same line may be there twice: a write that failed may have reached the disk.
                    if self.kept.back().is_none_or(|last| event.seq > last.event.seq) {
                        self.last_seq = self.last_seq.max(event.seq);
                        self.push(event);
                    }
                }
                if let Some(facts) = &mut self.facts {
                    facts.apply(turn.facts);
                }
            }
            SpoolRecord::Acked(acked) => self.acked = self.acked.max(acked),
            SpoolRecord::Owner(SpoolOwner { server_id, from, takes }) => {
                self.owner = server_id;
                self.acked = from;
                self.takes = takes;
            }
        }
    }

    /// A look brought this beside what happened that no state shows. The events get their numbers, and how many they are is returned.
    /// What changed without an event is written with `keep`.
    pub fn turn(
        &mut self,
        (wall, keep): (UnixMillis, bool),
        happened: Vec<Occurrence>,
        now: Option<EventFacts>,
        mut new_id: impl FnMut() -> String,
    ) -> usize {
        let mut happened: Vec<Occurrence> = happened.into_iter().map(Occurrence::bounded).collect();
        if let Some(now) = now {
            let news = match &self.facts {
                Some(before) => event_news(before, &now),
                // What was seen before is lost: nothing of what is there is new for that.
                None => event_news(&EventFacts { agent: AgentSighting::default(), ..now.clone() }, &now),
            };
            happened.extend(news);
            self.facts = Some(now);
        }
        let boot_id = self.facts.as_ref().and_then(|facts| facts.agent.boot_id.clone()).unwrap_or_default();
        let mut events = Vec::with_capacity(happened.len());
        for what in happened {
            self.last_seq = self.last_seq.saturating_add(1);
            events.push(HostEvent { id: new_id(), seq: self.last_seq, time: wall, boot_id: boot_id.clone(), what });
        }
        let count = events.len();
        let facts = self.facts.as_ref().filter(|_| keep || count > 0);
        let change = facts.map(|now| self.facts_kept.change_to(now)).unwrap_or_default();
        if count > 0 || !change.is_empty() {
            self.facts_kept.apply(change.clone());
            let turn = SpoolTurn { events: events.clone(), facts: change };
            self.disk.queue(line(&SpoolRecord::Turn(Box::new(turn))), self.last_seq, true);
        }
        for event in events {
            self.push(event);
            self.make_room();
        }
        count
    }

    fn push(&mut self, event: HostEvent) {
        let bytes = serde_json::to_string(&event).map_or(0, |text| text.len());
        self.bytes = self.bytes.saturating_add(bytes);
        self.kept.push_back(Spooled { event, bytes });
    }

    /// How many of the kept events the manager has.
    fn delivered(&self) -> usize {
        self.kept.partition_point(|one| one.event.seq <= self.acked)
    }

    fn make_room(&mut self) {
        for _ in DELIVERED_MOST..self.delivered() {
            self.remove(0);
        }
        while self.kept.len() > SPOOL_MOST || self.bytes > LIVE_MAX_BYTES {
            let delivered = self.delivered();
            let least = |severity: EventSeverity| self.kept.iter().position(|one| one.event.what.severity == severity);
            let severities = [EventSeverity::Debug, EventSeverity::Info, EventSeverity::Warning, EventSeverity::Error];
            let is_missed = delivered == 0 && self.owner.is_some() && self.takes;
            let victim = if is_missed { severities.into_iter().find_map(least) } else { Some(0) };
            let Some(victim) = victim else { return };
            if is_missed {
                self.dropped = self.dropped.saturating_add(1);
            }
            self.remove(victim);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(gone) = self.kept.remove(at) {
            self.bytes = self.bytes.saturating_sub(gone.bytes);
        }
    }

    /// What the next look is compared with; `None` = it was lost.
    #[must_use]
    pub const fn facts(&self) -> Option<&EventFacts> {
        self.facts.as_ref()
    }

    /// The number of the last event.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.last_seq
    }

    /// Events that were dropped since all were delivered last.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many events wait for the manager of this host; 0 where it has none.
    #[must_use]
    pub fn waiting(&self) -> usize {
        if self.owner.is_some() { self.kept.len().saturating_sub(self.delivered()) } else { 0 }
    }

    /// The number of the last event that can be delivered now; `None` = none waits.
    #[must_use]
    pub fn deliverable(&self) -> Option<u64> {
        self.owner.as_ref()?;
        let most = self.disk.deliverable();
        let end = self.kept.partition_point(|one| one.event.seq <= most);
        let last = end.checked_sub(1).and_then(|at| self.kept.get(at))?;
        (last.event.seq > self.acked).then_some(last.event.seq)
    }

    /// This host has this identity. What happened under another one is not for its manager; the first one gets all.
    pub fn own(&mut self, server_id: &str) {
        if self.owner.as_deref() == Some(server_id) {
            return;
        }
        if self.owner.is_some() {
            self.acked = self.last_seq;
            self.dropped = 0;
        }
        self.owner = Some(server_id.to_owned());
        self.takes = false;
        self.queue_owner();
    }

    /// This host has left its manager: what happened until now is for no other one, and waits no longer.
    pub fn disown(&mut self) {
        if self.owner.take().is_some() {
            self.acked = self.last_seq;
            self.takes = false;
            self.dropped = 0;
            self.queue_owner();
        }
    }

    /// The manager of this host takes events, or it takes none: then none that goes counts as dropped.
    pub fn note_taker(&mut self, takes: bool) {
        if self.owner.is_some() && self.takes != takes {
            self.takes = takes;
            self.dropped = 0;
            self.queue_owner();
        }
    }

    fn queue_owner(&mut self) {
        let owner = SpoolOwner { server_id: self.owner.clone(), from: self.acked, takes: self.takes };
        self.disk.queue(line(&SpoolRecord::Owner(owner)), 0, true);
    }

    /// The oldest events that this identity's manager does not have, up to that number.
    #[must_use]
    pub fn batch(&self, server_id: &str, most: usize, until: Option<u64>) -> EventBatch {
        if self.owner.as_deref() != Some(server_id) {
            return EventBatch::default();
        }
        let last = until.unwrap_or(u64::MAX).min(self.disk.deliverable());
        let waiting = self.kept.iter().skip(self.delivered()).take_while(|one| one.event.seq <= last);
        EventBatch { events: bounded(waiting, most) }
    }

    /// The manager has all events up to `acked`, of which `sent` was the last that it was sent. False where that is nothing new, or
    /// cannot be: then nothing changes.
    pub fn acknowledge(&mut self, server_id: &str, acked: u64, sent: u64) -> bool {
        let is_ours = self.owner.as_deref() == Some(server_id);
        let next = self.kept.get(self.delivered()).map_or(u64::MAX, |one| one.event.seq);
        let is_new = is_ours && acked >= next && acked <= sent.min(self.last_seq);
        if is_new {
            self.acked = acked;
            self.disk.queue(line(&SpoolRecord::Acked(acked)), 0, false);
            self.make_room();
            if self.waiting() == 0 {
                self.dropped = 0;
            }
        }
        is_new
    }

    /// The manager refuses this event, which is the oldest that it does not have: it is not offered again.
    pub fn skip(&mut self, server_id: &str, seq: u64) {
        if self.acknowledge(server_id, seq, seq) {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The events that are asked for.
    #[must_use]
    pub fn page(&self, query: &EventQuery) -> EventPage {
        let is_later = |one: &&Spooled| query.since.is_none_or(|since| one.event.time >= since);
        let from = self.kept.partition_point(|one| one.event.seq <= query.after);
        let events = bounded(self.kept.iter().skip(from).filter(is_later), query.most.max(1));
        let next = events.last().map_or(self.last_seq.max(query.after), |last| last.seq);
        let end = self.kept.partition_point(|one| one.event.seq <= next);
        let more = self.kept.iter().skip(end).any(|one| is_later(&one));
        let waiting = u64::try_from(self.waiting()).unwrap_or(u64::MAX);
        EventPage { events, next, more, waiting, dropped: self.dropped }
    }

    /// The next write, where there is one and none is under way.
    pub fn next_write(&mut self) -> Option<SpoolWrite> {
        let Self { disk, kept, .. } = self;
        let (facts, last_seq, acked) = (&self.facts, self.last_seq, self.acked);
        let takes = self.takes;
        let owner = self.owner.as_ref().map(|id| SpoolOwner { server_id: Some(id.clone()), from: acked, takes });
        let facts_kept = &mut self.facts_kept;
        disk.next(self.bytes, || {
            let facts = facts.clone().unwrap_or_default();
            facts_kept.clone_from(&facts);
            let head = SpoolHead { schema: SPOOL_SCHEMA, last_seq, acked, owner, facts };
            let mut file = line(&SpoolRecord::Head(Box::new(head)));
            for one in kept.iter() {
                let turn = SpoolTurn { events: vec![one.event.clone()], ..SpoolTurn::default() };
                file.extend(line(&SpoolRecord::Turn(Box::new(turn))));
            }
            file
        })
    }

    /// It was written.
    pub fn written(&mut self) {
        self.disk.done();
    }

    /// It was not written, or only a part of it.
    pub fn not_written(&mut self) {
        self.disk.failed();
    }
}

/// The first of them that fit into a request; at least one.
fn bounded<'a>(events: impl Iterator<Item = &'a Spooled>, most: usize) -> Vec<HostEvent> {
    let mut bytes: usize = 0;
    let mut taken = Vec::new();
    for one in events.take(most.min(DELIVER_MOST)) {
        bytes = bytes.saturating_add(one.bytes);
        if !taken.is_empty() && bytes > BATCH_MAX_BYTES {
            break;
        }
        taken.push(one.event.clone());
    }
    taken
}

#[cfg(test)]
mod tests;
