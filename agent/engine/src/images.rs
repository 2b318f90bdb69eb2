//! Keeps the images that gpuhostd has pulled: remembers them, and removes what nothing needs, one by one, least risk first.
//!
//! Docker is asked only where there is an image of ours, or where a person asks. It is planned again after each removal
//! (`model::workspace_life::plan_image_prune`), and nothing is ever removed by force.

use crate::image_board::{ImageAnswer, ImageBoard, ImageInbox, ImageQuestion};
use crate::publish::Publisher;
use model::condition::{Condition, ConditionStatus};
use model::event::{EventKind, EventSeverity, Occurrence};
use model::image_ref::{ImageDigest, ImageRef};
use model::message::Message;
use model::observation::HostObservation;
use model::ports::{Clock, ImagePort, LedgerPort};
use model::prune_mode::PruneMode;
use model::refusal::Refusal;
use model::settings::Settings;
use model::time::BootMillis;
use model::workspace_life::{
    BadImagesRecord, DiskRoom, DiskWanted, ImageAsk, ImagePruneWorld, ImageRow, ImagesRecord, ImagesState, OurImage,
    StoredImage, WorkspacesState, note_needed_images, plan_image_prune,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// After a start the workspaces come first.
const FIRST_AFTER_MS: u64 = 60_000;
/// Between two looks that workspaces cause there is at least so much time.
const APART_MS: u64 = 300_000;
/// The same while the reserve of the disk is not free.
const SHORT_APART_MS: u64 = 30_000;
/// However many people look, Docker is not asked more often.
const LOOKS_APART_MS: u64 = 2_000;
/// Between two removals, unless the disk is short or a person waits.
const REMOVALS_APART_MS: u64 = 1_000;
/// So many are removed before others are heard again.
const REMOVALS_MOST: usize = 32;
/// The record is written again after so long where it could not be.
const RECORD_AGAIN_MS: u64 = 30_000;
/// More images are not remembered.
const OURS_MOST: usize = 4_096;
/// Type of the condition while the file of logins to registries has a fault.
const LOGINS: &str = "registry_logins_unusable";
/// Type of the condition while the reserve of the disk is not free.
const DISK_RESERVE: &str = "disk_reserve";

/// What the keeper works with.
pub struct ImageKeeperParts<P, L, K> {
    /// Docker.
    pub port: Arc<P>,
    /// Where the record is kept.
    pub ledger: Arc<L>,
    /// The clock.
    pub clock: Arc<K>,
    /// Where images are shown, and where the other keepers and people reach this one.
    pub publisher: Arc<Publisher>,
    /// The settings in force.
    pub settings: watch::Receiver<Arc<Settings>>,
}

/// What was removed.
#[derive(Debug, Default)]
struct Pruned {
    images: u64,
    bytes: u64,
    /// Why the last one that stayed was not removed.
    failed: Option<String>,
}

/// The keeper.
pub struct ImageKeeper<P, L, K> {
    parts: ImageKeeperParts<P, L, K>,
    record: ImagesRecord,
    /// The record as it is on disk.
    kept: ImagesRecord,
    /// The last write of the record has failed.
    is_unsaved: bool,
    /// Why nothing is remembered or removed: the record cannot be used.
    blocked: Option<String>,
    /// The reserve of the disk was not free when it was last looked at.
    is_short: bool,
    /// What Docker did not remove.
    failed: BTreeSet<ImageDigest>,
    /// Why it did not, as it was last reported: the same is not reported again while the image is there.
    warned: BTreeMap<ImageDigest, String>,
    /// No turn is due before.
    first_at: BootMillis,
    looked_at: Option<BootMillis>,
    looks: u64,
}

impl<P: ImagePort, L: LedgerPort, K: Clock> ImageKeeper<P, L, K> {
    /// One that has not read its record yet.
    #[must_use]
    pub fn new(parts: ImageKeeperParts<P, L, K>) -> Self {
        let first_at = parts.clock.boot_now().plus(FIRST_AFTER_MS);
        Self {
            parts,
            record: ImagesRecord::default(),
            kept: ImagesRecord::default(),
            is_unsaved: false,
            blocked: None,
            is_short: false,
            failed: BTreeSet::new(),
            warned: BTreeMap::new(),
            first_at,
            looked_at: None,
            looks: 0,
        }
    }

    /// Works until it is cancelled. A removal that is under way is left to the hand: it is done or not.
    pub async fn run(mut self, cancel: CancellationToken) {
        let Some(mut inbox) = self.parts.publisher.images().take_inbox() else { return };
        self.read_record().await;
        let (mut seen, mut workspaces) = (self.parts.publisher.seen(), self.parts.publisher.workspaces());
        let clock = Arc::clone(&self.parts.clock);
        self.first_at = clock.boot_now().plus(FIRST_AFTER_MS);
        let mut wake = self.first_at;
        loop {
            let now = tokio::select! {
                () = cancel.cancelled() => return,
                now = self.await_next(&mut inbox, (&mut seen, &mut workspaces), wake) => now,
            };
            let Some(due) = now else { continue };
            wake = wake.min(due);
            if wake > clock.boot_now() {
                continue;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                next = self.turn() => wake = next,
            }
        }
    }

    /// Hears what arrives. Returns when the next turn is due by it; `None` = that is as before.
    async fn await_next(
        &mut self,
        inbox: &mut ImageInbox,
        (seen, workspaces): (&mut watch::Receiver<Arc<HostObservation>>, &mut watch::Receiver<Arc<WorkspacesState>>),
        wake: BootMillis,
    ) -> Option<BootMillis> {
        let clock = Arc::clone(&self.parts.clock);
        tokio::select! {
            biased;
            // Written down before anything else: a pull takes longer.
            Some(image) = inbox.pulls.recv() => {
                self.note_pull(image).await;
                self.write_again_at()
            }
            Some(question) = inbox.questions.recv() => {
                self.answer(question).await;
                self.write_again_at()
            }
            Ok(()) = seen.changed() => {
                let host = Arc::clone(&seen.borrow_and_update());
                let room = self.room_seen(&host);
                let is_short = room.is_some_and(|room| room.lacking_bytes() > 0);
                (is_short || self.is_short).then(|| self.not_before(SHORT_APART_MS))
            }
            Ok(()) = workspaces.changed() => {
                let is_wanted = self.wanted_bytes(&workspaces.borrow_and_update()) > 0;
                Some(self.not_before(if is_wanted { SHORT_APART_MS } else { APART_MS }))
            }
            Ok(()) = self.parts.settings.changed() => Some(self.not_before(REMOVALS_APART_MS)),
            () = clock.sleep_until(wake) => Some(wake),
        }
    }

    /// Free on the disk there has to be so much before an image can be pulled that waits for it.
    fn wanted_bytes(&self, state: &WorkspacesState) -> u64 {
        if self.record.ours.is_empty() { 0 } else { state.disk_wanted_bytes.max(state.disk_wanted_ahead_bytes) }
    }

    /// So long after the last look, and never before the first turn: what a person asks is answered at once, and is no turn.
    fn not_before(&self, apart_ms: u64) -> BootMillis {
        let now = self.parts.clock.boot_now();
        self.looked_at.map_or(now, |looked| looked.plus(apart_ms)).max(now).max(self.first_at)
    }

    /// When the record is written again, where it could not be.
    fn write_again_at(&self) -> Option<BootMillis> {
        self.is_unsaved.then(|| self.parts.clock.boot_now().plus(RECORD_AGAIN_MS).max(self.first_at))
    }

    /// The room as the observer has seen it.
    fn room_seen(&self, host: &HostObservation) -> Option<DiskRoom> {
        let limit = self.parts.settings.borrow().images.disk_usage_limit_pct;
        let disk = host.host.disk.known().filter(|_| host.docker.is_ok());
        disk.map(|disk| DiskRoom::of(disk, limit))
    }

    /// One turn by itself. Returns when the next one is due.
    async fn turn(&mut self) -> BootMillis {
        self.judge_logins().await;
        let settings = Arc::clone(&self.parts.settings.borrow_and_update());
        self.failed.clear();
        let was_unsaved = std::mem::take(&mut self.is_unsaved);
        let mut again = interval_ms(settings.images.interval_s, self.looks);
        self.looks = self.looks.wrapping_add(1);
        if self.blocked.is_some() {
            self.read_record().await;
        }
        if self.record.ours.is_empty() {
            let host = Arc::clone(&self.parts.publisher.seen().borrow());
            let room = self.room_seen(&host);
            self.judge_room(room.as_ref());
            self.looked_at = Some(self.parts.clock.boot_now());
        } else {
            match self.prune(settings.images.prune, false).await {
                Ok(pruned) if pruned.images >= crate::count(REMOVALS_MOST) => again = REMOVALS_APART_MS,
                Ok(_) => {}
                Err(why) => self.show_unknown(&why),
            }
        }
        if was_unsaved && !self.is_unsaved {
            self.save().await;
        }
        if self.is_unsaved {
            again = again.min(RECORD_AGAIN_MS);
        }
        self.parts.clock.boot_now().plus(again)
    }

    /// Remembers that an image is pulled here.
    async fn note_pull(&mut self, image: ImageRef) {
        if image.digest().is_none() || self.blocked.is_some() || self.record.ours.len() >= OURS_MOST {
            return;
        }
        let now = self.parts.clock.wall_now();
        self.record.ours.insert(image, OurImage { pulled_at: now, needed_at: now, is_seen: false });
        self.save().await;
    }

    /// What cannot be written now is written with the next turn; until then a restart takes it for another's image, which stays.
    async fn save(&mut self) {
        self.is_unsaved = false;
        if self.kept == self.record || self.blocked.is_some() {
            return;
        }
        match self.parts.ledger.write(self.record.encode()).await {
            Ok(()) => self.kept = self.record.clone(),
            Err(fault) => {
                self.is_unsaved = true;
                let id = Message::ImagesRecordUnusable.id();
                tracing::warn!(message_id = id, "the record of images was not written: {fault}; it is tried again");
            }
        }
    }

    /// Reads the record. A damaged one is kept beside: what it named is no image of ours any more, and stays.
    async fn read_record(&mut self) {
        let before = self.blocked.take();
        let ledger = &self.parts.ledger;
        let damage = match ledger.read().await {
            Ok(None) => return,
            Ok(Some(bytes)) => match ImagesRecord::decode(&bytes) {
                Ok(record) => {
                    self.kept = record.clone();
                    self.record = record;
                    return;
                }
                Err(damage @ BadImagesRecord::Damaged(_)) => damage.to_string(),
                Err(other @ BadImagesRecord::Schema(_)) => return self.block(&other.to_string(), before),
            },
            Err(fault) => return self.block(&fault.to_string(), before),
        };
        let place = ledger.place();
        let next = match ledger.set_aside().await {
            Ok(Some(name)) => format!("it is kept as {name}"),
            Ok(None) => "it is gone".to_owned(),
            Err(fault) => return self.block(&format!("{damage}; {fault}"), before),
        };
        let id = Message::ImagesRecordUnusable.id();
        tracing::warn!(message_id = id, "{place}: {damage}; {next}, and no image that was pulled before is removed");
    }

    fn block(&mut self, why: &str, before: Option<String>) {
        let why = format!("{}: {why}", self.parts.ledger.place());
        if before.as_ref() != Some(&why) {
            let id = Message::ImagesRecordUnusable.id();
            tracing::warn!(message_id = id, "{why}; it stays as it is, and no image is removed until it can be read");
        }
        self.blocked = Some(why);
    }

    async fn answer(&mut self, question: ImageQuestion) {
        let ImageQuestion { ask, answer } = question;
        let in_force = self.parts.settings.borrow().images.prune;
        let done = match ask {
            ImageAsk::Look(mode) => self.look_for(mode.unwrap_or(in_force)).await.map(|()| String::new()),
            ImageAsk::Prune(mode) => match &self.blocked {
                Some(why) => {
                    let refusal = Refusal::Unavailable { what: "the record of images".to_owned(), why: why.clone() };
                    let _gone = answer.send(Err(refusal));
                    return;
                }
                None => {
                    self.failed.clear();
                    self.prune(mode, true).await.map(|pruned| words(&pruned))
                }
            },
        };
        if let Err(why) = &done {
            self.show_unknown(why);
        }
        let attempted = "list the images of Docker".to_owned();
        let state = shown(&self.parts.publisher);
        let done = done.map(|said| ImageAnswer { said, state });
        let _gone = answer.send(done.map_err(|said| Refusal::HostFault { attempted, said }));
    }

    /// However many people look, Docker is asked once in a while.
    async fn look_for(&mut self, mode: PruneMode) -> Result<(), String> {
        let known = shown(&self.parts.publisher);
        let now = self.parts.clock.boot_now();
        let is_fresh = self.looked_at.is_some_and(|looked| now < looked.plus(LOOKS_APART_MS));
        if is_fresh && known.mode == mode && known.looked_at.is_some() && known.unknown.is_none() {
            return Ok(());
        }
        self.look(mode).await.map(drop)
    }

    /// Looks, and removes one after the other what is to go, up to a number.
    async fn prune(&mut self, mode: PruneMode, is_asked: bool) -> Result<Pruned, String> {
        let mut pruned = Pruned::default();
        loop {
            let Some(next) = self.look(mode).await? else { break };
            if pruned.images >= crate::count(REMOVALS_MOST) && !is_asked {
                break;
            }
            match self.parts.port.remove_stored_image(&next.image.id).await {
                Ok(()) => {
                    pruned.images += 1;
                    pruned.bytes = pruned.bytes.saturating_add(next.image.size_bytes);
                    self.removed(&next).await;
                }
                Err(why) => {
                    if is_news(&mut self.warned, &next.image.id, &why) {
                        let id = Message::ImageNotRemoved.id();
                        tracing::warn!(message_id = id, "the image {} was not removed: {why}", name(&next));
                    }
                    pruned.failed = Some(why);
                    self.failed.insert(next.image.id);
                }
            }
            if !is_asked && !self.is_short {
                let clock = &self.parts.clock;
                clock.sleep_until(clock.boot_now().plus(REMOVALS_APART_MS)).await;
            }
        }
        Ok(pruned)
    }

    /// It is nobody's any more, also where another user pulls it again.
    async fn removed(&mut self, row: &ImageRow) {
        self.record.ours.retain(|of, _| !of.digest().is_some_and(|digest| row.image.digests.contains(digest)));
        self.save().await;
        let (name, mib) = (name(row), row.image.size_bytes >> 20);
        tracing::info!(message_id = Message::ImageRemoved.id(), "removed the image {name} ({mib} MiB)");
        self.parts.publisher.occur(Occurrence {
            kind: EventKind::ImagePruned,
            subject: name.clone(),
            severity: EventSeverity::Info,
            code: None,
            message: format!("the image {name} was removed: nothing needs it"),
            data: BTreeMap::from([("size_bytes".to_owned(), row.image.size_bytes.to_string())]),
        });
    }

    /// Looks at Docker and its disk, shows what is there, and returns what goes next.
    async fn look(&mut self, mode: PruneMode) -> Result<Option<ImageRow>, String> {
        self.looked_at = Some(self.parts.clock.boot_now());
        let images = self.parts.port.list_stored_images().await?;
        forget_gone(&mut self.warned, &images);
        let room = self.room().await;
        self.judge_room(room.as_ref());
        let (now, board) = (self.parts.clock.wall_now(), self.parts.publisher.images());
        let state = Arc::clone(&self.parts.publisher.workspaces().borrow());
        let wanted = room.as_ref().map(|room| DiskWanted {
            available_bytes: room.available_bytes,
            workspaces_bytes: state.disk_wanted_bytes,
            ahead_bytes: state.disk_wanted_ahead_bytes,
        });
        let (named, lacking_bytes) = (board.named(), room.as_ref().map_or(0, DiskRoom::lacking_bytes));
        let world = |ours| ImagePruneWorld {
            images: &images,
            ours,
            wished: named.as_ref(),
            failed: &self.failed,
            mode,
            lacking_bytes,
            wanted: wanted.unwrap_or_default(),
            now,
        };
        let ours = note_needed_images(&world(&self.record.ours));
        let plan = plan_image_prune(&world(&ours));
        self.record.ours = ours;
        let next = plan.remove.first().cloned();
        show(board, (mode, now), images, &self.record, &plan, room);
        // When something was last needed is of a day, and not worth a write by itself.
        if self.kept.ours.keys().ne(self.record.ours.keys()) || self.is_much_newer() {
            self.save().await;
        }
        let state = shown(&self.parts.publisher);
        Ok(next.and_then(|id| state.images.iter().find(|row| row.image.id == id).cloned()))
    }

    /// The record on disk lags an hour behind, or does not know yet that an image has come.
    fn is_much_newer(&self) -> bool {
        let lags = |(of, now): (&ImageRef, &OurImage)| {
            let kept = self.kept.ours.get(of);
            kept.is_none_or(|kept| kept.is_seen != now.is_seen || now.needed_at.0 - kept.needed_at.0 > 3_600_000)
        };
        self.record.ours.iter().any(lags)
    }

    /// The room as it is now.
    async fn room(&self) -> Option<DiskRoom> {
        let root = self.parts.publisher.seen().borrow().docker.as_ref().ok()?.root_dir.clone()?;
        let limit = self.parts.settings.borrow().images.disk_usage_limit_pct;
        let disk = self.parts.port.read_docker_disk(root).await;
        disk.known().map(|disk| DiskRoom::of(disk, limit))
    }

    /// A file of logins that is not used is shown until it is right.
    async fn judge_logins(&self) {
        // Without a hand nothing is pulled either.
        let Ok(logins) = self.parts.port.read_registry_logins().await else { return };
        let publisher = &self.parts.publisher;
        let Some(first) = logins.faults.first() else { return publisher.lift(LOGINS) };
        publisher.stand(Condition {
            kind: LOGINS.to_owned(),
            status: ConditionStatus::True,
            reason: "registry_logins".to_owned(),
            message: format!("{}: {first}; what is wrong in it is not used", logins.place),
            since: self.parts.clock.wall_now(),
        });
    }

    /// Shows that the reserve is not free, or is again, each once.
    fn judge_room(&mut self, room: Option<&DiskRoom>) {
        let Some(room) = room else { return };
        let publisher = &self.parts.publisher;
        let occurs = |severity, code: Option<&str>, message: String| {
            publisher.occur(Occurrence {
                kind: EventKind::DiskReserve,
                subject: room.path.clone(),
                severity,
                code: code.map(str::to_owned),
                message,
                data: BTreeMap::from([
                    ("available_bytes".to_owned(), room.available_bytes.to_string()),
                    ("reserve_bytes".to_owned(), room.reserve_bytes.to_string()),
                ]),
            });
        };
        if room.lacking_bytes() > 0 {
            let words = room.words();
            if !self.is_short {
                occurs(EventSeverity::Warning, Some("disk_short"), words.clone());
            }
            self.is_short = true;
            publisher.stand(Condition {
                kind: DISK_RESERVE.to_owned(),
                status: ConditionStatus::True,
                reason: "disk_short".to_owned(),
                message: format!(
                    "{words}; images that gpuhostd has pulled and nothing needs are removed unless `images.prune` is off: \
                     `gpuhostctl images` shows what stays and why; remove other files or enlarge the disk"
                ),
                since: self.parts.clock.wall_now(),
            });
        } else if self.is_short && room.is_free_again() {
            self.is_short = false;
            publisher.lift(DISK_RESERVE);
            occurs(EventSeverity::Info, None, room.words());
        }
    }

    fn show_unknown(&self, why: &str) {
        let board = self.parts.publisher.images();
        let before = board.shown().borrow().clone();
        board.show(ImagesState { unknown: Some(why.to_owned()), ..(*before).clone() });
    }
}

fn shown(publisher: &Publisher) -> Arc<ImagesState> {
    Arc::clone(&publisher.images().shown().borrow())
}

fn show(
    board: &ImageBoard,
    (mode, now): (PruneMode, model::time::UnixMillis),
    images: Vec<StoredImage>,
    record: &ImagesRecord,
    plan: &model::workspace_life::ImagePrunePlan,
    room: Option<DiskRoom>,
) {
    let images = ImageRow::all(images, &record.ours, plan);
    board.show(ImagesState { looked_at: Some(now), unknown: None, mode, images, room });
}

/// Why an image was not removed is another reason than before, which is remembered.
fn is_news(warned: &mut BTreeMap<ImageDigest, String>, id: &ImageDigest, why: &str) -> bool {
    warned.insert(id.clone(), why.to_owned()).as_deref() != Some(why)
}

/// What Docker no longer has needs no memory.
fn forget_gone(warned: &mut BTreeMap<ImageDigest, String>, images: &[StoredImage]) {
    warned.retain(|id, _| images.iter().any(|image| image.id == *id));
}

/// How it is named for a person.
fn name(row: &ImageRow) -> String {
    row.of.as_ref().map_or_else(|| row.image.id.to_string(), |(of, _)| of.to_string())
}

fn words(Pruned { images, bytes, failed }: &Pruned) -> String {
    let mut words = match images {
        0 => "no image was removed".to_owned(),
        1 => format!("1 image was removed, {} MiB", bytes >> 20),
        images => format!("{images} images were removed, {} MiB", bytes >> 20),
    };
    if let Some(why) = failed {
        words.push_str(&format!("; another one was not: {why}"));
    }
    words
}

/// An interval ± 10 %, another one each time.
fn interval_ms(seconds: u64, turn: u64) -> u64 {
    let ms = seconds.saturating_mul(1000);
    // Weyl's sequence: spread evenly, and no two turns in a row are alike.
    let share = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let tenth = ms / 10;
    (ms - tenth).saturating_add((tenth.saturating_mul(2)).saturating_mul(share) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_stays_is_reported_once_for_each_reason_and_again_where_it_had_gone() {
        let id: ImageDigest = format!("sha256:{}", "5e".repeat(32)).parse().unwrap();
        let there = StoredImage {
            id: id.clone(),
            digests: BTreeSet::new(),
            tags: Vec::new(),
            size_bytes: 1,
            created_at: None,
            used_by: Vec::new(),
        };
        let mut warned = BTreeMap::new();
        let mut turn = |images: &[StoredImage], why: &str| {
            forget_gone(&mut warned, images);
            is_news(&mut warned, &id, why)
        };
        let there = [there];
        let seen = [turn(&there, "busy"), turn(&there, "busy"), turn(&there, "in use"), turn(&there, "in use")];
        assert_eq!(seen, [true, false, true, false]);
        assert!(turn(&[], "in use"), "another image of that digest");
    }

    #[test]
    fn an_interval_is_within_a_tenth_and_differs_from_turn_to_turn() {
        let all: BTreeSet<u64> = (0..1000).map(|turn| interval_ms(3600, turn)).collect();
        assert!(all.iter().all(|ms| (3_240_000..=3_960_000).contains(ms)), "{all:?}");
        assert!(all.len() > 900 && all.first() < Some(&3_250_000) && all.last() > Some(&3_950_000));
    }
}
