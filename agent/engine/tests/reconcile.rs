//! The reconciler over the change engine on a simulated host: what a document wishes is done, once, and said as it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where its world is broken"
)]

mod change_bench;
mod common;

use change_bench::{Acting, Disk, GPU, OTHER, at, release, root};
use common::{ManualClock, PATIENCE};
use engine::change::ChangePorts;
use engine::command::{Command, Origin};
use engine::handle::Handle;
use engine::publish::Publisher;
use engine::reconcile::{ReconcileInputs, Reconciled};
use engine::start::{EngineParts, EnginePorts};
use model::change::Change;
use model::desired::{
    Desired, DesiredDocument, DesiredMig, DesiredMigMode, DesiredSections, DesiredState, DesiredUse, DocumentId,
    GpuEntry, GpuMatch, InForceDocument, MigApply,
};
use model::driver::MigMode;
use model::enrol::{CheckinState, CheckinStatus, EnrolSpec, Farewell};
use model::holders::{Hold, Holder, MigPlace};
use model::mig::{MigLayoutRequest, MigMaster, Wish};
use model::policy::{Policy, read};
use model::ports::ManagerPort;
use model::reconcile::{ItemPath, Shown};
use model::refusal::Refusal;
use model::settings::{HostSetting, Settings, SettingsOverlay};
use sim::SimHost;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The settings of the daemon, with what is set over them, and how often they were written.
struct Setter {
    settings: watch::Sender<Arc<Settings>>,
    writes: Mutex<u32>,
    refuses: Mutex<bool>,
}

impl ManagerPort for Setter {
    async fn accept_epoch(&self, _: model::desired::Epoch) -> Result<(), Refusal> {
        Ok(())
    }

    async fn edit_enrolment(&self, _: model::enrol::EnrolmentEdit) -> Result<(), Refusal> {
        Ok(())
    }

    async fn configure(&self, settings: Vec<HostSetting>) -> Result<(), Refusal> {
        *self.writes.lock().unwrap() += 1;
        if *self.refuses.lock().unwrap() {
            return Err(Refusal::Conflict { why: "the disk is full".to_owned() });
        }
        self.settings.send_modify(|now| {
            let mut overlay: SettingsOverlay = now.desired.clone();
            settings.into_iter().for_each(|setting| overlay.set(setting));
            *now = Arc::new(overlay.over(&Settings::default()));
        });
        Ok(())
    }

    async fn enrol(&self, _: EnrolSpec) -> Result<(), Refusal> {
        Ok(())
    }

    async fn leave(&self) -> Result<Farewell, Refusal> {
        Ok(Farewell::NotEnrolled)
    }

    async fn lock(&self, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    async fn acknowledge_gone(&self, _: model::PciAddress) -> Result<(), Refusal> {
        Ok(())
    }
}

struct Bench {
    host: SimHost,
    clock: Arc<ManualClock>,
    handle: Handle,
    desired: watch::Sender<Arc<DesiredState>>,
    policy: watch::Sender<Arc<Policy>>,
    locked: watch::Sender<bool>,
    checkin: watch::Sender<Arc<CheckinStatus>>,
    setter: Arc<Setter>,
    publisher: Arc<Publisher>,
    reconciled: watch::Receiver<Arc<Reconciled>>,
    disk: Disk,
    cancel: CancellationToken,
    engine: tokio::task::JoinHandle<()>,
}

impl Bench {
    async fn start() -> Self {
        let host = change_bench::dgx();
        Self::start_on(host, Disk::default(), DesiredState::default(), Settings::default()).await
    }

