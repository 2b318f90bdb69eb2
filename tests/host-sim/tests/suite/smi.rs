//! The nvidia-smi of a tree says what the driver says, in the shape of its branch, and fails as it is told to.

use host_sim::Artifacts;
use host_sim::tree::write_user_space;
use host_sim::xml_writer::absence_text;
use model::Reading;
use model::driver::{DriverGpu, DriverSource, MemoryMib, MigMode};
use model::health::facts::HealthFacts;
use roxmltree::{Document, Node, ParsingOptions};
use sim::bus::Bus;
use sim::driver::{report, without_values};
use sim::faults::{NvmlFault, Signal, SmiFault};
use sim::{BUILT_IN, Description, load};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

fn tree(description: &Description) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts {
        smi: env!("CARGO_BIN_EXE_nvidia-smi").into(),
        nvml: Artifacts::beside_this_program().unwrap().nvml,
    };
    write_user_space(description, &Bus::lay_out(description).unwrap(), folder.path(), &artifacts).unwrap();
    folder
}

/// Starts the program of a tree as the product does: with nothing in its environment.
fn command(folder: &TempDir, description: &Description) -> Command {
    let root = host_sim::tree::driver_root(description, folder.path());
    let mut command = Command::new(root.join("usr/bin/nvidia-smi"));
    command.args(["-q", "-x"]).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(description: &Description) -> Output {
    command(&tree(description), description).output().unwrap()
}

fn document(description: &Description) -> String {
    let output = run(description);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(text: &str) -> Document<'_> {
    Document::parse_with_options(text, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }).unwrap()
}

/// The text at an exact path below a node.
fn at<'a>(node: Node<'a, 'a>, path: &str) -> Option<&'a str> {
    let found = path.split('/').try_fold(node, |node, name| node.children().find(|child| child.has_tag_name(name)))?;
    found.text().map(str::trim)
}

/// The element has the reading: its value, or the driver's words for the absence, or it is left out.
fn says<T>(gpu: Node<'_, '_>, path: &str, reading: &Reading<T>, show: impl Fn(&T) -> String) {
    let expected = match reading {
        Reading::Known(value) => Some(show(value)),
        Reading::Absent(why) => absence_text(why).map(str::to_owned),
    };
    let text = path.split('/').try_fold(gpu, |node, name| node.children().find(|child| child.has_tag_name(name)));
    assert_eq!(text.map(|node| node.text().unwrap_or("").trim().to_owned()), expected, "{path}");
}

fn says_memory(node: Node<'_, '_>, block: &str, memory: &MemoryMib) {
    let mib = |value: &u64| format!("{value} MiB");
    says(node, &format!("{block}/total"), &memory.total, mib);
    says(node, &format!("{block}/reserved"), &memory.reserved, mib);
    says(node, &format!("{block}/used"), &memory.used, mib);
    says(node, &format!("{block}/free"), &memory.free, mib);
}

fn says_mig(node: Node<'_, '_>, gpu: &DriverGpu) {
    let mode = |mode: &MigMode| if *mode == MigMode::Enabled { "Enabled" } else { "Disabled" }.to_owned();
    says(node, "mig_mode/current_mig", &gpu.mig_current, mode);
    says(node, "mig_mode/pending_mig", &gpu.mig_pending, mode);
    let block = node.children().find(|child| child.has_tag_name("mig_devices")).unwrap();
    let devices: Vec<Node<'_, '_>> = block.children().filter(|child| child.has_tag_name("mig_device")).collect();
    assert_eq!(devices.len(), gpu.mig_devices.len());
    if devices.is_empty() {
        assert_eq!(block.text().unwrap().trim(), "None");
    }
    for (node, mig) in devices.into_iter().zip(&gpu.mig_devices) {
        assert_eq!(at(node, "gpu_instance_id").unwrap(), mig.gpu_instance.to_string());
        assert_eq!(at(node, "compute_instance_id").unwrap(), mig.compute_instance.to_string());
        says(node, "device_attributes/shared/multiprocessor_count", &mig.sm, ToString::to_string);
        says(node, "device_attributes/shared/copy_engine_count", &mig.ce, ToString::to_string);
        says(node, "device_attributes/shared/decoder_count", &mig.dec, ToString::to_string);
        says_memory(node, "fb_memory_usage", &mig.memory);
    }
}

/// Where a branch keeps the power drawn.
fn power_path(branch: u32) -> &'static str {
    match branch {
        ..535 => "power_readings/power_draw",
        535..550 | 555..570 => "gpu_power_readings/power_draw",
        550..555 | 570.. => "gpu_power_readings/instant_power_draw",
    }
}

