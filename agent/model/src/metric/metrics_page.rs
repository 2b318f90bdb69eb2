//! The table of `docs/METRICS.md`: each metric with its names and its sources.

use super::{Metric, Named, Smi};

/// The table of all metrics as Markdown.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| metric | what | unit | while the GPU sleeps | D-Bus `GetMetrics` | heartbeat `gpu_metrics` | OpenMetrics \
                    | NVML | `nvidia-smi -q -x` | sysfs |\n|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for metric in Metric::ALL {
        let row = metric.row();
        let sleep = if row.outlasts_sleep { "stays as it was" } else { "none: `gpu_asleep`" };
        text.push_str(&format!(
            "| `{}` | {} | {} | {sleep} | {} | {} | {} | {} | {} | {} |\n",
            metric.code(),
            metric.doc().trim(),
            row.unit.text(),
            cell(row.dbus),
            cell(row.api),
            cell(row.open),
            cell(row.nvml),
            smi(row.smi),
            cell(row.sysfs),
        ));
    }
    text
}

fn cell(named: Named) -> String {
    match named {
        Named::As(name) => format!("`{name}`"),
        Named::Not(why) => format!("– ({why})"),
    }
}

fn smi(place: Smi) -> String {
    match place {
        Smi::At { container: "", element } => format!("`{element}`"),
        Smi::At { container, element } => format!("`{container}/{element}`"),
        Smi::ByHand(elements) => format!("`{elements}`"),
        Smi::Not(why) => format!("– ({why})"),
    }
}
