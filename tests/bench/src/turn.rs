//! B21: one turn of the reconciler over 16 GPUs and 300 items: all items from the latest of everything, what is to be started, what is
//! shown. What the task does beside it (send what changed to a watch) is not in it.

use crate::Ground;
use crate::counted::{Work, instructions};
use crate::report::{Figure, Goal, Row};
use crate::sized;
use crate::turns::median;
use anyhow::ensure;
use model::desired::{
    Desired, DesiredDocument, DesiredMig, DesiredMigMode, DesiredSections, DesiredState, DesiredUse, DocumentId,
    GpuEntry, GpuMatch, InForceDocument, WishText,
};
use model::enrol::CheckinState;
use model::features::FeatureName;
use model::nvidia_container::NvidiaState;
use model::observation::HostObservation;
use model::policy::{Policy, Requester, read};
use model::proxy_cert::ProxyState;
use model::reconcile::{Applied, AtOnce, Item, ItemState, Pacer, Shown, World, items, suspicious};
use model::settings::{Settings, SettingsOverlay};
use model::time::{BootMillis, Now, UnixMillis};
use model::workspace::{DesiredRun, WorkspaceKind};
use model::workspace_life::{WorkspaceState, WorkspaceStatus, WorkspacesState};
use std::hint::black_box;
use std::time::Instant;

const GPUS: u32 = 16;
const ITEMS: usize = 300;
const TURNS: usize = 400;

/// Measures.
pub fn run(_: &Ground) -> anyhow::Result<Row> {
    let (settled, fresh) = (Reconciled::settled()?, Reconciled::fresh()?);
    let of = |instructions: anyhow::Result<crate::counted::Cost>| match instructions {
        Ok(cost) => format!("{:.0} thousand instructions a turn where all is met", cost.warm / 1e3),
        Err(error) => format!("instructions of a turn: not counted: {error:#}"),
    };
    Ok(Row {
        name: "B21",
        what: format!("one turn of the reconciler, {GPUS} GPUs and {ITEMS} items"),
        ours: vec![
            (Figure::new("all items met", settled.time()?, "ms"), Goal::AtMost(1.0)),
            (Figure::new("nothing done yet, eight changes under way", fresh.time()?, "ms"), Goal::AtMost(1.0)),
        ],
        peers: Vec::new(),
        notes: vec![
            format!("median of {TURNS} turns; no peer: what is comparable computes nothing item by item"),
            of(instructions(Work::Turn)),
            "no turn while nothing changes: a test counts them (agent/engine/tests/reconcile.rs)".into(),
        ],
    })
}

/// All that a turn reads, and what the reconciler remembers between two.
pub struct Reconciled {
    host: HostObservation,
    desired: DesiredState,
    settings: Settings,
    policy: Policy,
    nvidia: NvidiaState,
    workspaces: WorkspacesState,
    proxy: ProxyState,
    pacer: Pacer,
    applied: Applied,
    boot_ms: u64,
}

impl Reconciled {
    /// Nothing of the document has been done.
    pub fn fresh() -> anyhow::Result<Self> {
        let mut this = Self {
            host: sized::observed(sized::host(GPUS, 0)?)?,
            desired: DesiredState::default(),
            settings: Settings::default(),
            policy: read("p", "[manager]\npassthrough = true\nfeatures = true\nmig = true\nchanges_per_minute = 60")?,
            nvidia: NvidiaState::not_looked(),
            workspaces: WorkspacesState::default(),
            proxy: ProxyState::default(),
            pacer: Pacer::default(),
            applied: Applied::default(),
            boot_ms: 1_000_000,
        };
        this.wish(document(&this.host)?)?;
        let missing = ITEMS.saturating_sub(this.items().len());
        this.workspaces.workspaces = (0..missing).map(workspace).collect::<anyhow::Result<_>>()?;
        ensure!(this.items().len() == ITEMS, "{} items, not {ITEMS}", this.items().len());
        Ok(this)
    }

    /// All of it that is a setting has been set, and nothing else is wished.
    pub fn settled() -> anyhow::Result<Self> {
        let mut this = Self::fresh()?;
        let mut sections = document(&this.host)?;
        // These would be changes of the host.
        for entry in &mut sections.gpus {
            entry.usage = Desired::Value(DesiredUse::Containers);
            entry.mig.mode = Desired::Value(DesiredMigMode::Enabled);
        }
        this.wish(sections)?;
        let (turn, _) = this.turn();
        let mut overlay = SettingsOverlay::default();
        for start in turn {
            if let AtOnce::Settings(settings) = start {
                settings.into_iter().for_each(|setting| overlay.set(setting));
            }
        }
        this.settings = overlay.over(&Settings::default());
        this.pacer = Pacer::default();
        let open: Vec<Item> = this.items().into_iter().filter(|item| item.state != ItemState::Met).collect();
        ensure!(open.is_empty(), "{} items are not met: {:?}", open.len(), open.first());
        Ok(this)
    }

