//! What of a host may be read for a snapshot: names of files whose reading changes nothing and wakes nothing.
//!
//! A name that is not here is not read. Left out on purpose: `rom` (writes a latch of the card), `resource*` (the registers
//! themselves), `config` (wakes a sleeping card), `remove`, `rescan`, `reset`, `bind` and their like (they act), serial
//! numbers of the machine, and what asks a vendor's driver to do work (`mdev_supported_types`, `creatable_vgpu_types`).

/// Attributes of every PCI function: what it is.
pub const FUNCTION: [&str; 6] = ["vendor", "device", "class", "subsystem_vendor", "subsystem_device", "revision"];

/// More attributes of GPUs, of bridges, and of whatever shares an IOMMU group with a GPU. The kernel answers each from
/// memory, but for the link's speed and width, which it reads from the configuration space without waking the card.
pub const FUNCTION_MORE: [&str; 25] = [
    "aer_dev_correctable",
    "aer_dev_fatal",
    "aer_dev_nonfatal",
    "ari_enabled",
    "boot_display",
    "boot_vga",
    "broken_parity_status",
    "current_link_speed",
    "current_link_width",
    "d3cold_allowed",
    "dma_mask_bits",
    "driver_override",
    "enable",
    "irq",
    "local_cpulist",
    "max_link_speed",
    "max_link_width",
    "modalias",
    "msi_bus",
    "numa_node",
    "power_state",
    "reset_method",
    "sriov_numvfs",
    "sriov_totalvfs",
    "uevent",
];

/// Files below `power/` of the same functions.
pub const POWER: [&str; 3] = ["control", "runtime_enabled", "runtime_status"];

/// Links of every function that are kept as links; `virtfn0`, `virtfn1`, … too.
pub const LINKS: [&str; 3] = ["driver", "iommu_group", "physfn"];

/// True for the link of a physical function to one of its virtual functions.
#[must_use]
pub fn is_virtual_function(name: &str) -> bool {
    let digits = name.strip_prefix("virtfn");
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// True for the folder of a DRM node that belongs to a function.
#[must_use]
pub fn is_drm_node(name: &str) -> bool {
    let digits = ["card", "renderD"].into_iter().find_map(|prefix| name.strip_prefix(prefix));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Attributes of an IOMMU group.
pub const GROUP: [&str; 2] = ["type", "reserved_regions"];

/// Files of the firmware's tables (`class/dmi/id`): no serial numbers, no asset tags, no UUID.
pub const DMI: [&str; 5] = ["sys_vendor", "product_name", "board_name", "bios_version", "bios_date"];

/// Modules that have to do with GPUs, of which [`MODULE`] is read.
pub const MODULES: [&str; 22] = [
    "amdgpu",
    "ast",
    "i915",
    "iommufd",
    "kvm",
    "mdev",
    "nouveau",
    "nova_core",
    "nvgrace_gpu_vfio_pci",
    "nvidia",
    "nvidia_drm",
    "nvidia_fs",
    "nvidia_modeset",
    "nvidia_peermem",
    "nvidia_uvm",
    "nvidia_vgpu_vfio",
    "radeon",
    "simpledrm",
    "vfio",
    "vfio_iommu_type1",
    "vfio_pci",
    "xe",
];

/// Files of a module.
pub const MODULE: [&str; 6] = ["version", "srcversion", "refcnt", "initstate", "taint", "coresize"];

/// Parameters of modules, each named: a parameter can hold anything.
pub const PARAMETERS: [(&str, &str); 9] = [
    ("kvm", "ignore_msrs"),
    ("nvidia_drm", "fbdev"),
    ("nvidia_drm", "modeset"),
    ("vfio", "enable_unsafe_noiommu_mode"),
    ("vfio_iommu_type1", "allow_unsafe_interrupts"),
    ("vfio_pci", "disable_idle_d3"),
    ("vfio_pci", "disable_vga"),
    ("vfio_pci", "enable_sriov"),
    ("vfio_pci", "ids"),
];

/// Other files of `/sys`. The variable of Secure Boot is four bytes of attributes and one that is 0 or 1.
pub const SYS: [&str; 3] = [
    "devices/virtual/tty/console/active",
    "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "kernel/security/lockdown",
];

/// Files of `/proc`. Not `mounts` (passwords of network file systems) and nothing of a process.
pub const PROC: [&str; 12] = [
    "cmdline",
    "driver/nvidia/params",
    "driver/nvidia/version",
    "meminfo",
    "modules",
    "sys/kernel/osrelease",
    "sys/kernel/random/boot_id",
    "sys/kernel/tainted",
    "sys/kernel/yama/ptrace_scope",
    "sys/vm/overcommit_memory",
    "uptime",
    "version",
];

/// Places of `os-release`; the first that can be read is taken.
pub const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Folders whose `*.conf` say how modules are loaded.
pub const MODPROBE: [&str; 2] = ["etc/modprobe.d", "etc/modules-load.d"];