    async fn start_on(host: SimHost, disk: Disk, desired: DesiredState, settings: Settings) -> Self {
        let (clock, cancel) = (ManualClock::new(), CancellationToken::new());
        let acting = Arc::new(Acting { host: host.clone(), holds_back: Mutex::new(false), pulls: Mutex::new(None) });
        let change = ChangePorts {
            act: acting,
            journal: Arc::new(disk.clone()),
            clock: Arc::clone(&clock),
            boot_id: "boot".to_owned(),
        };
        let (settings, in_force) = watch::channel(Arc::new(settings));
        let open = read(
            "p",
            "[manager]\npassthrough = true\nchanges_per_minute = 60\n[host.passthrough]\nchanges_per_minute = 60",
        );
        let (policy, allowed) = watch::channel(Arc::new(open.unwrap()));
        let (desired, wished) = watch::channel(Arc::new(desired));
        let (locked, is_locked) = watch::channel(false);
        let ok = CheckinStatus { state: CheckinState::Ok, ..CheckinStatus::default() };
        let (checkin, status) = watch::channel(Arc::new(ok));
        let inputs = ReconcileInputs {
            desired: wished,
            settings: in_force.clone(),
            policy: allowed.clone(),
            locked: is_locked,
            checkin: status,
        };
        let parts = EngineParts::default().with_desired_state(inputs);
        let (reconciled, publisher) = (parts.reconciled(), parts.publisher());
        let setter = Arc::new(Setter { settings, writes: Mutex::new(0), refuses: Mutex::new(false) });
        let ports = EnginePorts {
            host: Arc::new(host.clone()),
            announced: host.changes(),
            manager: Arc::clone(&setter),
            settings: in_force,
            policy: allowed,
            change,
        };
        let engine = parts.engine(ports, cancel.clone()).await;
        let (handle, run) = (engine.handle, tokio::spawn(engine.run));
        Self {
            host,
            clock,
            handle,
            desired,
            policy,
            locked,
            checkin,
            setter,
            publisher,
            reconciled,
            disk,
            cancel,
            engine: run,
        }
    }

    fn wish(&self, revision: u64, edit: impl FnOnce(&mut DesiredSections)) {
        // No item is tried twice in a second.
        self.clock.advance(2_000);
        self.desired.send_replace(Arc::new(state(revision, edit)));
    }

    async fn until(&self, what: &str, is: impl Fn(&Reconciled) -> bool) {
        let mut seen = self.reconciled.clone();
        let found = tokio::time::timeout(PATIENCE, seen.wait_for(|now| is(now))).await;
        assert!(found.is_ok(), "{what}: {:#?}", self.reconciled.borrow());
    }

    async fn until_applied(&self, revision: u64) {
        self.until("applied", |now| now.applied == Some(id(revision))).await;
    }

    async fn until_code(&self, path: &str, code: &str) {
        self.until(code, |now| {
            item(now, path).is_some_and(|item| item.why.as_ref().is_some_and(|why| why.code == code))
        })
        .await;
    }

    /// How often the wall clock was asked when nobody has anything left to do: each turn of the reconciler asks it.
    async fn turns_at_rest(&self) -> u32 {
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        self.clock.asked()
    }

    fn driver(&self, gpu: &str) -> Option<String> {
        self.host.state().bus.functions[&at(gpu)].driver.as_ref().map(ToString::to_string)
    }

    fn jobs(&self, operation: &str) -> usize {
        self.handle.jobs.borrow().iter().filter(|job| job.operation == operation).count()
    }

    async fn stop(self) -> (SimHost, Disk, Settings) {
        self.cancel.cancel();
        self.engine.await.unwrap();
        let settings = self.setter.settings.borrow().as_ref().clone();
        (self.host, self.disk, settings)
    }
}

fn item<'a>(now: &'a Reconciled, path: &str) -> Option<&'a Shown> {
    now.items.iter().find(|item| item.path == ItemPath::new(path))
}

fn id(revision: u64) -> DocumentId {
    DocumentId { epoch: "e".to_owned().try_into().unwrap(), revision: revision.try_into().unwrap() }
}

fn state(revision: u64, edit: impl FnOnce(&mut DesiredSections)) -> DesiredState {
    let mut wishes = DesiredSections::default();
    edit(&mut wishes);
    let document = DesiredDocument {
        id: id(revision),
        issued_at: None,
        server_id: None,
        not_after: None,
        requires: Vec::new(),
        wishes,
    };
    DesiredState { manager: InForceDocument::InForce(Box::new(document)), ..DesiredState::default() }
}

fn entry(gpu: &str, usage: DesiredUse) -> GpuEntry {
    let of = GpuMatch { bdf: Some(at(gpu)), ..GpuMatch::default() };
    GpuEntry { of, usage: Desired::Value(usage), ..GpuEntry::default() }
}

fn path(gpu: &str) -> String {
    format!("gpus[{gpu}].use")
}

