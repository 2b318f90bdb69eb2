//! Lines of the kernel log: whatever they are, what is kept of them stays small and is the same a second time, and what one record
//! ended the next one like it does not end again.

use crate::bounds::Bounds;
use crate::{Target, pieces};
use model::health::kernel_log::KernelLog;
use model::health::line::record;
use model::health::log_event::LogEvent;
use model::health::log_file::LogFile;
use model::health::over::Evidence;
use model::health::record::event_of;
use model::time::BootMillis;

/// The target.
pub const TARGET: Target = Target {
    name: "kernel_log",
    what: "records of /dev/kmsg, and lines of dmesg and journalctl",
    run,
    seeds,
    words: &[
        "3,1,1000000,-;",
        "\n DEVICE=+pci:0000:41:00.0",
        "[  100.123456] ",
        "<3>[  100.123456] [     T1] ",
        "kern  :err   : ",
        "Jun 12 16:30:32 node7 kernel: ",
        "2026-09-11T16:24:18,028841+02:00 ",
        "NVRM: Xid (PCI:0000:41:00): ",
        "NVRM: GPU 0000:41:00.0: GPU has fallen off the bus.",
        "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x62:0x40:2168)",
        "NVRM: The NVIDIA GPU 0000:41:00.0",
        "NVRM: fallen off the bus and is not responding to commands.",
        "NVRM: Attempting to remove device 0000:41:00.0 with non-zero usage count!",
        "NVRM: loading NVIDIA",
        "nvidia-nvlink: Nvlink Core is being initialized",
        " caused by previous Xid 149",
        "149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x0",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): ",
        "nvidia-nvswitch: Probing device 0000:c1:00.0, ",
        "pcieport 0000:40:01.0: AER: Uncorrected (Fatal) error received: ",
        "AER: device recovery successful",
        "AER: can't recover (no error_detected callback)",
        "AER: aer_status: 0x00004000, aer_mask: 0x00000000",
        "AER: aer_uncor_severity: 0x00062030",
        "PCIe Bus Error: severity=Uncorrected (Fatal)",
        "DPC: containment event, status:0x1f05 source:0x4100",
        "pciehp: Slot(3): Link Down",
        "PCI bridge to [bus 41-43]",
        "{7}[Hardware Error]:   section_type: PCIe error",
        "{7}[Hardware Error]:   device_id: 0000:41:00.0",
        "Unable to change power state from D3cold to D0, device inaccessible",
        "not ready 65535ms after FLR; giving up",
        "vfio-pci 0000:41:00.0: reset done",
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=41:00.0 ",
        "DMAR: [DMA Read NO_PASID] Request device [41:00.0] ",
        "amdgpu 0000:41:00.0: ",
        "[drm] Initialized amdgpu 3.57.0 for 0000:41:00.0 on minor 0",
        "[4711]: segfault at 0",
        "154, GPU recovery action changed from 0x0 (None) to 0x2 (",
        "\\x5c",
        "):",
    ],
    bounds: Bounds::USUAL,
};

