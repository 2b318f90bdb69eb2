//! What heartbeats carry: against the contract's schema, which the reference manager checks each of them with.

use crate::world::{Host, TOKEN, bare_host, no_violations, with_token};
use manager::{Manager, Options};
use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig, MemoryMib, MigMode};
use model::ids::{GpuUuid, PciClass};
use model::metric::Metrics;
use model::observation::{Gpu, GpuUse, HostObservation, PassthroughVerdict};
use model::pci::GpuFunction;
use std::sync::Arc;

fn gpu(n: u8, driver: Option<DriverGpu>) -> Gpu {
    let address = address(n);
    Gpu {
        confirm_before: None,
        pci: GpuFunction {
            driver: Reading::Known("nvidia".parse().unwrap()),
            driver_override: Reading::Absent(Absence::None),
            iommu_group: Reading::Absent(Absence::None),
            numa_node: Reading::Absent(Absence::None),
            ..GpuFunction::unknown(address, "10de:2330".parse().unwrap(), PciClass(0x03_0200))
        },
        driver,
        driver_version: None,
        driver_absence: None,
        usage: GpuUse::Host,
        schedulable: false,
        unschedulable_reason: None,
        cause_chain: Vec::new(),
        visible_to_runtime: false,
        passthrough: PassthroughVerdict::default(),
        health: model::health::GpuHealth::default(),
        features: model::features::Features::new(),
        features_off: std::collections::BTreeMap::new(),
        is_off: false,
        change: model::observation::StandingChange::None,
        silence: None,
        widest_lanes: None,
        mig_places: None,
    }
}

fn address(n: u8) -> model::PciAddress {
    format!("0000:{:02x}:00.0", 0x10 + n).parse().unwrap()
}

fn known<T>(value: T) -> Reading<T> {
    Reading::Known(value)
}

fn full_driver(n: u8) -> DriverGpu {
    let memory = || MemoryMib { total: known(81_559), reserved: known(640), used: known(123), free: known(80_796) };
    let mig = |m: u32| DriverMig {
        index: known(m),
        gpu_instance: m + 1,
        compute_instance: 0,
        uuid: known(format!("MIG-{:08x}-2222-3333-4444-555555555555", u32::from(n) * 16 + m).parse().unwrap()),
        profile: known("1g.10gb".into()),
        memory: memory(),
        sm: known(16),
        ce: known(1),
        enc: known(0),
        dec: known(1),
        jpeg: known(1),
        ofa: known(0),
    };
    let uuid: GpuUuid = format!("GPU-{n:08x}-2222-3333-4444-555555555555").parse().unwrap();
    DriverGpu {
        metrics: Metrics {
            temperature_c: known(41.0),
            utilization_pct: known(97.0),
            power_w: known(612.34),
            power_limit_w: known(700.0),
            performance_state: known("P0".into()),
            ecc_uncorrected: known(0),
            throttle: known(vec!["hw_power_brake_slowdown".into(), "sw_power_cap".into()]),
            ..Metrics::default()
        },
        uuid: known(uuid),
        name: known("NVIDIA H100 80GB HBM3".into()),
        mig_current: known(MigMode::Enabled),
        mig_pending: known(MigMode::Enabled),
        mig_devices: (0..7).map(mig).collect(),
        memory: memory(),
        ..DriverGpu::unknown(address(n))
    }
}

async fn running_on(seen: HostObservation, options: Options) -> (Host, Manager, crate::world::Running) {
    let mut host = Host::new();
    host.seen.send_replace(Arc::new(seen));
    let manager = host.manager(options).await;
    host.unattended(&[&manager], TOKEN);
    let running = host.start().await;
    (host, manager, running)
}

pub(crate) fn sixteen_by_seven() -> HostObservation {
    HostObservation { gpus: (0..16).map(|n| gpu(n, Some(full_driver(n)))).collect(), ..bare_host() }
}

