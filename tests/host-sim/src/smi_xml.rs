//! The document of `nvidia-smi -q -x`, in the shape that the described driver's branch gives it (450 to 595).

use crate::smi_readings as readings;
use crate::xml_writer::Xml;
use model::driver::{DriverGpu, DriverMig, DriverReport, GpuProcess, MemoryMib, MigMode};
use model::{PciId, Reading};

/// What decides the shape of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch(pub u32);

impl Branch {
    /// The DTD that the document names.
    #[must_use]
    pub const fn dtd(self) -> &'static str {
        match self.0 {
            ..525 => "nvsmi_device_v11.dtd",
            525..580 => "nvsmi_device_v12.dtd",
            580.. => "nvsmi_device_v13.dtd",
        }
    }

    /// True from a branch on.
    #[must_use]
    pub const fn since(self, branch: u32) -> bool {
        self.0 >= branch
    }
}

/// Writes the document of a report.
#[must_use]
pub fn document(report: &DriverReport, branch: Branch) -> String {
    let mut x = Xml::default();
    x.raw("<?xml version=\"1.0\" ?>");
    x.raw(&format!("<!DOCTYPE nvidia_smi_log SYSTEM \"{}\">", branch.dtd()));
    x.within("nvidia_smi_log", |x| {
        x.leaf("timestamp", "Mon Jan  5 09:00:00 2026");
        x.say("driver_version", &report.driver_version, Clone::clone);
        x.say("cuda_version", &report.cuda_version, Clone::clone);
        x.leaf("attached_gpus", &report.gpus.len().to_string());
        for gpu in &report.gpus {
            let id = bus_id(gpu);
            x.within(&format!("gpu id=\"{id}\""), |x| write_gpu(x, gpu, branch));
        }
        x.raw("");
    });
    x.finish()
}

fn bus_id(gpu: &DriverGpu) -> String {
    let at = gpu.address;
    format!("{:08X}:{:02X}:{:02X}.{:X}", at.domain, at.bus, at.device, at.function)
}

fn write_gpu(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    write_identity(x, gpu, branch);
    write_pci(x, gpu, branch);
    x.say("fan_speed", &gpu.metrics.fan_pct, |v| format!("{v:.0} %"));
    x.say("performance_state", &gpu.metrics.performance_state, Clone::clone);
    readings::throttle(x, gpu, branch);
    if branch.since(535) {
        x.leaf("sparse_operation_mode", "Disabled");
    }
    x.within("fb_memory_usage", |x| memory(x, &gpu.memory, branch));
    x.within("bar1_memory_usage", |x| small_memory(x, 256));
    if branch.since(535) {
        x.within("cc_protected_memory_usage", |x| small_memory(x, 0));
    }
    x.leaf("compute_mode", "Default");
    readings::utilization(x, gpu, branch);
    readings::ecc(x, gpu, branch);
    readings::temperature(x, gpu, branch);
    readings::power(x, gpu, branch);
    write_clocks(x, gpu, branch);
    write_processes(x, gpu);
    x.within("accounted_processes", |_| {});
    if branch.since(580) {
        x.within("capabilities", |x| x.leaf("egm", "disabled"));
    }
}

fn write_identity(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    x.say("product_name", &gpu.name, Clone::clone);
    x.say("product_brand", &gpu.brand, Clone::clone);
    if branch.since(510) {
        x.say("product_architecture", &gpu.architecture, Clone::clone);
    }
    x.leaf("display_mode", if branch.since(570) { "Requested functionality has been deprecated" } else { "Disabled" });
    if branch.since(575) {
        x.leaf("display_attached", "No");
    }
    x.leaf("display_active", "Disabled");
    x.say("persistence_mode", &gpu.persistence, |on| on_off(*on));
    if branch.since(535) {
        x.leaf("addressing_mode", "None");
    }
    write_mig(x, gpu, branch);
    x.leaf("accounting_mode", "Disabled");
    x.leaf("accounting_mode_buffer_size", "4000");
    x.within("driver_model", |x| x.na(&["current_dm", "pending_dm"]));
    x.say("serial", &gpu.serial, Clone::clone);
    x.say("uuid", &gpu.uuid, ToString::to_string);
    if branch.since(570) {
        x.leaf("pdi", &format!("0x{:016x}", u64::from(gpu.address.bus)));
    }
    x.say("minor_number", &gpu.minor, ToString::to_string);
    x.say("vbios_version", &gpu.vbios, Clone::clone);
    write_board(x, gpu, branch);
    write_modes(x, gpu, branch);
}

