//! A second reading of a document: plain look-ups by exact path, written without a glance at the parser's tables.

use model::absence::{Absence, Reading};
use model::driver::{DriverGpu, DriverMig};
use model::health::facts::HealthFacts;
use roxmltree::{Document, Node, ParsingOptions};
use std::fmt::Debug;

/// Compares the parser's report with this reading; the number of values compared, or the first difference.
pub(crate) fn compare(bytes: &[u8]) -> Result<usize, String> {
    let text = String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())?;
    let start = text.find('<').unwrap_or(0);
    let end = text.rfind('>').map_or(text.len(), |at| at + 1);
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text[start..end], options).map_err(|e| e.to_string())?;
    let log = document.root_element();
    let report = model::smi::parse(bytes).map_err(|e| e.to_string())?;
    let mut check = Check { of: "document".to_owned(), count: 0 };
    check.text("driver_version", &report.driver_version, value(log, "driver_version"))?;
    check.text("cuda_version", &report.cuda_version, value(log, "cuda_version"))?;
    let gpus: Vec<Node<'_, '_>> = log.children().filter(|n| n.has_tag_name("gpu")).collect();
    check.same("gpus", report.gpus.len(), gpus.len())?;
    for (gpu, node) in report.gpus.iter().zip(gpus) {
        compare_gpu(gpu, node, &mut check)?;
    }
    Ok(check.count)
}

/// The element at a path of exact names, each step the only child of that name.
fn at<'a, 'i>(node: Node<'a, 'i>, path: &str) -> Option<Node<'a, 'i>> {
    path.split('/').try_fold(node, |node, name| {
        let mut named = node.children().filter(|n| n.has_tag_name(name));
        let first = named.next()?;
        named.next().is_none().then_some(first)
    })
}

/// What the text at a path means.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Text(String),
    Absent,
    Lost,
}

fn value(node: Node<'_, '_>, path: &str) -> Said {
    // A container on the way may have become a text.
    let mut here = node;
    for name in path.split('/') {
        match here.children().find(|n| n.has_tag_name(name)) {
            Some(next) => here = next,
            None => break,
        }
    }
    let text = here.text().unwrap_or_default().trim();
    if text == "GPU is lost" {
        return Said::Lost;
    }
    if at(node, path).is_none() || here.children().any(|n| n.is_element()) {
        return Said::Absent;
    }
    match text {
        "" | "N/A" | "Not Found" | "Requested functionality has been deprecated" => Said::Absent,
        "Insufficient Permissions" | "Insufficient Size" | "Unknown Error" => Said::Absent,
        text => Said::Text(text.to_owned()),
    }
}

struct Check {
    of: String,
    count: usize,
}

impl Check {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, ours: T, theirs: T) -> Result<(), String> {
        self.count += 1;
        if ours == theirs {
            Ok(())
        } else {
            Err(format!("{} {what}: parsed {ours:?}, the file says {theirs:?}", self.of))
        }
    }

    fn reading<T: PartialEq + Debug + Clone>(
        &mut self,
        what: &str,
        ours: &Reading<T>,
        theirs: Said,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<(), String> {
        if theirs == Said::Lost {
            return self.same(what, ours.absence().cloned(), Some(Absence::GpuLost));
        }
        let expected = match &theirs {
            Said::Text(text) => read(text),
            Said::Absent | Said::Lost => None,
        };
        self.same(what, ours.known().cloned(), expected)
    }

    fn text(&mut self, what: &str, ours: &Reading<String>, theirs: Said) -> Result<(), String> {
        self.reading(what, ours, theirs, |text| Some(text.to_owned()))
    }

    fn number(&mut self, what: &str, ours: &Reading<f64>, theirs: Said, unit: &str) -> Result<(), String> {
        self.reading(what, ours, theirs, |text| Some(text.strip_suffix(unit).unwrap().trim().parse().unwrap()))
    }

    fn mib(&mut self, what: &str, ours: &Reading<u64>, theirs: Said) -> Result<(), String> {
        self.reading(what, ours, theirs, |text| Some(text.strip_suffix(" MiB").unwrap().parse().unwrap()))
    }

    fn count(&mut self, what: &str, ours: &Reading<u32>, theirs: Said) -> Result<(), String> {
        self.reading(what, ours, theirs, |text| Some(text.trim_end_matches('x').parse().unwrap()))
    }

    fn switch(&mut self, what: &str, ours: &Reading<bool>, theirs: Said) -> Result<(), String> {
        self.reading(what, ours, theirs, |text| Some(text == "Enabled"))
    }
}

