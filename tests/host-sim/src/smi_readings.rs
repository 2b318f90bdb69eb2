//! The measured parts of the document: clocks held down, utilization, errors, temperature and the power blocks, which
//! moved from branch to branch.

use crate::smi_xml::Branch;
use crate::xml_writer::Xml;
use model::Reading;
use model::driver::DriverGpu;

const REASONS: [&str; 9] = [
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "display_clocks_setting",
];

/// Why the clocks are held down: `throttle` until 525, `event` from 535 on; the text alone where there is no value.
pub(crate) fn throttle(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let word = if branch.since(535) { "event" } else { "throttle" };
    let name = format!("clocks_{word}_reasons");
    match &gpu.metrics.throttle {
        Reading::Known(active) => x.within(&name, |x| {
            for reason in REASONS {
                let state = if active.iter().any(|a| a == reason) { "Active" } else { "Not Active" };
                x.leaf(&format!("clocks_{word}_reason_{reason}"), state);
            }
        }),
        Reading::Absent(_) => x.say(&name, &gpu.metrics.throttle, |_| String::new()),
    }
    if branch.since(575) {
        let counters = ["sw_power_cap", "sync_boost", "sw_therm_slowdown", "hw_therm_slowdown", "hw_power_brake"];
        x.within("clocks_event_reasons_counters", |x| {
            counters.iter().for_each(|name| x.leaf(&format!("clocks_event_reasons_counters_{name}"), "0 us"));
        });
    }
}

/// Utilization, and the sessions of encoder and frame buffer capture.
pub(crate) fn utilization(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let pct = |value: &f64| format!("{value:.0} %");
    x.within("utilization", |x| {
        x.say("gpu_util", &gpu.metrics.utilization_pct, pct);
        x.say("memory_util", &gpu.metrics.memory_utilization_pct, pct);
        x.say("encoder_util", &gpu.metrics.encoder_pct, pct);
        x.say("decoder_util", &gpu.metrics.decoder_pct, pct);
        if branch.since(535) {
            x.na(&["jpeg_util", "ofa_util"]);
        }
    });
    for name in ["encoder_stats", "fbc_stats"] {
        let stats = ["session_count", "average_fps", "average_latency"];
        x.within(name, |x| stats.iter().for_each(|name| x.leaf(name, "0")));
    }
    if branch.since(570) {
        let modes = ["current_dram_encryption", "pending_dram_encryption"];
        x.within("dram_encryption_mode", |x| x.na(&modes));
    }
}

/// ECC: mode, counters, and the pages and rows that were taken out of use.
pub(crate) fn ecc(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let facts = &gpu.health_facts;
    let mode = |on: &bool| if *on { "Enabled" } else { "Disabled" }.to_owned();
    x.within("ecc_mode", |x| {
        x.say("current_ecc", &gpu.ecc_enabled, mode);
        x.say("pending_ecc", &gpu.ecc_enabled, mode);
    });
    x.within("ecc_errors", |x| {
        // The total is spread over SRAM and DRAM: a reader that takes one of them alone gets another number.
        let sram = |total: &u64| (total / 2).to_string();
        let none = |_: &u64| "0".to_owned();
        let errors = &gpu.metrics.ecc_uncorrected;
        for (block, now) in [("volatile", true), ("aggregate", false)] {
            x.within(block, |x| {
                x.say("sram_correctable", errors, none);
                if branch.since(550) {
                    x.say("sram_uncorrectable_parity", errors, none);
                    x.say("sram_uncorrectable_secded", errors, |total| if now { sram(total) } else { "0".to_owned() });
                } else {
                    x.say("sram_uncorrectable", errors, |total| if now { sram(total) } else { "0".to_owned() });
                }
                x.say("dram_correctable", errors, none);
                let dram = |total: &u64| if now { (total - total / 2).to_string() } else { "0".to_owned() };
                x.say("dram_uncorrectable", errors, dram);
                if branch.since(550) && !now {
                    x.say_or("sram_threshold_exceeded", &facts.sram_threshold_exceeded, yes, "No");
                }
            });
        }
        if branch.since(550) {
            let sources = ["sram_l2", "sram_sm", "sram_microcontroller", "sram_pcie", "sram_other"];
            x.within("aggregate_uncorrectable_sram_sources", |x| x.na(&sources));
        }
        if branch.since(570) {
            x.say_or("channel_repair_pending", &facts.channel_repair_pending, yes, "No");
            x.say_or("tpc_repair_pending", &facts.tpc_repair_pending, yes, "No");
        }
        if branch.since(590) {
            x.say_or("unrepairable_memory", &facts.unrepairable_memory, yes, "No");
        }
    });
    x.within("retired_pages", |x| {
        let kinds = [
            ("multiple_single_bit_retirement", &facts.pages_retired_single_bit),
            ("double_bit_retirement", &facts.pages_retired_double_bit),
        ];
        for (kind, count) in kinds {
            x.within(kind, |x| {
                x.say_or("retired_count", count, ToString::to_string, "N/A");
                x.na(&["retired_pagelist"]);
            });
        }
        for name in ["pending_blacklist", "pending_retirement"] {
            x.say_or(name, &facts.retirement_pending, yes, "N/A");
        }
    });
    remapped_rows(x, gpu);
}

