//! The hosts from which the search starts, and what is asked of them.

use crate::shown::{Other, Shown};
use model::change::{Aftermath, ChangeId, Entry, Phase, encode};
use model::docker::DockerFacts;
use model::driver::ProbeError;
use model::holders::{Hold, Holder};
use model::host_facts::HostFacts;
use model::judge::{ObservationMeta, judge};
use model::observation::{HostObservation, RawObservation};
use model::passthrough::{BindRequest, ReleaseRequest, plan_passthrough, plan_release, scope_of};
use model::plan::{
    Former, FunctionSettings, FunctionsWanted, Look, ModuleState, Plan, PlanStep, Postcondition, PowerControl, Target,
};
use model::policy::{Act, Policy, Requester};
use model::ports::ActError;
use model::refusal::Refusal;
use model::time::{BootMillis, UnixMillis};
use model::{JobId, PciAddress};
use sim::description::Description;
use sim::state::HostState;
use sim::step_faults::StepFault;
use sim::{parse, scan};
use std::collections::BTreeSet;

pub(crate) const GPU: &str = "0000:41:00.0";
pub(crate) const BOOT: &str = "the-first-boot";
pub(crate) const ID: ChangeId = ChangeId::Number(7);

/// A start: a host, what the journal holds of it, and the change that is asked for.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) host: HostState,
    pub(crate) entry: Entry,
    /// A record of the binding that stands before a release.
    pub(crate) standing: Option<Entry>,
    /// In place of it: an entry that nobody can read.
    pub(crate) damaged: Option<Vec<u8>>,
    /// Functions that the change touches.
    pub(crate) functions: usize,
    /// Every function has its own driver before and after, so that a probe by others changes nothing of that.
    pub(crate) comes_home: bool,
    /// What the host shows before it.
    pub(crate) before: Shown,
    /// What it must show after it.
    pub(crate) after: Shown,
    /// MIG instances that are in use or somebody else's: they must be there at every point.
    pub(crate) guarded: BTreeSet<String>,
    /// What others may do in between.
    pub(crate) others: Vec<Other>,
    /// The plan by somebody who does not look whether anything is in use.
    pub(crate) careless: Option<Plan>,
}

/// A world in which functions change their drivers.
fn of_functions(name: String, host: HostState, entry: Entry, standing: Option<Entry>, comes_home: bool) -> World {
    let before = functions(&entry.before).to_vec();
    let Postcondition::Functions(FunctionsWanted { members, .. }) = entry.plan.postcondition.clone() else {
        panic!("it is of MIG")
    };
    World {
        name,
        host,
        standing,
        damaged: None,
        functions: before.len(),
        comes_home,
        before: Shown::Functions(before),
        after: Shown::Functions(members),
        guarded: BTreeSet::new(),
        others: vec![Other::Probes],
        careless: None,
        entry,
    }
}

const CARD: &str = r#"
name = "search"
summary = "A card in a group with its root port, and another card beside it."
[models.card]
id = "10de:2230"
class = 0x030200
subsystem = "10de:1459"
COMPANIONS
[[gpus]]
address = "0000:41:00.0"
model = "card"
parent = "0000:40:01.0"
DRIVER
GROUP
[[gpus]]
address = "0000:42:00.0"
model = "card"
driver = "nvidia"
group = 24
[[functions]]
address = "0000:40:01.0"
id = "8086:1901"
class = 0x060400
driver = "pcieport"
group = 23
FOREIGN
"#;
const AUDIO: &str = r#"{ function = 1, id = "10de:1aef", class = 0x040300, driver = "snd_hda_intel" }"#;
const USB: &str = r#"{ function = 2, id = "10de:1ad6", class = 0x0c0330, driver = "xhci_hcd" }"#;
const UCSI: &str = r#"{ function = 3, id = "10de:1ad7", class = 0x0c8000 }"#;
const FOREIGN: &str = r#"
[[functions]]
address = "0000:43:00.0"
id = "8086:1533"
class = 0x020000
driver = "igb"
group = 23
"#;

fn description(companions: &[&str], driver: Option<&str>, group: Option<u32>, foreign: &str) -> Description {
    let text = CARD
        .replace("COMPANIONS", &format!("companions = [{}]", companions.join(",")))
        .replace("DRIVER", &driver.map(|name| format!("driver = \"{name}\"")).unwrap_or_default())
        .replace("GROUP", &group.map(|id| format!("group = {id}")).unwrap_or_default())
        .replace("FOREIGN", foreign);
    parse(&text, "the search").unwrap()
}

