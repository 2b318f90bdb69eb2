//! Lines of the kernel log: whatever they are, what is kept of them stays small and is the same a second time.

use crate::bounds::Bounds;
use crate::{Target, pieces};
use model::health::kernel_log::KernelLog;
use model::health::line::{Said, record, said};
use model::time::BootMillis;

/// The target.
pub const TARGET: Target = Target {
    name: "kernel_log",
    what: "records of /dev/kmsg",
    run,
    seeds,
    words: &[
        "3,1,1000000,-;",
        "NVRM: Xid (PCI:0000:41:00): ",
        "NVRM: GPU 0000:41:00.0: GPU has fallen off the bus.",
        "NVRM: loading NVIDIA",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): ",
        "pcieport 0000:40:01.0: AER: Uncorrected (Fatal) error received: ",
        "PCIe Bus Error: severity=Uncorrected (Fatal)",
        "vfio-pci 0000:41:00.0: reset done",
        "amdgpu 0000:41:00.0: ",
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
    for line in pieces::lines(input, usize::MAX) {
        let was_news = log.take(&line);
        let told = record(&line).and_then(|record| said(&record.text));
        assert!(!was_news || told.is_some(), "news from a line that says nothing: {line}");
        if matches!(told, Some(Said::Fault(..))) {
            assert!(!log.take(&line), "what is known is no news: {line}");
        }
        if let Some(Said::Fault(address, _)) = told {
            let all = log.against(address, BootMillis(u64::MAX)).count();
            assert!(all <= 512, "{all} findings of one card");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let nvidia = "3,1,1000000,-;NVRM: Xid (PCI:0000:41:00): 79, pid=1, name=x, GPU has fallen off the bus.\n\
                  3,2,1000001,-;NVRM: GPU 0000:41:00.0: GPU has fallen off the bus.\n SUBSYSTEM=pci\n\
                  3,3,1000002,-;NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)\n\
                  6,4,9000000,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05\n";
    let others = "3,1,1000000,-;nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 44 x\n\
                  4,2,1000001,-;pcieport 0000:40:01.0: AER: Uncorrected (Fatal) error received: 0000:41:00.0\n\
                  3,3,1000002,-;nvidia 0000:41:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer\n\
                  6,4,1000003,-;vfio-pci 0000:41:00.0: reset done\n\
                  6,5,1000004,-;pci 0000:41:00.0: [10de:2330] type 00 class 0x030200\n";
    let forged =
        "4,1,2000000,-;NVRM: Xid (PCI:[4711]: segfault at 0 ip 0 sp 0 error 6 in 0000:41:00): 79,[400000+1000]\n";
    [nvidia, others, forged].map(|text| text.as_bytes().to_vec()).to_vec()
}
