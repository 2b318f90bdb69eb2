//! What the kernel log has against each device so far: bounded, whatever comes.

use super::HealthState;
use super::bus_ranges::Ports;
use super::context::{Context, Told};
use super::device_fault::{Fault, GpuFaultKind, Recovery};
use super::line::{Record, record};
use super::log_event::{LogEvent, Reset};
use super::over::Evidence;
use super::record::{event_of, speaker};
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
    /// The record that it was last heard of in, counted from the beginning of the log.
    pub order: u64,
    /// When that record was read, on CLOCK_BOOTTIME: the clock of the records runs apart from it, and stops while the machine
    /// sleeps.
    pub read: BootMillis,
    /// How often.
    pub count: u64,
}

impl Finding {
    /// Whether it still counts: some until something ends them, all else for a bounded time.
    #[must_use]
    pub fn counts(&self, now: BootMillis) -> bool {
        self.fault.stands() || now.since(self.last) < COUNTS_FOR_MS
    }
}

/// Why the kernel log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel log cannot be read: {said}")]
pub struct KernelLogUnavailable {
    /// What was tried and what came.
    pub said: String,
}

/// What a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// The device that it speaks of.
    pub address: Option<PciAddress>,
    /// The fault that it reports.
    pub fault: Option<Fault>,
    /// What it ended, by which row of the table; `None` where nothing was there to end.
    pub ended: Option<Evidence>,
    /// It changes the verdict on any device. A record that repeats what is known does not.
    pub news: bool,
}

/// The kernel log so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelLog {
    findings: BTreeMap<(PciAddress, Fault), Finding>,
    last_xid: BTreeMap<PciAddress, u32>,
    /// When the records that are taken now were read.
    now: BootMillis,
    /// When the record was read that last ended something, of the device or (`None`) of all GPUs of NVIDIA's driver.
    ended: BTreeMap<(Option<PciAddress>, Evidence), BootMillis>,
    ports: Ports,
    context: Context,
    taken: u64,
    unheard: Option<KernelLogUnavailable>,
    heard: bool,
}

impl KernelLog {
    /// The records that are taken from here on were read at this instant.
    pub const fn reads_at(&mut self, now: BootMillis) {
        self.now = now;
    }

    /// Takes one record, as `/dev/kmsg` gives it; true where it changes the verdict on any device.
    pub fn take(&mut self, lines: &str) -> bool {
        record(lines).is_some_and(|record| self.hear_record(&record).news)
    }

    /// Takes one record, and shows what it did.
    pub fn hear_record(&mut self, record: &Record<'_>) -> Took {
        self.taken = self.taken.saturating_add(1);
        let at = BootMillis(record.since_boot_us / 1000);
        if let Some((driver, address)) = speaker(&record.text) {
            self.context.speaks(driver, address);
        }
        let about = self.context.about.take();
        match event_of(record) {
            Some(told) => self.act(told, about, at),
            None => {
                // A message in several records may have lines between its parts that say nothing themselves.
                self.context.about = about.filter(|_| record.text.contains("NVRM:"));
                Took::default()
            }
        }
    }

    fn act(&mut self, told: LogEvent, about: Option<PciAddress>, at: BootMillis) -> Took {
        match told {
            LogEvent::Fault(address, fault) => self.befall(address, fault, at),
            LogEvent::Wants(address, wanted) => self.wants(address, wanted, at),
            LogEvent::Over(address, evidence) => self.over(address, evidence, at),
            LogEvent::NvidiaLoaded => {
                let start = self.context.nvidia.ends(self.taken);
                let older = |it: &Finding| !start.of_all_holds(it.fault, it.order, at.since(it.last));
                let given = self.context.given();
                self.end(None, Evidence::DriverLoaded, |of| !given.contains(&of), older)
            }
            LogEvent::NvidiaBegins => {
                self.context.nvidia.begins(self.taken);
                Took::default()
            }
            LogEvent::About(address) => {
                self.context.about = Some(address);
                Took::of(address)
            }
            LogEvent::ItHasFallenOff => {
                about.map_or_else(Took::default, |it| self.befall(it, Fault::FallenOffAtProbe, at))
            }
            LogEvent::ResetBegins(address) => {
                self.context.tries_again(address);
                Took::of(address)
            }
            LogEvent::ResetDone(address, _) if self.context.has_given_up(address) => Took::of(address),
            LogEvent::ResetDone(address, Reset::Vfio) => self.over(address, Evidence::ResetDone, at),
            LogEvent::ResetDone(address, Reset::Unaware) => self.over(address, Evidence::Ready, at),
            LogEvent::Bridge(port, first, last) => {
                self.ports.leads_to(port, first, last);
                Took::of(port)
            }
            LogEvent::Firmware(number, part) => match self.context.firmware(number, part) {
                Some(Told::Fault(address, fault)) => self.befall(address, fault, at),
                Some(Told::Bridge(port, bus)) => {
                    self.ports.leads_at_least_to(port, bus);
                    Took::of(port)
                }
                None => Took::default(),
            },
            LogEvent::AerStatus(address, status, mask) => {
                self.context.aer_status(address, status & !mask);
                Took::of(address)
            }
            LogEvent::AerSeverity(address, fatal) => {
                let fault = self.context.aer_severity(address, fatal);
                self.befall(address, fault, at)
            }
            LogEvent::CannotRecover(address) => {
                self.context.recovers(address, at);
                Took::of(address)
            }
            LogEvent::Recovered(port, well) => self.recovered(port, well, at),
            LogEvent::Contained(port, source) => {
                let of_port = self.befall(port, Fault::Contained, at);
                source.map_or(of_port, |(address, fault)| {
                    let of_source = self.befall(address, fault, at);
                    Took { news: of_port.news || of_source.news, ..of_source }
                })
            }
        }
    }