fn write_board(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    x.leaf("multigpu_board", "No");
    x.leaf("board_id", &format!("0x{:x}", u32::from(gpu.address.bus) << 8));
    if branch.since(525) {
        x.leaf("board_part_number", "N/A");
    }
    x.leaf("gpu_part_number", "N/A");
    if branch.since(535) {
        x.leaf("gpu_fru_part_number", "N/A");
    }
    if branch.since(570) {
        let inside = ["chassis_serial_number", "slot_number", "tray_index", "host_id", "peer_type", "module_id"];
        x.within("platformInfo", |x| {
            x.na(&inside);
            x.na(&["gpu_fabric_guid"]);
        });
    } else {
        x.leaf("gpu_module_id", "N/A");
    }
    x.within("inforom_version", |x| x.na(&["img_version", "oem_object", "ecc_object", "pwr_object"]));
    if branch.since(535) {
        x.within("inforom_bbx_flush", |x| x.na(&["latest_timestamp", "latest_duration"]));
    }
    x.within("gpu_operation_mode", |x| x.na(&["current_gom", "pending_gom"]));
}

fn write_modes(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    if branch.since(550) {
        x.leaf("c2c_mode", "N/A");
    } else {
        x.leaf("gsp_firmware_version", "N/A");
    }
    x.within("gpu_virtualization_mode", |x| {
        x.say("virtualization_mode", &gpu.virtualization, Clone::clone);
        x.say("host_vgpu_mode", &gpu.host_vgpu_mode, Clone::clone);
        if branch.since(550) {
            x.leaf("vgpu_heterogeneous_mode", "N/A");
        }
    });
    if branch.since(535) && !branch.since(580) {
        let old = branch.since(570);
        let text = if old { "Requested functionality has been deprecated" } else { "No" };
        let facts = &gpu.health_facts;
        x.within("gpu_reset_status", |x| {
            x.say_or("reset_required", &facts.reset_required, readings::yes, text);
            let drain = if old { text } else { "N/A" };
            x.say_or("drain_and_reset_recommended", &facts.drain_and_reset_recommended, readings::yes, drain);
        });
    }
    if branch.since(570) {
        x.say("gpu_recovery_action", &gpu.health_facts.recovery_action, Clone::clone);
    }
    if branch.since(550) {
        x.leaf("gsp_firmware_version", "N/A");
    }
    x.within("ibmnpu", |x| x.na(&["relaxed_ordering_mode"]));
}

fn write_mig(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let mode = |mode: &MigMode| on_off(*mode == MigMode::Enabled);
    x.within("mig_mode", |x| {
        x.say("current_mig", &gpu.mig_current, mode);
        x.say("pending_mig", &gpu.mig_pending, mode);
    });
    // MIG that is on and has no instance looks as MIG that is off.
    if gpu.mig_devices.is_empty() {
        x.word_within("mig_devices", "None");
    } else {
        x.within("mig_devices", |x| gpu.mig_devices.iter().for_each(|mig| write_mig_device(x, mig, branch)));
    }
}

fn write_mig_device(x: &mut Xml, mig: &DriverMig, branch: Branch) {
    x.within("mig_device", |x| {
        x.say("index", &mig.index, ToString::to_string);
        x.leaf("gpu_instance_id", &mig.gpu_instance.to_string());
        x.leaf("compute_instance_id", &mig.compute_instance.to_string());
        x.within("device_attributes", |x| {
            x.within("shared", |x| {
                x.say("multiprocessor_count", &mig.sm, ToString::to_string);
                x.say("copy_engine_count", &mig.ce, ToString::to_string);
                x.say("encoder_count", &mig.enc, ToString::to_string);
                x.say("decoder_count", &mig.dec, ToString::to_string);
                x.say("ofa_count", &mig.ofa, ToString::to_string);
                x.say("jpg_count", &mig.jpeg, ToString::to_string);
            });
        });
        let errors = |x: &mut Xml| x.leaf("sram_uncorrectable", "0");
        x.within("ecc_error_count", |x| x.within("volatile_count", errors));
        x.within("fb_memory_usage", |x| memory(x, &mig.memory, branch));
        x.within("bar1_memory_usage", |x| small_memory(x, 8191));
    });
}

fn write_pci(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let at = gpu.address;
    x.within("pci", |x| {
        x.leaf("pci_bus", &format!("{:02X}", at.bus));
        x.leaf("pci_device", &format!("{:02X}", at.device));
        x.leaf("pci_domain", &format!("{:04X}", at.domain));
        if branch.since(550) {
            x.leaf("pci_base_class", "3");
            x.leaf("pci_sub_class", "2");
        }
        x.say("pci_device_id", &gpu.pci_id, glued);
        x.leaf("pci_bus_id", &bus_id(gpu));
        x.say("pci_sub_system_id", &gpu.subsystem, glued);
        x.within("pci_gpu_link_info", |x| write_link(x, gpu, branch));
        x.within("pci_bridge_chip", |x| x.na(&["bridge_chip_type", "bridge_chip_fw"]));
        x.leaf("replay_counter", "0");
        x.leaf("replay_rollover_counter", "0");
        x.leaf("tx_util", "0 KB/s");
        x.leaf("rx_util", "0 KB/s");
        if branch.since(525) {
            x.na(&["atomic_caps_inbound", "atomic_caps_outbound"]);
        }
    });
}

