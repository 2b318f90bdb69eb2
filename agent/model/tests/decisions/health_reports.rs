//! Wordings of public reports: what the kernel log of somebody's bad night says of which device. Addresses, names and times are
//! invented; beside each stands the report that taught the form.

use model::health::HealthState::{self, Degraded, Failed, Ok};
use model::health::log_file::LogFile;

/// A report, its lines, and what the devices are at its end.
#[derive(Clone, Copy)]
struct Report {
    of: &'static str,
    lines: &'static [&'static str],
    devices: &'static [(&'static str, HealthState, &'static [&'static str])],
}

/// The lines as records of `/dev/kmsg`, a second apart.
fn health(lines: &[&str]) -> Vec<(String, HealthState, Vec<String>)> {
    let mut log = LogFile::default();
    for (second, text) in (100..).zip(lines) {
        log.take(&format!("4,{second},{second}000000,-;{text}"));
    }
    log.finish();
    log.functions().map(|(address, health)| (address.to_string(), health.state, health.reasons)).collect()
}

#[test]
fn each_report_is_understood() {
    for report in [NVIDIA, FABRIC, BUS, OTHERS].concat() {
        let expected: Vec<(String, HealthState, Vec<String>)> = report
            .devices
            .iter()
            .map(|(address, state, reasons)| {
                ((*address).to_owned(), *state, reasons.iter().map(|reason| (*reason).to_owned()).collect())
            })
            .collect();
        assert_eq!(health(report.lines), expected, "{}", report.of);
    }
}