    /// From here on the log is read.
    pub fn hear(&mut self) {
        self.heard = true;
        self.unheard = None;
    }

    /// The log cannot be read (any more).
    pub fn lose(&mut self, why: KernelLogUnavailable) {
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
    pub const fn unheard(&self) -> Option<&KernelLogUnavailable> {
        self.unheard.as_ref()
    }

    /// What counts against the device of this address now, in the order of the faults: by itself, of its card, and of the ports
    /// above it what holds for all that is below them.
    pub fn against(&self, device: PciAddress, now: BootMillis) -> impl Iterator<Item = &Finding> {
        self.findings.values().filter(move |it| it.counts(now) && self.speaks_of(it, device))
    }

    fn speaks_of(&self, finding: &Finding, device: PciAddress) -> bool {
        let (of, kind) = (finding.address, finding.fault.kind());
        let of_card = of.same_card(device) && !kind.is_of_one_function();
        let of_port = kind.reaches_below() && self.ports.is_above(of, device);
        let of_link = kind == GpuFaultKind::PcieNonFatal && self.ports.leads_only_to(of, device);
        of == device || of_card || of_port || of_link
    }

    /// The last Xid of a card.
    #[must_use]
    pub fn last_xid(&self, card: PciAddress) -> Option<u32> {
        self.last_xid.iter().find(|(address, _)| address.same_card(card)).map(|(_, number)| *number)
    }

    /// Whether a record that was read after this instant ended faults of this kind for the card; `with_loads`: one of NVIDIA's
    /// driver for all its GPUs counts.
    #[must_use]
    pub fn ended_since(&self, card: PciAddress, kind: GpuFaultKind, since: BootMillis, with_loads: bool) -> bool {
        let is_meant = |of: &Option<PciAddress>| of.map_or(with_loads, |of| of.same_card(card));
        self.ended.iter().any(|((of, evidence), at)| is_meant(of) && *at > since && evidence.ends(kind))
    }

    /// NVIDIA's driver wants this, in place of what it wanted before.
    fn wants(&mut self, address: PciAddress, wanted: Recovery, at: BootMillis) -> Took {
        let now = Fault::Recovery(wanted);
        let is_other = |it: &Finding| it.fault != now;
        let ended = self.end(Some(address), Evidence::WantsSomethingElse, |of| of.same_card(address), is_other);
        let took = self.befall(address, now, at);
        Took { news: took.news || ended.news, ..took }
    }

    /// Something is over for one device.
    fn over(&mut self, address: PciAddress, evidence: Evidence, at: BootMillis) -> Took {
        let always = |_: &Finding| true;
        match evidence {
            Evidence::Enumerated => {
                self.context.tries_again(address);
                let of_slot = self.end_above(address);
                let took = self.end(Some(address), evidence, |of| of == address, always);
                Took { ended: took.ended.or(of_slot.ended), news: took.news || of_slot.news, ..took }
            }
            Evidence::NothingToRecover => self.end(Some(address), evidence, |of| of.same_card(address), always),
            Evidence::DriverStarted => {
                let start = self.context.started(address, self.taken);
                let older = |it: &Finding| !start.of_one_holds(it.fault, it.order, at.since(it.last));
                self.end(Some(address), evidence, |of| of == address, older)
            }
            Evidence::Ready => {
                self.context.tries_again(address);
                self.end(Some(address), evidence, |of| of == address, always)
            }
            Evidence::RemovalWentOn
            | Evidence::SwitchProbed
            | Evidence::ResetDone
            | Evidence::LinkBack
            | Evidence::CardPresent
            | Evidence::GpuReset
            | Evidence::DriverLoaded
            | Evidence::WantsSomethingElse
            | Evidence::Recovered
            | Evidence::DriverAnswers
            | Evidence::BusAnswers => self.end(Some(address), evidence, |of| of == address, always),
        }
    }

    /// The device was enumerated, so the slots above it have their link.
    fn end_above(&mut self, device: PciAddress) -> Took {
        let ports: Vec<PciAddress> = self.findings.keys().map(|(address, _)| *address).collect();
        let above = ports.into_iter().filter(|port| self.ports.is_above(*port, device)).collect::<Vec<_>>();
        let mut took = Took::of(device);
        for port in above {
            let ended = self.end(Some(port), Evidence::LinkBack, |of| of == port, |_| true);
            took.news |= ended.news;
            took.ended = took.ended.or(ended.ended.map(|_| Evidence::Enumerated));
        }
        took
    }

    /// The recovery of a PCIe error has ended that this port led, for what is below it.
    fn recovered(&mut self, port: PciAddress, well: bool, at: BootMillis) -> Took {
        let mut devices = self.context.recovered(at);
        let has_fatal = |log: &Self, device: PciAddress| log.findings.contains_key(&(device, Fault::PcieFatal));
        if !well {
            let fatal = has_fatal(self, port) || devices.iter().any(|device| has_fatal(self, *device));
            let fault = if fatal { Fault::PcieFatal } else { Fault::PcieNonFatal };
            let told = (fatal || !devices.is_empty()).then_some(fault);
            let mut took = Took { fault: told, ..Took::of(port) };
            for device in devices {
                took.news |= self.befall(device, fault, at).news;
            }
            self.context.recovered(at);
            return took;
        }
        devices.push(port);
        let below = self.findings.keys().map(|(address, _)| *address).filter(|it| self.ports.is_above(port, *it));
        devices.extend(below.collect::<Vec<_>>());
        let mut took = Took::of(port);
        for device in devices {
            let ended = self.end(Some(device), Evidence::Recovered, |of| of == device, |_| true);
            if ended.news {
                self.befall(device, Fault::PcieNonFatal, at);
                took = Took { ended: ended.ended, news: true, ..took };
            }
        }
        self.context.recovered(at);
        took
    }

    /// A fault of a device.
    fn befall(&mut self, address: PciAddress, fault: Fault, at: BootMillis) -> Took {
        if fault == Fault::NotReady {
            self.context.gave_up(address);
        }
        if matches!(fault, Fault::PcieFatal | Fault::PcieNonFatal) {
            self.context.recovers(address, at);
        }
        if matches!(fault, Fault::SlotLinkDown | Fault::SlotEmpty) {
            self.context.lost_card(address, at);
        }
        if fault == Fault::RemovedInUse
            && let Some(port) = self.context.lost_the_card_of(address, at)
        {
            self.ports.leads_at_least_to(port, address.bus);
        }
        Took { fault: Some(fault), news: self.keep(address, fault, at), ..Took::of(address) }
    }

    fn keep(&mut self, address: PciAddress, fault: Fault, at: BootMillis) -> bool {
        let new_xid = fault.xid().is_some_and(|number| self.keep_xid(address, number));
        if fault.weight() == HealthState::Ok {
            return new_xid;
        }
        let (order, read) = (self.taken, self.now);
        if let Some(known) = self.findings.get_mut(&(address, fault)) {
            let counted = known.counts(at);
            known.last = known.last.max(at);
            (known.order, known.read) = (order, read);
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
        let finding = Finding { address, fault, first: at, last: at, order, read, count: 1 };
        self.findings.insert((address, fault), finding);
        true
    }

    /// Bounded as the findings are: no host has so many cards.
    fn keep_xid(&mut self, address: PciAddress, number: u32) -> bool {
        if self.last_xid.len() >= FINDINGS_MAX && !self.last_xid.contains_key(&address) {
            self.last_xid.pop_first();
        }
        self.last_xid.insert(address, number) != Some(number)
    }

    /// Ends what the table states, of the devices that are meant, where `older` agrees.
    fn end(
        &mut self,
        address: Option<PciAddress>,
        evidence: Evidence,
        meant: impl Fn(PciAddress) -> bool,
        older: impl Fn(&Finding) -> bool,
    ) -> Took {
        if self.ended.len() >= FINDINGS_MAX && !self.ended.contains_key(&(address, evidence)) {
            self.ended.pop_first();
        }
        self.ended.insert((address, evidence), self.now);
        let before = self.findings.len();
        self.findings.retain(|_, it| !(meant(it.address) && evidence.ends(it.fault.kind()) && older(it)));
        let ended = (self.findings.len() != before).then_some(evidence);
        Took { address, fault: None, ended, news: ended.is_some() }
    }
}

impl Took {
    /// A record that speaks of this device and does nothing.
    fn of(address: PciAddress) -> Self {
        Self { address: Some(address), ..Self::default() }
    }
}
