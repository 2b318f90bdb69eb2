//! The rows of the table: each metric of a GPU with its unit, its names and its sources. A new metric is a new row here.
//!
//! `Name code: type` is a metric that a source measures into the field `code` of [`Metrics`](super::Metrics); `in path` one
//! that the driver's facts hold at another place, and `kernel field` one that the kernel's own PCI link knows better.

/// Hands all rows to a macro.
macro_rules! metric_table {
    ($with:ident) => {
        $with! {
            /// GPU temperature.
            TemperatureC temperature_c: f64, MetricRow::measured(U::Celsius)
                .dbus("TemperatureCelsius").api("temp_c").dcgm("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C).")
                .nvml("nvmlDeviceGetTemperature").smi("temperature", "gpu_temp").sysfs("hwmon temp1_input, else temp2_input");
            /// Clock of the streaming multiprocessors.
            SmClockMhz sm_clock_mhz: u32, MetricRow::measured(U::Megahertz)
                .dbus("SmClockMhz").no_api(NO_FIELD).dcgm("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz).")
                .nvml("nvmlDeviceGetClockInfo(SM)").smi("clocks", "sm_clock").no_sysfs("other vendors' GPUs have `graphics_clock_mhz`");
            /// Clock of the memory.
            MemoryClockMhz memory_clock_mhz: u32, MetricRow::measured(U::Megahertz)
                .dbus("MemoryClockMhz").no_api(NO_FIELD).dcgm("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz).")
                .nvml("nvmlDeviceGetClockInfo(MEM)").smi("clocks", "mem_clock").no_sysfs("of the drivers only amdgpu has it, and it is not read");
            /// Clock of the graphics engine of other vendors' GPUs.
            GraphicsClockMhz graphics_clock_mhz: f64, MetricRow::measured(U::Megahertz)
                .dbus("GraphicsClockMhz").no_api(NO_FIELD)
                .own("gpuhostd_gpu_graphics_clock_mhz", "Clock of the graphics engine (in MHz).")
                .no_nvml(SM_CLOCK_INSTEAD).no_smi(SM_CLOCK_INSTEAD)
                .sysfs("hwmon freq1_input; xe: tile0/gt0/freq0/act_freq; i915: gt_act_freq_mhz");
            /// Power drawn by the GPU: the value of the moment where the driver has one, else the average.
            PowerW power_w: f64, MetricRow::measured(U::Watts)
                .dbus("PowerWatts").api("power_w").dcgm("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).")
                .nvml("NVML_FI_DEV_POWER_INSTANT, else nvmlDeviceGetPowerUsage")
                .smi_by_hand("gpu_power_readings or power_readings, instant_power_draw before power_draw before average_power_draw")
                .sysfs("hwmon power1_average, else power1_input");
            /// Power limit in force.
            PowerLimitW power_limit_w: f64, MetricRow::lasting(U::Watts)
                .dbus("PowerLimitWatts").api("power_limit_w").dcgm("DCGM_FI_DEV_POWER_MGMT_LIMIT", "Power limit in force (in W).")
                .nvml("nvmlDeviceGetEnforcedPowerLimit")
                .smi_by_hand("gpu_power_readings or power_readings, current_power_limit before enforced_power_limit before power_limit")
                .sysfs("hwmon power1_cap, else power1_max");
            /// Share of the time in which the GPU was busy.
            UtilizationPct utilization_pct: f64, MetricRow::measured(U::Percent)
                .dbus("UtilizationPercent").api("util_pct").dcgm("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).")
                .nvml("nvmlDeviceGetUtilizationRates").smi("utilization", "gpu_util").sysfs("gpu_busy_percent");
            /// Share of the time in which the memory was read or written.
            MemoryUtilizationPct memory_utilization_pct: f64, MetricRow::measured(U::Percent)
                .dbus("MemoryUtilizationPercent").api("mem_util_pct").dcgm("DCGM_FI_DEV_MEM_COPY_UTIL", "Memory utilization (in %).")
                .nvml("nvmlDeviceGetUtilizationRates").smi("utilization", "memory_util").sysfs("mem_busy_percent");
            /// Utilization of the video encoder.
            EncoderPct encoder_pct: f64, MetricRow::measured(U::Percent)
                .dbus("EncoderPercent").api("enc_pct").dcgm("DCGM_FI_DEV_ENC_UTIL", "Encoder utilization (in %).")
                .nvml("nvmlDeviceGetEncoderUtilization").smi("utilization", "encoder_util").no_sysfs(NOT_SHOWN);
            /// Utilization of the video decoder.
            DecoderPct decoder_pct: f64, MetricRow::measured(U::Percent)
                .dbus("DecoderPercent").api("dec_pct").dcgm("DCGM_FI_DEV_DEC_UTIL", "Decoder utilization (in %).")
                .nvml("nvmlDeviceGetDecoderUtilization").smi("utilization", "decoder_util").no_sysfs(NOT_SHOWN);
            /// Fan speed in percent of the nominal speed, which a fan may exceed.
            FanPct fan_pct: f64, MetricRow::measured(U::PercentOfNominal)
                .dbus("FanPercent").api("fan_pct").dcgm("DCGM_FI_DEV_FAN_SPEED", "Fan speed (in %).")
                .nvml("nvmlDeviceGetFanSpeed_v2, first fan").smi("", "fan_speed").sysfs("hwmon pwm1 of pwm1_max");
            /// Performance state, `P0` (fastest) to `P15`; on OpenMetrics its number.
            PerformanceState performance_state: String, MetricRow::measured(U::Text)
                .dbus("PerformanceState").api("pstate").dcgm("DCGM_FI_DEV_PSTATE", "Performance state, 0 (fastest) to 15.")
                .nvml("nvmlDeviceGetPerformanceState").smi("", "performance_state").no_sysfs(NO_SUCH_THING);
            /// Frame buffer memory.
            MemoryTotalMib memory_total_mib in memory.total, MetricRow::lasting(U::Mebibytes)
                .no_dbus("it is the property `MemoryTotalMib`").api("mem_total_mib")
                .dcgm("DCGM_FI_DEV_FB_TOTAL", "Frame buffer memory (in MiB).")
                .nvml(MEMORY_INFO).smi_by_hand("fb_memory_usage/total").sysfs("mem_info_vram_total");
            /// Frame buffer memory in use.
            MemoryUsedMib memory_used_mib in memory.used, MetricRow::measured(U::Mebibytes)
                .dbus("MemoryUsedMib").api("mem_used_mib").dcgm("DCGM_FI_DEV_FB_USED", "Frame buffer memory used (in MiB).")
                .nvml(MEMORY_INFO).smi_by_hand("fb_memory_usage/used").sysfs("mem_info_vram_used");
            /// Frame buffer memory that is free.
            MemoryFreeMib memory_free_mib in memory.free, MetricRow::measured(U::Mebibytes)
                .dbus("MemoryFreeMib").api("mem_free_mib").dcgm("DCGM_FI_DEV_FB_FREE", "Frame buffer memory free (in MiB).")
                .nvml(MEMORY_INFO).smi_by_hand("fb_memory_usage/free").sysfs("mem_info_vram_total less mem_info_vram_used");
            /// Frame buffer memory that the driver keeps for itself.
            MemoryReservedMib memory_reserved_mib in memory.reserved, MetricRow::lasting(U::Mebibytes)
                .no_dbus("the driver's own share: of interest beside DCGM's other values only").no_api(NO_FIELD)
                .dcgm("DCGM_FI_DEV_FB_RESERVED", "Frame buffer memory reserved by the driver (in MiB).")
                .nvml(MEMORY_INFO).smi_by_hand("fb_memory_usage/reserved (510 and newer)").no_sysfs(NOT_SHOWN);
            /// ECC is on.
            EccEnabled ecc_enabled in ecc_enabled, MetricRow::lasting(U::Flag)
                .no_dbus("it is the property `EccEnabled`").no_api(NO_FIELD).dcgm("DCGM_FI_DEV_ECC_CURRENT", "ECC is on.")
                .nvml("nvmlDeviceGetEccMode").smi_by_hand("ecc_mode/current_ecc").no_sysfs(NOT_SHOWN);
            /// Uncorrected ECC errors since the driver was loaded.
            EccUncorrected ecc_uncorrected: u64, MetricRow::measured(U::Count)
                .dbus("EccUncorrected").api("ecc_uncorr")
                .dcgm("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Uncorrected ECC errors since the driver was loaded.")
                .nvml("nvmlDeviceGetTotalEccErrors").smi_by_hand("ecc_errors/volatile: SRAM and DRAM together").no_sysfs(NOT_SHOWN);
            /// Memory rows remapped for correctable errors.
            RowsRemappedCorrectable rows_remapped_correctable in health_facts.rows_remapped_correctable, MetricRow::health(U::Count)
                .dcgm("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Memory rows remapped for correctable errors.");
            /// Memory rows remapped for uncorrectable errors.
            RowsRemappedUncorrectable rows_remapped_uncorrectable in health_facts.rows_remapped_uncorrectable, MetricRow::health(U::Count)
                .dcgm("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Memory rows remapped for uncorrectable errors.");
            /// A memory row is remapped at the next reset.
            RowRemapPending row_remap_pending in health_facts.row_remap_pending, MetricRow::health(U::Flag)
                .dcgm("DCGM_FI_DEV_ROW_REMAP_PENDING", "A memory row is to be remapped at the next reset.");
            /// A memory row could not be remapped.
            RowRemapFailed row_remap_failed in health_facts.row_remap_failed, MetricRow::health(U::Flag)
                .dcgm("DCGM_FI_DEV_ROW_REMAP_FAILURE", "A memory row could not be remapped.");
            /// Memory pages retired for repeated single-bit errors.
            PagesRetiredSingleBit pages_retired_single_bit in health_facts.pages_retired_single_bit, MetricRow::health(U::Count)
                .dcgm("DCGM_FI_DEV_RETIRED_SBE", "Memory pages retired for repeated single-bit errors.");
            /// Memory pages retired for an uncorrectable error.
            PagesRetiredDoubleBit pages_retired_double_bit in health_facts.pages_retired_double_bit, MetricRow::health(U::Count)
                .dcgm("DCGM_FI_DEV_RETIRED_DBE", "Memory pages retired for an uncorrectable error.");
            /// A memory page is retired at the next reset.
            RetirementPending retirement_pending in health_facts.retirement_pending, MetricRow::health(U::Flag)
                .dcgm("DCGM_FI_DEV_RETIRED_PENDING", "A memory page is to be retired at the next reset.");
            /// MIG mode is on.
            MigEnabled mig_enabled in mig_current, MetricRow::lasting(U::Flag)
                .no_dbus("it is the property `MigMode`").no_api("it is in the inventory, as `mig.current`")
                .dcgm("DCGM_FI_DEV_MIG_MODE", "MIG mode is on.")
                .nvml("nvmlDeviceGetMigMode").smi_by_hand("mig_mode/current_mig").no_sysfs(NO_SUCH_THING);
            /// PCIe generation of the link now; an idle GPU lowers it.
            PcieGeneration pcie_generation kernel generation: u32, MetricRow::measured(U::Generation)
                .dbus("PcieGeneration").no_api("it is in the inventory, as `pcie.gen`")
                .dcgm("DCGM_FI_DEV_PCIE_LINK_GEN", "PCIe generation of the link now.")
                .nvml("nvmlDeviceGetCurrPcieLinkGeneration").smi("pci/pci_gpu_link_info/pcie_gen", "current_link_gen")
                .no_sysfs("the PCI scan reads current_link_speed of every GPU, and its value comes first");
            /// PCIe lanes of the link now.
            PcieWidth pcie_width kernel width: u32, MetricRow::measured(U::Lanes)
                .dbus("PcieWidth").no_api("it is in the inventory, as `pcie.width`")
                .dcgm("DCGM_FI_DEV_PCIE_LINK_WIDTH", "PCIe lanes of the link now.")
                .nvml("nvmlDeviceGetCurrPcieLinkWidth").smi("pci/pci_gpu_link_info/link_widths", "current_link_width")
                .no_sysfs("the PCI scan reads current_link_width of every GPU, and its value comes first");
            /// Highest PCIe generation of the GPU.
            PcieMaxGeneration pcie_max_generation kernel max_generation: u32, MetricRow::lasting(U::Generation)
                .no_dbus("it is the property `PcieMaxGeneration`").no_api("it is in the inventory, as `pcie.max_gen`")
                .dcgm("DCGM_FI_DEV_PCIE_MAX_LINK_GEN", "Highest PCIe generation of the GPU.")
                .nvml("nvmlDeviceGetMaxPcieLinkGeneration").smi("pci/pci_gpu_link_info/pcie_gen", "max_link_gen")
                .no_sysfs("the PCI scan reads max_link_speed of every GPU, and its value comes first");
            /// Highest number of PCIe lanes of the GPU.
            PcieMaxWidth pcie_max_width kernel max_width: u32, MetricRow::lasting(U::Lanes)
                .no_dbus("it is the property `PcieMaxWidth`").no_api("it is in the inventory, as `pcie.max_width`")
                .dcgm("DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH", "Highest number of PCIe lanes of the GPU.")
                .nvml("nvmlDeviceGetMaxPcieLinkWidth").smi("pci/pci_gpu_link_info/link_widths", "max_link_width")
                .no_sysfs("the PCI scan reads max_link_width of every GPU, and its value comes first");
            /// Active reasons why clocks are held down.
            Throttle throttle: Vec<String>, MetricRow::measured(U::List)
                .dbus("Throttle").api("throttle").no_open("a list of words is no number")
                .nvml("nvmlDeviceGetCurrentClocksEventReasons")
                .smi_by_hand("clocks_event_reasons or clocks_throttle_reasons, each that is Active").no_sysfs(NO_SUCH_THING);
        }
    };
}
pub(super) use metric_table;

/// An expression that is there, or is not.
macro_rules! maybe {
    () => {
        None
    };
    ($there:expr) => {
        Some($there)
    };
}
pub(super) use maybe;

/// Why a metric has no field in the heartbeat. The contract belongs to both sides: one alone adds nothing to it.
pub(super) const NO_FIELD: &str =
    "the contract's `GpuMetrics` has no field for it, and a manager ignores a field that it does not know";
/// Why the drivers of other vendors are not asked.
pub(super) const NOT_SHOWN: &str = "no driver shows it in sysfs at one place for all of its GPUs";
/// Why the drivers of other vendors cannot be asked.
pub(super) const NO_SUCH_THING: &str = "only NVIDIA's driver has it";
/// Why NVIDIA's driver is not asked for its graphics clock.
pub(super) const SM_CLOCK_INSTEAD: &str = "NVIDIA's GPUs report the clock of their multiprocessors (`sm_clock_mhz`)";
/// The call for all four values of the memory.
pub(super) const MEMORY_INFO: &str = "nvmlDeviceGetMemoryInfo_v2";