fn says_measurements(node: Node<'_, '_>, gpu: &DriverGpu, branch: u32) {
    let (pct, watts) = (|value: &f64| format!("{value} %"), |value: &f64| format!("{value:.2} W"));
    says_memory(node, "fb_memory_usage", &gpu.memory);
    says(node, "temperature/gpu_temp", &gpu.metrics.temperature_c, |value| format!("{value} C"));
    says(node, "utilization/gpu_util", &gpu.metrics.utilization_pct, pct);
    says(node, "utilization/memory_util", &gpu.metrics.memory_utilization_pct, pct);
    says(node, "utilization/encoder_util", &gpu.metrics.encoder_pct, pct);
    says(node, "utilization/decoder_util", &gpu.metrics.decoder_pct, pct);
    says(node, power_path(branch), &gpu.metrics.power_w, watts);
    let limit =
        if branch < 535 { "power_readings/enforced_power_limit" } else { "gpu_power_readings/current_power_limit" };
    says(node, limit, &gpu.metrics.power_limit_w, watts);
    says(node, "fan_speed", &gpu.metrics.fan_pct, pct);
    says(node, "performance_state", &gpu.metrics.performance_state, Clone::clone);
    let on_off = |on: &bool| if *on { "Enabled" } else { "Disabled" }.to_owned();
    says(node, "ecc_mode/current_ecc", &gpu.ecc_enabled, on_off);
    let number = |path: &str| at(node, path).and_then(|text| text.parse::<u64>().ok());
    let sram = if branch < 550 { "sram_uncorrectable" } else { "sram_uncorrectable_secded" };
    let total = number(&format!("ecc_errors/volatile/{sram}"))
        .and_then(|sram| Some(sram + number("ecc_errors/volatile/dram_uncorrectable")?));
    assert_eq!(total, gpu.metrics.ecc_uncorrected.get());
    let word = if branch < 535 { "throttle" } else { "event" };
    if let Reading::Known(reasons) = &gpu.metrics.throttle {
        let block = node.children().find(|c| c.tag_name().name() == format!("clocks_{word}_reasons")).unwrap();
        let active = block.children().filter(|c| c.text() == Some("Active"));
        let prefix = format!("clocks_{word}_reason_");
        let mut names: Vec<&str> = active.map(|c| c.tag_name().name().strip_prefix(prefix.as_str()).unwrap()).collect();
        names.sort_unstable();
        assert_eq!(&names, reasons);
    } else {
        says(node, &format!("clocks_{word}_reasons"), &gpu.metrics.throttle, |_| String::new());
    }
}

fn says_identity(node: Node<'_, '_>, gpu: &DriverGpu) {
    let address = gpu.address.to_string().to_uppercase();
    assert_eq!(node.attribute("id").unwrap(), format!("0000{address}"));
    assert_eq!(at(node, "pci/pci_bus_id").unwrap(), format!("0000{address}"));
    says(node, "product_name", &gpu.name, Clone::clone);
    says(node, "product_brand", &gpu.brand, Clone::clone);
    says(node, "product_architecture", &gpu.architecture, Clone::clone);
    says(node, "uuid", &gpu.uuid, ToString::to_string);
    says(node, "serial", &gpu.serial, Clone::clone);
    says(node, "minor_number", &gpu.minor, ToString::to_string);
    says(node, "vbios_version", &gpu.vbios, Clone::clone);
    says(node, "gpu_virtualization_mode/virtualization_mode", &gpu.virtualization, Clone::clone);
    says(node, "gpu_virtualization_mode/host_vgpu_mode", &gpu.host_vgpu_mode, Clone::clone);
    says(node, "gpu_recovery_action", &gpu.health_facts.recovery_action, Clone::clone);
    says(node, "pci/pci_device_id", &gpu.pci_id, |id| format!("{:04X}{:04X}", id.device, id.vendor));
    says(node, "pci/pci_gpu_link_info/pcie_gen/current_link_gen", &gpu.metrics.pcie_generation, ToString::to_string);
    says(node, "pci/pci_gpu_link_info/pcie_gen/max_link_gen", &gpu.metrics.pcie_max_generation, ToString::to_string);
    says(node, "pci/pci_gpu_link_info/link_widths/current_link_width", &gpu.metrics.pcie_width, |lanes| {
        format!("{lanes}x")
    });
    let processes = node.descendants().filter(|n| n.has_tag_name("process_info"));
    let names: Vec<(u32, &str)> =
        processes.map(|p| (at(p, "pid").unwrap().parse().unwrap(), at(p, "process_name").unwrap())).collect();
    let expected = gpu.processes.known().into_iter().flatten();
    assert!(expected.map(|p| (p.pid, p.name.known().unwrap().as_str())).eq(names.iter().copied()));
}

