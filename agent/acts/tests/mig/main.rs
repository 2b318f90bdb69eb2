//! Steps of MIG, taken by a real child on a driver that plays by the rules of NVIDIA's: refused where host or policy do not fit, with the
//! capability files in step with the instances.
//!
//! This program is its own child, so it has no test harness. Its driver is the simulated one, kept in the file that stands for the library.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

use acts::mig::{MigPlaces, MigPower, MigTaker};
use model::absence::Reading;
use model::driver::MigMode;
use model::ids::PciAddress;
use model::mig::products::PRODUCTS;
use model::mig::{Instance, MigStep};
use model::os_cause::OsCause;
use model::plan::{Lane, MigTarget};
use model::policy::Policy;
use model::ports::ActError;
use protocol::child::{self, Task, VERSION};
use serde::{Deserialize, Serialize};
use sim::mig::SimMig;
use spawn::Own;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;

const GPU: &str = "0000:41:00.0";
const UUID: &str = "GPU-5d2a8f5c-1b1e-4f8e-9d5a-000000000001";

/// What the file in place of the library holds.
#[derive(Serialize, Deserialize)]
struct Driver {
    mig: SimMig,
    /// Each step is reported as done, and nothing is done.
    is_deaf: bool,
    /// UUID of the card.
    uuid: String,
    /// Every call is refused with these words.
    refuses: Option<String>,
    /// Steps that arrived.
    steps: u32,
}

type Test = fn();

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == VERSION) {
        return as_child(&args);
    }
    let tests: [(&str, Test); 9] = [
        ("a_layout_is_created_and_destroyed_with_its_files", a_layout_is_created_and_destroyed_with_its_files),
        ("what_is_in_use_is_not_even_asked_of_the_driver", what_is_in_use_is_not_even_asked_of_the_driver),
        ("the_policy_is_the_ceiling", the_policy_is_the_ceiling),
        ("another_card_at_the_address_is_left_alone", another_card_at_the_address_is_left_alone),
        ("a_gpu_of_another_driver_is_left_alone", a_gpu_of_another_driver_is_left_alone),
        ("each_hand_does_its_own_part_only", each_hand_does_its_own_part_only),
        ("success_without_effect_is_a_failure", success_without_effect_is_a_failure),
        ("a_driver_that_wants_more_power_is_named_with_the_way", a_driver_that_wants_more_power_is_named_with_the_way),
        ("changes_without_end_are_refused", changes_without_end_are_refused),
    ];
    let wanted = args.iter().map(|arg| arg.to_string_lossy().into_owned()).find(|arg| !arg.starts_with('-'));
    for (name, test) in tests {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            println!("test {name} ...");
            test();
        }
    }
    println!("test result: ok");
    ExitCode::SUCCESS
}

fn as_child(args: &[OsString]) -> ExitCode {
    let (task, rest) = child::read(args).unwrap();
    let libraries: Vec<PathBuf> = serde_json::from_str(rest[0].to_str().unwrap()).unwrap();
    let mut driver = read(&libraries[0]);
    let outcome = match (task, driver.refuses.clone()) {
        (_, Some(said)) => Err(said),
        (Task::MigLook, None) => {
            let mut seen = driver.mig.state(rest[1].to_str().unwrap().parse().unwrap());
            seen.uuid = Reading::Known(driver.uuid.parse().unwrap());
            // The driver's library may write to the same pipe.
            println!("NVRM: noise\n{}\nmore of it", serde_json::to_string(&seen).unwrap());
            Ok(())
        }
        (Task::MigAct, None) => {
            driver.steps += 1;
            let done = if driver.is_deaf { Ok(()) } else { step(&mut driver.mig, rest[2].to_str().unwrap()) };
            write(&libraries[0], &driver);
            done
        }
        (other, None) => panic!("{other:?}"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("{}", child::failure_line(&OsCause::found(said)));
            ExitCode::FAILURE
        }
    }
}

fn step(mig: &mut SimMig, text: &str) -> Result<(), String> {
    let at = |mig: &SimMig, place: &Instance| mig.id_at(place).unwrap();
    let done = match serde_json::from_str::<MigStep>(text).unwrap() {
        MigStep::DestroyCompute { within, id, .. } => mig.destroy_compute(at(mig, &within), id),
        MigStep::DestroyGpu { instance } => mig.destroy_gpu(at(mig, &instance)),
        MigStep::CreateGpu { instance } => mig.create_gpu(&instance.profile, instance.start).map(drop),
        MigStep::CreateCompute { within, slices } => mig.create_compute(at(mig, &within), slices).map(drop),
        MigStep::SetMode { to } => mig.set_mode(to).and_then(|status| status),
    };
    done.map_err(|error| error.to_string())
}

