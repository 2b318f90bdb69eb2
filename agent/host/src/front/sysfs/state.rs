//! Whether a function answers and is awake, how it can be reset, and what of it is given away as mediated devices.

use super::attribute::{Miss, Tree, reading};
use super::listing::names_in;
use super::parse;
use model::absence::{Absence, Reading};
use model::ids::PciAddress;
use model::pci::{FunctionState, Mediated, RuntimeStatus};

/// Vendor and device as a device reads that no longer answers.
const ALL_ONES: [u8; 4] = [0xff; 4];

/// More types or devices than any driver makes on one function.
const MEDIATED_MAX: usize = 256;

/// Longest name of a mediated type that is shown.
const TYPE_MAX_CHARS: usize = 64;

/// Reads the state. The configuration space is read only of a function that is awake: reading it wakes one that sleeps.
pub(super) fn read(tree: &mut Tree, name: &str, virtual_functions: &[PciAddress]) -> FunctionState {
    let runtime = reading(tree.parsed(name, "power/runtime_status", RuntimeStatus::from_name), Absence::NotReported);
    let mut state = FunctionState {
        responds: Reading::Absent(Absence::GpuAsleep),
        runtime,
        may_sleep: reading(tree.parsed(name, "power/control", parse::power_control), Absence::NotReported),
        d3cold_allowed: reading(tree.parsed(name, "d3cold_allowed", parse::flag), Absence::NotReported),
        removable: reading(tree.parsed(name, "removable", parse::removable), Absence::NotReported)
            .into_known()
            .flatten()
            .into(),
        reset_methods: reading(tree.parsed(name, "reset_method", parse::reset_methods), Absence::NotReported),
        mediated: mediated(tree, name, virtual_functions),
    };
    if !is_asleep(&state) {
        let word = tree.first_word(name, "config").map(|word| word != ALL_ONES);
        state.responds = reading(word, Absence::NotReported);
    }
    state
}

/// The kernel has put it to sleep.
pub(super) fn is_asleep(state: &FunctionState) -> bool {
    matches!(state.runtime.get(), Some(RuntimeStatus::Suspended | RuntimeStatus::Suspending))
}

fn mediated(tree: &mut Tree, name: &str, virtual_functions: &[PciAddress]) -> Mediated {
    let mut types: Vec<String> = shown(names_in(tree, name, "mdev_supported_types"));
    types.sort_unstable();
    let devices = |kind: &String| shown(names_in(tree, name, &format!("mdev_supported_types/{kind}/devices")));
    let mut devices: Vec<String> = types.iter().flat_map(devices).take(MEDIATED_MAX).collect();
    devices.sort_unstable();
    let vgpus = virtual_functions.iter().copied().filter(|address| is_vgpu(tree, *address)).collect();
    Mediated { types, devices, vgpus }
}

fn shown(names: impl Iterator<Item = String>) -> Vec<String> {
    let fits = |name: &String| name.chars().count() <= TYPE_MAX_CHARS && !name.chars().any(char::is_control);
    names.filter(fits).take(MEDIATED_MAX).collect()
}

/// A virtual function of NVIDIA's vGPU driver (16 and newer) that has a vGPU type is one.
fn is_vgpu(tree: &mut Tree, address: PciAddress) -> bool {
    let kind: Result<u32, Miss> =
        tree.parsed(&address.to_string(), "nvidia/current_vgpu_type", |text| text.parse().ok());
    kind.is_ok_and(|kind| kind != 0)
}