fn says_everything(description: &Description) -> usize {
    let text = document(description);
    let document = parsed(&text);
    let root = document.root_element();
    let driver = description.driver.as_ref().unwrap();
    assert_eq!(at(root, "driver_version").unwrap(), driver.version);
    assert_eq!(at(root, "cuda_version").unwrap(), driver.cuda);
    let said = report(description, &Bus::lay_out(description).unwrap(), DriverSource::Smi);
    assert_eq!(at(root, "attached_gpus").unwrap(), said.gpus.len().to_string());
    let nodes: Vec<Node<'_, '_>> = root.children().filter(|child| child.has_tag_name("gpu")).collect();
    assert_eq!(nodes.len(), said.gpus.len());
    for (node, gpu) in nodes.into_iter().zip(&said.gpus) {
        says_identity(node, gpu);
        says_mig(node, gpu);
        says_measurements(node, gpu, driver.branch().unwrap());
    }
    said.gpus.len()
}

#[test]
fn every_value_of_every_built_in_host_stands_where_its_branch_puts_it() {
    let mut read = 0;
    for (name, _) in BUILT_IN {
        let description = load(name).unwrap();
        if description.driver.is_some() {
            read += says_everything(&description);
        }
    }
    assert!(read > 20, "only {read} GPUs were read");
}

#[test]
fn every_branch_has_its_own_shape_and_the_same_values() {
    for (version, dtd) in [
        ("450.248.02", "v11"),
        ("470.256.02", "v11"),
        ("510.47.03", "v11"),
        ("525.147.05", "v12"),
        ("535.274.02", "v12"),
        ("550.163.01", "v12"),
        ("555.58.02", "v12"),
        ("570.148.08", "v12"),
        ("580.105.08", "v13"),
        ("595.71.05", "v13"),
    ] {
        for name in ["dgx-a100", "mixed-faults"] {
            let mut description = load(name).unwrap();
            description.driver.as_mut().unwrap().version = version.to_owned();
            says_everything(&description);
            assert!(document(&description).contains(&format!("SYSTEM \"nvsmi_device_{dtd}.dtd\"")), "{version}");
        }
    }
}

#[test]
fn a_slices_memory_comes_before_the_cards_own() {
    let text = document(&load("dgx-a100").unwrap());
    let gpu = &text[text.find("<gpu id=\"00000000:47:00.0\">").unwrap()..];
    assert!(gpu.find("19968 MiB").unwrap() < gpu.find("40960 MiB").unwrap(), "the trap is there");
}

fn with(fault: SmiFault) -> Description {
    let mut description = load("t4-cloud-vm").unwrap();
    description.faults.smi = Some(fault);
    description
}

#[test]
fn it_ends_with_the_status_and_the_text_on_stdout() {
    let output = run(&with(SmiFault::Exit { status: 14, text: "WARNING: infoROM is corrupted\n".to_owned() }));
    assert_eq!(output.status.code(), Some(14));
    assert_eq!((output.stdout.as_slice(), output.stderr.len()), (b"WARNING: infoROM is corrupted\n".as_slice(), 0));
}

#[test]
fn nvmls_faults_are_its_own() {
    let mut description = load("t4-cloud-vm").unwrap();
    description.faults.nvml = Some(NvmlFault::Init(18));
    let output = run(&description);
    assert_eq!(output.status.code(), Some(18));
    assert_eq!(output.stdout, b"Failed to initialize NVML: Driver/library version mismatch\n");
    for signal in [Signal::Segv, Signal::Abort] {
        description.faults.nvml = Some(NvmlFault::Crash { call: "nvmlInit_v2".to_owned(), signal });
        assert_eq!(run(&description).status.signal(), Some(signal.number()));
    }
    description.faults.nvml = None;
    description.gpus[0].driver = None;
    assert_eq!(run(&description).stdout, b"No devices were found\n");
}

