//! Runs of documents, crashes, a disk that refuses or is damaged, locks, policies and users of GPUs, in any order, over the real keeper,
//! reconciler and change engine in virtual time. However a run goes, in the end the host is what the last valid document wishes within the
//! policy, nothing else has moved, and what was reported as applied was so. Daemons that are built wrong are found.

use crate::rig::document;
use crate::runs_world::{RunWorld, Wrong, open};
use model::desired::InForceDocument;
use model::enrol::{CheckinState, CheckinStatus};
use model::holders::{Hold, Holder};
use model::policy::Policy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const GPUS: [&str; 3] = ["0000:07:00.0", "0000:0f:00.0", "0000:47:00.0"];
/// No document of a run names it.
const NEVER: usize = 2;
/// A ledger that was cut off.
const DAMAGED: &[u8] = b"{\"schema\": 1, \"cut\": ";
/// Runs of the test; the seed is the number of the run.
const RUNS: u64 = 12;
/// Events of one run.
const EVENTS: usize = 25;

type Found = Result<(), String>;

/// Numbers that depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn truth(&mut self) -> bool {
        self.below(2) == 0
    }
}

struct Run {
    dice: Dice,
    world: RunWorld,
    revision: u64,
    /// What was offered, by revision: a document that could not be saved comes into force later.
    offered: BTreeMap<u64, Value>,
    applied: Option<String>,
}

impl Run {
    async fn new(seed: u64, wrong: Wrong) -> Self {
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let world = RunWorld::new(wrong).await;
        Self { dice, world, revision: 0, offered: BTreeMap::new(), applied: None }
    }

    fn wishes(&mut self) -> Value {
        let uses = ["passthrough", "containers"];
        let mut gpus = Vec::new();
        for gpu in &GPUS[..NEVER] {
            if self.dice.below(4) != 0 {
                let usage = uses[usize::from(self.dice.truth())];
                gpus.push(json!({"match": {"bdf": gpu}, "use": usage}));
            }
        }
        // A value of its own for each revision, so that the disk shows which one it holds.
        let zone = format!("zone-{}x", self.revision);
        json!({"agent": {"zone": zone}, "gpus": gpus})
    }

    async fn offer(&mut self) {
        self.revision += 1;
        let (revision, mut members) = (self.revision, self.wishes());
        if self.dice.below(8) == 0 {
            members["requires"] = json!(["teleport.v1"]);
        }
        let stale = self.dice.below(8) == 0 && revision > 2;
        let revision = if stale { 1 } else { revision };
        let body = document("e", revision, &members);
        let refuses = self.dice.below(5) == 0;
        self.world.ledger.disk(|disk| disk.refuses = refuses.then(|| "no space left on device".to_owned()));
        let taken = self.world.offer(body).await;
        if taken.is_news || !stale {
            self.offered.insert(revision, members);
        }
        self.world.ledger.disk(|disk| disk.refuses = None);
    }

    async fn event(&mut self) -> Found {
        match self.dice.below(12) {
            0..=3 => self.offer().await,
            4 => self.world.crash().await,
            5 => drop(self.world.locked.send_replace(self.dice.truth())),
            6 => {
                let policy = if self.dice.truth() { open() } else { Policy::strictest() };
                self.world.policy.send_replace(Arc::new(policy));
            }
            7 => {
                let state = if self.dice.truth() { CheckinState::Ok } else { CheckinState::Forgotten };
                let known = self.world.checkin.borrow().as_ref().clone();
                self.world.checkin.send_replace(Arc::new(CheckinStatus { state, ..known }));
            }
            8 => {
                let is_held = self.dice.truth();
                let gpu = usize::from(self.dice.truth());
                self.hold(gpu, is_held);
            }
            9 => drop(self.world.refuses.send_replace(self.dice.truth())),
            10 if self.world.in_force().is_some() && self.dice.below(3) == 0 => {
                self.world.ledger.disk(|disk| disk.content = Some(Ok(DAMAGED.to_vec())));
                self.world.crash().await;
            }
            _ => {}
        }
        self.world.judge_denial();
        sleep(Duration::from_millis(1 + self.dice.below(3_000))).await;
        self.look()
    }

    fn hold(&self, gpu: usize, is_held: bool) {
        let holder = Holder {
            pid: Some(17),
            command: Some("python".into()),
            unit: None,
            container: None,
            address: None,
            instance: None,
            hold: Hold::OpenDevice { path: "/dev/nvidia0".into() },
        };
        let address = GPUS[gpu].parse().unwrap();
        self.world.host.change(|state| {
            if is_held { state.open.insert(address, vec![holder]) } else { state.open.remove(&address) }
        });
    }

