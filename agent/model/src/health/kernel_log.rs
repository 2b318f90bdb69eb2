//! What the kernel log has against each device so far: bounded, whatever comes.

use super::HealthState;
use super::line::{Fault, Said, record, said};
use super::xid;
use crate::PciAddress;
use crate::time::BootMillis;
use std::collections::BTreeMap;

/// Most findings that are kept; a further one takes the place of the one that is longest unheard of.
pub const FINDINGS_MAX: usize = 512;
/// How long a finding counts that leaves the GPU at work, since it was last heard of: one hour.
pub const COUNTS_FOR_MS: u64 = 3_600_000;

/// One kind of fault of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Where it befell.
    pub address: PciAddress,
    /// What.
    pub fault: Fault,
    /// When it was first heard of.
    pub first: BootMillis,
    /// When it was last heard of.
    pub last: BootMillis,
    /// How often.
    pub count: u64,
}

impl Finding {
    /// Whether it still counts: what failed counts until the device begins anew, all else for a bounded time.
    #[must_use]
    pub fn counts(&self, now: BootMillis) -> bool {
        weight(self.fault) == HealthState::Failed || now.since(self.last) < COUNTS_FOR_MS
    }
}

/// What a fault makes of its device; `Ok` where it says nothing against it.
#[must_use]
pub fn weight(fault: Fault) -> HealthState {
    match fault {
        Fault::Xid(number) => xid::look_up(number).state(),
        Fault::Recovery(_)
        | Fault::FallenOffTheBus
        | Fault::SxidFatal(_)
        | Fault::PcieFatal
        | Fault::ResetFailed
        | Fault::RasUncorrectable => HealthState::Failed,
        Fault::SxidNonFatal(_) | Fault::PcieNonFatal | Fault::Hang => HealthState::Degraded,
    }
}

/// Why the kernel log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel log cannot be read: {said}")]
pub struct Unheard {
    /// What was tried and what came.
    pub said: String,
}

/// The kernel log so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelLog {
    findings: BTreeMap<(PciAddress, Fault), Finding>,
    last_xid: BTreeMap<PciAddress, u32>,
    about: Option<PciAddress>,
    unheard: Option<Unheard>,
    heard: bool,
}

impl KernelLog {
    /// Takes one line; true where it changes what any device is said to be like. A line that repeats what is known does not.
    pub fn take(&mut self, line: &str) -> bool {
        let Some(record) = record(line) else { return false };
        let at = BootMillis(record.since_boot_us / 1000);
        let about = self.about.take();
        match said(&record.text) {
            Some(Said::Fault(address, fault)) => self.keep(address, fault, at),
            Some(Said::ItHasFallenOff) => about.is_some_and(|it| self.keep(it, Fault::FallenOffTheBus, at)),
            Some(Said::About(address)) => {
                self.about = Some(address);
                false
            }
            Some(Said::Anew(address)) => self.forget(|finding| finding.address.same_card(address)),
            Some(Said::NvidiaLoaded) => self.forget(|finding| is_nvidias(finding.fault)),
            None => {
                // A message in several records may have lines between its parts that say nothing themselves.
                self.about = about.filter(|_| record.text.contains("NVRM:"));
                false
            }
        }
    }

    /// From here on the log is read.
    pub fn hear(&mut self) {
        self.heard = true;
        self.unheard = None;
    }

    /// The log cannot be read (any more).
    pub fn lose(&mut self, why: Unheard) {
        self.heard = false;
        self.unheard = Some(why);
    }

    /// Whether the log is read.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.heard
    }

    /// Why it is not, where that is known.
    #[must_use]
    pub const fn unheard(&self) -> Option<&Unheard> {
        self.unheard.as_ref()
    }

    /// What counts against the card of this address now, in the order of the faults.
    pub fn against(&self, card: PciAddress, now: BootMillis) -> impl Iterator<Item = &Finding> {
        self.findings.values().filter(move |finding| finding.address.same_card(card) && finding.counts(now))
    }

    /// The last Xid of a card.
    #[must_use]
    pub fn last_xid(&self, card: PciAddress) -> Option<u32> {
        self.last_xid.iter().find(|(address, _)| address.same_card(card)).map(|(_, number)| *number)
    }

    fn keep(&mut self, address: PciAddress, fault: Fault, at: BootMillis) -> bool {
        let new_xid = if let Fault::Xid(number) = fault { self.keep_xid(address, number) } else { false };
        if weight(fault) == HealthState::Ok {
            return new_xid;
        }
        if let Some(known) = self.findings.get_mut(&(address, fault)) {
            let counted = known.counts(at);
            known.last = known.last.max(at);
            known.count = known.count.saturating_add(1);
            if !counted {
                known.first = at;
            }
            return !counted || new_xid;
        }
        if self.findings.len() >= FINDINGS_MAX {
            let oldest = self.findings.iter().min_by_key(|(_, finding)| finding.last).map(|(key, _)| *key);
            oldest.and_then(|key| self.findings.remove(&key));
        }
        self.findings.insert((address, fault), Finding { address, fault, first: at, last: at, count: 1 });
        true
    }

    /// Bounded as the findings are: no host has so many cards.
    fn keep_xid(&mut self, address: PciAddress, number: u32) -> bool {
        if self.last_xid.len() >= FINDINGS_MAX && !self.last_xid.contains_key(&address) {
            self.last_xid.pop_first();
        }
        self.last_xid.insert(address, number) != Some(number)
    }

    fn forget(&mut self, over: impl Fn(&Finding) -> bool) -> bool {
        let before = self.findings.len();
        self.findings.retain(|_, finding| !over(finding));
        self.findings.len() != before
    }
}

/// A fault that the NVIDIA driver reports of itself, so that loading it anew ends it.
const fn is_nvidias(fault: Fault) -> bool {
    match fault {
        Fault::Xid(_) | Fault::Recovery(_) | Fault::FallenOffTheBus => true,
        Fault::SxidFatal(_)
        | Fault::SxidNonFatal(_)
        | Fault::PcieFatal
        | Fault::PcieNonFatal
        | Fault::Hang
        | Fault::ResetFailed
        | Fault::RasUncorrectable => false,
    }
}
