//! NVIDIA's Xid numbers: what each means, how much it weighs against the GPU, and what to do.
//!
//! Meanings and immediate actions follow NVIDIA's public Xid catalog (docs.nvidia.com/deploy/xid-errors); a number that it
//! calls unused, and one that is newer than this table, is [`unknown`].

use super::HealthState;

/// What the catalog wants done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it says something of the application, or nothing at all.
    Nothing,
    /// The application that met it has to be started again; the GPU is well.
    RestartApplication,
    /// The GPU works on, and wants to be looked after: a reset when it is free, or a look at the hardware.
    LookAfter,
    /// The GPU has to be reset before it is used again.
    ResetGpu,
    /// The machine has to be rebooted.
    Reboot,
}

/// One Xid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xid {
    /// The number.
    pub number: u32,
    /// What it means.
    pub meaning: &'static str,
    /// What has to be done.
    pub action: Action,
}

impl Xid {
    /// What it makes of the GPU; `Ok` where it says nothing against it.
    #[must_use]
    pub const fn state(self) -> HealthState {
        match self.action {
            Action::Nothing | Action::RestartApplication => HealthState::Ok,
            Action::LookAfter => HealthState::Degraded,
            Action::ResetGpu | Action::Reboot => HealthState::Failed,
        }
    }
}

/// A row of the table.
const fn row(number: u32, meaning: &'static str, action: Action) -> Xid {
    Xid { number, meaning, action }
}

use Action::{LookAfter, Nothing, Reboot, ResetGpu, RestartApplication};

/// The table, by number.
pub const XIDS: [Xid; 105] = [
    row(8, "GPU stopped processing", RestartApplication),
    row(11, "invalid or corrupted push buffer stream", RestartApplication),
    row(13, "graphics engine exception", RestartApplication),
    row(16, "display engine hung", Nothing),
    row(18, "bus mastering is disabled in PCI configuration space", LookAfter),
    row(24, "GPU semaphore timeout", RestartApplication),
    row(25, "invalid or illegal push buffer stream", RestartApplication),
    row(31, "GPU memory page fault", RestartApplication),
    row(32, "invalid or corrupted push buffer stream (PCIe quality)", RestartApplication),
    row(37, "driver firmware error", Nothing),
    row(38, "driver firmware error (watchdog)", Nothing),
    row(39, "copy engine 0 exception", RestartApplication),
    row(40, "copy engine 1 exception", RestartApplication),
    row(41, "copy engine 2 exception", RestartApplication),
    row(43, "GPU stopped processing an application", Nothing),
    row(44, "graphics engine fault during a context switch", Nothing),
    row(45, "clean-up after an application was ended", Nothing),
    row(46, "GPU stopped processing (timeout)", ResetGpu),
    row(48, "uncorrectable (double-bit) ECC error", ResetGpu),
    row(54, "auxiliary power is not connected to the board", LookAfter),
    row(60, "video processor exception", RestartApplication),
    row(61, "internal micro-controller breakpoint", LookAfter),
    row(62, "internal micro-controller halt", ResetGpu),
    row(63, "memory row remapped or page retired", LookAfter),
    row(64, "memory row could not be remapped, or page not be retired", ResetGpu),
    row(66, "illegal access by the driver", Nothing),
    row(67, "illegal access by the driver (verification)", Nothing),
    row(68, "video decoder 0 exception", RestartApplication),
    row(69, "graphics engine class error", RestartApplication),
    row(70, "copy engine 3 error", RestartApplication),
    row(71, "copy engine 4 error", RestartApplication),
    row(72, "copy engine 5 error", RestartApplication),
    row(74, "NVLink error", LookAfter),
    row(75, "copy engine 6 error", RestartApplication),
    row(76, "copy engine 7 error", RestartApplication),
    row(77, "copy engine 8 error", RestartApplication),
    row(78, "vGPU could not be started", Nothing),
    row(79, "GPU has fallen off the bus", Reboot),
    row(80, "corrupted data sent to the GPU", RestartApplication),
    row(82, "JPEG engine 0 error", RestartApplication),
    row(83, "video decoder 1 error", RestartApplication),
    row(84, "video decoder 2 error", RestartApplication),
    row(85, "copy engine 9 error", RestartApplication),
    row(86, "optical flow engine exception", RestartApplication),
    row(88, "video decoder 3 error", RestartApplication),
    row(89, "video decoder 4 error", RestartApplication),
    row(92, "high rate of single-bit ECC errors", LookAfter),
    row(93, "InfoROM wear limit reached", Nothing),
    row(94, "contained memory error", LookAfter),
    row(95, "uncontained memory error", ResetGpu),
    row(96, "video decoder 5 error", RestartApplication),
    row(97, "video decoder 6 error", RestartApplication),
    row(98, "video decoder 7 error", RestartApplication),
    row(99, "JPEG engine 1 error", RestartApplication),
    row(100, "JPEG engine 2 error", RestartApplication),
    row(101, "JPEG engine 3 error", RestartApplication),
    row(102, "JPEG engine 4 error", RestartApplication),
    row(103, "JPEG engine 5 error", RestartApplication),
    row(104, "JPEG engine 6 error", RestartApplication),
    row(105, "JPEG engine 7 error", RestartApplication),
    row(106, "test message of the management bus", Nothing),
    row(107, "silent test message of the management bus", Nothing),
    row(109, "context switch timeout", ResetGpu),
    row(110, "security fault", ResetGpu),
    row(119, "GSP firmware does not answer (RPC timeout)", ResetGpu),
    row(120, "GSP firmware error", ResetGpu),
    row(121, "corrected errors on the C2C link", LookAfter),
    row(126, "copy engine 10 error", RestartApplication),
    row(127, "copy engine 11 error", RestartApplication),
    row(128, "copy engine 12 error", RestartApplication),
    row(129, "copy engine 13 error", RestartApplication),
    row(130, "copy engine 14 error", RestartApplication),
    row(131, "copy engine 15 error", RestartApplication),
    row(132, "copy engine 16 error", RestartApplication),
    row(133, "copy engine 17 error", RestartApplication),
    row(134, "copy engine 18 error", RestartApplication),
    row(135, "copy engine 19 error", RestartApplication),
    row(136, "NVLink training failed", ResetGpu),
    row(137, "NVLink privilege error", Nothing),
    row(139, "optical flow engine 1 error", RestartApplication),
    row(140, "unrecovered ECC error", ResetGpu),
    row(141, "CUDA fast path error", Nothing),
    row(142, "video encoder 3 error", RestartApplication),
    row(143, "GPU could not be initialised", ResetGpu),
    row(144, "NVLink error (SAW)", LookAfter),
    row(145, "NVLink error (RLW)", LookAfter),
    row(146, "NVLink error (TLW)", LookAfter),
    row(147, "NVLink error (TREX)", LookAfter),
    row(148, "NVLink error (NVLPW_CTRL)", LookAfter),
    row(149, "NVLink error (NETIR)", LookAfter),
    row(150, "NVLink error (MSE)", LookAfter),
    row(151, "key rotation error", Reboot),
    row(154, "the driver wants the GPU recovered", ResetGpu),
    row(155, "NVLink taken down by software", LookAfter),
    row(156, "resources of the GPU were retired", ResetGpu),
    row(157, "no spare resources are left to retire to", LookAfter),
    row(158, "fatal timeout of the GPU", ResetGpu),
    row(160, "a memory channel was retired", LookAfter),
    row(161, "a memory channel could not be retired", LookAfter),
    row(165, "power smoothing hardware is worn out", LookAfter),
    row(167, "fatal PCIe timeout", ResetGpu),
    row(168, "errors in protected memory: less memory is usable", LookAfter),
    row(169, "internal micro-controller halt (SEC2)", ResetGpu),
    row(171, "uncorrectable DRAM error", ResetGpu),
    row(172, "uncorrectable SRAM error", ResetGpu),
];