#[tokio::test]
async fn a_revision_gives_a_gpu_away_the_next_takes_it_back_and_each_is_done_once() {
    let bench = Bench::start().await;
    let before = bench.driver(GPU);
    bench.wish(1, |wishes| {
        wishes.agent.zone = Desired::Value("z".to_owned());
        wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough)];
    });
    bench.until_applied(1).await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"));
    assert_eq!((bench.jobs("passthrough-bind"), bench.jobs("configure")), (1, 1));
    let by = bench.handle.jobs.borrow().iter().find(|job| job.operation == "passthrough-bind").cloned().unwrap();
    assert_eq!(by.started_by.origin, Origin::Manager);
    let wished = by.wished.unwrap();
    assert_eq!((wished.document, wished.paths), (Some(id(1)), vec![ItemPath::new(path(GPU))]));
    bench.wish(2, |wishes| wishes.gpus = vec![entry(GPU, DesiredUse::Containers)]);
    bench.until_applied(2).await;
    assert_eq!(bench.driver(GPU), before);
    let zone = bench.setter.settings.borrow().desired.zone.clone();
    assert_eq!((bench.jobs("passthrough-release"), zone.as_deref()), (1, Some("z")), "what is absent stays");
    bench.desired.send_replace(Arc::new(DesiredState::default()));
    bench.until("nothing wished", |now| now.items.is_empty()).await;
    assert_eq!((bench.jobs("passthrough-bind"), bench.jobs("passthrough-release")), (1, 1), "and nothing is undone");
}

#[tokio::test]
async fn a_revision_cuts_a_gpu_and_the_next_cuts_it_otherwise() {
    let mut description = sim::load("hgx-h100").unwrap();
    description.gpus.iter_mut().for_each(|gpu| gpu.processes.clear());
    let host = SimHost::new(description).unwrap();
    let bench = Bench::start_on(host, Disk::default(), DesiredState::default(), Settings::default()).await;
    let open = read("p", "[manager]\nmig = true\nchanges_per_minute = 6\n[host.mig]\nchanges_per_minute = 6");
    bench.policy.send_replace(Arc::new(open.unwrap()));
    let gpu = at("0000:1b:00.0");
    let wish = |profiles: &[(&str, u64)]| {
        let of = GpuMatch { bdf: Some(gpu), ..GpuMatch::default() };
        let wish = |(profile, count): &(&str, u64)| Wish { profile: (*profile).to_owned(), start: None, count: *count };
        let mig = DesiredMig {
            mode: Desired::Value(DesiredMigMode::Enabled),
            layout: Desired::Value(profiles.iter().map(wish).collect()),
            apply: Desired::Absent,
        };
        GpuEntry { of, mig, ..GpuEntry::default() }
    };
    let there = || {
        let state = bench.host.state();
        state.mig[&gpu].instances.iter().map(|one| one.profile.clone()).collect::<Vec<_>>()
    };
    bench.wish(1, |wishes| wishes.gpus = vec![wish(&[("3g.40gb", 1), ("1g.10gb", 2)])]);
    // The mode, then the layout: an item is tried once in a second.
    bench.until("the mode", |_| bench.host.state().mig[&gpu].current == MigMode::Enabled).await;
    bench.clock.advance(2_000);
    bench.until_applied(1).await;
    assert_eq!((there().len(), bench.jobs("mig-mode"), bench.jobs("mig-layout")), (3, 1, 1));
    bench.wish(2, |wishes| wishes.gpus = vec![wish(&[("7g.80gb", 1)])]);
    bench.until_applied(2).await;
    assert_eq!((there(), bench.jobs("mig-layout")), (vec!["7g.80gb".to_owned()], 2));
    bench.wish(3, |wishes| wishes.gpus = vec![wish(&[("9g.9gb", 1)])]);
    bench.until_code("gpus[0000:1b:00.0].mig", "unknown_profile").await;
    assert_eq!(there(), ["7g.80gb"], "and nothing was touched");
}