fn compare_gpu(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    check.of = node.attribute("id").unwrap().to_owned();
    check.same("address", gpu.address, node.attribute("id").unwrap().parse().unwrap())?;
    identity(gpu, node, check)?;
    modes(gpu, node, check)?;
    for (what, ours) in [
        ("total", &gpu.memory.total),
        ("reserved", &gpu.memory.reserved),
        ("used", &gpu.memory.used),
        ("free", &gpu.memory.free),
    ] {
        check.mib(what, ours, value(node, &format!("fb_memory_usage/{what}")))?;
    }
    for (path, ours) in [
        ("utilization/gpu_util", &gpu.metrics.utilization_pct),
        ("utilization/memory_util", &gpu.metrics.memory_utilization_pct),
        ("utilization/encoder_util", &gpu.metrics.encoder_pct),
        ("utilization/decoder_util", &gpu.metrics.decoder_pct),
        ("fan_speed", &gpu.metrics.fan_pct),
    ] {
        check.number(path, ours, value(node, path), "%")?;
    }
    check.number("gpu_temp", &gpu.metrics.temperature_c, value(node, "temperature/gpu_temp"), "C")?;
    for (path, ours) in
        [("clocks/sm_clock", &gpu.metrics.sm_clock_mhz), ("clocks/mem_clock", &gpu.metrics.memory_clock_mhz)]
    {
        check.reading(path, ours, value(node, path), |text| text.strip_suffix(" MHz")?.parse().ok())?;
    }
    check.text("performance_state", &gpu.metrics.performance_state, value(node, "performance_state"))?;
    power(gpu, node, check)?;
    ecc(gpu, node, check)?;
    throttle(gpu, node, check)?;
    migs(gpu, node, check)?;
    processes(gpu, node, check)
}

fn identity(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let glued = |text: &str| format!("{}:{}", &text[4..], &text[..4]).to_lowercase().parse().ok();
    let redacted = |said: Said| if said == Said::Text("[REDACTED]".to_owned()) { Said::Absent } else { said };
    check.reading("pci_id", &gpu.pci_id, redacted(value(node, "pci/pci_device_id")), glued)?;
    check.reading("subsystem", &gpu.subsystem, redacted(value(node, "pci/pci_sub_system_id")), glued)?;
    check.reading("uuid", &gpu.uuid, value(node, "uuid"), |text| text.parse().ok())?;
    check.count("minor", &gpu.minor, value(node, "minor_number"))?;
    check.text("serial", &gpu.serial, value(node, "serial"))?;
    check.text("name", &gpu.name, value(node, "product_name"))?;
    check.text("brand", &gpu.brand, value(node, "product_brand"))?;
    check.text("architecture", &gpu.architecture, value(node, "product_architecture"))?;
    check.text("vbios", &gpu.vbios, value(node, "vbios_version"))?;
    let link = "pci/pci_gpu_link_info";
    check.count("gen", &gpu.metrics.pcie_generation, value(node, &format!("{link}/pcie_gen/current_link_gen")))?;
    check.count("max gen", &gpu.metrics.pcie_max_generation, value(node, &format!("{link}/pcie_gen/max_link_gen")))?;
    check.count("width", &gpu.metrics.pcie_width, value(node, &format!("{link}/link_widths/current_link_width")))?;
    check.count("max width", &gpu.metrics.pcie_max_width, value(node, &format!("{link}/link_widths/max_link_width")))
}

fn modes(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let block = "gpu_virtualization_mode";
    check.switch("persistence", &gpu.persistence, value(node, "persistence_mode"))?;
    check.text("virtualization", &gpu.virtualization, value(node, &format!("{block}/virtualization_mode")))?;
    check.text("host_vgpu_mode", &gpu.host_vgpu_mode, value(node, &format!("{block}/host_vgpu_mode")))?;
    let is_on = |reading: &Reading<model::driver::MigMode>| reading.clone().map(|mode| mode.code() == "enabled");
    check.switch("current_mig", &is_on(&gpu.mig_current), value(node, "mig_mode/current_mig"))?;
    check.switch("pending_mig", &is_on(&gpu.mig_pending), value(node, "mig_mode/pending_mig"))?;
    check.switch("current_ecc", &gpu.ecc_enabled, value(node, "ecc_mode/current_ecc"))?;
    health(&gpu.health_facts, node, check)
}