#[tokio::test]
async fn t21_inventory_only_first_on_change_and_on_request() {
    let (host, manager, running) = running_on(sixteen_by_seven(), with_token()).await;
    let carried = |m: &Manager| m.heartbeats().iter().filter(|b| b.body.get("inventory").is_some()).count();
    host.clock.advance(120_000).await;
    assert_eq!(carried(&manager), 1);
    let first = &manager.heartbeats()[0].body;
    assert!(first.get("agent").is_some() && first["inventory"]["gpus"].as_array().unwrap().len() == 16);
    host.see(|seen| {
        seen.gpus.pop();
    })
    .await;
    host.clock.advance(60_000).await;
    assert_eq!(carried(&manager), 2);
    manager.set_reply(|reply| reply["need_inventory"] = true.into());
    host.clock.advance(30_000).await;
    manager.reset_reply();
    host.clock.advance(120_000).await;
    assert!((3..=4).contains(&carried(&manager)), "{}", carried(&manager));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t22_where_nothing_is_known_the_heartbeat_is_valid_all_the_same() {
    let absent = Reading::Absent(Absence::NotSupported);
    let mut driver = DriverGpu::unknown(address(0));
    driver.metrics.utilization_pct = absent;
    driver.metrics.throttle = Reading::Absent(Absence::GpuLost);
    let seen = HostObservation { gpus: vec![gpu(0, Some(driver)), gpu(1, None)], ..bare_host() };
    let (host, manager, running) = running_on(seen, with_token()).await;
    host.clock.advance(60_000).await;
    assert!(manager.heartbeats().iter().all(|b| b.accepted));
    assert!(manager.heartbeats()[0].body["gpu_metrics"][0]["util_pct"].is_null());
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn t23_sixteen_gpus_with_seven_mig_devices_stay_below_64_kb_and_go_compressed() {
    let (host, manager, running) = running_on(sixteen_by_seven(), with_token()).await;
    host.clock.advance(60_000).await;
    let beats = manager.heartbeats();
    let slim = beats.last().unwrap();
    let size = slim.body.to_string().len();
    println!(
        "16 x 7 MIG: {size} bytes, {} on the wire; with inventory {} and {}",
        slim.wire_bytes,
        beats[0].body.to_string().len(),
        beats[0].wire_bytes
    );
    assert!(slim.body.get("inventory").is_none());
    assert!(size < 64_000, "{size} bytes");
    assert!(beats[0].body.to_string().len() < 256 * 1024);
    assert!(slim.gzip && slim.wire_bytes * 4 < size);
    assert_eq!(manager.requests().iter().filter(|r| r.path.ends_with("/version")).count(), 1);
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn without_gzip_at_the_manager_nothing_is_compressed() {
    let (_host, manager, running) =
        running_on(sixteen_by_seven(), Options { features: Vec::new(), ..with_token() }).await;
    assert!(manager.heartbeats().iter().all(|b| !b.gzip && b.accepted));
    running.stop().await;
    no_violations(&manager);
}

#[tokio::test]
async fn cpu_covers_the_time_since_the_last_heartbeat() {
    let (host, manager, running) = running_on(bare_host(), with_token()).await;
    assert!(manager.heartbeats()[0].body["cpu_pct"].is_null());
    host.see(|seen| seen.host.cpu = Reading::Known(model::host_facts::CpuTicks { total: 3000, idle: 2400 })).await;
    host.clock.advance(30_000).await;
    assert_eq!(manager.heartbeats().last().unwrap().body["cpu_pct"], 25.0);
    running.stop().await;
}

#[tokio::test]
async fn a_manager_with_nothing_but_the_heartbeat_is_enough() {
    let options =
        Options { mode: manager::Mode::SharedToken("t".into()), optional_paths: Vec::new(), ..Options::default() };
    let mut host = Host::new();
    host.seen.send_replace(Arc::new(sixteen_by_seven()));
    let manager = host.manager(options).await;
    host.settings.urls = vec![manager.url()];
    host.settings.ca_file = Some(host.file("ca.pem", &manager.ca_pem()));
    host.settings.shared_token_file = Some(host.file("shared", "t"));
    let running = host.start().await;
    host.clock.advance(90_000).await;
    assert!(manager.heartbeats().len() >= 3 && manager.heartbeats().iter().all(|b| b.accepted && !b.gzip));
    running.stop().await;
}