fn run(input: &[u8]) {
    let mut log = KernelLog::default();
    log.hear();
    let mut file = LogFile::default();
    for line in pieces::lines(input, usize::MAX) {
        let Some(record) = record(&line) else {
            assert!(!log.take(&line), "news from what is no record: {line}");
            file.take(&line);
            continue;
        };
        let took = log.hear_record(&record);
        let told = event_of(&record);
        assert!(!took.news || told.is_some(), "news from a line that says nothing: {line}");
        if let Some(LogEvent::Fault(address, _)) = told {
            assert!(!log.take(&line), "what is known is no news: {line}");
            let all = log.against(address, BootMillis(u64::MAX)).count();
            assert!(all <= 512, "{all} findings of one card");
        }
        // A second start of a driver is another one: it may end what the first found.
        let started = matches!(took.ended, Some(Evidence::DriverLoaded | Evidence::DriverStarted));
        if took.ended.is_some() && !started {
            assert!(log.hear_record(&record).ended.is_none(), "it was ended already: {line}");
        }
        let explained = file.take(&line);
        assert!(explained.len() <= 2, "{line}");
    }
    file.finish();
    for (address, health) in file.functions() {
        let mut codes = health.reasons.clone();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), health.reasons.len(), "{address}: a reason stands twice: {:?}", health.reasons);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let nvidia = "3,1,1000000,-;NVRM: Xid (PCI:0000:41:00): 79, pid=1, name=x, GPU has fallen off the bus.\n\
                  3,2,1000001,-;NVRM: GPU 0000:41:00.0: GPU has fallen off the bus.\n SUBSYSTEM=pci\n\
                  3,3,1000002,-;NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)\n\
                  3,4,1000003,-;NVRM: Xid (PCI:0000:42:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x025001c6)\n\
                  3,5,1000004,-;NVRM: Xid (PCI:0000:42:00): 45, pid=1, name=a, Ch 1 caused by previous Xid 149\n\
                  3,6,8000000,-;nvidia-nvlink: Nvlink Core is being initialized, major device number 235\n\
                  3,7,8000001,-;NVRM: The NVIDIA GPU 0000:43:00.0\n\
                  3,8,8000002,-;NVRM: fallen off the bus and is not responding to commands.\n\
                  6,9,9000000,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05\n";
    let others = "3,1,1000000,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44 x\n\
                  4,2,1000001,-;pcieport 0000:40:01.0: AER: Uncorrected (Fatal) error received: 0000:41:00.0\n\
                  3,3,1000002,-;nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer\n\
                  6,4,1000003,-;vfio-pci 0000:41:00.0: reset done\n\
                  6,5,1000004,-;pci 0000:41:00.0: [10de:2330] type 00 class 0x030200\n";
    let bus = "6,1,1000000,-;pci 0000:40:01.0: PCI bridge to [bus 41-43]\n\
               6,2,1000001,-;pcieport 0000:40:01.0: pciehp: Slot(3): Link Down\n\
               4,3,1000002,-;pcieport 0000:40:01.0: DPC: containment event, status:0x1f05 source:0x4100\n\
               6,4,1000003,-;nvidia 0000:41:00.0: AER: can't recover (no error_detected callback)\n\
               6,5,1000004,-;pcieport 0000:40:01.0: AER: device recovery failed\n\
               4,6,1000005,-;vfio-pci 0000:42:00.0: resetting\n\
               4,7,1000006,-;vfio-pci 0000:42:00.0: not ready 65535ms after FLR; giving up\n\
               4,8,1000007,-;vfio-pci 0000:42:00.0: reset done\n\
               3,9,1000008,-;nvidia 0000:43:00.0: AER: aer_status: 0x00000020, aer_mask: 0x00000000\n\
               3,10,1000009,-;nvidia 0000:43:00.0: AER: aer_uncor_severity: 0x00062030\n";
    let firmware = "3,1,1000000,-;{7}[Hardware Error]: event severity: recoverable\n\
                    3,2,1000001,-;{7}[Hardware Error]:  Error 0, type: recoverable\n\
                    3,3,1000002,-;{7}[Hardware Error]:   section_type: PCIe error\n\
                    3,4,1000003,-;{7}[Hardware Error]:   device_id: 0000:41:00.0\n\
                    3,5,1000004,-;{7}[Hardware Error]:   secondary_bus: 0x42\n\
                    3,6,1000005,-;iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:41:00.0 address=0x1]\n\
                    3,7,1000006,-;DMAR: [DMA Read NO_PASID] Request device [0x41:0x00.0] fault addr 0x0\n";
    let printed = "[  100.123456] NVRM: The NVIDIA GPU 0000:41:00.0\n               NVRM: fallen off the bus and is not\n\
                   <3>[  100.2] [     T1] amdgpu 0000:42:00.0: amdgpu: GPU reset begin!\n\
                   kern  :err   : [  100.3] amdgpu 0000:42:00.0: amdgpu: GPU reset(1) succeeded!\n\
                   Jun 12 16:30:32 node7 kernel: xe 0000:43:00.0: [drm] device wedged, needs recovery\n\
                   2026-09-11T16:24:18,028841+02:00 [drm] Initialized xe 1.1.0 for 0000:43:00.0 on minor 0\n";
    let forged =
        "4,1,2000000,-;NVRM: Xid (PCI:[4711]: segfault at 0 ip 0 sp 0 error 6 in 0000:41:00): 79,[400000+1000]\n";
    [nvidia, others, bus, firmware, printed, forged].map(|text| text.as_bytes().to_vec()).to_vec()
}
