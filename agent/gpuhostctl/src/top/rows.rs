//! The rows of the picture: a GPU, below it its MIG devices and its further processes.

use super::columns::{Column, GAP};
use super::containers::Containers;
use super::line::Line;
use crate::text::Look;
use model::metric::Metric;
use wire::dbus::gpu::GpuView;
use wire::dbus::metrics::ProcessView;
use wire::dbus::mig::MigView;

/// What is in the cells of one row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    cells: Vec<(Column, String, Look)>,
    /// Memory in use and all of it, in MiB, for the bar.
    memory: Option<(u64, u64)>,
    /// A row below a GPU's.
    pub(crate) inner: bool,
}

/// From this load on a memory is nearly full.
const NEARLY_FULL_PCT: u64 = 90;
/// How much of a container id is shown, as Docker shows it.
const ID_SHOWN: usize = 12;
/// A bar grows no longer.
const BAR: usize = 22;

impl Row {
    /// The characters that a cell takes.
    pub(crate) fn width(&self, column: Column) -> usize {
        if column == Column::Bar {
            return if self.memory.is_some() { BAR } else { 0 };
        }
        let cell = self.cells.iter().find(|(own, _, _)| *own == column);
        cell.map_or(0, |(_, text, _)| text.chars().count())
    }

    /// The row in columns.
    pub(crate) fn line(&self, columns: &[(Column, usize)]) -> Line {
        let mut line = Line::default();
        for (index, (column, width)) in columns.iter().enumerate() {
            if index > 0 {
                line.push(&" ".repeat(GAP), Look::Plain);
            }
            let (text, look) = match (column, self.memory) {
                (Column::Bar, Some((used, total))) => bar(used, total, *width),
                _ => self
                    .cells
                    .iter()
                    .find(|(own, _, _)| own == column)
                    .map_or_else(|| (String::new(), Look::Plain), |(_, text, look)| (cut(text, *width), *look)),
            };
            let space = " ".repeat(width.saturating_sub(text.chars().count()));
            if column.is_number() {
                line.push(&space, Look::Plain);
                line.push(&text, look);
            } else {
                line.push(&text, look);
                line.push(&space, Look::Plain);
            }
        }
        line
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn bar(used: u64, total: u64, width: usize) -> (String, Look) {
    let inner = width.saturating_sub(2);
    let cells = u64::try_from(inner).unwrap_or(0);
    // Whatever is in use shows at least one mark.
    let marks = used.saturating_mul(cells).div_ceil(total.max(1)).min(cells);
    let marks = usize::try_from(marks).unwrap_or(inner);
    let full = used.saturating_mul(100) >= total.saturating_mul(NEARLY_FULL_PCT);
    (format!("[{}{}]", "|".repeat(marks), " ".repeat(inner - marks)), if full { Look::Bad } else { Look::Good })
}

/// The rows of one GPU. `short` leaves the PCI domain out, where every GPU is in domain 0.
pub(crate) fn of(gpu: &GpuView, containers: &Containers, short: bool) -> Vec<Row> {
    let processes = gpu.metrics.processes.as_deref().unwrap_or_default();
    let mut rows = vec![gpu_row(gpu, containers, short)];
    rows.extend(gpu.mig_devices.iter().map(|mig| mig_row(gpu, mig)));
    rows.extend(processes.iter().skip(1).map(|process| Row {
        cells: vec![(Column::Users, user(process, containers), Look::Plain)],
        memory: None,
        inner: true,
    }));
    rows
}

fn gpu_row(gpu: &GpuView, containers: &Containers, short: bool) -> Row {
    let metrics = &gpu.metrics;
    let address = gpu.address.strip_prefix("0000:").filter(|_| short).unwrap_or(&gpu.address);
    let name = gpu.name.as_deref().map_or(gpu.pci_id.as_str(), |name| name.strip_prefix("NVIDIA ").unwrap_or(name));
    // Clocks that are low because nobody asks for more hold nothing up.
    let reasons = metrics.throttle().iter().filter(|reason| *reason != "gpu_idle");
    let throttled: Vec<&str> = reasons.map(String::as_str).collect();
    let hot = throttled.iter().any(|reason| reason.contains("thermal"));
    let used = metrics.whole(Metric::MemoryUsedMib);
    let memory = used.zip(gpu.memory_total_mib);
    let (users, users_look) = users(gpu, containers);
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = vec![
        (Column::Address, address.to_owned(), Look::Bold),
        (Column::Name, name.to_owned(), Look::Plain),
        (Column::Use, gpu.usage.clone(), if gpu.schedulable { Look::Plain } else { Look::Dim }),
        (Column::Load, known(metrics.real(Metric::UtilizationPct).map(|load| format!("{load:.0} %"))), Look::Plain),
        (Column::Memory, known(memory_text(used, gpu.memory_total_mib)), Look::Plain),
        (
            Column::Power,
            known(power(metrics.real(Metric::PowerW), metrics.real(Metric::PowerLimitW))),
            if throttled.iter().any(|reason| reason.contains("power")) { Look::Bad } else { Look::Plain },
        ),
        (
            Column::Temperature,
            known(metrics.real(Metric::TemperatureC).map(|degrees| format!("{degrees:.0} °C"))),
            if hot { Look::Bad } else { Look::Plain },
        ),
        (Column::Throttle, throttled.join(", "), Look::Bad),
        (Column::Users, users, users_look),
    ];
    Row { cells, memory, inner: false }
}

fn mig_row(gpu: &GpuView, mig: &MigView) -> Row {
    let place = (mig.gpu_instance, mig.compute_instance);
    let measured = gpu.metrics.mig_devices.iter().find(|m| (m.gpu_instance, m.compute_instance) == place);
    let used = measured.and_then(|measured| measured.memory_used_mib);
    let name = mig.profile.as_deref().map_or_else(|| "MIG".to_owned(), |profile| format!("MIG {profile}"));
    let cells = vec![
        (Column::Address, format!("  {}/{}", mig.gpu_instance, mig.compute_instance), Look::Dim),
        (Column::Name, name, Look::Plain),
        (Column::Memory, memory_text(used, mig.memory_total_mib).unwrap_or_else(|| "-".to_owned()), Look::Plain),
    ];
    Row { cells, memory: used.zip(mig.memory_total_mib), inner: true }
}

/// Who uses the GPU; where nobody may, why not.
fn users(gpu: &GpuView, containers: &Containers) -> (String, Look) {
    match (gpu.usage.as_str(), gpu.metrics.processes.as_deref()) {
        ("passthrough", _) => (gpu.driver.clone().unwrap_or_else(|| "vfio".to_owned()), Look::Plain),
        (_, Some([first, ..])) => (user(first, containers), Look::Plain),
        ("mig", Some([]) | None) => {
            let text = if gpu.mig_devices.is_empty() { "no MIG device" } else { "-" };
            (text.to_owned(), Look::Dim)
        }
        (_, Some([]) | None) => match &gpu.unschedulable_reason {
            Some(reason) if !gpu.schedulable => (format!("not usable: {}", reason.replace('_', " ")), Look::Bad),
            Some(_) | None => ("-".to_owned(), Look::Dim),
        },
    }
}

fn user(process: &ProcessView, containers: &Containers) -> String {
    let path = process.name.as_deref().unwrap_or("?");
    let name = path.rsplit('/').next().unwrap_or(path);
    match containers.get(&process.pid) {
        Some(id) => format!("{name} ({}) in {}", process.pid, id.chars().take(ID_SHOWN).collect::<String>()),
        None => format!("{name} ({})", process.pid),
    }
}

/// `37.3/40.0 GiB`; what is not known is `-`.
fn memory_text(used: Option<u64>, total: Option<u64>) -> Option<String> {
    let number = |mib: Option<u64>| mib.map_or_else(|| "-".to_owned(), gib);
    used.or(total).map(|_| format!("{}/{} GiB", number(used), number(total)))
}

/// MiB in GiB, to one decimal, rounded.
pub(crate) fn gib(mib: u64) -> String {
    let tenths = mib.saturating_mul(10).saturating_add(512) / 1024;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn power(drawn: Option<f64>, limit: Option<f64>) -> Option<String> {
    match (drawn, limit) {
        (None, None) => None,
        (Some(drawn), Some(limit)) => Some(format!("{drawn:.0}/{limit:.0} W")),
        (Some(drawn), None) => Some(format!("{drawn:.0} W")),
        (None, Some(limit)) => Some(format!("-/{limit:.0} W")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_and_unknown_is_no_number() {
        assert_eq!(memory_text(Some(38_212), Some(40_960)).as_deref(), Some("37.3/40.0 GiB"));
        assert_eq!(memory_text(None, Some(16_380)).as_deref(), Some("-/16.0 GiB"));
        assert_eq!(memory_text(Some(0), Some(40_960)).as_deref(), Some("0.0/40.0 GiB"));
        assert_eq!(memory_text(None, None), None);
    }

    #[test]
    fn a_bar_shows_what_little_is_used_and_never_overflows() {
        assert_eq!(bar(0, 1000, 12).0, "[          ]");
        assert_eq!(bar(1, 1000, 12).0, "[|         ]");
        assert_eq!(bar(500, 1000, 12), ("[|||||     ]".to_owned(), Look::Good));
        assert_eq!(bar(2000, 1000, 12), ("[||||||||||]".to_owned(), Look::Bad));
        assert_eq!(bar(7, 0, 4).0, "[||]");
        assert_eq!(bar(1, 2, 1).0, "[]");
    }

    #[test]
    fn power_without_a_limit_and_a_limit_without_power() {
        assert_eq!(power(Some(391.24), Some(400.0)).as_deref(), Some("391/400 W"));
        assert_eq!(
            (power(Some(7.6), None).as_deref(), power(None, Some(300.0)).as_deref()),
            (Some("8 W"), Some("-/300 W"))
        );
        assert_eq!(power(None, None), None);
    }
}