#[test]
fn spoilt_documents_are_spoilt() {
    let whole = document(&load("t4-cloud-vm").unwrap());
    let cut = run(&with(SmiFault::Truncated { bytes: 4321 }));
    assert_eq!(cut.stdout, &whole.as_bytes()[..4321]);
    let garbage = run(&with(SmiFault::Garbage));
    assert!(std::str::from_utf8(&garbage.stdout).is_err());
    let bomb = document(&with(SmiFault::EntityBomb));
    assert!(bomb.len() < 4096 && bomb.matches("<!ENTITY").count() == 11);
    assert_eq!(bomb.matches("&e9;").count(), 10);
}

#[test]
fn with_nothing_available_only_the_address_is_left() {
    let description = with(SmiFault::NotAvailable);
    let text = document(&description);
    let document = parsed(&text);
    let gpu = document.descendants().find(|node| node.has_tag_name("gpu")).unwrap();
    let healthy = load("t4-cloud-vm").unwrap();
    let said = without_values(report(&healthy, &Bus::lay_out(&healthy).unwrap(), DriverSource::Smi));
    assert_eq!(gpu.attribute("id"), Some("00000000:00:04.0"));
    assert_eq!(at(gpu, "uuid"), Some("N/A"));
    says_measurements(gpu, &said.gpus[0], 570);
}

#[test]
fn it_knows_no_other_question() {
    let description = load("t4-cloud-vm").unwrap();
    let folder = tree(&description);
    let output = Command::new(folder.path().join("usr/bin/nvidia-smi")).arg("-L").output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}

/// Waits until the program has gone to sleep in the kernel: it hangs where it is told to.
fn wait_until_it_hangs(child: &Child) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let syscall = format!("/proc/{}/syscall", child.id());
    let pause = nix::libc::SYS_pause.to_string();
    loop {
        let now = std::fs::read_to_string(&syscall).unwrap_or_default();
        if now.split(' ').next() == Some(pause.as_str()) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "it does not hang: {now:?}");
        std::thread::yield_now();
    }
}

fn ends_within(child: Child, limit: Duration) -> Option<Output> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output().unwrap()));
    told.recv_timeout(limit).ok()
}

#[test]
fn it_hangs_until_a_signal_that_it_heeds() {
    for (ignores_sigterm, signal) in [(false, "TERM"), (true, "KILL")] {
        let description = with(SmiFault::Hang { ignores_sigterm });
        let folder = tree(&description);
        let child = command(&folder, &description).spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        wait_until_it_hangs(&child);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        if ignores_sigterm {
            wait_until_it_hangs(&child);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        let output = ends_within(child, Duration::from_secs(60)).expect("it does not end");
        let expected = if signal == "TERM" { 15 } else { 9 };
        assert_eq!(output.status.signal(), Some(expected));
    }
}

/// Each health fact of a description is read again from the document by the product's own parser.
#[test]
fn the_health_of_a_gpu_stands_in_its_document() {
    let mut description = load("t4-cloud-vm").unwrap();
    description.driver.as_mut().unwrap().version = "595.71.05".to_owned();
    description.gpus[0].health_facts = HealthFacts {
        rows_remapped_correctable: Reading::Known(3),
        rows_remapped_uncorrectable: Reading::Known(2),
        row_remap_pending: Reading::Known(true),
        row_remap_failed: Reading::Known(true),
        pages_retired_single_bit: Reading::Known(1),
        pages_retired_double_bit: Reading::Known(4),
        retirement_pending: Reading::Known(true),
        recovery_action: Reading::Known("PF FLR".to_owned()),
        channel_repair_pending: Reading::Known(true),
        tpc_repair_pending: Reading::Known(true),
        sram_threshold_exceeded: Reading::Known(true),
        unrepairable_memory: Reading::Known(true),
        fabric_state: Reading::Known("Completed".to_owned()),
        fabric_status: Reading::Known("Success".to_owned()),
        fabric_health: Reading::Known("Unhealthy".to_owned()),
        fabric_faults: Reading::Known(vec!["degraded_bandwidth".to_owned(), "route_unhealthy".to_owned()]),
        ..HealthFacts::default()
    };
    let read = model::smi::parse(document(&description).as_bytes()).unwrap().gpus.remove(0).health_facts;
    assert_eq!(read, description.gpus[0].health_facts);
    description.driver.as_mut().unwrap().version = "550.163.01".to_owned();
    description.gpus[0].health_facts = HealthFacts { reset_required: Reading::Known(true), ..HealthFacts::default() };
    let read = model::smi::parse(document(&description).as_bytes()).unwrap().gpus.remove(0).health_facts;
    assert_eq!((read.reset_required.get(), read.recovery_action.known()), (Some(true), None));
}