fn write_link(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    x.within("pcie_gen", |x| {
        x.say("max_link_gen", &gpu.metrics.pcie_max_generation, ToString::to_string);
        x.say("current_link_gen", &gpu.metrics.pcie_generation, ToString::to_string);
        if branch.since(525) {
            x.say("device_current_link_gen", &gpu.metrics.pcie_generation, ToString::to_string);
            x.say("max_device_link_gen", &gpu.metrics.pcie_max_generation, ToString::to_string);
            x.leaf("max_host_link_gen", "N/A");
        }
    });
    x.within("link_widths", |x| {
        x.say("max_link_width", &gpu.metrics.pcie_max_width, |lanes| format!("{lanes}x"));
        x.say("current_link_width", &gpu.metrics.pcie_width, |lanes| format!("{lanes}x"));
    });
}

/// Device and vendor in one number, in upper case: `233010DE`.
fn glued(id: &PciId) -> String {
    format!("{:04X}{:04X}", id.device, id.vendor)
}

fn on_off(on: bool) -> String {
    if on { "Enabled" } else { "Disabled" }.to_owned()
}

fn mib(value: &u64) -> String {
    format!("{value} MiB")
}

fn memory(x: &mut Xml, memory: &MemoryMib, branch: Branch) {
    x.say("total", &memory.total, mib);
    if branch.since(510) {
        x.say("reserved", &memory.reserved, mib);
    }
    x.say("used", &memory.used, mib);
    x.say("free", &memory.free, mib);
}

fn small_memory(x: &mut Xml, total: u64) {
    let used = total.min(1);
    x.leaf("total", &mib(&total));
    x.leaf("used", &mib(&used));
    x.leaf("free", &mib(&(total - used)));
}

/// The clocks; those of which nobody asks NVML does not have here either.
fn write_clocks(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let four = ["graphics_clock", "sm_clock", "mem_clock", "video_clock"];
    let two = ["graphics_clock", "mem_clock"];
    let mhz = |clock: &u32| format!("{clock} MHz");
    x.within("clocks", |x| {
        x.na(&["graphics_clock"]);
        x.say("sm_clock", &gpu.metrics.sm_clock_mhz, mhz);
        x.say("mem_clock", &gpu.metrics.memory_clock_mhz, mhz);
        x.na(&["video_clock"]);
    });
    x.within("applications_clocks", |x| x.na(&two));
    x.within("default_applications_clocks", |x| x.na(&two));
    if branch.since(525) {
        x.within("deferred_clocks", |x| x.na(&["mem_clock"]));
    }
    x.within("max_clocks", |x| x.na(&four));
    x.within("max_customer_boost_clocks", |x| x.na(&["graphics_clock"]));
    x.within("clock_policy", |x| x.na(&["auto_boost", "auto_boost_default"]));
    if !branch.since(580) {
        x.within("voltage", |x| x.na(&["graphics_volt"]));
    }
    if branch.since(525) {
        write_fabric(x, gpu, branch);
    }
    x.leaf("supported_clocks", "N/A");
}

fn write_fabric(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let facts = &gpu.health_facts;
    let bad = |name: &str| facts.fabric_faults.known().is_some_and(|faults| faults.iter().any(|fault| fault == name));
    x.within("fabric", |x| {
        x.say_or("state", &facts.fabric_state, Clone::clone, "N/A");
        x.say_or("status", &facts.fabric_status, Clone::clone, "N/A");
        if !branch.since(550) {
            return;
        }
        x.na(&["cliqueId", "clusterUuid"]);
        x.within("health", |x| {
            if branch.since(580) {
                x.say_or("summary", &facts.fabric_health, Clone::clone, "N/A");
            }
            let known = facts.fabric_faults.known().is_some();
            let told = |name: &str, holds: &'static str, not: &'static str| match (known, bad(name)) {
                (false, _) => "N/A",
                (true, true) => holds,
                (true, false) => not,
            };
            x.leaf("bandwidth", told("degraded_bandwidth", "Degraded", "Full"));
            if branch.since(570) {
                for name in ["route_recovery_in_progress", "route_unhealthy", "access_timeout_recovery"] {
                    x.leaf(name, told(name, "True", "False"));
                }
            }
        });
    });
}

fn write_processes(x: &mut Xml, gpu: &DriverGpu) {
    match &gpu.processes {
        Reading::Known(list) => x.within("processes", |x| list.iter().for_each(|process| write_process(x, process))),
        Reading::Absent(_) => x.say("processes", &gpu.processes, |_| String::new()),
    }
}

fn write_process(x: &mut Xml, process: &GpuProcess) {
    x.within("process_info", |x| {
        x.na(&["gpu_instance_id", "compute_instance_id"]);
        x.leaf("pid", &process.pid.to_string());
        x.say("type", &process.kind, Clone::clone);
        x.say("process_name", &process.name, Clone::clone);
        x.say("used_memory", &process.memory_mib, mib);
    });
}