/// A container that becomes a text where the GPU has no such thing, and on a lost GPU.
fn remapped_rows(x: &mut Xml, gpu: &DriverGpu) {
    let facts = &gpu.health_facts;
    if facts.row_remap_failed.known().is_none() {
        return x.say("remapped_rows", &gpu.metrics.temperature_c.clone().map(|_| ()), |()| "N/A".to_owned());
    }
    x.within("remapped_rows", |x| {
        x.say_or("remapped_row_corr", &facts.rows_remapped_correctable, ToString::to_string, "0");
        x.say_or("remapped_row_unc", &facts.rows_remapped_uncorrectable, ToString::to_string, "0");
        x.say_or("remapped_row_pending", &facts.row_remap_pending, yes, "No");
        x.say_or("remapped_row_failure", &facts.row_remap_failed, yes, "No");
    });
}

/// `Yes` or `No`.
pub(crate) fn yes(on: &bool) -> String {
    if *on { "Yes" } else { "No" }.to_owned()
}

/// Temperature; newer branches add how far it is from the limit, by which a reader by name alone is led astray.
pub(crate) fn temperature(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    x.within("temperature", |x| {
        x.say("gpu_temp", &gpu.metrics.temperature_c, |value| format!("{value:.0} C"));
        if branch.since(525) {
            x.say("gpu_temp_tlimit", &gpu.metrics.temperature_c, |value| format!("{:.0} C", 87.0 - value));
        }
        if branch.since(550) {
            x.leaf("gpu_temp_max_tlimit_threshold", "-8 C");
            x.leaf("gpu_temp_slow_tlimit_threshold", "-2 C");
            x.leaf("gpu_temp_max_gpu_tlimit_threshold", "0 C");
        } else {
            x.leaf("gpu_temp_max_threshold", "95 C");
            x.leaf("gpu_temp_slow_threshold", "92 C");
            x.leaf("gpu_temp_max_gpu_threshold", "87 C");
        }
        x.na(&["gpu_target_temperature", "memory_temp"]);
        x.na(&[if branch.since(550) { "gpu_temp_max_mem_tlimit_threshold" } else { "gpu_temp_max_mem_threshold" }]);
    });
    x.within("supported_gpu_target_temp", |x| x.na(&["gpu_target_temp_min", "gpu_target_temp_max"]));
}

/// How a branch names the power drawn.
fn draws(branch: Branch) -> &'static [&'static str] {
    let split = (branch.since(550) && !branch.since(555)) || branch.since(570);
    if split { &["average_power_draw", "instant_power_draw"] } else { &["power_draw"] }
}

/// The power blocks: one until 525, two from 535 on, three from 550 on, with the same names inside.
pub(crate) fn power(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    if branch.since(535) {
        new_power(x, gpu, branch);
    } else {
        old_power(x, gpu);
    }
    if branch.since(570) {
        x.leaf("power_smoothing", "N/A");
        let profiles = ["power_profile_requested_profiles", "power_profile_enforced_profiles"];
        x.within("power_profiles", |x| x.na(&profiles));
    }
}

fn watts(value: &f64) -> String {
    format!("{value:.2} W")
}

fn old_power(x: &mut Xml, gpu: &DriverGpu) {
    x.within("power_readings", |x| {
        x.say("power_state", &gpu.metrics.performance_state, Clone::clone);
        x.leaf("power_management", "Supported");
        x.say("power_draw", &gpu.metrics.power_w, watts);
        for name in ["power_limit", "default_power_limit", "enforced_power_limit"] {
            x.say(name, &gpu.metrics.power_limit_w, watts);
        }
        x.leaf("min_power_limit", "10.00 W");
        x.say("max_power_limit", &gpu.metrics.power_limit_w, watts);
    });
}

fn new_power(x: &mut Xml, gpu: &DriverGpu, branch: Branch) {
    let limits = ["current_power_limit", "requested_power_limit", "default_power_limit"];
    x.within("gpu_power_readings", |x| {
        x.say("power_state", &gpu.metrics.performance_state, Clone::clone);
        for name in draws(branch) {
            // The average lags behind; where a branch has both, the instant value is the one that NVML tells.
            let lag = if *name == "average_power_draw" { 1.25 } else { 0.0 };
            x.say(name, &gpu.metrics.power_w, |value| watts(&(value + lag)));
        }
        limits.iter().for_each(|name| x.say(name, &gpu.metrics.power_limit_w, watts));
        x.leaf("min_power_limit", "10.00 W");
        x.say("max_power_limit", &gpu.metrics.power_limit_w, watts);
    });
    if branch.since(550) {
        x.within("gpu_memory_power_readings", |x| {
            x.leaf("average_power_draw", "7.77 W");
            x.leaf("instant_power_draw", "N/A");
        });
    }
    x.within("module_power_readings", |x| {
        x.say("power_state", &gpu.metrics.performance_state, Clone::clone);
        x.na(draws(branch));
        x.na(&limits);
        x.na(&["min_power_limit", "max_power_limit"]);
    });
}