const NVIDIA: &[Report] = &[
    Report {
        of: "NVIDIA/NVSentinel#155: it falls off while the driver probes, and the same load prints its banner",
        lines: &[
            "NVRM: The NVIDIA GPU 0000:c3:00.0\\x0aNVRM: (PCI ID: 10de:2331) installed in this system has\\x0aNVRM: fallen off the bus \
             and is not responding to commands.",
            "nvidia: probe of 0000:c3:00.0 failed with error -1",
            "NVRM: The NVIDIA probe routine failed for 1 device(s).",
            "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build",
        ],
        devices: &[("0000:c3:00.0", Failed, &["fallen_off_bus"])],
    },
    Report {
        of: "leptonai/gpud#1209: the same in three records, and others' records between them",
        lines: &[
            "NVRM: The NVIDIA GPU 0000:18:00.0",
            "NVRM: (PCI ID: 10de:2901) installed in this system has",
            "NVRM: fallen off the bus and is not responding to commands.",
            "bridge: filtering via arp/ip/ip6tables is no longer available by default.",
            "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build",
        ],
        devices: &[("0000:18:00.0", Failed, &["fallen_off_bus"])],
    },
    Report {
        of: "NVIDIA/open-gpu-kernel-modules#1230: one GPU cannot be initialised; GPU6 is no address",
        lines: &[
            "NVRM: GPU6 _kgspIsHeartbeatTimedOut: Heartbeat timed out, currentTimeMs 81 heartbeat 19 timeout 5200",
            "NVRM: GPU6 RmInitAdapter: Cannot initialize GSP firmware RM",
            "NVRM: GPU 0000:91:00.0: RmInitAdapter failed! (0x62:0x40:2168)",
            "NVRM: GPU 0000:91:00.0: rm_init_adapter failed, device minor number 3",
        ],
        devices: &[("0000:91:00.0", Failed, &["init_failed"])],
    },
    Report {
        of: "bryansteiner/gpu-passthrough-tutorial#39: it does not come back from D3cold",
        lines: &[
            "nvidia 0000:02:00.0: not ready 16383ms after resume; waiting",
            "nvidia 0000:02:00.0: not ready 65535ms after resume; giving up",
            "nvidia 0000:02:00.0: Unable to change power state from D3cold to D0, device inaccessible",
            "NVRM: GPU 0000:02:00.0: RmInitAdapter failed! (0x22:0x56:667)",
        ],
        devices: &[("0000:02:00.0", Failed, &["device_inaccessible", "device_not_ready", "init_failed"])],
    },
    Report {
        of: "NVIDIA/nvidia-docker#1553: an Xid 79 of driver 450, and the words of a kernel before 5.1",
        lines: &[
            "NVRM: GPU at PCI:0000:09:00: GPU-00000000-0000-4000-8000-000000000009",
            "NVRM: Xid (PCI:0000:09:00): 79, pid=0, GPU has fallen off the bus.",
            "NVRM: GPU 0000:09:00.0: GPU has fallen off the bus.",
            "NVRM: A GPU crash dump has been created. If possible, please run",
            "xhci_hcd 0000:09:00.2: Refused to change power state, currently in D3",
        ],
        devices: &[
            ("0000:09:00.0", Failed, &["fallen_off_bus", "xid_79"]),
            ("0000:09:00.2", Failed, &["device_inaccessible"]),
        ],
    },
    Report {
        of: "leptonai/gpud, dmesg-with-xid-119: the GSP does not answer, and a page of history follows",
        lines: &[
            "NVRM: GPU at PCI:0000:9b:00: GPU-00000000-0000-4000-8000-00000000009b",
            "NVRM: Xid (PCI:0000:9b:00): 119, pid=77, name=nvidia-smi, Timeout after 6s of waiting for RPC response from GPU4 GSP!",
            "NVRM: GPU4 GSP RPC buffer contains function 103 (GSP_RM_ALLOC) and data 0x0000000000002081 0x0000000000000004.",
            "NVRM: GPU4 RPC history (CPU -> GSP):",
        ],
        devices: &[("0000:9b:00.0", Failed, &["xid_119"])],
    },
    Report {
        of: "leptonai/gpud, kmsg_test: the driver wants something else than before",
        lines: &[
            "NVRM: Xid (PCI:0009:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x3 (Drain P2P)",
            "NVRM: Xid (PCI:0019:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)",
            "NVRM: Xid (PCI:0009:01:00): 154, GPU recovery action changed from 0x3 (Drain P2P) to 0x1 (GPU Reset Required)",
        ],
        devices: &[("0009:01:00.0", Failed, &["reset_required"]), ("0019:01:00.0", Failed, &["reset_required"])],
    },
    Report {
        of: "NVIDIA/open-gpu-kernel-modules#1353 and kubernetes-sigs/dra-driver-nvidia-gpu#1441: the newer actions",
        lines: &[
            "NVRM: Xid (PCI:0000:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x5 (PF FLR)",
            "NVRM: Xid (PCI:0000:02:00): 154, GPU recovery action changed from 0x0 (None) to 0x5 (Recover IMEX Domain)",
            "NVRM: Xid (PCI:0000:03:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
            "NVRM: Xid (PCI:0000:04:00): 154, GPU recovery action changed from 0x0 (None) to 0x3 (Drain P2P)",
        ],
        devices: &[
            ("0000:01:00.0", Failed, &["reset_required"]),
            ("0000:02:00.0", Degraded, &["imex_recovery_required"]),
            ("0000:03:00.0", Failed, &["reboot_required"]),
            ("0000:04:00.0", Degraded, &["drain_required"]),
        ],
    },
    Report {
        of: "akash-network/support#244: applications' Xids and a contained error, without a process",
        lines: &[
            "NVRM: Xid (PCI:0000:00:08): 94, pid='<unknown>', name=<unknown>, Contained: SM (0x1). RST: No, D-RST: No",
            "NVRM: Xid (PCI:0000:00:05): 43, pid=1045, name=pt_main_thread, Ch 00000008",
        ],
        devices: &[("0000:00:05.0", Ok, &[]), ("0000:00:08.0", Degraded, &["xid_94"])],
    },
    Report {
        of: "pop-os/pop#3363, NVIDIA/open-gpu-kernel-modules#842: pciehp takes a dip in power for a removal",
        lines: &[
            "pci 0000:00:01.1: PCI bridge to [bus 01]",
            "pcieport 0000:00:01.1: pciehp: Slot(0): Link Down",
            "pcieport 0000:00:01.1: pciehp: Slot(0): Card not present",
            "NVRM: Attempting to remove device 0000:01:00.0 with non-zero usage count!",
        ],
        devices: &[
            ("0000:00:01.1", Failed, &["slot_empty", "slot_link_down"]),
            ("0000:01:00.0", Failed, &["removed_in_use", "slot_empty", "slot_link_down"]),
        ],
    },
];

