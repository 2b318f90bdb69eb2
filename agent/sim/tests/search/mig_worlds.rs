//! The GPUs with MIG from which the search starts, and what is asked of them.

use crate::shown::{Other, Shown, identities, instance, mode, slices};
use crate::worlds::{GPU, World, at, entry, look};
use model::driver::MigMode;
use model::holders::{Hold, Holder, Holders, MigPlace};
use model::mig::{Instance, MigFacts, MigLayoutRequest, MigModeRequest, plan_layout, plan_mode};
use model::plan::{Bounds, Lane, MigTarget, Plan};
use model::policy::Act;
use model::{IommuGroupId, PciAddress};
use sim::mig::SimMig;
use sim::parse;
use sim::state::HostState;
use std::collections::BTreeSet;

const CARDS: &str = r#"
name = "search"
summary = "A card that can do MIG, and another one beside it."
[models.card]
id = "10de:DEVICE"
class = 0x030200
subsystem = "10de:134f"
[models.card.product]
name = "NVIDIA card"
brand = "NVIDIA"
architecture = "Ampere"
compute_capability = [8, 0]
vbios = "92.00.45.00.03"
memory_mib = 40960
reserved_mib = 625
power_limit_w = 400.0
mig = true
[[gpus]]
address = "0000:41:00.0"
model = "card"
driver = "nvidia"
group = 23
[[gpus]]
address = "0000:42:00.0"
model = "card"
driver = "nvidia"
group = 24
"#;
const A100: &str = "20b0";
const RTX_PRO_6000: &str = "2bb5";
const ON: MigMode = MigMode::Enabled;
const OFF: MigMode = MigMode::Disabled;

/// What is on the GPU, who has what of it, and what is asked for.
struct Start {
    name: &'static str,
    device: &'static str,
    mode: MigMode,
    /// `3g.20gb@4: 2, 1`; ids count from 1, those inside from 0.
    there: &'static [(&'static str, &'static [u32])],
    /// Ids of what has a process on it.
    running: &'static [(u32, u32)],
    /// Ids of what a container was given, without a process on it: the driver would let it go.
    given: &'static [(u32, u32)],
    /// What gpuhostd did not create.
    foreign: &'static [&'static str],
    asked: Asked,
    /// What others may do in between.
    others: &'static [Other],
    /// What is there at the end, as the host shows it.
    after: &'static [&'static str],
}