fn health(facts: &HealthFacts, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    for (path, ours) in [
        ("remapped_rows/remapped_row_corr", &facts.rows_remapped_correctable),
        ("remapped_rows/remapped_row_unc", &facts.rows_remapped_uncorrectable),
        ("retired_pages/multiple_single_bit_retirement/retired_count", &facts.pages_retired_single_bit),
        ("retired_pages/double_bit_retirement/retired_count", &facts.pages_retired_double_bit),
    ] {
        check.count(path, ours, value(node, path))?;
    }
    for (path, ours) in [
        ("remapped_rows/remapped_row_pending", &facts.row_remap_pending),
        ("remapped_rows/remapped_row_failure", &facts.row_remap_failed),
        ("gpu_reset_status/reset_required", &facts.reset_required),
        ("gpu_reset_status/drain_and_reset_recommended", &facts.drain_and_reset_recommended),
        ("ecc_errors/channel_repair_pending", &facts.channel_repair_pending),
        ("ecc_errors/tpc_repair_pending", &facts.tpc_repair_pending),
        ("ecc_errors/unrepairable_memory", &facts.unrepairable_memory),
        ("ecc_errors/aggregate/sram_threshold_exceeded", &facts.sram_threshold_exceeded),
    ] {
        check.reading(path, ours, value(node, path), |text| Some(text == "Yes"))?;
    }
    let pending = first_word(node, &["retired_pages/pending_blacklist", "retired_pages/pending_retirement"]);
    check.reading("pending", &facts.retirement_pending, pending, |text| Some(text == "Yes"))?;
    check.text("fabric state", &facts.fabric_state, value(node, "fabric/state"))?;
    check.text("fabric status", &facts.fabric_status, value(node, "fabric/status"))?;
    check.text("fabric health", &facts.fabric_health, value(node, "fabric/health/summary"))?;
    check.text("recovery action", &facts.recovery_action, value(node, "gpu_recovery_action"))?;
    let faults = [
        "bandwidth",
        "route_recovery_in_progress",
        "route_unhealthy",
        "access_timeout_recovery",
        "incorrect_configuration",
    ]
    .map(|name| (name, value(node, &format!("fabric/health/{name}"))));
    let known: Vec<(&str, &String)> = faults
        .iter()
        .filter_map(|(name, said)| if let Said::Text(text) = said { Some((*name, text)) } else { None })
        .collect();
    let ill: Vec<String> = known
        .iter()
        .filter(|(_, text)| !["False", "Full", "None"].contains(&text.as_str()))
        .map(|(name, _)| if *name == "bandwidth" { "degraded_bandwidth".to_owned() } else { (*name).to_owned() })
        .collect();
    check.same("fabric faults", facts.fabric_faults.known().cloned(), (!known.is_empty()).then_some(ill))
}

/// `Yes` where one of them says so; else the first that says anything.
fn first_word(node: Node<'_, '_>, paths: &[&str]) -> Said {
    let said: Vec<Said> = paths.iter().map(|path| value(node, path)).collect();
    let yes = said.iter().find(|said| **said == Said::Text("Yes".to_owned()));
    let any = yes.or_else(|| said.iter().find(|said| matches!(said, Said::Text(_))));
    any.or_else(|| said.iter().find(|said| **said == Said::Lost)).cloned().unwrap_or(Said::Absent)
}

/// The first path that is a number; else the first that is there.
fn first(node: Node<'_, '_>, paths: &[&str]) -> Said {
    let said = paths.iter().map(|path| value(node, path)).collect::<Vec<_>>();
    let number = said.iter().find(|said| matches!(said, Said::Text(_)));
    number.or_else(|| said.iter().find(|said| **said == Said::Lost)).cloned().unwrap_or(Said::Absent)
}

fn power(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let draw = [
        "gpu_power_readings/instant_power_draw",
        "gpu_power_readings/power_draw",
        "gpu_power_readings/average_power_draw",
        "power_readings/power_draw",
    ];
    let limit =
        ["gpu_power_readings/current_power_limit", "power_readings/enforced_power_limit", "power_readings/power_limit"];
    check.number("power", &gpu.metrics.power_w, first(node, &draw), "W")?;
    check.number("power limit", &gpu.metrics.power_limit_w, first(node, &limit), "W")
}