const FABRIC: &[Report] = &[
    Report {
        of: "leptonai/gpud#1160 #1174: the record itself says how grave it is; older ones have two blanks",
        lines: &[
            "NVRM: Xid (PCI:0000:1b:00): 144, SAW_MVB Nonfatal XC0 i0 Link 0 (0x00000001 0x00000008 0x00000000)",
            "NVRM: Xid (PCI:0000:2b:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 00 (0x026001c6 0x00000000 0x00000000)",
            "NVRM: Xid (PCI:0000:3b:00): 145, pid=7, name=a Fatal, RLW_SRC_TRACK Nonfatal XC1 i0 Link -1 (0x00000007 0x00000002)",
            "NVRM: Xid (PCI:0000:4b:00): 146, TLW_RX/TLW_RX_PIPE0 Fatal XC0 i0 Link 00 (0x0000000a 0x00000004)",
        ],
        devices: &[
            ("0000:1b:00.0", Degraded, &["xid_144"]),
            ("0000:2b:00.0", Failed, &["xid_149"]),
            ("0000:3b:00.0", Degraded, &["xid_145"]),
            ("0000:4b:00.0", Failed, &["xid_146"]),
        ],
    },
    Report {
        of: "NVIDIA/open-gpu-kernel-modules#1150: the clean-up names the Xid before it",
        lines: &[
            "NVRM: Xid (PCI:0000:dc:00): 45, pid=18, name=python3, Ch 00000001 caused by previous Xid 149",
            "NVRM: Xid (PCI:0000:ed:00): 45, pid=18, name=python3, Ch 0000000c",
        ],
        devices: &[("0000:dc:00.0", Degraded, &["xid_149"]), ("0000:ed:00.0", Ok, &[])],
    },
    Report {
        of: "NVIDIA/nccl#2241: a privilege error beside one that is not fatal",
        lines: &[
            "NVRM: Xid (PCI:0000:66:00): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 11 (0x00000006 0x00000001 0x00000000)",
            "NVRM: Xid (PCI:0000:66:00): 137, RLW_RXPIPE interrupt hit on link 11 on GPU0: PRIV Error",
        ],
        devices: &[("0000:66:00.0", Degraded, &["xid_145"])],
    },
    Report {
        of: "leptonai/gpud#338: one SXid in three records, of which the first is fatal",
        lines: &[
            "nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028, Fatal, Link 32 egress non-posted PRIV error (First)",
            "nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028, Severity 1 Engine instance 32 Sub-engine instance 00",
            "nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028, Data {0x000001c0, 0x00bd5c8a, 0x00000500, 0x00000064}",
        ],
        devices: &[("0000:84:00.0", Failed, &["sxid_12028"])],
    },
    Report {
        of: "NVIDIA/nvtrust#124: the data first, and one that is not fatal",
        lines: &[
            "nvidia-nvswitch3: SXid (PCI:0000:04:00.0): 22013, Data {0x0000002b, 0x0000002b, 0x00000000, 0x0000002b}",
            "nvidia-nvswitch3: SXid (PCI:0000:04:00.0): 22013, Non-fatal, Link 44 Minion Link DLREQ interrupt",
            "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 20034, Data {0x50610002, 0x10100030}",
        ],
        devices: &[("0000:04:00.0", Degraded, &["sxid_22013"]), ("0000:05:00.0", Ok, &[])],
    },
];

