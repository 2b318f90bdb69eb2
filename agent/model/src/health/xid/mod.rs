//! NVIDIA's Xid numbers: what each means, how much it weighs against the GPU, and what to do.
//!
//! A number that is newer than the table is [`unknown`]. Where the public catalog wants nothing but a look by NVIDIA's support, the
//! weight is ours: whether the GPU works on.

mod xid_table;

use super::HealthState;
pub use xid_table::XIDS;

/// What the catalog wants done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it states something of the application, or nothing at all.
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

impl Action {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::RestartApplication => "start the application again",
            Self::LookAfter => "check the GPU when it is free",
            Self::ResetGpu => "reset the GPU",
            Self::Reboot => "reboot",
        }
    }
}

/// Where the meaning of a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XidSource {
    /// NVIDIA's Xid catalog for Ampere and newer (docs.nvidia.com/deploy/xid-errors, analyzing-xid-catalog).
    Catalog,
    /// NVIDIA's Xid document for older GPUs (XID Errors, vR384 to r535): the catalog calls the number unused.
    Older,
    /// The open driver's nverror.h alone.
    Header,
}

impl XidSource {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "Xid catalog",
            Self::Older => "Xid document for older GPUs",
            Self::Header => "nverror.h",
        }
    }
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
    /// Who shows it.
    pub source: XidSource,
}

impl Xid {
    /// What it makes of the GPU; `Ok` where it reports nothing against it.
    #[must_use]
    pub const fn state(self) -> HealthState {
        match self.action {
            Action::Nothing | Action::RestartApplication => HealthState::Ok,
            Action::LookAfter => HealthState::Degraded,
            Action::ResetGpu | Action::Reboot => HealthState::Failed,
        }
    }
}

/// What is known of a number.
#[must_use]
pub fn look_up(number: u32) -> Xid {
    XIDS.iter().copied().find(|xid| xid.number == number).unwrap_or_else(|| unknown(number))
}

/// A number that the table does not have: worth showing as the last one, and no verdict.
const fn unknown(number: u32) -> Xid {
    Xid { number, meaning: "not in the catalog of this version", action: Action::Nothing, source: XidSource::Catalog }
}

/// What to do about an Xid, with the address where it belongs.
#[must_use]
pub fn remedy(xid: Xid, address: crate::PciAddress) -> String {
    match (xid.number, xid.action) {
        (54, _) => "connect all power cables of the card".to_owned(),
        (79, _) => format!(
            "look for PCIe and power errors before it in `dmesg`; power the machine off and on; if it happens again, reseat \
             the card, \
             check its power and cooling ({address})"
        ),
        (74 | 136 | 144..=150, _) => format!(
            "`nvidia-smi nvlink -e -i {address}` shows which link; reset the GPU when it is free (`nvidia-smi -r -i \
             {address}`); if it happens again, have the link's hardware checked"
        ),
        (64 | 157 | 161, _) => "run NVIDIA's field diagnostics and have the card replaced".to_owned(),
        (_, Action::Reboot) => "reboot the machine; if it happens again, have the card checked".to_owned(),
        (_, Action::ResetGpu) => format!(
            "stop what uses the GPU, then `nvidia-smi -r -i {address}`; where that is refused, reboot; if it happens again, \
             run NVIDIA's \
             field diagnostics"
        ),
        (_, Action::LookAfter) => format!("when the GPU is not in use, reset it: `nvidia-smi -r -i {address}`"),
        (_, Action::RestartApplication) => "check the application, then start it again".to_owned(),
        (_, Action::Nothing) => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_number_of_the_catalog_once() {
        let numbers: Vec<u32> = XIDS.iter().map(|xid| xid.number).collect();
        assert_eq!(numbers, (1..=176).collect::<Vec<u32>>());
        assert!(XIDS.iter().all(|xid| xid.meaning.len() > 8));
        assert!((1..=172).all(|number| look_up(number).source != XidSource::Header));
    }

    /// The catalog's column "Resolution Bucket (Immediate Action)", the numbers whose bucket asks for something of the GPU or the
    /// machine. We may be stricter, never laxer.
    #[test]
    fn no_number_weighs_less_than_the_catalog_says() {
        let least = |number: u32| look_up(number).action;
        for number in [46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158] {
            assert_eq!(least(number), Action::ResetGpu, "RESET_GPU: {number}");
        }
        for number in [79, 151] {
            assert_eq!(least(number), Action::Reboot, "RESTART_BM, RESTART_VM: {number}");
        }
        assert_eq!(least(48), Action::ResetGpu, "WORKFLOW_XID_48");
        assert_eq!(least(54), Action::LookAfter, "CHECK_MECHANICALS");
        assert!(
            (144..=150).chain([74]).all(|number| least(number) == Action::LookAfter),
            "WORKFLOW_NVLINK_ERR, …5_ERR"
        );
        let of_an_application =
            [8, 11, 13, 25, 31, 32, 39, 40, 41, 60, 68, 69, 70, 71, 72, 75, 76, 77, 80, 82, 83, 84, 85, 86, 88, 89];
        let more = (96..=105).chain(126..=135).chain([139]);
        for number in of_an_application.into_iter().chain(more) {
            assert_eq!(least(number), Action::RestartApplication, "RESTART_APP: {number}");
        }
        for number in [14, 37, 38, 43, 44, 45, 66, 67, 93, 106, 107, 108, 137, 141, 152, 153] {
            assert_eq!(look_up(number).state(), HealthState::Ok, "IGNORE: {number}");
        }
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
