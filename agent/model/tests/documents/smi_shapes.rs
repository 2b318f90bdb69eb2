//! Documents as each driver branch shapes them, made up here: every value differs, so that a value taken from the wrong place
//! shows, and the traps of the real ones are in (a slice's memory before the card's, four power blocks, accounted processes).

use std::fmt::Write;

/// Driver branches, oldest first: one for each shape of the document.
pub(crate) const BRANCHES: [u32; 17] =
    [319, 340, 352, 375, 384, 390, 418, 440, 450, 470, 510, 525, 535, 550, 555, 580, 610];

/// A document being written.
pub(crate) struct Writer {
    branch: u32,
    text: String,
    depth: usize,
    next: u32,
}

/// A whole document of a branch with this many GPUs.
pub(crate) fn document(branch: u32, gpus: u32) -> String {
    let mut writer = Writer { branch, text: String::new(), depth: 0, next: 11 };
    let version = match branch {
        ..350 => 6,
        350..375 => 7,
        375..384 => 8,
        384..410 => 9,
        410..450 => 10,
        450..525 => 11,
        525..580 => 12,
        580.. => 13,
    };
    writeln!(writer.text, "<?xml version=\"1.0\" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM \"nvsmi_device_v{version}.dtd\">")
        .unwrap();
    writer.within("nvidia_smi_log", |w| {
        w.leaf("timestamp", "Sat Nov 21 01:02:49 2026");
        w.leaf("driver_version", &format!("{branch}.42.07"));
        if branch >= 410 {
            w.leaf("cuda_version", "12.4");
        }
        w.leaf("attached_gpus", &gpus.to_string());
        for nth in 0..gpus {
            gpu(w, nth);
        }
    });
    writer.text
}

impl Writer {
    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.text.push('\t');
        }
    }

    fn leaf(&mut self, name: &str, value: &str) {
        self.indent();
        writeln!(self.text, "<{name}>{value}</{name}>").unwrap();
    }

    fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.indent();
        writeln!(self.text, "<{name}>").unwrap();
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.indent();
        let name = name.split(' ').next().unwrap();
        writeln!(self.text, "</{name}>").unwrap();
    }

    /// The next number: no two values of a document are equal.
    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn numbers(&mut self, unit: &str, names: &[&str]) {
        for name in names {
            let value = self.fresh();
            self.leaf(name, &format!("{value}{unit}"));
        }
    }

    fn per_cents(&mut self, names: &[&str]) {
        for name in names {
            let value = self.fresh() % 101;
            self.leaf(name, &format!("{value} %"));
        }
    }

    fn watts(&mut self, names: &[&str]) {
        for name in names {
            let value = self.fresh();
            self.leaf(name, &format!("{value}.25 W"));
        }
    }

    fn memory(&mut self, block: &str) {
        let unit = if self.branch < 331 { " MB" } else { " MiB" };
        let reserved: &[&str] = if self.branch >= 510 { &["reserved"] } else { &[] };
        let names = [&["total"], reserved, &["used", "free"]].concat();
        self.within(block, |w| w.numbers(unit, &names));
    }
}

/// `0000:0D:00.0` up to 375, `00000000:0D:00.0` after.
fn bus_id(branch: u32, nth: u32) -> String {
    let domain = if branch < 384 { "0000" } else { "00000000" };
    format!("{domain}:{:02X}:00.0", 0x0d + nth)
}

fn gpu(w: &mut Writer, nth: u32) {
    let branch = w.branch;
    let id = bus_id(branch, nth);
    w.within(&format!("gpu id=\"{id}\""), |w| {
        head(w, nth);
        pci(w, &id);
        w.leaf("fan_speed", "104 %");
        w.leaf("performance_state", "P8");
        clocks_held(w);
        w.memory("fb_memory_usage");
        w.memory("bar1_memory_usage");
        if branch >= 535 {
            w.memory("cc_protected_memory_usage");
        }
        w.leaf("compute_mode", "Default");
        utilization(w);
        errors(w);
        temperature(w);
        power(w);
        clocks(w);
        processes(w);
    });
}

