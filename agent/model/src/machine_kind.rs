//! What kind of machine the host is, as far as advice about its firmware depends on it.

use crate::host_facts::HostFacts;
use serde::{Deserialize, Serialize};

/// Who has the firmware in his hands, and what can be advised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// A PC or server with a CPU of Intel or AMD; also what nothing is known of.
    #[default]
    X86,
    /// A machine with an ARM CPU.
    Arm,
    /// A virtual machine: its hypervisor decides what it has.
    Guest,
}

/// What hypervisors and clouds write as vendor or product (DMI), as systemd-detect-virt knows them.
const HYPERVISORS: [&str; 18] = [
    "KVM",
    "QEMU",
    "OpenStack",
    "KubeVirt",
    "Amazon EC2",
    "VMware",
    "innotek GmbH",
    "VirtualBox",
    "Xen",
    "HVM domU",
    "Bochs",
    "Parallels",
    "BHYVE",
    "Hyper-V",
    "Google Compute Engine",
    "Alibaba Cloud ECS",
    "DigitalOcean",
    "Hetzner",
];

impl Machine {
    /// The machine of these facts.
    #[must_use]
    pub fn of(host: &HostFacts) -> Self {
        let dmi = |name: &str| host.dmi.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let (vendor, product) = (dmi("sys_vendor"), dmi("product_name"));
        // Clouds rent whole machines too: `p4d.metal`, `metal-48xl`.
        let is_metal = product.contains("metal");
        let named = HYPERVISORS.iter().any(|name| vendor.starts_with(name) || product.starts_with(name));
        let of_microsoft = vendor == "Microsoft Corporation" && product == "Virtual Machine";
        match host.arch.as_str() {
            _ if (named || of_microsoft) && !is_metal => Self::Guest,
            "aarch64" | "arm" => Self::Arm,
            _ => Self::X86,
        }
    }

    /// How an IOMMU is switched on here.
    #[must_use]
    pub const fn iommu_advice(self) -> &'static str {
        match self {
            Self::X86 => {
                "enable VT-d or AMD-Vi in the firmware, and on Intel add intel_iommu=on to the kernel command line, then reboot"
            }
            Self::Arm => {
                "the firmware has to describe the SMMU (ACPI table IORT): check the firmware's setup and `dmesg | grep -i smmu`"
            }
            Self::Guest => {
                "this host is a virtual machine itself: only its hypervisor can give it an IOMMU (vIOMMU), which clouds do \
                 not offer; use a bare-metal host to give GPUs to virtual machines"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arch: &str, vendor: &str, product: &str) -> Machine {
        let dmi = vec![("sys_vendor".to_owned(), vendor.to_owned()), ("product_name".to_owned(), product.to_owned())];
        Machine::of(&HostFacts { arch: arch.to_owned(), dmi, ..HostFacts::default() })
    }

    #[test]
    fn guests_are_known_by_their_vendor_or_product_and_whole_machines_of_a_cloud_are_none() {
        for (vendor, product) in [
            ("QEMU", "Standard PC (Q35 + ICH9, 2009)"),
            ("Amazon EC2", "g4dn.xlarge"),
            ("Google", "Google Compute Engine"),
            ("Microsoft Corporation", "Virtual Machine"),
            ("VMware, Inc.", "VMware Virtual Platform"),
            ("Xen", "HVM domU"),
            ("Red Hat", "KVM"),
        ] {
            assert_eq!(of("x86_64", vendor, product), Machine::Guest, "{vendor} {product}");
        }
        assert_eq!(of("aarch64", "Amazon EC2", "g5g.xlarge"), Machine::Guest);
        assert_eq!(of("x86_64", "Amazon EC2", "p4d.metal"), Machine::X86);
        assert_eq!(of("x86_64", "Microsoft Corporation", "Surface Laptop 4"), Machine::X86);
        assert_eq!(of("x86_64", "NVIDIA", "DGXA100 920-23687-2530-000"), Machine::X86);
        assert_eq!(of("aarch64", "NVIDIA", "Grace Hopper x4 P4496"), Machine::Arm);
        assert_eq!(Machine::of(&HostFacts::default()), Machine::X86);
    }

    #[test]
    fn only_a_pc_is_sent_to_its_firmware_for_vt_d() {
        assert!(Machine::X86.iommu_advice().contains("VT-d"));
        for other in [Machine::Arm, Machine::Guest] {
            assert!(
                !other.iommu_advice().contains("VT-d") && !other.iommu_advice().contains("intel_iommu"),
                "{other:?}"
            );
        }
    }
}