#[tokio::test]
async fn a_wished_place_is_met_by_an_instance_at_that_place_only() {
    let mut description = sim::load("hgx-h100").unwrap();
    description.gpus.iter_mut().for_each(|gpu| gpu.processes.clear());
    let host = SimHost::new(description).unwrap();
    let gpu = at("0000:1b:00.0");
    host.change(|state| state.change_mig(gpu, |mig| (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled)));
    let bench = Bench::start_on(host, Disk::default(), DesiredState::default(), Settings::default()).await;
    let open = read("p", "[manager]\nmig = true\nchanges_per_minute = 6\n[host.mig]\nchanges_per_minute = 6");
    bench.policy.send_replace(Arc::new(open.unwrap()));
    let wish = |starts: &[Option<u32>]| {
        let of = GpuMatch { bdf: Some(gpu), ..GpuMatch::default() };
        let wish = |start: &Option<u32>| Wish { profile: "1g.10gb".to_owned(), start: *start, count: 1 };
        let layout = Desired::Value(starts.iter().map(wish).collect());
        GpuEntry {
            of,
            mig: DesiredMig { mode: Desired::Absent, layout, apply: Desired::Absent },
            ..GpuEntry::default()
        }
    };
    let there = || {
        let state = bench.host.state();
        state.mig[&gpu].instances.iter().map(|one| one.placement.start).collect::<Vec<_>>()
    };
    bench.wish(1, |wishes| wishes.gpus = vec![wish(&[Some(2), None])]);
    bench.until_applied(1).await;
    let first = there();
    assert!(first.len() == 2 && first.contains(&2), "{first:?}");
    // As many of the same profile, and one of them elsewhere.
    bench.clock.advance(2_000);
    bench.wish(2, |wishes| wishes.gpus = vec![wish(&[Some(5), Some(3)])]);
    bench.until_applied(2).await;
    assert_eq!((there(), bench.jobs("mig-layout")), (vec![3, 5], 2));
    // A place that is wished anyhow is no reason to move anything.
    bench.wish(3, |wishes| wishes.gpus = vec![wish(&[None, Some(5)])]);
    bench.until_applied(3).await;
    assert_eq!((there(), bench.jobs("mig-layout")), (vec![3, 5], 2));
}

#[tokio::test]
async fn beside_another_program_that_sets_mig_nothing_is_reconciled_and_a_person_is_warned() {
    let mut description = sim::load("hgx-h100").unwrap();
    description.gpus.iter_mut().for_each(|gpu| gpu.processes.clear());
    let host = SimHost::new(description).unwrap();
    let gpu = at("0000:1b:00.0");
    let unit = "nvidia-mig-manager.service";
    host.change(|state| {
        state.change_mig(gpu, |mig| (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled));
        state.mig_masters.extend(MigMaster::of_link("multi-user.target.wants", unit));
    });
    let bench = Bench::start_on(host, Disk::default(), DesiredState::default(), Settings::default()).await;
    let open = read("p", "[manager]\nmig = true\nchanges_per_minute = 6\n[host.mig]\nchanges_per_minute = 6");
    bench.policy.send_replace(Arc::new(open.unwrap()));
    bench.wish(1, |wishes| {
        let of = GpuMatch { bdf: Some(gpu), ..GpuMatch::default() };
        let layout = Desired::Value(vec![Wish { profile: "1g.10gb".to_owned(), start: None, count: 1 }]);
        let mig = DesiredMig { mode: Desired::Absent, layout, apply: Desired::Absent };
        wishes.gpus = vec![GpuEntry { of, mig, ..GpuEntry::default() }];
    });
    bench.until_code("gpus[0000:1b:00.0].mig", "mig_second_master").await;
    let condition = || {
        let shown = bench.handle.observation.borrow().clone();
        shown.conditions.iter().find(|one| one.kind == "mig_second_master").map(|one| one.message.clone())
    };
    assert!(condition().is_some_and(|message| message.contains(&format!("systemctl disable --now {unit}"))));
    assert_eq!(bench.jobs("mig-layout"), 0);
    let layout =
        MigLayoutRequest { gpu, layout: "1g.10gb".to_owned(), replace_foreign: false, confirm_within_ms: None };
    let id = bench.handle.submit(root(Command::Change(Change::MigLayout(layout)))).await.unwrap();
    let job = bench.handle.end_of(id).await.unwrap();
    assert!(job.result.is_some_and(|result| result.is_ok()), "what an administrator orders is done");
    assert!(job.cautions.iter().any(|caution| caution.to_string().contains(unit)), "{:?}", job.cautions);
    // It is met now, and what is met fights nobody.
    bench.until_applied(1).await;
    bench.wish(2, |wishes| {
        let of = GpuMatch { bdf: Some(gpu), ..GpuMatch::default() };
        let layout = Desired::Value(vec![Wish { profile: "7g.80gb".to_owned(), start: None, count: 1 }]);
        let mig = DesiredMig { mode: Desired::Absent, layout, apply: Desired::Absent };
        wishes.gpus = vec![GpuEntry { of, mig, ..GpuEntry::default() }];
    });
    bench.until_code("gpus[0000:1b:00.0].mig", "mig_second_master").await;
    bench.host.change(|state| state.mig_masters.clear());
    bench.handle.run(root(Command::Rescan)).await.unwrap();
    bench.clock.advance(400_000);
    bench.until_applied(2).await;
    assert_eq!(condition(), None);
}

