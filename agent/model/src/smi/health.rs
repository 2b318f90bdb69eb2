//! Gathers what a document reports about the health of one GPU: remapped rows, retired pages, repairs, the fabric, the driver's
//! wish.

use super::draft_value::{first_known, put};
use super::leaf;
use super::xml_place::HealthField;
use crate::absence::{Absence, Reading};
use crate::health::facts::HealthFacts;

/// The facts being read.
#[derive(Default)]
pub(super) struct HealthDraft {
    facts: HealthFacts,
    /// The two names of one flag: drivers from 384 on write the first, those before and after it the second.
    pending_blacklist: Reading<bool>,
    pending_retirement: Reading<bool>,
    faults: Vec<String>,
    were_faults_told: bool,
    why_no_faults: Option<Absence>,
}

impl HealthDraft {
    /// A value, with the name of its element.
    pub(super) fn value(&mut self, field: HealthField, name: &str, text: &str) {
        let facts = &mut self.facts;
        match field {
            HealthField::RowsCorrectable => put(&mut facts.rows_remapped_correctable, leaf::number(text)),
            HealthField::RowsUncorrectable => put(&mut facts.rows_remapped_uncorrectable, leaf::number(text)),
            HealthField::RowPending => put(&mut facts.row_remap_pending, leaf::yes(text)),
            HealthField::RowFailed => put(&mut facts.row_remap_failed, leaf::yes(text)),
            HealthField::PagesSingleBit => put(&mut facts.pages_retired_single_bit, leaf::number(text)),
            HealthField::PagesDoubleBit => put(&mut facts.pages_retired_double_bit, leaf::number(text)),
            HealthField::PendingBlacklist => put(&mut self.pending_blacklist, leaf::yes(text)),
            HealthField::PendingRetirement => put(&mut self.pending_retirement, leaf::yes(text)),
            HealthField::ResetRequired => put(&mut facts.reset_required, leaf::yes(text)),
            HealthField::DrainAndReset => put(&mut facts.drain_and_reset_recommended, leaf::yes(text)),
            HealthField::RecoveryAction => put(&mut facts.recovery_action, leaf::words(text)),
            HealthField::ChannelRepair => put(&mut facts.channel_repair_pending, leaf::yes(text)),
            HealthField::TpcRepair => put(&mut facts.tpc_repair_pending, leaf::yes(text)),
            HealthField::SramThreshold => put(&mut facts.sram_threshold_exceeded, leaf::yes(text)),
            HealthField::Unrepairable => put(&mut facts.unrepairable_memory, leaf::yes(text)),
            HealthField::FabricState => put(&mut facts.fabric_state, leaf::words(text)),
            HealthField::FabricStatus => put(&mut facts.fabric_status, leaf::words(text)),
            HealthField::FabricHealth => put(&mut facts.fabric_health, leaf::words(text)),
            HealthField::FabricFault => self.fabric_fault(name, text),
        }
    }

    /// `<route_unhealthy>True</…>`, `<bandwidth>Degraded</…>`, `<incorrect_configuration>No Partition</…>`.
    fn fabric_fault(&mut self, name: &str, text: &str) {
        match leaf::words(text) {
            Reading::Known(said) => {
                self.were_faults_told = true;
                let is_well = ["False", "Full", "None"].contains(&said.as_str());
                match name {
                    _ if is_well => {}
                    "bandwidth" => self.faults.push("degraded_bandwidth".to_owned()),
                    _ => self.faults.push(name.to_owned()),
                }
            }
            Reading::Absent(why) => self.why_no_faults = self.why_no_faults.take().or(Some(why)),
        }
    }

    /// All of them.
    pub(super) fn settle(mut self) -> HealthFacts {
        let pending = [self.pending_blacklist, self.pending_retirement];
        self.facts.retirement_pending = if pending.iter().any(|flag| flag.get() == Some(true)) {
            Reading::Known(true)
        } else {
            first_known(pending)
        };
        self.faults.sort_unstable();
        self.facts.fabric_faults = if self.were_faults_told {
            Reading::Known(self.faults)
        } else {
            Reading::Absent(self.why_no_faults.unwrap_or(Absence::NotReported))
        };
        self.facts
    }
}
