//! Steps of a change on a tree of files: taken by a real child, refused where the tree does not fit, sealed where Landlock is.
//!
//! This program is its own child, so it has no test harness: with the child's arguments it is the child.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

use acts::change::StepTaker;
use host::front::Surroundings;
use model::ids::PciAddress;
use model::plan::{GroupState, Lane, ModuleState, PowerControl, Scope, Step};
use model::policy::Policy;
use model::ports::ActError;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use protocol::child::{Task, VERSION};
use spawn::Own;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const GPU: &str = "0000:41:00.0";
const AUDIO: &str = "0000:41:00.1";
const NIC: &str = "0000:42:00.0";

type Test = fn();

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == VERSION) {
        return gpuhostd_child::run(&args);
    }
    let tests: [(&str, Test); 15] = [
        ("a_close_look_shows_the_group", a_close_look_shows_the_group),
        ("a_look_that_does_not_end_is_given_up", a_look_that_does_not_end_is_given_up),
        ("a_step_is_not_taken_where_the_look_does_not_end", a_step_is_not_taken_where_the_look_does_not_end),
        ("each_step_writes_its_one_file", each_step_writes_its_one_file),
        ("nothing_outside_the_card_is_written", nothing_outside_the_card_is_written),
        ("a_function_that_is_no_gpu_is_left_alone", a_function_that_is_no_gpu_is_left_alone),
        ("what_is_no_gpu_takes_no_step_at_all", what_is_no_gpu_takes_no_step_at_all),
        (
            "what_a_gpu_left_behind_is_taken_from_no_driver_but_vfio",
            what_a_gpu_left_behind_is_taken_from_no_driver_but_vfio,
        ),
        ("a_step_to_another_function_is_refused_whatever_it_is", a_step_to_another_function_is_refused_whatever_it_is),
        ("a_shared_group_is_not_given_away", a_shared_group_is_not_given_away),
        (
            "virtual_functions_are_not_given_away_nor_the_card_that_has_some",
            virtual_functions_are_not_given_away_nor_the_card_that_has_some,
        ),
        ("the_policy_is_the_ceiling", the_policy_is_the_ceiling),
        ("a_driver_that_does_not_have_it_lets_nothing_go", a_driver_that_does_not_have_it_lets_nothing_go),
        ("what_the_kernel_says_is_told", what_the_kernel_says_is_told),
        ("without_our_check_the_kernel_refuses", without_our_check_the_kernel_refuses),
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

/// A card of two functions alone in group 7, bound to `nvidia` and `snd_hda_intel`.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().unwrap());
        for driver in ["nvidia", "snd_hda_intel", "vfio-pci", "mlx5_core"] {
            tree.put(&format!("bus/pci/drivers/{driver}/unbind"), "");
        }
        tree.put("bus/pci/drivers_probe", "");
        tree.function(GPU, "0x030000", "nvidia", 7);
        tree.function(AUDIO, "0x040300", "snd_hda_intel", 7);
        tree.function(NIC, "0x020000", "mlx5_core", 8);
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn function(&self, address: &str, class: &str, driver: &str, group: u32) {
        let folder = format!("bus/pci/devices/{address}");
        for (file, text) in [
            ("vendor", "0x10de\n"),
            ("device", "0x2204\n"),
            ("class", &format!("{class}\n")),
            ("driver_override", "(null)\n"),
            ("d3cold_allowed", "1\n"),
            ("power/control", "auto\n"),
        ] {
            self.put(&format!("{folder}/{file}"), text);
        }
        symlink(format!("../../drivers/{driver}"), self.path(&format!("{folder}/driver"))).unwrap();
        let of_group = self.path(&format!("kernel/iommu_groups/{group}/devices"));
        fs::create_dir_all(&of_group).unwrap();
        symlink(format!("../../../../bus/pci/devices/{address}"), of_group.join(address)).unwrap();
        let link = self.path(&format!("{folder}/iommu_group"));
        symlink(format!("../../../../kernel/iommu_groups/{group}"), link).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn changes(&self) -> StepTaker {
        let around = Surroundings { dev: self.path("dev"), modules: self.path("modules") };
        StepTaker::new(Own::at(std::env::current_exe().unwrap()), self.0.path(), around)
    }

    fn act(&self, scope: &Scope, step: &Step, policy: Policy) -> Result<(), ActError> {
        runtime().block_on(self.changes().act(scope, step, policy))
    }

    fn group_state(&self, scope: &Scope) -> Result<GroupState, ActError> {
        runtime().block_on(self.changes().group_state(scope))
    }

    /// Whoever opens the file waits for a writer that never comes, as for a lock that is never given back.
    fn hang(&self, path: &str) {
        let _missing = fs::remove_file(self.path(path));
        mkfifo(&self.path(path), Mode::S_IRUSR).unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn at(address: &str) -> PciAddress {
    address.parse().unwrap()
}

fn scope(members: &[&str]) -> Scope {
    let members: Vec<PciAddress> = members.iter().map(|address| at(address)).collect();
    Scope { lane: Lane::Group(model::ids::IommuGroupId(7)), gpu: members[0], members }
}

fn give(address: &str) -> Step {
    Step::SetDriverOverride { address: at(address), to: Some("vfio-pci".parse().unwrap()) }
}

fn said(outcome: Result<(), ActError>) -> String {
    outcome.unwrap_err().to_string()
}

fn a_close_look_shows_the_group() {
    let tree = Tree::new();
    tree.put("dev/vfio/7", "");
    tree.put(&format!("bus/pci/devices/{AUDIO}/driver_override"), "vfio-pci\n");
    let seen = tree.group_state(&scope(&[GPU, AUDIO])).unwrap();
    assert_eq!((seen.group.get().map(|id| id.0), seen.vfio_node, seen.no_iommu), (Some(7), true, false));
    assert_eq!((seen.module, seen.members.len()), (ModuleState::Loaded, 2));
    let [gpu, audio] = [GPU, AUDIO].map(|address| seen.member(at(address)).unwrap());
    assert!(gpu.driver_override.is_none());
    assert_eq!(gpu.driver.known().unwrap().as_str(), "nvidia");
    assert_eq!(audio.driver_override.known().unwrap().as_str(), "vfio-pci");
}

fn a_look_that_does_not_end_is_given_up() {
    let tree = Tree::new();
    tree.hang("kernel/iommu_groups/7/name");
    let fault = tree.group_state(&scope(&[GPU, AUDIO])).unwrap_err();
    assert!(matches!(&fault, ActError::Hung { attempted, .. } if attempted.contains(GPU)), "{fault:?}");
    let mut other = scope(&[NIC]);
    other.lane = Lane::Group(model::ids::IommuGroupId(8));
    assert!(tree.group_state(&other).is_ok(), "the others can be looked at");
}

fn a_step_is_not_taken_where_the_look_does_not_end() {
    let tree = Tree::new();
    tree.hang("kernel/iommu_groups/7/name");
    let fault = tree.act(&scope(&[GPU, AUDIO]), &give(GPU), Policy::default()).unwrap_err();
    assert!(matches!(fault, ActError::Hung { .. }), "{fault:?}");
    assert_eq!(tree.read(&format!("bus/pci/devices/{GPU}/driver_override")), "(null)\n");
}

fn each_step_writes_its_one_file() {
    let tree = Tree::new();
    let card = scope(&[GPU, AUDIO]);
    let unbind = Step::Unbind { address: at(AUDIO), driver: "snd_hda_intel".parse().unwrap() };
    let function = format!("bus/pci/devices/{GPU}");
    for (step, file, text) in [
        (give(GPU), format!("{function}/driver_override"), "vfio-pci\n"),
        (unbind, "bus/pci/drivers/snd_hda_intel/unbind".to_owned(), "0000:41:00.1\n"),
        (Step::Probe { address: at(GPU) }, "bus/pci/drivers_probe".to_owned(), "0000:41:00.0\n"),
        (Step::SetD3cold { address: at(GPU), allowed: false }, format!("{function}/d3cold_allowed"), "0\n"),
        (Step::SetPowerControl { address: at(GPU), to: PowerControl::On }, format!("{function}/power/control"), "on\n"),
    ] {
        assert_eq!(tree.act(&card, &step, Policy::default()), Ok(()), "{step}");
        // A plain file keeps what lies behind the text, where an attribute takes it whole.
        assert!(tree.read(&file).starts_with(text), "{step}: {:?}", tree.read(&file));
    }
    assert!(tree.read("bus/pci/drivers/nvidia/unbind").is_empty(), "nothing else was written");
}

fn nothing_outside_the_card_is_written() {
    let tree = Tree::new();
    let before = tree.read(&format!("bus/pci/devices/{NIC}/driver_override"));
    assert!(said(tree.act(&scope(&[GPU, AUDIO]), &give(NIC), Policy::default())).contains("not in the scope"));
    assert!(said(tree.act(&scope(&[GPU, NIC]), &give(NIC), Policy::default())).contains("own card"));
    assert_eq!(tree.read(&format!("bus/pci/devices/{NIC}/driver_override")), before);
}

fn a_function_that_is_no_gpu_is_left_alone() {
    let tree = Tree::new();
    assert!(said(tree.act(&scope(&[NIC]), &give(NIC), Policy::default())).contains("is not a GPU"));
    assert!(said(tree.act(&scope(&[AUDIO]), &give(AUDIO), Policy::default())).contains("is not a GPU"));
}

/// Every step that names a function, and the driver that it has now.
fn steps(address: &str, driver: &str) -> Vec<Step> {
    let address = at(address);
    vec![
        Step::SetDriverOverride { address, to: Some("vfio-pci".parse().unwrap()) },
        Step::SetDriverOverride { address, to: None },
        Step::Unbind { address, driver: driver.parse().unwrap() },
        Step::Probe { address },
        Step::SetD3cold { address, allowed: false },
        Step::SetPowerControl { address, to: PowerControl::On },
    ]
}

/// Every file below the tree with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            found.push((entry.path(), fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn what_is_no_gpu_takes_no_step_at_all() {
    let tree = Tree::new();
    let others = [
        ("0000:01:00.0", "0x010802", "nvme"),
        ("0000:02:00.0", "0x020000", "mlx5_core"),
        ("0000:00:00.0", "0x060000", "skl_uncore"),
        ("0000:00:01.0", "0x060400", "pcieport"),
        ("0000:05:00.0", "0x068000", "nvidia-nvswitch"),
        ("10000:e1:00.0", "0x010802", "nvme"),
    ];
    for (number, (address, class, driver)) in (20..).zip(others) {
        tree.put(&format!("bus/pci/drivers/{driver}/unbind"), "");
        tree.function(address, class, driver, number);
    }
    let before = contents(tree.0.path());
    for (address, class, driver) in others {
        // Alone, and as what a GPU that has been pulled out would have left behind.
        let pulled_out = address.replace(".0", ".7");
        for members in [&[address][..], &[pulled_out.as_str(), address]] {
            for step in steps(address, driver) {
                let refused = tree.act(&scope(members), &step, Policy::default());
                assert!(refused.is_err(), "{class}, {members:?}: {step}");
            }
        }
    }
    assert!(contents(tree.0.path()) == before, "something was written");
}

fn what_a_gpu_left_behind_is_taken_from_no_driver_but_vfio() {
    let tree = Tree::new();
    fs::remove_dir_all(tree.path(&format!("bus/pci/devices/{GPU}"))).unwrap();
    fs::remove_file(tree.path(&format!("kernel/iommu_groups/7/devices/{GPU}"))).unwrap();
    let card = scope(&[GPU, AUDIO]);
    let unbind = |driver: &str| Step::Unbind { address: at(AUDIO), driver: driver.parse().unwrap() };
    assert!(said(tree.act(&card, &unbind("snd_hda_intel"), Policy::default())).contains("is not a GPU"));
    assert!(tree.read("bus/pci/drivers/snd_hda_intel/unbind").is_empty());
    let link = tree.path(&format!("bus/pci/devices/{AUDIO}/driver"));
    fs::remove_file(&link).unwrap();
    symlink("../../drivers/vfio-pci", link).unwrap();
    assert_eq!(tree.act(&card, &unbind("vfio-pci"), Policy::default()), Ok(()));
    let back = Step::SetDriverOverride { address: at(AUDIO), to: None };
    assert_eq!(tree.act(&card, &back, Policy::default()), Ok(()));
}

fn a_step_to_another_function_is_refused_whatever_it_is() {
    let tree = Tree::new();
    let before = contents(tree.0.path());
    for step in steps(NIC, "mlx5_core") {
        for members in [&[GPU, AUDIO][..], &[GPU, NIC], &[GPU, AUDIO, NIC]] {
            let said = said(tree.act(&scope(members), &step, Policy::default()));
            assert!(said.contains("refused by the hand"), "{step}: {said}");
        }
    }
    assert!(contents(tree.0.path()) == before, "something was written");
}

fn a_shared_group_is_not_given_away() {
    let tree = Tree::new();
    let link = tree.path("kernel/iommu_groups/7/devices").join(NIC);
    symlink(format!("../../../../bus/pci/devices/{NIC}"), link).unwrap();
    assert!(said(tree.act(&scope(&[GPU, AUDIO]), &give(GPU), Policy::default())).contains("shares the IOMMU group"));
    // A companion left out of the scope is as foreign: the guest would reach it.
    let lonely = Tree::new();
    assert!(said(lonely.act(&scope(&[GPU]), &give(GPU), Policy::default())).contains(AUDIO));
}

fn virtual_functions_are_not_given_away_nor_the_card_that_has_some() {
    const VIRTUAL: &str = "0000:41:00.4";
    let tree = Tree::new();
    tree.function(VIRTUAL, "0x030200", "nvidia", 9);
    symlink(format!("../{GPU}"), tree.path(&format!("bus/pci/devices/{VIRTUAL}/physfn"))).unwrap();
    let before = contents(tree.0.path());
    // By itself, and as one more function of the card.
    let alone = Scope { lane: Lane::Group(model::IommuGroupId(9)), gpu: at(VIRTUAL), members: vec![at(VIRTUAL)] };
    for asked in [alone, scope(&[GPU, AUDIO, VIRTUAL])] {
        for step in [give(VIRTUAL), give(&asked.gpu.to_string())] {
            assert!(said(tree.act(&asked, &step, Policy::default())).contains("virtual function"), "{step}");
        }
    }
    assert!(contents(tree.0.path()) == before, "something was written");
    tree.put(&format!("bus/pci/devices/{GPU}/sriov_numvfs"), "1\n");
    assert!(said(tree.act(&scope(&[GPU, AUDIO]), &give(GPU), Policy::default())).contains("enabled virtual functions"));
    tree.put(&format!("bus/pci/devices/{GPU}/sriov_numvfs"), "0\n");
    assert_eq!(tree.act(&scope(&[GPU, AUDIO]), &give(GPU), Policy::default()), Ok(()));
}

fn the_policy_is_the_ceiling() {
    let tree = Tree::new();
    let card = scope(&[GPU, AUDIO]);
    assert!(said(tree.act(&card, &give(GPU), Policy::strictest())).contains("policy.toml"));
    let mut never = Policy::default();
    never.host.passthrough.never.push(at(GPU));
    assert!(said(tree.act(&card, &give(GPU), never)).contains("never"));
    tree.put(&format!("bus/pci/devices/{GPU}/boot_vga"), "1\n");
    assert!(said(tree.act(&card, &give(GPU), Policy::default())).contains("boot console"));
    // What was given away can always be taken back.
    let back = Step::SetDriverOverride { address: at(GPU), to: None };
    assert_eq!(tree.act(&card, &back, Policy::strictest()), Ok(()));
}

fn a_driver_that_does_not_have_it_lets_nothing_go() {
    let tree = Tree::new();
    let step = Step::Unbind { address: at(GPU), driver: "mlx5_core".parse().unwrap() };
    assert!(said(tree.act(&scope(&[GPU, AUDIO]), &step, Policy::default())).contains("not bound"));
    assert!(tree.read("bus/pci/drivers/mlx5_core/unbind").is_empty());
}

fn what_the_kernel_says_is_told() {
    let tree = Tree::new();
    let file = tree.path("bus/pci/drivers_probe");
    fs::remove_file(&file).unwrap();
    let text = said(tree.act(&scope(&[GPU, AUDIO]), &Step::Probe { address: at(GPU) }, Policy::default()));
    assert!(text.contains("drivers_probe") && text.contains(Path::new(&file).to_str().unwrap()), "{text}");
    // `/dev/full` says no to every write, as a driver may.
    symlink("/dev/full", &file).unwrap();
    let text = said(tree.act(&scope(&[GPU, AUDIO]), &Step::Probe { address: at(GPU) }, Policy::default()));
    assert!(text.contains("No space left") && text.contains("free disk space does not change"), "{text}");
    // Nobody may write to this one, root included.
    fs::remove_file(&file).unwrap();
    symlink("/proc/sys/kernel/ostype", &file).unwrap();
    let refused = tree.act(&scope(&[GPU, AUDIO]), &Step::Probe { address: at(GPU) }, Policy::default());
    let Err(ActError::Refused { cause, .. }) = &refused else { panic!("{refused:?}") };
    assert_eq!(
        cause.errno.map(Errno::from_raw),
        Some(Errno::EACCES),
        "the number comes from the child through the hand"
    );
    assert!(said(refused).contains("the host hand must run as root"));
}

/// The child alone, which checks nothing: it is asked to write where its scope does not reach.
fn without_our_check_the_kernel_refuses() {
    let tree = Tree::new();
    let within = serde_json::to_string(&scope(&[GPU, AUDIO])).unwrap();
    let write = |file: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let rest = [tree.0.path().into(), OsString::from(&within), tree.path(file).into(), "x".into()];
        child.args(Task::Act.arguments(rest));
        child.output().unwrap()
    };
    let own = format!("bus/pci/devices/{GPU}/driver_override");
    for file in [own.as_str(), "bus/pci/drivers/nvidia/unbind", "bus/pci/drivers_probe"] {
        let ended = write(file);
        assert!(ended.status.success(), "{file}: {}", String::from_utf8_lossy(&ended.stderr));
        assert!(tree.read(file).starts_with('x'), "{file}");
    }
    let beyond = ["bus/pci/drivers/mlx5_core/unbind".to_owned(), format!("bus/pci/devices/{NIC}/driver_override")];
    for file in beyond.iter().chain([&format!("bus/pci/devices/{GPU}/class")]) {
        let (before, ended) = (tree.read(file), write(file));
        if ended.status.success() && std::env::var_os("GPUHOSTD_TEST_LANDLOCK").is_none() {
            println!("SKIPPED: this kernel has no Landlock");
            return;
        }
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains("os error 13"), "{file}: {said}");
        assert_eq!(tree.read(file), before, "{file}");
    }
}