pub(crate) fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn host(companions: &[&str], driver: Option<&str>) -> HostState {
    HostState::new(description(companions, driver, Some(23), "")).unwrap()
}

pub(crate) fn observe(host: &HostState) -> HostObservation {
    let raw = RawObservation {
        scan: Ok(scan::scan(&host.bus, &host.description.faults)),
        reports: Vec::new(),
        docker: Ok::<DockerFacts, ProbeError>(DockerFacts::default()),
        host: HostFacts::default(),
    };
    judge(raw, ObservationMeta { sequence: 1, observed_at: UnixMillis(0), observed_boot: BootMillis(0) }, None)
}

fn bind_plan(host: &HostState) -> Result<Plan, Refusal> {
    let seen = observe(host);
    let scope = scope_of(&seen, at(GPU)).unwrap();
    let request = BindRequest { gpu: at(GPU), requester: Requester::Local, guest_memory_mib: None, given_by_us: false };
    plan_passthrough(&seen, &host.group_state(&scope), &host.holders(&scope), &Policy::default(), &request)
}

/// A look as the ports give it.
pub(crate) fn look(host: &HostState, target: &Target) -> Look {
    match target {
        Target::Functions(scope) => Look::Functions(host.group_state(scope)),
        Target::Mig(target) => Look::Mig(Box::new(host.mig_state(target.gpu).unwrap())),
    }
}

/// Takes a step on the host, with a fault or without.
pub(crate) fn take(host: &mut HostState, step: &PlanStep, fault: Option<StepFault>) -> Result<(), ActError> {
    match step {
        PlanStep::Functions(step) => host.act_with(step, fault),
        PlanStep::Mig(step) => host.act_on_mig_with(at(GPU), step, fault),
    }
}

/// The functions that are remembered.
pub(crate) fn functions(former: &Former) -> &[FunctionSettings] {
    match former {
        Former::Functions(functions) => functions,
        Former::Mig(wanted) => panic!("{wanted:?}"),
    }
}

fn former(host: &HostState, plan: &Plan) -> Former {
    look(host, &plan.bounds.target).former(plan).unwrap()
}

pub(crate) fn entry(operation: Act, plan: Plan, before: Former, home: Former) -> Entry {
    Entry {
        id: ID,
        operation,
        job: JobId(7),
        actor_uid: Some(0),
        began_at: UnixMillis(1_700_000_000_000),
        boot_id: BOOT.to_owned(),
        plan,
        before,
        home,
        confirm_within_ms: None,
        aftermath: Aftermath::of(operation),
        phase: Phase::Open,
    }
}

pub(crate) fn binding(name: &str, host: HostState, comes_home: bool) -> World {
    let plan = bind_plan(&host).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let before = former(&host, &plan);
    let entry = entry(Act::PassthroughBind, plan, before.clone(), before);
    of_functions(format!("bind, {name}"), host, entry, None, comes_home)
}

/// The same host after the binding was done, asked to give back.
fn releasing(bound: &World) -> World {
    let mut host = bound.host.clone();
    for step in &bound.entry.plan.steps {
        take(&mut host, step, None).unwrap();
    }
    let standing = bound.entry.in_phase(Phase::Standing);
    let seen = observe(&host);
    let scope = scope_of(&seen, at(GPU)).unwrap();
    let (look, holders) = (host.group_state(&scope), host.holders(&scope));
    let home = functions(&standing.home);
    let request = ReleaseRequest { gpu: at(GPU), requester: Requester::Local, home: Some(home) };
    let plan = plan_release(&seen, &look, &holders, &Policy::default(), &request).unwrap();
    let before = former(&host, &plan);
    let entry = entry(Act::PassthroughRelease, plan, before, standing.home.clone());
    of_functions(bound.name.replace("bind", "release"), host, entry, Some(standing), bound.comes_home)
}