fn head(w: &mut Writer, nth: u32) {
    let branch = w.branch;
    w.leaf("product_name", &format!("NVIDIA H{nth} R&amp;D"));
    w.leaf("product_brand", "NVIDIA");
    if branch >= 510 {
        w.leaf("product_architecture", "Ada Lovelace");
    }
    w.leaf("display_mode", if branch >= 570 { "Requested functionality has been deprecated" } else { "Enabled" });
    w.leaf("persistence_mode", "Enabled");
    if branch >= 450 {
        w.within("mig_mode", |w| {
            w.leaf("current_mig", "Enabled");
            w.leaf("pending_mig", "Disabled");
        });
    }
    if branch >= 460 {
        w.within("mig_devices", |w| (0..2).for_each(|gi| mig_device(w, gi)));
    }
    w.within("driver_model", |w| w.leaf("current_dm", "N/A"));
    w.leaf("serial", &format!("165000000{nth:04}"));
    w.leaf("uuid", &format!("GPU-00000000-1111-2222-3333-{nth:012}"));
    // Not the order of the document: the minor numbers of a K80 are 1, 2, 3, 0.
    w.leaf("minor_number", &((nth + 1) % 4).to_string());
    w.leaf("vbios_version", "96.00.99.00.01");
    if branch >= 375 {
        w.within("gpu_virtualization_mode", |w| {
            w.leaf("virtualization_mode", "Host VGPU");
            if branch >= 440 {
                w.leaf("host_vgpu_mode", "SR-IOV");
            }
        });
    }
    if branch >= 525 {
        w.within("fabric", |w| {
            w.leaf("state", "Completed");
            w.leaf("status", "Success");
        });
    }
    if branch >= 570 {
        w.leaf("gpu_recovery_action", "None");
    }
}

fn mig_device(w: &mut Writer, gi: u32) {
    w.within("mig_device", |w| {
        w.leaf("index", &gi.to_string());
        w.leaf("gpu_instance_id", &(gi + 7).to_string());
        w.leaf("compute_instance_id", "0");
        w.within("device_attributes", |w| {
            w.within("shared", |w| {
                let names = ["multiprocessor_count", "copy_engine_count", "encoder_count", "decoder_count"];
                w.numbers("", &names);
                w.numbers("", &["ofa_count", "jpg_count"]);
            });
        });
        w.within("ecc_error_count", |w| {
            w.within("volatile_count", |w| w.numbers("", &["sram_uncorrectable"]));
        });
        w.memory("fb_memory_usage");
        w.memory("bar1_memory_usage");
    });
}

fn pci(w: &mut Writer, id: &str) {
    let branch = w.branch;
    w.within("pci", |w| {
        w.leaf("pci_bus", "0D");
        w.leaf("pci_domain", "0000");
        w.leaf("pci_device_id", "233010DE");
        w.leaf("pci_bus_id", id);
        w.leaf("pci_sub_system_id", "16C11043");
        w.within("pci_gpu_link_info", |w| {
            w.within("pcie_gen", |w| {
                w.leaf("max_link_gen", "5");
                w.leaf("current_link_gen", "1");
                if branch >= 525 {
                    w.leaf("device_current_link_gen", "2");
                    w.leaf("max_device_link_gen", "6");
                    w.leaf("max_host_link_gen", "N/A");
                }
            });
            w.within("link_widths", |w| {
                w.leaf("max_link_width", "16x");
                w.leaf("current_link_width", "8x");
            });
        });
        w.within("pci_bridge_chip", |w| w.leaf("bridge_chip_type", "N/A"));
    });
}

fn clocks_held(w: &mut Writer) {
    let word = if w.branch >= 535 { "event" } else { "throttle" };
    let reasons = [
        ("gpu_idle", "Not Active"),
        ("sw_power_cap", "Active"),
        ("hw_slowdown", "Not Active\n\t\t\t"),
        ("hw_thermal_slowdown", "Active"),
        ("hw_power_brake_slowdown", "N/A"),
    ];
    w.within(&format!("clocks_{word}_reasons"), |w| {
        for (reason, state) in reasons {
            w.leaf(&format!("clocks_{word}_reason_{reason}"), state);
        }
    });
    if w.branch >= 575 {
        w.within("clocks_event_reasons_counters", |w| {
            w.numbers(" us", &["clocks_event_reasons_counters_sw_power_cap"]);
        });
    }
}