const BUS: &[Report] = &[
    Report {
        of: "rwth-i6/returnn#1500: the error is the port's, and the GPU is named by who cannot recover",
        lines: &[
            "pcieport 0000:00:03.0: AER: Multiple Uncorrected (Fatal) error received: 0000:00:03.0",
            "pcieport 0000:00:03.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Requester ID)",
            "pcieport 0000:00:03.0:   device [8086:6f08] error status/mask=00004020/00000000",
            "pcieport 0000:00:03.0:    [ 5] SDES                  ",
            "nvidia 0000:03:00.0: AER: can't recover (no error_detected callback)",
            "snd_hda_intel 0000:03:00.1: AER: can't recover (no error_detected callback)",
            "pcieport 0000:00:03.0: AER: Root Port link has been reset (0)",
            "pcieport 0000:00:03.0: AER: device recovery failed",
        ],
        devices: &[
            ("0000:00:03.0", Failed, &["pcie_fatal"]),
            ("0000:03:00.0", Failed, &["pcie_fatal"]),
            ("0000:03:00.1", Failed, &["pcie_fatal"]),
        ],
    },
    Report {
        of: "NVIDIA/open-gpu-kernel-modules#1229: a root port tells of the GPU, a switch port leads the recovery",
        lines: &[
            "pcieport 0000:00:01.2: AER: Uncorrectable (Non-Fatal) error message received from 0000:63:00.0",
            "nvidia 0000:63:00.0: AER: can't recover (no error_detected callback)",
            "pcieport 0000:62:00.0: AER: device recovery failed",
            "NVRM: Xid (PCI:0000:63:00): 31, name=plasmashell, MMU Fault: ENGINE GR_HOST0",
        ],
        devices: &[
            ("0000:00:01.2", Ok, &[]),
            ("0000:62:00.0", Ok, &[]),
            ("0000:63:00.0", Degraded, &["pcie_uncorrected"]),
        ],
    },
    Report {
        of: "hirschmann/nbfc#181 and pop-os/pop#3363: corrected errors, by id and by address",
        lines: &[
            "pcieport 0000:00:1c.5: AER: Corrected error received: id=00e5",
            "pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, id=00e5(Receiver ID)",
            "pcieport 0000:00:03.1: AER: Multiple Correctable error message received from 0000:07:00.0",
            "pcieport 0000:40:01.1: AER: Multiple Uncorrected (Non-Fatal) error received: id=4100",
        ],
        devices: &[
            ("0000:00:03.1", Ok, &[]),
            ("0000:00:1c.5", Ok, &[]),
            ("0000:07:00.0", Ok, &[]),
            ("0000:40:01.1", Ok, &[]),
            ("0000:41:00.0", Degraded, &["pcie_uncorrected"]),
        ],
    },
    Report {
        of: "ROCm/legacy-rocm-build#2927: the firmware tells of it, corrected; then of an end point, not corrected",
        lines: &[
            "{359}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 512",
            "{359}[Hardware Error]: event severity: corrected",
            "{359}[Hardware Error]:  Error 0, type: corrected",
            "{359}[Hardware Error]:   section_type: PCIe error",
            "{359}[Hardware Error]:   port_type: 4, root port",
            "{359}[Hardware Error]:   device_id: 0000:20:03.1",
            "{359}[Hardware Error]:   secondary_bus: 0x2d",
            "{359}[Hardware Error]:   vendor_id: 0x1022, device_id: 0x1483",
            "{360}[Hardware Error]: event severity: recoverable",
            "{360}[Hardware Error]:  Error 0, type: recoverable",
            "{360}[Hardware Error]:   section_type: PCIe error",
            "{360}[Hardware Error]:   port_type: 0, PCIe end point",
            "{360}[Hardware Error]:   device_id: 0000:2d:00.0",
        ],
        devices: &[("0000:20:03.1", Ok, &[]), ("0000:2d:00.0", Degraded, &["pcie_uncorrected"])],
    },
    Report {
        of: "kernel, aer.c, pci_print_aer: registers that the firmware read; only the severity says which are fatal",
        lines: &[
            "nvidia 0000:41:00.0: AER: aer_status: 0x00004000, aer_mask: 0x00000000",
            "nvidia 0000:41:00.0: AER:    [14] CmpltTO                (First)",
            "nvidia 0000:41:00.0: AER: aer_layer=Transaction Layer, aer_agent=Requester ID",
            "nvidia 0000:41:00.0: AER: aer_uncor_severity: 0x00062030",
            "pci 0000:42:00.0: aer_status: 0x00000020, aer_mask: 0x00000000",
            "pci 0000:42:00.0: aer_uncor_severity: 0x00062030",
            "nvidia 0000:43:00.0: AER: aer_status: 0x00000020, aer_mask: 0x00000020",
            "nvidia 0000:43:00.0: AER: aer_uncor_severity: 0x00062030",
            "nvidia 0000:44:00.0: AER: aer_status: 0x00000001, aer_mask: 0x00002000",
        ],
        devices: &[
            ("0000:41:00.0", Degraded, &["pcie_uncorrected"]),
            ("0000:42:00.0", Failed, &["pcie_fatal"]),
            ("0000:43:00.0", Degraded, &["pcie_uncorrected"]),
            ("0000:44:00.0", Ok, &[]),
        ],
    },
    Report {
        of: "linux-pci lists: DPC in three generations of words",
        lines: &[
            "pci 0000:20:05.0: PCI bridge to [bus 21]",
            "pcieport 0000:20:05.0: DPC: containment event, status:0x1f01 source:0x0000",
            "pcieport 0000:20:05.0: DPC: unmasked uncorrectable error detected",
            "pcieport 0000:30:03.0: DPC: containment event, status:0x0005 source:0x3400",
            "pcieport 0000:00:01.0: DPC: containment event, status:0x000d, ERR_NONFATAL received from 0000:02:00.0",
            "vfio-pci 0000:21:00.0: enabling device (0000 -> 0002)",
        ],
        devices: &[
            ("0000:00:01.0", Failed, &["dpc_contained"]),
            ("0000:02:00.0", Degraded, &["pcie_uncorrected"]),
            ("0000:20:05.0", Failed, &["dpc_contained"]),
            ("0000:21:00.0", Failed, &["dpc_contained"]),
            ("0000:30:03.0", Failed, &["dpc_contained"]),
            ("0000:34:00.0", Failed, &["pcie_fatal"]),
        ],
    },
    Report {
        of: "jakeday/linux-surface#137 and lnls-dig/bpm-gw#73: pciehp before 4.19",
        lines: &[
            "pciehp 0000:00:1c.4:pcie04: Card not present on Slot()",
            "pciehp 0000:02:05.0:pcie24: slot(6): Link Down event",
            "pciehp 0000:00:1c.4:pcie04: Card present on Slot()",
        ],
        devices: &[("0000:00:1c.4", Ok, &[]), ("0000:02:05.0", Failed, &["slot_link_down"])],
    },
    Report {
        of: "gnif/vendor-reset#81, i915ovmfPkg#23, thesofproject/sof-test#744: IOMMUs, with and without a domain",
        lines: &[
            "iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:0b:00.0 address=0x1002147e0]",
            "AMD-Vi: Completion-Wait loop timed out",
            "AMD-Vi: Event logged [IO_PAGE_FAULT device=0c:00.0 domain=0x0001 address=0x80 flags=0x0000]",
            "nvidia 0000:0d:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000f address=0xfffffffdf8000000 flags=0x0020]",
            "DMAR: [DMA Read] Request device [0e:00.0] PASID ffffffff fault addr 9c000000 [fault reason 06] PTE Read",
            "DMAR: [DMA Read NO_PASID] Request device [0x0f:0x00.0] fault addr 0x70ad5000 [fault reason 0x07] Next page",
            "DMAR: VT-d detected Invalidation Time-out Error: SID 1000",
        ],
        devices: &[
            ("0000:0b:00.0", Failed, &["iommu_timeout"]),
            ("0000:0c:00.0", Degraded, &["iommu_fault"]),
            ("0000:0d:00.0", Degraded, &["iommu_fault"]),
            ("0000:0e:00.0", Degraded, &["iommu_fault"]),
            ("0000:0f:00.0", Degraded, &["iommu_fault"]),
            ("0000:10:00.0", Failed, &["iommu_timeout"]),
        ],
    },
    Report {
        of: "system76/firmware-open#259: the words of kernels before 6.2",
        lines: &["nvidia 0000:01:00.0: can't change power state from D3cold to D0 (config space inaccessible)"],
        devices: &[("0000:01:00.0", Failed, &["device_inaccessible"])],
    },
    Report {
        of: "kernel, pci.c: a link that is slower than it could be is no fault of the log's: idle GPUs lower theirs",
        lines: &[
            "pci 0000:41:00.0: 31.504 Gb/s available PCIe bandwidth, limited by 2.5 GT/s PCIe x16 link at 0000:40:01.1 (capable of \
             252.048 Gb/s with 16.0 GT/s PCIe x16 link)",
        ],
        devices: &[("0000:40:01.1", Ok, &[]), ("0000:41:00.0", Ok, &[])],
    },
];