fn ecc(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let block = "ecc_errors/volatile";
    let said: Vec<Said> = [
        "double_bit/total",
        "sram_uncorrectable",
        "sram_uncorrectable_parity",
        "sram_uncorrectable_secded",
        "dram_uncorrectable",
    ]
    .iter()
    .map(|name| value(node, &format!("{block}/{name}")))
    .collect();
    let counts: Vec<u64> = said
        .iter()
        .filter_map(|said| match said {
            Said::Text(text) => Some(text.parse().unwrap()),
            Said::Absent | Said::Lost => None,
        })
        .collect();
    if counts.is_empty() && said.contains(&Said::Lost) {
        return check.same("ecc", gpu.metrics.ecc_uncorrected.absence().cloned(), Some(Absence::GpuLost));
    }
    check.same("ecc", gpu.metrics.ecc_uncorrected.get(), (!counts.is_empty()).then(|| counts.iter().sum()))
}

fn throttle(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let block = at(node, "clocks_event_reasons").or_else(|| at(node, "clocks_throttle_reasons"));
    let reasons: Vec<(String, String)> = block
        .into_iter()
        .flat_map(|block| block.children().filter(Node::is_element))
        .map(|n| {
            let name = n.tag_name().name();
            let reason = name.split_once("_reason_").unwrap().1;
            (reason.to_owned(), n.text().unwrap_or_default().trim().to_owned())
        })
        .collect();
    let is_known = reasons.iter().any(|(_, state)| state == "Active" || state == "Not Active");
    let mut active: Vec<String> = reasons.into_iter().filter(|(_, state)| state == "Active").map(|(r, _)| r).collect();
    active.sort();
    check.same("throttle", gpu.metrics.throttle.known().cloned(), is_known.then_some(active))
}

fn migs(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let nodes: Vec<Node<'_, '_>> = at(node, "mig_devices")
        .into_iter()
        .flat_map(|list| list.children().filter(|n| n.has_tag_name("mig_device")))
        .collect();
    check.same("mig devices", gpu.mig_devices.len(), nodes.len())?;
    gpu.mig_devices.iter().zip(nodes).try_for_each(|(mig, node)| compare_mig(mig, node, check))
}

fn compare_mig(mig: &DriverMig, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    check.count("mig index", &mig.index, value(node, "index"))?;
    check.count("gi", &Reading::Known(mig.gpu_instance), value(node, "gpu_instance_id"))?;
    check.count("ci", &Reading::Known(mig.compute_instance), value(node, "compute_instance_id"))?;
    for (name, ours) in [
        ("multiprocessor_count", &mig.sm),
        ("copy_engine_count", &mig.ce),
        ("encoder_count", &mig.enc),
        ("decoder_count", &mig.dec),
        ("jpg_count", &mig.jpeg),
        ("ofa_count", &mig.ofa),
    ] {
        check.count(name, ours, value(node, &format!("device_attributes/shared/{name}")))?;
    }
    check.mib("mig total", &mig.memory.total, value(node, "fb_memory_usage/total"))?;
    check.mib("mig reserved", &mig.memory.reserved, value(node, "fb_memory_usage/reserved"))?;
    check.mib("mig used", &mig.memory.used, value(node, "fb_memory_usage/used"))?;
    check.mib("mig free", &mig.memory.free, value(node, "fb_memory_usage/free"))
}

fn processes(gpu: &DriverGpu, node: Node<'_, '_>, check: &mut Check) -> Result<(), String> {
    let list = at(node, "processes").or_else(|| at(node, "compute_processes"));
    let Some(list) = list else {
        return check.same("processes", gpu.processes.known().is_none(), true);
    };
    if list.text().unwrap_or_default().trim() == "N/A" {
        return check.same("processes", gpu.processes.absence().cloned(), Some(Absence::NotSupported));
    }
    let nodes: Vec<Node<'_, '_>> = list.children().filter(|n| n.has_tag_name("process_info")).collect();
    let ours = gpu.processes.known().cloned().unwrap_or_default();
    check.same("processes", ours.len(), nodes.len())?;
    for (process, node) in ours.iter().zip(nodes) {
        check.count("pid", &Reading::Known(process.pid), value(node, "pid"))?;
        check.text("type", &process.kind, value(node, "type"))?;
        check.text("process name", &process.name, value(node, "process_name"))?;
        check.mib("process memory", &process.memory_mib, value(node, "used_memory"))?;
    }
    Ok(())
}