#[tokio::test]
async fn what_waits_for_workspaces_names_their_containers_and_forces_them_by_policy_only() {
    let mut description = sim::load("hgx-h100").unwrap();
    description.gpus.iter_mut().for_each(|gpu| gpu.processes.clear());
    let host = SimHost::new(description).unwrap();
    let gpu = at("0000:1b:00.0");
    host.change(|state| state.change_mig(gpu, |mig| (mig.current, mig.pending) = (MigMode::Enabled, MigMode::Enabled)));
    let bench = Bench::start_on(host, Disk::default(), DesiredState::default(), Settings::default()).await;
    let allow = |stop_workspaces: bool| {
        let text = format!(
            "[manager]\nmig = true\nchanges_per_minute = 60\n[host.mig]\nchanges_per_minute = 60\nstop_workspaces = \
             {stop_workspaces}"
        );
        bench.policy.send_replace(Arc::new(read("p", &text).unwrap()));
    };
    allow(false);
    let wish = |profile: &str, apply| {
        let of = GpuMatch { bdf: Some(gpu), ..GpuMatch::default() };
        let layout = Desired::Value(vec![Wish { profile: profile.to_owned(), start: None, count: 1 }]);
        vec![GpuEntry { of, mig: DesiredMig { mode: Desired::Absent, layout, apply }, ..GpuEntry::default() }]
    };
    bench.wish(1, |wishes| wishes.gpus = wish("3g.40gb", Desired::Absent));
    bench.until_applied(1).await;
    let holder = |container: Option<&str>| Holder {
        pid: None,
        command: None,
        unit: None,
        container: container.map(str::to_owned),
        address: Some(gpu),
        instance: Some(MigPlace {
            gpu_instance: bench.host.state().mig[&gpu].instances[0].id,
            compute_instance: Some(0),
        }),
        hold: Hold::ContainerDevice { device: "MIG-a".to_owned() },
    };
    let hold = |holders: Vec<Holder>| bench.host.change(|state| state.open.insert(gpu, holders));
    let leave = || bench.publisher.mig_leaves().borrow().get(&gpu).cloned();
    let path = "gpus[0000:1b:00.0].mig";
    hold(vec![holder(Some("0123456789ab"))]);
    for (revision, apply, stops) in [
        (2, Desired::Value(MigApply::WhenIdle), None),
        (3, Desired::Value(MigApply::Drain), Some(false)),
        (4, Desired::Value(MigApply::Force), None),
    ] {
        bench.clock.advance(400_000);
        bench.wish(revision, |wishes| wishes.gpus = wish("7g.80gb", apply));
        let code = if revision == 4 { "denied_by_local_policy" } else { "in_use_not_wanted" };
        bench.until_code(path, code).await;
        bench.until("the leave", |_| leave().map(|leave| leave.stops) == stops).await;
    }
    allow(true);
    let by_manager = || leave().is_some_and(|leave| leave.stops && leave.by == model::policy::Requester::Manager);
    bench.until("it may now", |_| by_manager()).await;
    assert_eq!(leave().unwrap().holders, [Some("0123456789ab".to_owned())]);
    // What the workspace had is free: it is changed, and nobody has to give way any more.
    hold(Vec::new());
    bench.clock.advance(400_000);
    bench.until_applied(4).await;
    assert_eq!(leave(), None);
}

