//! The tables of `docs/HEALTH.md`: what each reason means, who takes it back, and NVIDIA's Xids.

use super::device_fault::{Fault, GpuFaultKind, Recovery};
use super::over::ROWS;
use super::xid::XIDS;

/// The faults that have no number, in the order of the document.
const FAULTS: [Fault; 24] = [
    Fault::Recovery(Recovery::Reset),
    Fault::Recovery(Recovery::Reboot),
    Fault::Recovery(Recovery::Drain),
    Fault::Recovery(Recovery::Imex),
    Fault::FallenOffTheBus,
    Fault::FallenOffAtProbe,
    Fault::InitFailed,
    Fault::StartFailed,
    Fault::RemovedInUse,
    Fault::PcieFatal,
    Fault::PcieNonFatal,
    Fault::SlotLinkDown,
    Fault::SlotEmpty,
    Fault::SlotPower,
    Fault::Contained,
    Fault::Inaccessible,
    Fault::NotReady,
    Fault::IommuFault,
    Fault::IommuTimeout,
    Fault::Hang,
    Fault::ResetFailed,
    Fault::RasUncorrectable,
    Fault::RasDeferred,
    Fault::BadPages,
];

/// All tables as Markdown.
#[must_use]
pub fn tables() -> String {
    format!("{}{}{}{}", reasons(), who_ends_what(), what_is_ended_by_whom(), xids())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn reasons() -> String {
    let mut text = "\n## Reasons of the kernel log\n| code | health | until | what was seen | what to do |\n|---|---|---|---|---|\n\
                    | `xid_N` | by the table of Xids; 144 to 150 by the record | see below | NVIDIA's driver reported Xid N | \
                    by the \
                    number |\n| `sxid_N` | failed if the record has Fatal, else degraded | see below | an NVSwitch reported \
                    SXid N | \
                    NVIDIA's Fabric Manager guide |\n"
        .to_owned();
    let mut last = "";
    for fault in FAULTS {
        let (code, message, remedy) = fault.words();
        if std::mem::replace(&mut last, code) != code {
            let until = if fault.stands() { "an event ends it" } else { "an hour after it was last seen" };
            let health = fault.weight().code();
            text.push_str(&format!("| `{code}` | {health} | {until} | {} | {} |\n", cell(message), cell(remedy)));
        }
    }
    text
}

fn who_ends_what() -> String {
    let mut text =
        "\n## Which record ends which reason\n| record, or look | where it comes from | ends | not where | code \
         |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in ROWS {
        let everything = row.ends.len() == GpuFaultKind::ALL.len();
        let ends: Vec<&str> = row.ends.iter().map(|kind| kind.codes()).collect();
        let ends = if everything { "everything of that function".to_owned() } else { ends.join(", ") };
        let unless = if row.unless.is_empty() { "-" } else { row.unless };
        text.push_str(&format!(
            "| {} | {} | {ends} | {} | `{}` |\n",
            cell(row.says),
            row.source,
            cell(unless),
            row.code
        ));
    }
    text
}

fn what_is_ended_by_whom() -> String {
    let mut text = "\n## Which reason is ended by what\n| reason | by |\n|---|---|\n".to_owned();
    for kind in GpuFaultKind::ALL.iter().copied() {
        let by: Vec<String> =
            ROWS.iter().filter(|row| row.ends.contains(&kind)).map(|row| format!("`{}`", row.code)).collect();
        text.push_str(&format!("| {} | {} |\n", kind.codes(), by.join(", ")));
    }
    text
}

fn xids() -> String {
    let mut text =
        "\n## Xids\n| Xid | meaning | NVIDIA's recommended action | health | source |\n|---|---|---|---|---|\n"
            .to_owned();
    for xid in XIDS {
        let health = xid.state().code();
        text.push_str(&format!(
            "| {} | {} | {} | {health} | {} |\n",
            xid.number,
            cell(xid.meaning),
            xid.action.name(),
            xid.source.name()
        ));
    }
    text
}