    /// What holds at every moment.
    fn look(&mut self) -> Found {
        if let Some(violation) = self.world.violations.lock().unwrap().first() {
            return Err(violation.clone());
        }
        let is_damaged = self.world.ledger.disk(|disk| disk.content == Some(Ok(DAMAGED.to_vec())));
        if is_damaged && !matches!(self.world.given().manager, InForceDocument::Unreadable { .. }) {
            return Err("a ledger that cannot be read is not shown as one".to_owned());
        }
        let applied = self.world.reconciled().applied.as_ref().map(ToString::to_string);
        let is_news = applied.is_some() && applied != self.applied;
        self.applied = applied;
        if is_news && let Some(unmet) = self.unmet(&[0, 1]) {
            return Err(format!("a revision is reported as applied and is not: {unmet}"));
        }
        Ok(())
    }

    fn driver(&self, gpu: usize) -> Option<String> {
        self.world.host.state().bus.functions[&GPUS[gpu].parse().unwrap()].driver.as_ref().map(ToString::to_string)
    }

    /// What of the last document the host does not show.
    fn unmet(&self, gpus: &[usize]) -> Option<String> {
        let wished = self.offered.get(&self.world.in_force()?)?;
        let zone = self.world.settings.borrow().desired.zone.clone();
        if zone.as_deref() != wished["agent"]["zone"].as_str() {
            return Some(format!("the zone is {zone:?}, not {}", wished["agent"]["zone"]));
        }
        gpus.iter().find_map(|gpu| {
            let entry = wished["gpus"].as_array()?.iter().find(|one| one["match"]["bdf"] == GPUS[*gpu])?;
            let driver = self.driver(*gpu);
            let is_given = driver.as_deref() == Some("vfio-pci");
            ((entry["use"] == "passthrough") != is_given).then(|| format!("{} has the driver {driver:?}", GPUS[*gpu]))
        })
    }

    /// Everything calms down: nothing is locked, no GPU is used but one, time passes.
    async fn settle(&mut self) -> Found {
        self.world.locked.send_replace(false);
        self.world.policy.send_replace(Arc::new(open()));
        self.world.refuses.send_replace(false);
        let known = self.world.checkin.borrow().as_ref().clone();
        self.world.checkin.send_replace(Arc::new(CheckinStatus { state: CheckinState::Ok, ..known }));
        self.world.judge_denial();
        self.hold(0, true);
        self.hold(1, false);
        sleep(Duration::from_secs(500)).await;
        self.look()?;
        if let Some(unmet) = self.unmet(&[1]) {
            return Err(format!("it is never done: {unmet}"));
        }
        self.hold(0, false);
        sleep(Duration::from_secs(500)).await;
        self.look()?;
        match self.unmet(&[0, 1]) {
            Some(unmet) => Err(format!("it is never done: {unmet}")),
            None => Ok(()),
        }
    }

    async fn whole(&mut self) -> Found {
        let never = self.driver(NEVER);
        for _ in 0..EVENTS {
            self.event().await?;
        }
        self.settle().await?;
        if self.driver(NEVER) != never {
            return Err("something moved that nobody named".to_owned());
        }
        Ok(())
    }
}

/// The first fault of runs of these seeds.
fn fault(wrong: Wrong, mut seeds: std::ops::Range<u64>) -> Option<String> {
    seeds.find_map(|seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let found = runtime.block_on(async { Run::new(seed, wrong).await.whole().await });
        Some(format!("seed {seed}: {}", found.err()?))
    })
}

#[test]
fn however_a_run_goes_the_end_is_what_is_wished_and_nothing_else_moved() {
    assert_eq!(fault(Wrong::Nothing, 0..RUNS), None);
}

#[test]
fn each_daemon_that_is_built_wrong_is_found() {
    for (wrong, words) in [
        (Wrong::ApplyBeforeSave, "before it is on disk"),
        (Wrong::EmptyOnMissing, "not shown as one"),
        (Wrong::LocalAuthority, "that is denied"),
        (Wrong::NoBackOff, "without a pause"),
        (Wrong::OneItemBlocks, "the zone is"),
    ] {
        let found = fault(wrong, 0..4 * RUNS);
        assert!(found.as_ref().is_some_and(|fault| fault.contains(words)), "{wrong:?}: {found:?}");
    }
}
