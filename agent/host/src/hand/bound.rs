//! Which GPUs may be opened without waking one: a handle of NVML's initialises its GPU.

use model::ids::PciAddress;
use model::pci::RuntimeStatus;
use std::fs;
use std::path::Path;

/// The GPUs of NVIDIA's driver that are awake, where others sleep. `None` where no choice has to be made: none sleeps, or all
/// of them do and the caller asks all the same, to know them at all.
pub(super) fn only(bus: &Path) -> Option<Vec<PciAddress>> {
    let bound = fs::read_dir(bus.join("drivers/nvidia")).into_iter().flatten().flatten();
    let addresses = bound.filter_map(|entry| entry.file_name().to_str()?.parse::<PciAddress>().ok());
    let (asleep, mut awake): (Vec<_>, Vec<_>) = addresses.partition(|address| is_asleep(bus, *address));
    awake.sort_unstable();
    (!asleep.is_empty() && !awake.is_empty()).then_some(awake)
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

    #[test]
    fn only_those_that_are_awake_are_chosen() {
        let (a, b, c) = ("0000:41:00.0", "0000:42:00.0", "0000:43:00.0");
        let chosen = |gpus: &[(&str, Option<&str>)]| {
            only(bus(gpus).path()).map(|chosen| chosen.iter().map(PciAddress::to_string).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[(c, Some("active")), (a, None), (b, Some("suspended"))]).unwrap(), [a, c]);
        assert_eq!(chosen(&[(a, Some("suspending")), (b, Some("unsupported"))]).unwrap(), [b]);
        assert_eq!(chosen(&[(a, Some("active")), (b, None)]), None, "nobody sleeps");
        assert_eq!(chosen(&[(a, Some("suspended"))]), None, "all of them do");
        assert_eq!(chosen(&[]), None);
        assert_eq!(only(Path::new("/no/such/bus")), None);
    }
}