/// What is known of a number.
#[must_use]
pub fn look_up(number: u32) -> Xid {
    XIDS.into_iter().find(|xid| xid.number == number).unwrap_or_else(|| unknown(number))
}

/// A number that the table does not have: worth showing as the last one, and no verdict.
const fn unknown(number: u32) -> Xid {
    row(number, "not in the catalog of this version", Action::Nothing)
}

/// What to do about an Xid, with the address where it belongs.
#[must_use]
pub fn remedy(xid: Xid, address: crate::PciAddress) -> String {
    match (xid.number, xid.action) {
        (54, _) => "connect all power cables of the card".to_owned(),
        (79, _) => format!(
            "look above it in `dmesg` for PCIe and power errors; power the machine off and on; if it comes back, reseat the card, \
             check its power and cooling ({address})"
        ),
        (74 | 136 | 144..=150, _) => format!(
            "`nvidia-smi nvlink -e -i {address}` shows which link; reset the GPU when it is free (`nvidia-smi -r -i {address}`); if \
             it comes back, have the link's hardware looked at"
        ),
        (64 | 157 | 161, _) => "run NVIDIA's field diagnostics and have the card replaced".to_owned(),
        (_, Action::Reboot) => "reboot the machine; if it comes back, have the card looked at".to_owned(),
        (_, Action::ResetGpu) => format!(
            "stop what uses the GPU, then `nvidia-smi -r -i {address}`; where that is refused, reboot; if it comes back, run NVIDIA's \
             field diagnostics"
        ),
        (_, Action::LookAfter) => format!("when nobody uses the GPU, reset it: `nvidia-smi -r -i {address}`"),
        (_, Action::RestartApplication) => "start the application again, and look at it first".to_owned(),
        (_, Action::Nothing) => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_each_number_once() {
        assert!(XIDS.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(XIDS.iter().all(|xid| xid.meaning.len() > 8));
    }

    #[test]
    fn an_application_that_crashes_says_nothing_against_its_gpu() {
        for number in [13, 31, 43, 45, 68, 69] {
            assert_eq!(look_up(number).state(), HealthState::Ok, "{number}");
        }
        assert_eq!(look_up(9999).state(), HealthState::Ok, "nor does a number that nobody knows");
    }

    #[test]
    fn what_needs_a_reset_has_failed_and_its_remedy_names_the_gpu() {
        let address = "0000:41:00.0".parse().unwrap();
        for number in [48, 62, 64, 79, 95, 119, 120, 140, 143, 158] {
            let xid = look_up(number);
            assert_eq!(xid.state(), HealthState::Failed, "{number}");
            assert!(remedy(xid, address).len() > 20);
        }
        assert!(remedy(look_up(95), address).contains("nvidia-smi -r -i 0000:41:00.0"));
        assert_eq!(look_up(94).state(), HealthState::Degraded);
    }
}
