//! The PCIe link: degraded is what is less than it could be here, and no number that is normal on this host.

use crate::world::{at, function, raw, report, said, seen};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverSource};
use model::health::HealthState;
use model::health::gpu_health::AskedAt;
use model::health::kernel_log::KernelLog;
use model::health::show::apply;
use model::judge::judge;
use model::metric::Metrics;
use model::observation::HostObservation;
use model::pci::{GpuFunction, PciePort, RuntimeStatus};

const A: &str = "0000:41:00.0";
const T4: &str = "10de:1eb8";

/// A link as both sides tell it: the card claims sixteen lanes of generation 4.
#[derive(Clone)]
struct Link {
    id: &'static str,
    name: &'static str,
    port: Option<(u32, u32)>,
    lanes: u32,
    generation: u32,
    state: &'static str,
    load: f64,
    virtualization: &'static str,
}

fn link() -> Link {
    let (port, virtualization) = (Some((16, 4)), "None");
    Link { id: T4, name: "Tesla T4", port, lanes: 16, generation: 4, state: "P0", load: 90.0, virtualization }
}

fn pci(link: &Link) -> GpuFunction {
    let mut gpu = function(A, link.id, "nvidia", 1);
    gpu.name = None;
    (gpu.link.max_width, gpu.link.max_generation) = (Reading::Known(16), Reading::Known(4));
    gpu.link.port = link.port.map(|(lanes, generation)| PciePort {
        address: at("0000:40:01.1"),
        max_generation: Reading::Known(generation),
        max_width: Reading::Known(lanes),
    });
    gpu
}

fn told(link: &Link) -> DriverGpu {
    DriverGpu {
        metrics: Metrics {
            pcie_width: Reading::Known(link.lanes),
            pcie_max_width: Reading::Known(16),
            pcie_generation: Reading::Known(link.generation),
            pcie_max_generation: Reading::Known(4),
            performance_state: Reading::Known(link.state.to_owned()),
            utilization_pct: Reading::Known(link.load),
            ..said(A).metrics
        },
        name: Reading::Known(link.name.to_owned()),
        virtualization: Reading::Known(link.virtualization.to_owned()),
        ..said(A)
    }
}

fn look(gpu: GpuFunction, driver: Option<DriverGpu>, previous: Option<&HostObservation>) -> HostObservation {
    let mut round = raw(vec![gpu], &[]);
    round.reports = vec![(DriverSource::Nvml, Ok(report(DriverSource::Nvml, driver.into_iter().collect())), 3)];
    let mut observation = judge(round, seen(1), previous);
    apply(&mut observation, &KernelLog::default(), AskedAt::default(), previous);
    observation
}

fn codes(observation: &HostObservation) -> Vec<String> {
    observation.gpus[0].health.codes()
}

fn verdict(link: &Link) -> Vec<String> {
    codes(&look(pci(link), Some(told(link)), None))
}

#[test]
fn a_number_that_is_normal_on_this_host_is_no_fault() {
    let cases = [
        (
            "a T4 of AWS: x8, in a guest, on the root bus",
            Link { port: None, lanes: 8, virtualization: "Pass-Through", ..link() },
        ),
        ("the port of a guest is made up", Link { lanes: 8, generation: 3, virtualization: "Pass-Through", ..link() }),
        ("a vGPU", Link { lanes: 8, virtualization: "VGPU", ..link() }),
        ("a slot of eight lanes, or sixteen split by bifurcation", Link { port: Some((8, 4)), lanes: 8, ..link() }),
        ("a riser in a slot of one lane", Link { port: Some((1, 2)), lanes: 1, generation: 2, ..link() }),
        (
            "an eGPU: Thunderbolt shows its port as 2.5 GT/s x4",
            Link { port: Some((4, 1)), lanes: 4, generation: 1, ..link() },
        ),
        ("a board of four GPUs behind a switch", Link { port: Some((8, 3)), lanes: 8, generation: 3, ..link() }),
        ("an older slot", Link { port: Some((16, 3)), generation: 3, ..link() }),
        ("the port is not known", Link { port: None, lanes: 4, ..link() }),
        ("idle: the speed is lowered", Link { generation: 1, state: "P8", load: 0.0, ..link() }),
        ("idle in P0", Link { generation: 1, load: 3.0, ..link() }),
        (
            "an RTX 5060 Ti has eight lanes and claims sixteen",
            Link { id: "10de:2d04", name: "NVIDIA GeForce RTX 5060 Ti", lanes: 8, ..link() },
        ),
        ("an RTX 4060", Link { id: "10de:2882", name: "NVIDIA GeForce RTX 4060", lanes: 8, ..link() }),
        ("a laptop", Link { id: "10de:2438", name: "NVIDIA RTX A5000 Laptop GPU", lanes: 8, ..link() }),
        (
            "GB10: its data goes over C2C",
            Link { id: "10de:2e12", name: "NVIDIA GB10", lanes: 1, generation: 1, ..link() },
        ),
    ];
    for (what, case) in cases {
        assert_eq!(verdict(&case), [""; 0], "{what}");
    }
}

