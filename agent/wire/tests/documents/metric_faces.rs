//! Each metric stands on each face under its name of the table, or has a reason why not; the contract knows no other.

use crate::contract::{properties, violations};
use crate::gpu_documents::{function, judged, raw, said};
use model::absence::Reading;
use model::driver::{DriverGpu, MemoryMib};
use model::health::facts::HealthFacts;
use model::metric::{Metric, MetricSlot, Metrics, Named, Value, of_gpu};
use model::observation::HostObservation;
use model::time::BootMillis;
use model::workspace_life::WorkspacesState;
use serde_json::json;
use std::collections::BTreeSet;
use wire::dbus::metrics::MetricsView;
use wire::manager::gpu::gpu_metrics;
use wire::openmetrics::{Flavour, Source, render};

/// A GPU of which every metric is known, each number another.
fn everything_known() -> HostObservation {
    let mut metrics = Metrics::default();
    let mut number = 100;
    metrics.each(|_, slot| {
        number += 1;
        match slot {
            MetricSlot::Text(state) => *state = Reading::Known("P3".to_owned()),
            MetricSlot::List(words) => *words = Reading::Known(vec!["sw_power_cap".to_owned()]),
            slot @ (MetricSlot::Real(_) | MetricSlot::Small(_) | MetricSlot::Whole(_)) => {
                slot.number(Reading::Known(number))
            }
        }
    });
    let known = Reading::Known;
    let driver = DriverGpu {
        metrics,
        memory: MemoryMib { total: known(201), reserved: known(202), used: known(203), free: known(204) },
        ecc_enabled: Reading::Known(true),
        health_facts: HealthFacts {
            rows_remapped_correctable: Reading::Known(205),
            rows_remapped_uncorrectable: Reading::Known(206),
            row_remap_pending: Reading::Known(false),
            row_remap_failed: Reading::Known(false),
            pages_retired_single_bit: Reading::Known(207),
            pages_retired_double_bit: Reading::Known(208),
            retirement_pending: Reading::Known(false),
            ..HealthFacts::default()
        },
        ..said()
    };
    judged(raw(function("10de:2330", Some("nvidia")), Some(driver)))
}

fn value(metric: Metric, seen: &HostObservation) -> Value {
    let reading = of_gpu(metric, &seen.gpus[0]);
    reading.into_known().unwrap_or_else(|| panic!("{metric:?} is not known of a GPU of which everything is"))
}

fn has_reason(metric: Metric, face: Named) {
    if let Named::Not(why) = face {
        assert!(why.len() > 10, "{metric:?} is missing on a face, and the table does not say why");
    }
}

fn names(face: fn(Metric) -> Named) -> BTreeSet<String> {
    let names: Vec<&str> = Metric::ALL.iter().filter_map(|metric| face(*metric).name()).collect();
    let set: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    assert_eq!(set.len(), names.len(), "a name stands for two metrics: {names:?}");
    set
}

#[test]
fn each_metric_is_on_the_bus_or_says_why_not() {
    let seen = everything_known();
    let view = MetricsView::from(&seen.gpus[0]);
    let shown: BTreeSet<String> = view.values.names().map(str::to_owned).collect();
    assert_eq!(shown, names(|metric| metric.row().dbus));
    let text = serde_json::to_value(&view).unwrap();
    for metric in Metric::ALL {
        has_reason(*metric, metric.row().dbus);
        let Named::As(key) = metric.row().dbus else { continue };
        assert_eq!(text[key], json!(value(*metric, &seen)), "{key}");
        assert_eq!(view.absent.reason(key), None, "{key}");
    }
    assert_eq!(serde_json::from_value::<MetricsView>(text).unwrap(), view, "a client reads what the daemon shows");
}

#[test]
fn each_metric_is_in_the_heartbeat_or_says_why_not_and_the_contract_has_no_other() {
    let seen = everything_known();
    let document = gpu_metrics(&seen.gpus[0]);
    assert_eq!(violations("GpuMetrics", &document), Vec::<String>::new());
    let document = serde_json::to_value(&document).unwrap();
    for metric in Metric::ALL {
        has_reason(*metric, metric.row().api);
        let Named::As(field) = metric.row().api else { continue };
        assert_eq!(document[field], json!(value(*metric, &seen)), "{field}");
    }
    let mut of_the_contract = properties("GpuMetrics");
    for of_the_gpu in ["uuid", "bdf", "reason", "xid_last", "mig"] {
        assert!(of_the_contract.remove(of_the_gpu), "{of_the_gpu}");
    }
    // Where this fails the contract has a new field: give its metric a name in the table, and it is sent.
    assert_eq!(names(|metric| metric.row().api), of_the_contract);
}

#[test]
fn each_metric_is_in_openmetrics_or_says_why_not() {
    let seen = everything_known();
    let (checkin, boot_now) = (model::enrol::CheckinStatus::default(), BootMillis(60_000));
    let text = render(
        &Source { version: "0.1.0", seen: &seen, checkin: &checkin, workspaces: &WorkspacesState::default(), boot_now },
        Flavour::OpenMetrics,
    );
    names(|metric| metric.row().open);
    for metric in Metric::ALL {
        has_reason(*metric, metric.row().open);
        let Named::As(family) = metric.row().open else { continue };
        let expected = match value(*metric, &seen) {
            Value::Flag(holds) => f64::from(u8::from(holds)),
            Value::Whole(number) => f64::from(u32::try_from(number).unwrap()),
            Value::Real(number) => number,
            Value::Text(state) => state.trim_start_matches('P').parse().unwrap(),
            Value::List(_) => panic!("{family} is a list"),
        };
        let line = text.lines().find(|line| line.starts_with(&format!("{family}{{")));
        let written = line.and_then(|line| line.rsplit_once(' ')).map(|(_, number)| number.parse().unwrap());
        assert_eq!(written, Some(expected), "{family}");
        assert!(text.contains(&format!("# HELP {family} {}\n", metric.row().help)), "{family}");
    }
}