const OTHERS: &[Report] = &[
    Report {
        of: "ROCm/legacy-rocm-build#4021: RAS of MI300X, each record with the number of its event",
        lines: &[
            "amdgpu 0000:68:00.0: {1}uncorrectable hardware error(ERREVENT_ATHUB_INTERRUPT) detected!",
            "amdgpu 0000:9e:00.0: {1}[Hardware Error]: Accelerator Check Architecture events logged",
            "amdgpu 0000:d4:00.0: {15}Poison is created",
            "amdgpu 0000:e4:00.0: {14}poison is consumed by client 12, kick off gpu reset flow",
        ],
        devices: &[
            ("0000:68:00.0", Failed, &["ras_uncorrectable"]),
            ("0000:9e:00.0", Ok, &[]),
            ("0000:d4:00.0", Degraded, &["ras_deferred"]),
            ("0000:e4:00.0", Failed, &["ras_uncorrectable"]),
        ],
    },
    Report {
        of: "kernel, amdgpu_ras.c: counts, of which none is none",
        lines: &[
            "amdgpu 0000:0c:00.0: amdgpu: socket: 0, die: 0, 0 new uncorrectable hardware errors detected in umc block",
            "amdgpu 0000:0d:00.0: amdgpu: socket: 0, die: 0, 1 new uncorrectable hardware errors detected in umc block",
            "amdgpu 0000:0e:00.0: amdgpu: 2 deferred hardware errors detected in umc block",
            "amdgpu 0000:0f:00.0: amdgpu: 7 correctable hardware errors detected in umc block",
        ],
        devices: &[
            ("0000:0c:00.0", Ok, &[]),
            ("0000:0d:00.0", Failed, &["ras_uncorrectable"]),
            ("0000:0e:00.0", Degraded, &["ras_deferred"]),
            ("0000:0f:00.0", Ok, &[]),
        ],
    },
    Report {
        of: "ROCm/legacy-rocm-build#1886 #5724: a reset begins, and only its last word says how it ended",
        lines: &[
            "amdgpu 0000:e3:00.0: amdgpu: uncorrectable hardware error(ERREVENT_ATHUB_INTERRUPT) detected!",
            "amdgpu 0000:e3:00.0: amdgpu: GPU reset begin!",
            "amdgpu 0000:e3:00.0: amdgpu: GPU reset succeeded, trying to resume",
            "amdgpu 0000:c5:00.0: amdgpu: GPU reset begin!. Source:  3",
            "amdgpu 0000:c5:00.0: amdgpu: GPU reset succeeded, trying to resume",
            "amdgpu 0000:c5:00.0: amdgpu: GPU reset(1) succeeded!",
            "amdgpu 0000:d5:00.0: amdgpu: GPU reset begin!",
            "amdgpu 0000:d5:00.0: amdgpu: GPU reset end with ret = -62",
        ],
        devices: &[
            ("0000:c5:00.0", Degraded, &["gpu_hang"]),
            ("0000:d5:00.0", Failed, &["reset_failed", "gpu_hang"]),
            ("0000:e3:00.0", Failed, &["ras_uncorrectable", "gpu_hang"]),
        ],
    },
    Report {
        of: "ROCm/TheRock#2591: a queue that hung, soft recovered; the record has no address",
        lines: &[
            "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, but soft recovered",
            "amdgpu 0000:83:00.0: amdgpu: ring comp_1.0.0 timeout, signaled seq=57638, emitted seq=57641",
        ],
        devices: &[("0000:83:00.0", Degraded, &["gpu_hang"])],
    },
    Report {
        of: "CachyOS/linux-cachyos#892: xe gives its GPU up",
        lines: &[
            "xe 0000:00:02.0: [drm] *ERROR* Tile0: GT0: GuC engine reset request failed on 0:0 because 0x00000000",
            "xe 0000:00:02.0: [drm] Tile0: GT0: reset started",
            "xe 0000:00:02.0: [drm] *ERROR* Tile0: GT0: reset failed (-ETIMEDOUT)",
            "xe 0000:00:02.0: [drm] *ERROR* CRITICAL: Xe has declared device 0000:00:02.0 as wedged.\\x0aIOCTLs and executions are blocked.",
            "amdgpu 0000:03:00.0: [drm] device wedged, but recovered through reset",
        ],
        devices: &[("0000:00:02.0", Failed, &["reset_failed"]), ("0000:03:00.0", Degraded, &["gpu_hang"])],
    },
    Report {
        of: "shinpei0208/gdev#5 and libretro/Lakka#579: nouveau, with [drm] before it in old kernels; an application's error",
        lines: &[
            "[drm] nouveau 0000:01:00.0: GPU lockup - switching to software fbcon",
            "nouveau 0000:02:00.0: fifo: SCHED_ERROR 08 []",
            "nouveau 0000:03:00.0: unknown chipset (ffffffff)",
            "nouveau 0000:04:00.0: fifo: DMA_PUSHER - ch 4 [sddm-greeter[429]] get 0000216000 put 0000216088",
        ],
        devices: &[
            ("0000:01:00.0", Degraded, &["gpu_hang"]),
            ("0000:02:00.0", Ok, &[]),
            ("0000:03:00.0", Failed, &["init_failed"]),
            ("0000:04:00.0", Ok, &[]),
        ],
    },
    Report {
        of: "gnif/vendor-reset#29, Uhh-IDontKnow/Proxmox…#3: what vfio-pci says that is neither",
        lines: &[
            "vfio-pci 0000:10:00.0: AMD_NAVI10: reset result = 0",
            "vfio-pci 0000:10:00.0: vfio_bar_restore: reset recovery - restoring BARs",
            "vfio-pci 0000:10:00.0: not ready 1023ms after FLR; waiting",
            "vfio-pci 0000:10:00.0: ready 2047ms after FLR",
        ],
        devices: &[("0000:10:00.0", Ok, &[])],
    },
];