#[test]
fn less_than_card_and_port_both_can_is_a_fault() {
    for lanes in [1, 4, 8] {
        assert_eq!(verdict(&Link { lanes, ..link() }), ["pcie_width"], "{lanes}");
        assert_eq!(verdict(&Link { lanes, state: "P8", load: 0.0, ..link() }), ["pcie_width"], "idle too");
    }
    assert_eq!(verdict(&Link { port: Some((8, 4)), lanes: 4, ..link() }), ["pcie_width"]);
    assert_eq!(verdict(&Link { id: "10de:2882", lanes: 4, ..link() }), ["pcie_width"], "four of an RTX 4060's eight");
    let max_q = "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition";
    assert_eq!(verdict(&Link { name: max_q, lanes: 8, ..link() }), ["pcie_width"], "no laptop's");
    assert_eq!(verdict(&Link { name: "NVIDIA GB102", lanes: 8, ..link() }), ["pcie_width"], "no GB10");
    assert_eq!(verdict(&Link { generation: 1, ..link() }), ["pcie_speed"]);
    assert_eq!(verdict(&Link { generation: 2, port: Some((16, 3)), ..link() }), ["pcie_speed"]);
    let gpu = look(pci(&link()), Some(told(&Link { lanes: 4, ..link() })), None).gpus.remove(0);
    assert_eq!(gpu.health.state, HealthState::Degraded);
    let message = &gpu.health.reasons[0].message;
    assert!(message.contains("4 lanes") && message.contains("16") && message.contains("0000:40:01.1"), "{message}");
}

/// Without the driver the kernel's own look at the link counts, for every vendor.
#[test]
fn sysfs_alone_tells_a_narrow_link() {
    let mut gpu = pci(&link());
    gpu.link.width = Reading::Known(4);
    assert_eq!(codes(&look(gpu.clone(), None, None)), ["pcie_width"]);
    gpu.link.width = Reading::Absent(Absence::garbled("63"));
    assert_eq!(codes(&look(gpu, None, None)), [""; 0], "a link that is down has no lanes to count");
}

#[test]
fn what_ran_wider_before_is_a_fault_where_the_port_is_not_known() {
    let guest = Link { port: None, virtualization: "Pass-Through", ..link() };
    let narrow = Link { lanes: 8, ..guest.clone() };
    let wide = look(pci(&guest), Some(told(&guest)), None);
    let now = look(pci(&narrow), Some(told(&narrow)), Some(&wide));
    assert_eq!(codes(&now), ["pcie_width"]);
    assert!(now.gpus[0].health.reasons[0].message.contains("16 before"), "{:?}", now.gpus[0].health);
    // A look without an answer forgets nothing.
    let silent = look(pci(&guest), None, Some(&wide));
    assert_eq!(codes(&look(pci(&narrow), Some(told(&narrow)), Some(&silent))), ["pcie_width"]);
    // Back to its old width it is well again.
    assert_eq!(codes(&look(pci(&guest), Some(told(&guest)), Some(&now))), [""; 0]);
    // Another card in its place, and a slot that was split anew, have no history.
    let mut other = told(&narrow);
    other.uuid = Reading::Known("GPU-another".parse().unwrap());
    assert_eq!(codes(&look(pci(&narrow), Some(other), Some(&wide))), [""; 0]);
    let split = Link { port: Some((8, 4)), virtualization: "None", ..narrow };
    assert_eq!(codes(&look(pci(&split), Some(told(&split)), Some(&wide))), [""; 0]);
}

#[test]
fn one_that_sleeps_has_no_link_to_judge() {
    let wide = look(pci(&link()), Some(told(&link())), None);
    let mut sleeping = pci(&link());
    sleeping.state.runtime = Reading::Known(RuntimeStatus::Suspended);
    (sleeping.link.width, sleeping.link.max_width) =
        (Reading::Absent(Absence::GpuAsleep), Reading::Absent(Absence::GpuAsleep));
    sleeping.link.port = None;
    let asleep = look(sleeping, None, Some(&wide));
    assert_eq!(codes(&asleep), [""; 0]);
    assert_eq!(asleep.gpus[0].widest_lanes, Some(16));
}