enum Asked {
    Layout(&'static str),
    Mode(MigMode),
}

const STARTS: [Start; 9] = [
    Start {
        name: "A100 from empty",
        device: A100,
        mode: ON,
        there: &[],
        running: &[],
        given: &[],
        foreign: &[],
        asked: Asked::Layout("3g.20gb,1g.5gb"),
        others: &[Other::Creates("2g.10gb@0"), Other::Creates("1g.5gb@6"), Other::Creates("1g.5gb@2")],
        after: &["1g.5gb@0 with 1", "3g.20gb@4 with 3"],
    },
    Start {
        name: "A100, one idle goes for another beside a running one",
        device: A100,
        mode: ON,
        there: &[("1g.5gb@0", &[1]), ("1g.5gb@1", &[1]), ("3g.20gb@4", &[3])],
        running: &[(3, 0)],
        given: &[],
        foreign: &["3g.20gb@4"],
        asked: Asked::Layout("2g.10gb@0,3g.20gb"),
        others: &[Other::Creates("1g.5gb@3"), Other::Creates("1g.5gb+me@0")],
        after: &["2g.10gb@0 with 2", "3g.20gb@4 with 3"],
    },
    Start {
        name: "A100 beside a container that runs nothing, and somebody's idle instance",
        device: A100,
        mode: ON,
        there: &[("1g.5gb@0", &[1]), ("1g.5gb@1", &[1]), ("2g.10gb@2", &[2])],
        running: &[],
        given: &[(1, 0)],
        foreign: &["1g.5gb@1"],
        asked: Asked::Layout("1g.5gb:2,3g.20gb"),
        others: &[Other::Destroys("1g.5gb@1"), Other::Creates("1g.5gb@3")],
        after: &["1g.5gb@0 with 1", "1g.5gb@1 with 1", "3g.20gb@4 with 3"],
    },
    Start {
        name: "A100, compute instances change inside a GPU instance, of which one is a container's",
        device: A100,
        mode: ON,
        there: &[("3g.20gb@4", &[1, 1, 1]), ("1g.5gb@0", &[1])],
        running: &[],
        given: &[(1, 1)],
        foreign: &["1g.5gb@0"],
        asked: Asked::Layout("1c.3g.20gb,2c.3g.20gb,1g.5gb"),
        others: &[Other::Creates("2g.10gb@2"), Other::Destroys("1g.5gb@0")],
        after: &["3g.20gb@4 with 2, 1", "1g.5gb@0 with 1"],
    },
    Start {
        name: "A100, a GPU instance that lost its compute instance",
        device: A100,
        mode: ON,
        there: &[("2g.10gb@2", &[]), ("3g.20gb@4", &[3])],
        running: &[(2, 0)],
        given: &[],
        foreign: &["3g.20gb@4"],
        asked: Asked::Layout("2g.10gb,3g.20gb"),
        others: &[Other::Creates("1g.5gb@0")],
        after: &["2g.10gb@2 with 2", "3g.20gb@4 with 3"],
    },
    Start {
        name: "RTX PRO 6000 from empty",
        device: RTX_PRO_6000,
        mode: ON,
        there: &[],
        running: &[],
        given: &[],
        foreign: &[],
        asked: Asked::Layout("2g.48gb@6,1g.24gb+gfx@3"),
        others: &[Other::Creates("1g.24gb@0"), Other::Creates("1g.24gb@9")],
        after: &["2g.48gb@6 with 2", "1g.24gb+gfx@3 with 1"],
    },
    Start {
        name: "RTX PRO 6000, two idle go for a larger one beside a container",
        device: RTX_PRO_6000,
        mode: ON,
        there: &[("1g.24gb@0", &[1]), ("1g.24gb@3", &[1]), ("2g.48gb@6", &[1])],
        running: &[],
        given: &[(3, 0)],
        foreign: &[],
        asked: Asked::Layout("2g.48gb,1c.2g.48gb"),
        others: &[Other::Creates("1g.24gb-me@0")],
        after: &["2g.48gb@0 with 2", "2g.48gb@6 with 1"],
    },
    Start {
        name: "RTX PRO 6000, mode on",
        device: RTX_PRO_6000,
        mode: OFF,
        there: &[],
        running: &[],
        given: &[],
        foreign: &[],
        asked: Asked::Mode(ON),
        others: &[Other::Creates("1g.24gb@0")],
        after: &[],
    },
    Start {
        name: "RTX PRO 6000, mode off with an instance on it",
        device: RTX_PRO_6000,
        mode: ON,
        there: &[("1g.24gb@3", &[1])],
        running: &[],
        given: &[],
        foreign: &[],
        asked: Asked::Mode(OFF),
        others: &[Other::Creates("1g.24gb@0")],
        after: &[],
    },
];

/// Every start from which MIG of a GPU changes.
pub(crate) fn mig_worlds() -> Vec<World> {
    STARTS.iter().map(world).collect()
}

fn world(start: &Start) -> World {
    let host = host(start);
    let all: Vec<Instance> = start.there.iter().map(|(place, _)| instance(place)).collect();
    let foreign: Vec<Instance> = start.foreign.iter().map(|place| instance(place)).collect();
    let owned: Vec<Instance> = all.iter().filter(|one| !foreign.contains(one)).cloned().collect();
    let holders = Holders { found: host.open[&at(GPU)].clone(), unreadable: Vec::new() };
    let plan = planned(start, &host, &holders, &owned);
    let mut unused = host.clone();
    let compute = unused.mig.get_mut(&at(GPU)).unwrap().instances.iter_mut().flat_map(|one| &mut one.compute);
    compute.for_each(|compute| compute.processes.clear());
    let careless = planned(start, &unused, &Holders::default(), &all);
    let before = look(&host, &plan.bounds.target).former(&plan).unwrap();
    let (operation, mode_after) = match start.asked {
        Asked::Layout(_) => (Act::MigLayout, start.mode),
        Asked::Mode(to) => (Act::MigMode, to),
    };
    let lines = start.after.iter().map(|line| (*line).to_owned()).chain([mode(mode_after, mode_after)]);
    World {
        name: start.name.to_owned(),
        before: Shown::Mig(BTreeSet::new()).on(&host),
        after: Shown::Mig(lines.collect()),
        guarded: guarded(start, &host.mig[&at(GPU)]),
        others: start.others.to_vec(),
        careless: Some(careless),
        entry: entry(operation, plan, before.clone(), before),
        host,
        standing: None,
        damaged: None,
        functions: 1,
        comes_home: true,
    }
}

fn planned(start: &Start, host: &HostState, holders: &Holders, owned: &[Instance]) -> Plan {
    let uuid = "GPU-00000000-0000-0000-0000-000000000000".parse().unwrap();
    let target = MigTarget { lane: Lane::Group(IommuGroupId(23)), gpu: at(GPU), uuid };
    let seen = host.mig_state(at(GPU)).unwrap();
    let facts = MigFacts { seen: &seen, holders, owned, is_given: false, blockers: &[] };
    let plan = match start.asked {
        Asked::Layout(layout) => {
            let request = MigLayoutRequest {
                gpu: at(GPU),
                layout: layout.to_owned(),
                replace_foreign: false,
                confirm_within_ms: None,
            };
            plan_layout(Bounds::of_mig_layout(target), &request, &facts)
        }
        Asked::Mode(to) => plan_mode(
            Bounds::of_mig_mode(target),
            &MigModeRequest { gpu: at(GPU), to, confirm_within_ms: None },
            &facts,
        ),
    };
    plan.unwrap_or_else(|refusal| panic!("{}: {refusal}", start.name))
}

fn host(start: &Start) -> HostState {
    let mut host = HostState::new(parse(&CARDS.replace("DEVICE", start.device), "the search").unwrap()).unwrap();
    for mig in host.mig.values_mut() {
        (mig.current, mig.pending) = (start.mode, start.mode);
        for (place, inside) in start.there {
            let place = instance(place);
            let id = mig.create_gpu(&place.profile, place.start).unwrap();
            for slices in *inside {
                mig.create_compute(id, *slices).unwrap();
            }
        }
    }
    let mig = host.mig.get_mut(&at(GPU)).unwrap();
    for (gpu, compute) in start.running {
        let within = mig.instances.iter_mut().find(|one| one.id == *gpu).unwrap();
        within.compute.iter_mut().find(|one| one.id == *compute).unwrap().processes.push(4711);
    }
    let given = start.given.iter().map(|(gpu, compute)| container(at(GPU), *gpu, *compute)).collect();
    host.open.insert(at(GPU), given);
    host
}

fn container(gpu: PciAddress, gpu_instance: u32, compute_instance: u32) -> Holder {
    Holder {
        pid: None,
        command: None,
        unit: None,
        container: Some("notebook".to_owned()),
        address: Some(gpu),
        instance: Some(MigPlace { gpu_instance, compute_instance: Some(compute_instance) }),
        hold: Hold::ContainerDevice { device: "nvidia.com/gpu=0:0".to_owned() },
    }
}

/// What nobody may touch: what is in use with its GPU instance, and what gpuhostd did not create with all that is in it.
fn guarded(start: &Start, mig: &SimMig) -> BTreeSet<String> {
    let used = start.running.iter().chain(start.given);
    let used: Vec<(String, String)> = used
        .map(|(gpu, compute)| {
            let within = mig.instances.iter().find(|one| one.id == *gpu).unwrap();
            let whole = format!("{}@{} as {gpu}", within.profile, within.placement.start);
            (format!("{whole}: {compute} of "), whole)
        })
        .collect();
    let is_used = |line: &String| used.iter().any(|(inside, whole)| line.starts_with(inside) || line == whole);
    let is_foreign = |line: &String| start.foreign.iter().any(|place| line.starts_with(&format!("{place} ")));
    identities(mig).into_iter().filter(|line| is_used(line) || is_foreign(line)).collect()
}

/// A place of each profile at each start: everything that there could ever be on the GPU.
pub(crate) fn every_place(host: &HostState) -> Vec<Instance> {
    let profiles = host.mig[&at(GPU)].catalog.profiles().iter();
    let places =
        profiles.flat_map(|profile| profile.placements.iter().map(|place| (profile.profile.clone(), place.start)));
    places.map(|(profile, start)| Instance { profile, start }).collect()
}

#[test]
fn the_starts_are_as_they_are_described() {
    for (start, world) in STARTS.iter().zip(mig_worlds()) {
        let mig = &world.host.mig[&at(GPU)];
        assert_eq!(mig.instances.len(), start.there.len(), "{}", start.name);
        assert!(mig.instances.iter().zip(start.there).all(|(one, _)| slices(
            &mig.catalog,
            &Instance { profile: one.profile.clone(), start: one.placement.start }
        ) > 0));
        assert!(!world.entry.plan.steps.is_empty(), "{}", start.name);
        let used = start.running.len() + start.given.len();
        assert!(world.guarded.len() >= used, "{}: {:?}", start.name, world.guarded);
    }
}