/// Every start from which something is done.
pub(crate) fn worlds() -> Vec<World> {
    let with = |mut host: HostState, change: &dyn Fn(&mut HostState)| {
        change(&mut host);
        host
    };
    let alone: &[&str] = &[];
    let binds = vec![
        binding("alone on nvidia", host(alone, Some("nvidia")), true),
        binding("alone on nouveau", host(alone, Some("nouveau")), true),
        binding("alone without a driver", with(host(alone, Some("nvidia")), &|h| h.unbind(at(GPU)).unwrap()), false),
        binding("with audio on nvidia", host(&[AUDIO], Some("nvidia")), true),
        binding(
            "an override to vfio-pci left over while nvidia is bound",
            with(host(&[AUDIO], Some("nvidia")), &|h| h.set_driver_override(at(GPU), "vfio-pci").unwrap()),
            false,
        ),
        binding(
            "an override to nvidia that an administrator set",
            with(host(&[AUDIO], Some("nvidia")), &|h| h.set_driver_override(at(GPU), "nvidia").unwrap()),
            true,
        ),
        binding(
            "an override left over and no driver",
            with(host(&[AUDIO], Some("nvidia")), &|h| {
                h.unbind(at(GPU)).unwrap();
                h.set_driver_override(at(GPU), "nouveau").unwrap();
            }),
            false,
        ),
        binding(
            "the vfio module not loaded",
            with(host(&[AUDIO], Some("nvidia")), &|h| h.vfio = ModuleState::Loadable),
            true,
        ),
        binding(
            "already awake and kept on power",
            with(host(&[AUDIO], Some("nvidia")), &|h| {
                let gpu = h.bus.functions.get_mut(&at(GPU)).unwrap();
                (gpu.d3cold_allowed, gpu.power_control) = (Some(false), Some(PowerControl::On));
            }),
            true,
        ),
        binding("four functions, one of them without a driver", host(&[AUDIO, USB, UCSI], Some("nvidia")), true),
    ];
    let releases: Vec<World> = binds.iter().map(releasing).collect();
    binds.into_iter().chain(releases).collect()
}

type Damage = fn(String) -> String;

/// The same starts with a journal entry that nobody can read: cut, of a newer version, with a field that is not known, empty.
pub(crate) fn damaged_worlds() -> Vec<World> {
    let damages: [(&str, Damage); 4] = [
        ("cut", |text| text[..text.len() / 2].to_owned()),
        ("of a newer version", |text| text.replacen("\"schema\": 2", "\"schema\": 9", 1)),
        ("with a field that is not known", |text| text.replacen("\"job\"", "\"later\": true, \"job\"", 1)),
        ("empty", |_| String::new()),
    ];
    let with = |(what, damage): (&'static str, Damage)| {
        worlds().into_iter().map(move |world| {
            let entry = world.standing.as_ref().unwrap_or(&world.entry);
            let text = String::from_utf8(encode(entry).unwrap()).unwrap();
            World {
                name: format!("{}, an entry that is {what}", world.name),
                damaged: Some(damage(text).into()),
                ..world
            }
        })
    };
    damages.into_iter().flat_map(with).collect()
}

fn holder() -> Holder {
    let hold = Hold::OpenDevice { path: "/dev/nvidia0".to_owned() };
    let command = Some("python3".to_owned());
    Holder { pid: Some(4711), command, unit: None, container: None, address: Some(at(GPU)), instance: None, hold }
}

/// Every start that must be refused, with the code that says why.
pub(crate) fn refused() -> Vec<(&'static str, &'static str, Result<Plan, Refusal>)> {
    let mut held = host(&[AUDIO], Some("nvidia"));
    held.open.insert(at(GPU), vec![holder()]);
    let mut others = host(&[AUDIO], Some("nvidia"));
    others.set_driver_override(at(GPU), "vfio-pci").unwrap();
    others.unbind(at(GPU)).unwrap();
    others.probe(at(GPU)).unwrap();
    let mut missing = host(&[AUDIO], Some("nvidia"));
    missing.vfio = ModuleState::Missing;
    let shared = HostState::new(description(&[AUDIO], Some("nvidia"), Some(23), FOREIGN)).unwrap();
    let groupless = HostState::new(description(&[AUDIO], Some("nvidia"), None, "")).unwrap();
    let before = [held.bus.clone(), others.bus.clone(), missing.bus.clone(), shared.bus.clone(), groupless.bus.clone()];
    let hosts = [held, others, missing, shared, groupless];
    let plans: Vec<_> = hosts.iter().map(bind_plan).collect();
    assert!(hosts.iter().zip(&before).all(|(host, before)| host.bus == *before), "a plan changes nothing");
    let names = [
        ("somebody has it open", "in_use"),
        ("on vfio-pci without a record", "bound_by_others"),
        ("a kernel without vfio-pci", "vfio_missing"),
        ("a network card in the group", "group_not_isolated"),
        ("no IOMMU group", "no_iommu_group"),
    ];
    names.into_iter().zip(plans).map(|((name, code), plan)| (name, code, plan)).collect()
}