    fn wish(&mut self, wishes: DesiredSections) -> anyhow::Result<()> {
        let id = DocumentId { epoch: "e".to_owned().try_into()?, revision: 1.try_into()? };
        self.workspaces.document = Some(id.clone());
        self.workspaces.is_looked = true;
        let document =
            DesiredDocument { id, issued_at: None, server_id: None, not_after: None, requires: vec![], wishes };
        self.desired.manager = InForceDocument::InForce(Box::new(document));
        Ok(())
    }

    fn world(&self) -> World<'_> {
        World {
            desired: &self.desired,
            host: &self.host,
            known: &[],
            settings: &self.settings,
            policy: &self.policy,
            is_locked: false,
            checkin: CheckinState::Ok,
            nvidia: &self.nvidia,
            workspaces: &self.workspaces,
            proxy: &self.proxy,
            wall: UnixMillis(1_790_000_000_000),
        }
    }

    fn items(&self) -> Vec<Item> {
        items(&self.world())
    }

    /// As the reconciler's task does it: what it starts, and what it shows.
    pub fn turn(&mut self) -> (Vec<AtOnce>, Vec<Shown>) {
        self.boot_ms += 1;
        let now = Now { boot: BootMillis(self.boot_ms), wall: UnixMillis(1_790_000_000_000) };
        let in_force = self.desired.manager.document().map(|document| document.id.clone());
        self.applied.follow(in_force.as_ref());
        let world = self.world();
        black_box(suspicious(&world));
        let all = items(&world);
        let turn = self.pacer.turn(now.boot, &all);
        self.applied.judge(&all);
        (turn.start.into_iter().map(|start| start.deeds).collect(), self.pacer.shown(now, &all))
    }

    fn time(mut self) -> anyhow::Result<f64> {
        let mut taken = Vec::with_capacity(TURNS);
        let mut before = None;
        for _ in 0..TURNS {
            let begin = Instant::now();
            let (_, shown) = self.turn();
            // The task sends only what is another one.
            black_box(before.as_ref() == Some(&shown));
            taken.push(begin.elapsed().as_secs_f64() * 1e3);
            ensure!(shown.len() == ITEMS, "{} items are shown", shown.len());
            before = Some(shown);
        }
        Ok(median(taken))
    }
}

/// Every key of the host, and for each GPU its use, its MIG mode and each of its features.
fn document(host: &HostObservation) -> anyhow::Result<DesiredSections> {
    let mut sections = DesiredSections::default();
    let agent = &mut sections.agent;
    agent.enabled = Desired::Value(true);
    agent.draining = Desired::Value(false);
    agent.labels = Desired::Value((0..64).map(|n| (format!("label-{n}"), "x".repeat(32))).collect());
    agent.zone = Desired::Value("zone-a".to_owned());
    agent.pool = Desired::Value("pool-a".to_owned());
    agent.max_workspaces = Desired::Value(64);
    agent.overrides.millicores = Desired::Value(64_000);
    agent.overrides.cuda_gpus = Desired::Value(GPUS);
    agent.heartbeat_interval_s = Desired::Value(30);
    agent.sample_interval_s = Desired::Value(30);
    sections.gpus = host.gpus.iter().map(|gpu| wished(gpu.pci.address)).collect();
    sections.workspaces = Desired::Value(vec![WishText::default()]);
    Ok(sections)
}

fn wished(gpu: model::PciAddress) -> GpuEntry {
    GpuEntry {
        of: GpuMatch { bdf: Some(gpu), ..GpuMatch::default() },
        usage: Desired::Value(DesiredUse::Passthrough),
        mig: DesiredMig { mode: Desired::Value(DesiredMigMode::Disabled), ..DesiredMig::default() },
        features: FeatureName::ALL.iter().map(|name| (*name, Desired::Value(false))).collect(),
        ..GpuEntry::default()
    }
}

fn workspace(number: usize) -> anyhow::Result<WorkspaceStatus> {
    Ok(WorkspaceStatus {
        id: format!("workspace-{number}").parse()?,
        requester: Requester::Manager,
        kind: WorkspaceKind::User,
        desired: Some(DesiredRun::Running),
        state: WorkspaceState::Running,
        reason: None,
        retry_at: None,
        since: UnixMillis(1_790_000_000_000),
        container: None,
        image: None,
        gpus: Vec::new(),
        vfio: Vec::new(),
        gpu_ok: None,
        gpu_unknown: None,
        stale_driver: None,
        figures: None,
        nano_cpus: 4_000_000_000,
        memory_bytes: 8 << 30,
        generation: 1,
        pid: None,
        started_at: None,
        pull_progress: None,
    })
}