fn read(file: &Path) -> Driver {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn write(file: &Path, driver: &Driver) {
    fs::write(file, serde_json::to_string(driver).unwrap()).unwrap();
}

/// A host with one A100 whose MIG mode is on, bound to `nvidia`.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(TempDir::new().unwrap());
        let product = PRODUCTS.iter().find(|product| product.name == "A100-40GB").unwrap();
        let mig = SimMig {
            catalog: product.catalog().unwrap(),
            current: MigMode::Enabled,
            pending: MigMode::Enabled,
            is_resetless: true,
            is_one_of_each: false,
            instances: Vec::new(),
        };
        write(&host.path("library"), &Driver { mig, is_deaf: false, uuid: UUID.to_owned(), refuses: None, steps: 0 });
        host.bind("nvidia");
        host.put("proc/devices", "Character devices:\n195 nvidia\n509 nvidia-caps\n\nBlock devices:\n");
        host.put(&format!("proc/driver/nvidia/gpus/{GPU}/information"), "Device Minor: \t 0\n");
        let row = |id: u32| format!("gpu0/gi{id}/access {}\ngpu0/gi{id}/ci0/access {}\n", id * 9 + 3, id * 9 + 4);
        let table: String = (0..15).map(row).collect();
        host.put("proc/driver/nvidia-caps/mig-minors", &format!("config 1\nmonitor 2\n{table}"));
        fs::create_dir_all(host.path("dev")).unwrap();
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn bind(&self, driver: &str) {
        let folder = self.path(&format!("sys/bus/pci/devices/{GPU}"));
        fs::create_dir_all(&folder).unwrap();
        let _there_was_none = fs::remove_file(folder.join("driver"));
        symlink(format!("../../drivers/{driver}"), folder.join("driver")).unwrap();
    }

    fn driver(&self) -> Driver {
        read(&self.path("library"))
    }

    fn change(&self, change: impl FnOnce(&mut Driver)) {
        let mut driver = self.driver();
        change(&mut driver);
        write(&self.path("library"), &driver);
    }

    fn taker(&self, power: MigPower) -> MigTaker {
        let places = MigPlaces { sysfs: self.path("sys"), proc: self.path("proc"), dev: self.path("dev") };
        let libraries = vec![self.path("library").display().to_string()];
        MigTaker::new(Own::at(std::env::current_exe().unwrap()), libraries, places, power)
    }

    /// By a hand that is fresh each time, so that none of these is one change too many.
    fn act(&self, step: &MigStep) -> Result<(), String> {
        self.act_as(MigPower::Layout, step, &Policy::default())
    }

    fn act_as(&self, power: MigPower, step: &MigStep, policy: &Policy) -> Result<(), String> {
        taken(&self.taker(power), step, policy)
    }

    fn files(&self) -> Vec<String> {
        let listed = fs::read_dir(self.path("dev/nvidia-caps")).into_iter().flatten().flatten();
        let mut names: Vec<String> = listed.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn layout(&self) -> Vec<String> {
        let mig = self.driver().mig;
        mig.instances
            .iter()
            .map(|one| format!("{}@{} {}", one.profile, one.placement.start, one.compute.len()))
            .collect()
    }
}

fn taken(taker: &MigTaker, step: &MigStep, policy: &Policy) -> Result<(), String> {
    let gpu: PciAddress = GPU.parse().unwrap();
    let target = MigTarget { lane: Lane::Gpu(gpu), gpu, uuid: UUID.parse().unwrap() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(taker.act(&target, step, policy)).map_err(|fault| {
        assert!(matches!(fault, ActError::Refused { .. }), "{fault:?}");
        fault.to_string()
    })
}

fn place(profile: &str, start: u32) -> Instance {
    Instance { profile: profile.to_owned(), start }
}

fn create(profile: &str, start: u32) -> MigStep {
    MigStep::CreateGpu { instance: place(profile, start) }
}

fn destroy(profile: &str, start: u32) -> MigStep {
    MigStep::DestroyGpu { instance: place(profile, start) }
}

fn compute(profile: &str, start: u32, slices: u32) -> MigStep {
    MigStep::CreateCompute { within: place(profile, start), slices }
}

fn destroy_compute(profile: &str, start: u32, slices: u32) -> MigStep {
    MigStep::DestroyCompute { within: place(profile, start), id: 0, slices }
}

fn is_refused(outcome: &Result<(), String>, because: &str) {
    assert!(outcome.as_ref().is_err_and(|said| said.contains(because)), "{because}: {outcome:?}");
}

fn a_layout_is_created_and_destroyed_with_its_files() {
    let host = Host::new();
    host.act(&create("3g.20gb", 4)).unwrap();
    assert_eq!(host.files(), ["nvidia-cap12"]);
    host.act(&compute("3g.20gb", 4, 3)).unwrap();
    assert_eq!(host.files(), ["nvidia-cap12", "nvidia-cap13"]);
    host.act(&create("1g.5gb", 0)).unwrap();
    assert_eq!(host.files(), ["nvidia-cap12", "nvidia-cap13", "nvidia-cap21"]);
    is_refused(&host.act(&destroy("3g.20gb", 4)), "still has compute instances");
    is_refused(&host.act(&destroy_compute("3g.20gb", 4, 2)), "has no compute instance 0 of 2 slices");
    is_refused(&host.act(&create("1g.5gb", 4)), "overlaps 3g.20gb@4");
    is_refused(&host.act(&create("1g.5gb", 7)), "no place 1g.5gb@7");
    assert_eq!(host.layout(), ["1g.5gb@0 0", "3g.20gb@4 1"]);
    host.act(&destroy_compute("3g.20gb", 4, 3)).unwrap();
    host.act(&destroy("3g.20gb", 4)).unwrap();
    assert_eq!(host.files(), ["nvidia-cap21"], "what is left is the other instance's");
    // The driver's own refusal comes with its words.
    host.act(&create("1g.5gb+me", 1)).unwrap();
    is_refused(&host.act(&create("1g.5gb+me", 2)), "Insufficient Resources");
}

fn what_is_in_use_is_not_even_asked_of_the_driver() {
    let host = Host::new();
    host.act(&create("1g.5gb", 0)).unwrap();
    host.act(&compute("1g.5gb", 0, 1)).unwrap();
    host.change(|driver| driver.mig.instances[0].compute[0].processes.push(4711));
    let before = host.driver().steps;
    is_refused(&host.act(&destroy_compute("1g.5gb", 0, 1)), "in use by process 4711");
    is_refused(&host.act(&destroy("1g.5gb", 0)), "in use by process 4711");
    let off = MigStep::SetMode { to: MigMode::Disabled };
    is_refused(&host.act_as(MigPower::Mode, &off, &Policy::default()), "in use by process 4711");
    assert_eq!(host.driver().steps, before);
    assert_eq!(host.layout(), ["1g.5gb@0 1"]);
}

fn the_policy_is_the_ceiling() {
    let host = Host::new();
    let mut never = Policy::default();
    never.host.mig.never.push(GPU.parse().unwrap());
    let mut none = Policy::default();
    none.host.mig.changes_per_minute = 0;
    for (policy, said) in [
        (Policy::strictest(), "host.mig.allowed"),
        (never, "host.mig.never names"),
        (none, "host.mig.changes_per_minute is 0"),
    ] {
        is_refused(&host.act_as(MigPower::Layout, &create("1g.5gb", 0), &policy), said);
        is_refused(&host.act_as(MigPower::Mode, &MigStep::SetMode { to: MigMode::Disabled }, &policy), said);
    }
    assert_eq!(host.driver().steps, 0);
}

fn a_gpu_of_another_driver_is_left_alone() {
    let host = Host::new();
    host.bind("vfio-pci");
    is_refused(&host.act(&create("1g.5gb", 0)), "not bound to the driver nvidia (vfio-pci)");
    fs::remove_file(host.path(&format!("sys/bus/pci/devices/{GPU}/driver"))).unwrap();
    is_refused(&host.act(&create("1g.5gb", 0)), "not bound to the driver nvidia (none");
    assert_eq!(host.driver().steps, 0);
}

fn another_card_at_the_address_is_left_alone() {
    let host = Host::new();
    host.change(|driver| driver.uuid = UUID.replace('5', "6"));
    is_refused(&host.act(&create("1g.5gb", 0)), "another card");
    assert_eq!(host.driver().steps, 0);
}

fn each_hand_does_its_own_part_only() {
    let host = Host::new();
    let off = MigStep::SetMode { to: MigMode::Disabled };
    is_refused(&host.act(&off), "this hand does not do it");
    is_refused(&host.act_as(MigPower::Mode, &create("1g.5gb", 0), &Policy::default()), "this hand does not do it");
    host.act(&create("1g.5gb", 0)).unwrap();
    is_refused(&host.act_as(MigPower::Mode, &off, &Policy::default()), "still has the GPU instance 1g.5gb@0");
    host.act(&destroy("1g.5gb", 0)).unwrap();
    host.act_as(MigPower::Mode, &off, &Policy::default()).unwrap();
    assert_eq!(host.driver().mig.current, MigMode::Disabled);
    is_refused(&host.act(&create("1g.5gb", 0)), "MIG mode is not on");
    host.change(|driver| driver.mig.is_resetless = false);
    let on = MigStep::SetMode { to: MigMode::Enabled };
    is_refused(&host.act_as(MigPower::Mode, &on, &Policy::default()), "without a reset");
}

fn success_without_effect_is_a_failure() {
    let host = Host::new();
    host.change(|driver| driver.is_deaf = true);
    is_refused(&host.act(&create("1g.5gb", 0)), "reported success, and nothing changed");
}

fn a_driver_that_wants_more_power_is_named_with_the_way() {
    let host = Host::new();
    host.change(|driver| driver.refuses = Some("nvmlDeviceGetGpuInstances: Insufficient Permissions".to_owned()));
    is_refused(&host.act(&create("1g.5gb", 0)), "gpuhostd-mig-sys-admin.conf");
}

fn changes_without_end_are_refused() {
    let host = Host::new();
    let taker = host.taker(MigPower::Layout);
    let both = [create("1g.5gb", 0), destroy("1g.5gb", 0)];
    let done =
        both.iter().cycle().take(1000).take_while(|step| taken(&taker, step, &Policy::default()).is_ok()).count();
    // A change has at most 64 steps, and one of them a minute has its way back.
    assert_eq!(done, 128);
}
