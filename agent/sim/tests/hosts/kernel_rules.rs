//! The simulated kernel follows the kernel's rules, and says what changed.

use model::driver::DriverSource;
use model::holders::{Hold, Holder};
use model::pci::{GpuFunction, PciScan};
use model::plan::PowerControl;
use model::ports::{ChangePort, HostChange, HostPort};
use model::{DriverName, PciAddress};
use sim::state::KernelError;
use sim::{SimChanges, SimHost, load};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a call of the simulated host does not wait"),
    }
}

/// The host with persistence mode off: nothing but the rules themselves keeps a driver from letting go.
fn host(name: &str) -> SimHost {
    let mut description = load(name).unwrap();
    for gpu in &mut description.gpus {
        gpu.persistence = false;
    }
    SimHost::new(description).unwrap()
}

fn scan(host: &SimHost) -> PciScan {
    now(host.scan_pci()).unwrap()
}

fn at(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn driver(name: &str) -> DriverName {
    name.parse().unwrap()
}

fn gpu(host: &SimHost, address: &str) -> GpuFunction {
    scan(host).gpus.into_iter().find(|gpu| gpu.address == at(address)).unwrap()
}

const A100: &str = "0000:07:00.0";

#[test]
fn vfio_pci_writes_power_control_for_itself_as_it_comes_and_goes() {
    let host = host("dgx-a100");
    let gpu = at("0000:07:00.0");
    host.change(|state| {
        state.bus.functions.get_mut(&gpu).unwrap().power_control = Some(PowerControl::On);
        state.unbind(gpu).unwrap();
        state.set_driver_override(gpu, "vfio-pci").unwrap();
        state.probe(gpu).unwrap();
        assert_eq!(state.bus.functions[&gpu].power_control, Some(PowerControl::Auto));
        state.unbind(gpu).unwrap();
        assert_eq!(state.bus.functions[&gpu].power_control, Some(PowerControl::On));
    });
}

#[test]
fn nvidias_driver_never_lets_go_of_a_gpu_in_persistence_mode() {
    let host = SimHost::new(load("l40s-server").unwrap()).unwrap();
    let gpu = at("0000:4a:00.0");
    host.change(|state| {
        let said = state.clone().unbind(gpu).unwrap_err();
        assert!(matches!(said, KernelError::Blocks { .. }), "{said}");
        state.set_persistence(gpu, false).unwrap();
        state.unbind(gpu).unwrap();
        // It is the driver's own hold: on another one it means nothing.
        state.set_persistence(gpu, true).unwrap();
        state.set_driver_override(gpu, "vfio-pci").unwrap();
        state.probe(gpu).unwrap();
        state.unbind(gpu).unwrap();
    });
}

#[test]
fn an_id_on_the_command_line_takes_the_card_again_whoever_has_it_probed() {
    let mut description = load("nouveau-desktop").unwrap();
    let gpu = description.gpus[0].address;
    let id = description.models[&description.gpus[0].model].id;
    description.software.cmdline = format!("quiet vfio_pci.ids={id}");
    let host = SimHost::new(description).unwrap();
    host.change(|state| {
        state.unbind(gpu).unwrap();
        state.probe(gpu).unwrap();
        assert_eq!(state.bus.functions[&gpu].driver, Some(driver("vfio-pci")));
        // An override is stronger than any id.
        state.unbind(gpu).unwrap();
        state.set_driver_override(gpu, "nouveau").unwrap();
        state.probe(gpu).unwrap();
        assert_eq!(state.bus.functions[&gpu].driver, Some(driver("nouveau")));
    });
}

#[test]
fn the_audio_function_waits_for_whoever_has_its_nodes_open() {
    let host = host("workstation-rtx");
    let audio = scan(&host).gpus.iter().flat_map(|gpu| gpu.companions.clone()).next().unwrap();
    host.change(|state| {
        assert_eq!(state.bus.functions[&audio].driver, Some(driver("snd_hda_intel")));
        let hold = Hold::OpenDevice { path: "/dev/snd/controlC1".into() };
        let (pid, command) = (Some(9), Some("wireplumber".into()));
        let holder = Holder { pid, command, unit: None, container: None, address: Some(audio), instance: None, hold };
        state.open.insert(audio, vec![holder]);
        assert!(matches!(state.clone().unbind(audio), Err(KernelError::Blocks { .. })));
        state.open.clear();
        state.unbind(audio).unwrap();
    });
}

#[test]
fn an_override_binds_nothing_until_the_function_is_unbound_and_probed() {
    let host = host("dgx-a100");
    host.change(|state| state.set_driver_override(at(A100), "vfio-pci\n")).unwrap();
    assert_eq!(gpu(&host, A100).driver.known(), Some(&driver("nvidia")));
    host.change(|state| state.probe(at(A100))).unwrap();
    assert_eq!(gpu(&host, A100).driver.known(), Some(&driver("nvidia")), "a probe leaves a bound function alone");
    host.change(|state| state.unbind(at(A100))).unwrap();
    assert!(gpu(&host, A100).driver.is_none());
    host.change(|state| state.probe(at(A100))).unwrap();
    assert_eq!(gpu(&host, A100).driver.known(), Some(&driver("vfio-pci")));
    assert_eq!(gpu(&host, A100).driver_override.known().unwrap(), "vfio-pci");
    host.change(|state| {
        state.set_driver_override(at(A100), "\n").unwrap();
        state.unbind(at(A100)).unwrap();
        state.probe(at(A100)).unwrap();
    });
    assert_eq!(gpu(&host, A100).driver.known(), Some(&driver("nvidia")), "without an override it comes home");
    assert!(gpu(&host, A100).driver_override.is_none());
}

#[test]
fn a_gpu_that_leaves_the_driver_leaves_its_list_and_its_drm_nodes() {
    let host = host("dgx-a100");
    let report = || now(host.probe_driver(DriverSource::Nvml)).unwrap();
    let second = report().gpus[1].clone();
    assert_eq!(gpu(&host, A100).drm.card.as_deref(), Some("card1"));
    host.change(|state| state.unbind(at(A100))).unwrap();
    assert_eq!(report().gpus.len(), 7);
    assert_eq!(report().gpus[0].uuid, second.uuid, "indices shift, and identities stay");
    assert_eq!(report().gpus[0].index.get(), Some(0));
    assert_eq!(gpu(&host, A100).drm.card, None);
}

#[test]
fn a_driver_takes_only_what_it_matches() {
    let host = host("dgx-a100");
    let busy = host.change(|state| state.bind(at(A100), &driver("vfio-pci"))).unwrap_err();
    assert!(matches!(busy, KernelError::Busy { .. }), "{busy}");
    host.change(|state| state.unbind(at(A100))).unwrap();
    let no = host.change(|state| state.bind(at(A100), &driver("vfio-pci"))).unwrap_err();
    assert!(matches!(no, KernelError::NoDevice { .. }) && no.to_string().contains("vfio-pci/bind"), "{no}");
    host.change(|state| state.set_driver_override(at(A100), "vfio-pci")).unwrap();
    let no = host.change(|state| state.bind(at(A100), &driver("nvidia"))).unwrap_err();
    assert!(matches!(no, KernelError::NoDevice { .. }), "an override keeps every other driver away: {no}");
    host.change(|state| state.bind(at(A100), &driver("vfio-pci"))).unwrap();
    assert_eq!(gpu(&host, A100).driver.known(), Some(&driver("vfio-pci")));
    let twice = host.change(|state| {
        state.unbind(at(A100)).unwrap();
        state.unbind(at(A100))
    });
    assert!(matches!(twice, Err(KernelError::NoDevice { .. })));
}

#[test]
fn a_probe_says_yes_and_binds_nothing_where_no_driver_is_at_home() {
    let host = host("nouveau-desktop");
    let card = at("0000:01:00.0");
    host.change(|state| {
        state.set_driver_override(card, "../x").unwrap();
        state.unbind(card).unwrap();
        state.probe(card).unwrap();
    });
    assert!(gpu(&host, "0000:01:00.0").driver.is_none());
}

#[test]
fn a_card_goes_and_comes_with_all_its_functions() {
    let host = host("workstation-rtx");
    let before = scan(&host);
    host.change(|state| state.unplug(at("0000:01:00.2"))).unwrap();
    let without = scan(&host);
    assert_eq!(without.functions_total, before.functions_total - 4);
    assert_eq!(without.gpus.len(), 1);
    assert!(matches!(host.change(|state| state.unplug(at("0000:01:00.0"))), Err(KernelError::NoDevice { .. })));
    host.change(|state| state.plug(at("0000:01:00.0"))).unwrap();
    assert_eq!(scan(&host), before);
    assert!(matches!(host.change(|state| state.plug(at("0000:01:00.0"))), Err(KernelError::Busy { .. })));
    assert!(matches!(host.change(|state| state.plug(at("0000:77:00.0"))), Err(KernelError::NoDevice { .. })));
}

#[test]
fn virtual_functions_go_with_their_physical_one() {
    let host = host("vgpu-host-16vf");
    host.change(|state| state.unplug(at("0000:08:00.0"))).unwrap();
    let seen = scan(&host);
    assert_eq!((seen.gpus.len(), seen.functions_total, seen.iommu_groups_total), (0, 1, 1));
}

#[derive(Default)]
struct Counter(AtomicU32);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(changes: &mut SimChanges, counter: &Arc<Counter>) -> Poll<HostChange> {
    let waker = Waker::from(Arc::clone(counter));
    pin!(changes.next_change()).poll(&mut Context::from_waker(&waker))
}

#[test]
fn changes_wake_who_waits_once_and_say_nothing_where_nothing_changed() {
    let host = host("dgx-a100");
    let (mut changes, counter) = (host.changes(), Arc::new(Counter::default()));
    assert_eq!(poll(&mut changes, &counter), Poll::Pending);
    host.change(|state| state.probe(at(A100))).unwrap();
    host.change(|state| state.description.gpus[0].load.temperature_c = 90);
    assert_eq!(counter.0.load(Ordering::SeqCst), 0, "udev announces no probe that binds nothing and no heat");
    host.change(|state| state.unbind(at(A100))).unwrap();
    host.change(|state| state.unplug(at(A100))).unwrap();
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut changes, &counter), Poll::Ready(HostChange::Devices));
    assert_eq!(poll(&mut changes, &counter), Poll::Pending, "two changes before the look count as one");
    let report = now(host.probe_driver(DriverSource::Nvml)).unwrap();
    assert!(report.gpus.iter().all(|gpu| gpu.address != at(A100)));
}

#[test]
fn every_listener_hears_of_a_change() {
    let host = host("t4-cloud-vm");
    let counter = Arc::new(Counter::default());
    let (mut one, mut other) = (host.changes(), host.changes());
    assert!(poll(&mut one, &counter).is_pending() && poll(&mut other, &counter).is_pending());
    host.clone().change(|state| state.unbind(at("0000:00:04.0"))).unwrap();
    assert!(poll(&mut one, &counter).is_ready() && poll(&mut other, &counter).is_ready());
    assert!(poll(&mut host.changes(), &counter).is_pending(), "what was before is no change");
}