fn utilization(w: &mut Writer) {
    let newer = w.branch >= 535;
    w.within("utilization", |w| {
        w.per_cents(&["gpu_util", "memory_util", "encoder_util", "decoder_util"]);
        if newer {
            w.per_cents(&["jpeg_util", "ofa_util"]);
        }
    });
}

fn errors(w: &mut Writer) {
    w.within("ecc_mode", |w| {
        w.leaf("current_ecc", "Enabled");
        w.leaf("pending_ecc", "Disabled");
    });
    let branch = w.branch;
    w.within("ecc_errors", |w| {
        for block in ["volatile", "aggregate"] {
            w.within(block, |w| match branch {
                ..440 => {
                    w.within("single_bit", |w| w.numbers("", &["device_memory", "total"]));
                    w.within("double_bit", |w| w.numbers("", &["device_memory", "total"]));
                }
                440..535 => {
                    w.numbers("", &["sram_correctable", "sram_uncorrectable", "dram_correctable", "dram_uncorrectable"])
                }
                535.. => {
                    w.numbers("", &["sram_correctable", "sram_uncorrectable_parity", "sram_uncorrectable_secded"]);
                    w.numbers("", &["dram_correctable", "dram_uncorrectable"]);
                }
            });
        }
    });
    w.within("retired_pages", |w| w.leaf("pending_retirement", "No"));
}

fn temperature(w: &mut Writer) {
    let newer = w.branch >= 525;
    w.within("temperature", |w| {
        w.numbers(" C", &["gpu_temp"]);
        if newer {
            w.numbers(" C", &["gpu_temp_tlimit"]);
            w.leaf("gpu_temp_max_tlimit_threshold", "-5 C");
        } else {
            w.numbers(" C", &["gpu_temp_max_threshold", "gpu_temp_slow_threshold"]);
        }
        w.numbers(" C", &["memory_temp"]);
    });
}

fn power(w: &mut Writer) {
    let limits = ["current_power_limit", "requested_power_limit", "default_power_limit", "max_power_limit"];
    let draws: &[&str] = if matches!(w.branch, 550..555 | 560..) {
        &["average_power_draw", "instant_power_draw"]
    } else {
        &["power_draw"]
    };
    if w.branch < 535 {
        w.within("power_readings", |w| {
            w.leaf("power_state", "P8");
            w.watts(&["power_draw", "power_limit", "default_power_limit", "enforced_power_limit", "min_power_limit"]);
        });
        return;
    }
    let newest = w.branch >= 550;
    w.within("gpu_power_readings", |w| {
        w.leaf("power_state", "P8");
        w.watts(draws);
        w.watts(&limits);
    });
    if newest {
        w.within("gpu_memory_power_readings", |w| w.watts(draws));
    }
    w.within("module_power_readings", |w| {
        w.watts(draws);
        w.watts(&limits);
    });
}

fn clocks(w: &mut Writer) {
    w.within("clocks", |w| w.numbers(" MHz", &["graphics_clock", "sm_clock", "mem_clock"]));
    w.within("supported_clocks", |w| {
        w.within("supported_mem_clock", |w| {
            w.numbers(" MHz", &["value", "supported_graphics_clock", "supported_graphics_clock"]);
        });
    });
}

fn processes(w: &mut Writer) {
    let (list, newer, unit) = if w.branch < 352 {
        ("compute_processes", false, if w.branch < 331 { " MB" } else { " MiB" })
    } else {
        ("processes", true, " MiB")
    };
    w.within(list, |w| {
        for kind in ["C", "G", "C+G"] {
            w.within("process_info", |w| {
                w.numbers("", &["pid"]);
                if newer {
                    w.leaf("type", kind);
                }
                w.leaf("process_name", "/usr/bin/python3 train.py --lr &lt;auto&gt; --tag \"a b\"");
                w.numbers(unit, &["used_memory"]);
            });
        }
    });
    w.within("accounted_processes", |w| {
        w.within("accounted_process_info", |w| {
            w.numbers("", &["pid"]);
            w.per_cents(&["gpu_util", "memory_util"]);
            w.numbers(" MiB", &["max_memory_usage"]);
        });
    });
}
