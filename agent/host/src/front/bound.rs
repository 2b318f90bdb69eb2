//! Which GPUs NVIDIA's driver serves, and which of them may be asked without waking one: a handle of NVML's opens its GPU.

use model::ids::PciAddress;
use model::pci::RuntimeStatus;
use std::fs;
use std::path::Path;

/// The GPUs bound to NVIDIA's driver that are to be asked, by address (`bus` is `/sys/bus/pci`): those that are awake; where all
/// of them sleep, all, to know them at all. Virtual functions are not GPUs of their own. Empty where sysfs shows none: the driver
/// may still have some (WSL).
pub fn gpus_to_ask(bus: &Path) -> Vec<PciAddress> {
    let (asleep, awake): (Vec<_>, Vec<_>) = bound(bus).into_iter().partition(|address| is_asleep(bus, *address));
    if awake.is_empty() { asleep } else { awake }
}

/// The GPUs that NVIDIA's driver has, by address.
fn bound(bus: &Path) -> Vec<PciAddress> {
    let bound = fs::read_dir(bus.join("drivers/nvidia")).into_iter().flatten().flatten();
    let addresses = bound.filter_map(|entry| entry.file_name().to_str()?.parse::<PciAddress>().ok());
    let gpus = addresses.filter(|address| !bus.join(format!("devices/{address}/physfn")).exists());
    let mut gpus: Vec<PciAddress> = gpus.collect();
    gpus.sort_unstable();
    gpus
}

/// The index by which NVIDIA's tools name a GPU: its place among those that the driver has, by address. `None` where it has not this one.
#[must_use]
pub fn nvidia_index(bus: &Path, gpu: PciAddress) -> Option<usize> {
    bound(bus).iter().position(|address| *address == gpu)
}

fn is_asleep(bus: &Path, address: PciAddress) -> bool {
    let status = fs::read_to_string(bus.join(format!("devices/{address}/power/runtime_status")));
    let status = status.ok().and_then(|text| RuntimeStatus::from_name(text.trim_end()));
    matches!(status, Some(RuntimeStatus::Suspended | RuntimeStatus::Suspending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn bus(gpus: &[(&str, Option<&str>)]) -> TempDir {
        let bus = TempDir::new().unwrap();
        for (address, status) in gpus {
            fs::create_dir_all(bus.path().join("drivers/nvidia").join(address)).unwrap();
            let power = bus.path().join(format!("devices/{address}/power"));
            fs::create_dir_all(&power).unwrap();
            if let Some(status) = status {
                fs::write(power.join("runtime_status"), format!("{status}\n")).unwrap();
            }
        }
        bus
    }

    fn chosen(bus: &Path) -> Vec<String> {
        gpus_to_ask(bus).iter().map(PciAddress::to_string).collect()
    }

    const A: &str = "0000:41:00.0";
    const B: &str = "0000:42:00.0";
    const C: &str = "0000:43:00.0";

    #[test]
    fn only_those_that_are_awake_are_chosen() {
        let of = |gpus: &[(&str, Option<&str>)]| chosen(bus(gpus).path());
        assert_eq!(of(&[(C, Some("active")), (A, None), (B, Some("suspended"))]), [A, C]);
        assert_eq!(of(&[(A, Some("suspending")), (B, Some("unsupported"))]), [B]);
        assert_eq!(of(&[(B, None), (A, Some("active"))]), [A, B], "nobody sleeps");
        assert_eq!(of(&[(B, Some("suspended")), (A, Some("suspended"))]), [A, B], "all of them do");
        assert_eq!(of(&[]).len(), 0);
        assert_eq!(chosen(Path::new("/no/such/bus")).len(), 0);
    }

    #[test]
    fn a_virtual_function_is_no_gpu_of_its_own() {
        let bus = bus(&[(A, None), (B, None)]);
        fs::create_dir(bus.path().join("devices").join(B).join("physfn")).unwrap();
        assert_eq!(chosen(bus.path()), [A]);
    }
}