#[tokio::test]
async fn one_item_that_fails_blocks_no_other_and_goes_on_when_its_blocker_is_gone() {
    let bench = Bench::start().await;
    let hold = Hold::OpenDevice { path: "/dev/nvidia0".into() };
    let holder = Holder {
        pid: Some(17),
        command: Some("python".into()),
        unit: None,
        container: None,
        address: None,
        instance: None,
        hold,
    };
    bench.host.change(|state| state.open.insert(at(GPU), vec![holder]));
    bench.wish(1, |wishes| {
        wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough), entry(OTHER, DesiredUse::Passthrough)];
        wishes.agent.pool = Desired::Value("p".to_owned());
    });
    bench.until_code(&path(GPU), "in_use").await;
    bench.until("the other", |now| item(now, &path(OTHER)).is_some_and(|item| item.state == "met")).await;
    assert_eq!(bench.reconciled.borrow().applied, None, "applied never says more than a look at the host");
    let retry = item(&bench.reconciled.borrow(), &path(GPU)).unwrap().retry_at;
    assert!(retry.is_some());
    bench.host.change(|state| state.open.clear());
    bench.clock.advance(400_000);
    bench.until_applied(1).await;
}

#[tokio::test]
async fn t39_what_a_manager_wishes_is_judged_and_locked_as_a_managers() {
    let bench = Bench::start().await;
    bench.locked.send_replace(true);
    bench.wish(1, |wishes| wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough)]);
    bench.until_code(&path(GPU), "remote_locked").await;
    bench.policy.send_replace(Arc::new(Policy::default()));
    bench.locked.send_replace(false);
    bench.until_code(&path(GPU), "denied_by_local_policy").await;
    assert_eq!(bench.jobs("passthrough-bind"), 0);
    let open = read("p", "[manager]\npassthrough = true\nchanges_per_minute = 6").unwrap();
    bench.policy.send_replace(Arc::new(open));
    bench.until_applied(1).await;
    let forgotten = CheckinStatus { state: CheckinState::Forgotten, ..CheckinStatus::default() };
    bench.checkin.send_replace(Arc::new(forgotten));
    bench.wish(2, |wishes| wishes.gpus = vec![entry(GPU, DesiredUse::Containers)]);
    bench.until_code(&path(GPU), "forgotten").await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"));
}

#[tokio::test]
async fn what_a_person_undoes_is_done_again_and_a_setting_that_cannot_be_saved_is_tried_again() {
    let bench = Bench::start().await;
    *bench.setter.refuses.lock().unwrap() = true;
    bench.wish(1, |wishes| {
        wishes.agent.enabled = Desired::Value(false);
        wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough)];
    });
    bench.until_code("agent.enabled", "conflict").await;
    *bench.setter.refuses.lock().unwrap() = false;
    bench.clock.advance(10_000);
    bench.until_applied(1).await;
    let end = bench.handle.run(root(Command::Change(release(GPU)))).await;
    assert!(end.is_ok());
    bench.clock.advance(400_000);
    bench.until("bound again", |_| bench.jobs("passthrough-bind") == 2).await;
    bench.until("met again", |now| item(now, &path(GPU)).is_some_and(|item| item.state == "met")).await;
    assert_eq!(bench.driver(GPU).as_deref(), Some("vfio-pci"));
}

#[tokio::test]
async fn a_daemon_that_starts_again_does_nothing_twice() {
    let bench = Bench::start().await;
    let wishes = |wishes: &mut DesiredSections| {
        wishes.agent.zone = Desired::Value("z".to_owned());
        wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough)];
    };
    bench.wish(1, wishes);
    bench.until_applied(1).await;
    let (host, disk, settings) = bench.stop().await;
    let again = Bench::start_on(host, disk, state(1, wishes), settings).await;
    again.until_applied(1).await;
    assert_eq!(again.handle.jobs.borrow().len(), 0);
    assert_eq!(*again.setter.writes.lock().unwrap(), 0);
}

#[tokio::test]
async fn while_nothing_changes_no_turn_is_taken() {
    let bench = Bench::start().await;
    bench.wish(1, |wishes| {
        wishes.agent.zone = Desired::Value("z".to_owned());
        wishes.gpus = vec![entry(GPU, DesiredUse::Passthrough)];
    });
    bench.until_applied(1).await;
    let at_rest = bench.turns_at_rest().await;
    assert!(at_rest > 0);
    // A heartbeat is accepted, and most of the time to the next sample passes.
    let accepted = CheckinStatus { accepted: 7, ..(**bench.checkin.borrow()).clone() };
    bench.checkin.send_replace(Arc::new(accepted));
    bench.clock.advance(20_000);
    assert_eq!(bench.turns_at_rest().await, at_rest);
    bench.locked.send_replace(true);
    assert!(bench.turns_at_rest().await > at_rest, "a turn is seen");
}