#[test]
fn what_the_kernel_notes_beside_a_text_names_the_device() {
    let mut log = LogFile::default();
    for line in [
        "3,1,1000000,-;[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, signaled seq=1, emitted seq=3",
        " SUBSYSTEM=pci",
        " DEVICE=+pci:0000:0c:00.0",
        "12,2,2000000,-;ring gfx_0.0.0 timeout, signaled seq=1",
        " DEVICE=+pci:0000:0d:00.0",
    ] {
        log.take(line);
    }
    log.finish();
    let told: Vec<_> = log.functions().map(|(address, health)| (address.to_string(), health.reasons)).collect();
    assert_eq!(told, [("0000:0c:00.0".to_owned(), vec!["gpu_hang".to_owned()])], "a program's record names nobody");
}

#[test]
fn a_program_cannot_name_itself_into_a_drivers_record() {
    let crash = |comm: &str, file: &str| {
        assert!(comm.len() <= 15, "{comm}: the kernel cuts it");
        format!("{comm}[4711]: segfault at 0 ip 0000 sp 0000 error 6 in {file}[400000+1000]")
    };
    let forged = [
        crash("NVRM: GPU [x", "0000:41:00.0: GPU has fallen off the bus."),
        crash("NVRM: GPU ", "x 0000:41:00.0: GPU has fallen off the bus."),
        crash("NVRM: Xid (P[a", "0000:41:00): 79, x"),
        crash("xe 0000:41[1", "xe 0000:41:00.0: GPU HANG"),
        crash("{1}[Hardware Er", "device_id: 0000:41:00.0"),
        crash("AMD-Vi: Event l", "logged [IO_PAGE_FAULT device=0000:41:00.0"),
        crash("DMAR: [x", "] Request device [41:00.0]"),
        crash("nvidia-nvlink: ", "Nvlink Core is being initialized"),
        "NVRM: Xid (PCI:0000:42:00): 45, pid=1, name=a caused by previous Xid 79, Ch 00000001".to_owned(),
        "NVRM: Xid (PCI:0000:42:00): 45, pid=1, name=Fatal XC0, Ch 00000001".to_owned(),
        "NVRM: Xid (PCI:0000:42:00): 145, pid=1, name=, Fatal, RLW Nonfatal XC0 i0 Link 11 (0x00000006)".to_owned(),
    ];
    let lines: Vec<&str> = forged.iter().map(String::as_str).collect();
    let told = health(&lines);
    assert_eq!(
        told,
        [("0000:42:00.0".to_owned(), Degraded, vec!["xid_145".to_owned()])],
        "its own word of xid 145 alone"
    );
}
