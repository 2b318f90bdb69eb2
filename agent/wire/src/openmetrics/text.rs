//! The text itself: families, samples, labels and their escapes, in the two dialects that there are.

use std::fmt::Write;

/// Which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// OpenMetrics 1.0: what a server of today asks for.
    OpenMetrics,
    /// Prometheus's own text format 0.0.4: what node_exporter's textfile collector and `promtool check metrics` read.
    Prometheus,
}

impl Flavour {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What an HTTP `Accept` header asks for.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        if header.to_ascii_lowercase().contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// What kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It rises and falls.
    Gauge,
    /// It only rises while the daemon runs; the name of each sample ends in `_total`.
    Counter,
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
    /// Seconds, given in milliseconds.
    Millis(u64),
}

impl Value {
    /// One for yes, zero for no.
    pub(super) const fn flag(holds: bool) -> Self {
        if holds { Self::Whole(1) } else { Self::Whole(0) }
    }

    /// True where it is a number that can be written.
    const fn is_number(self) -> bool {
        match self {
            Self::Whole(_) | Self::Millis(_) => true,
            Self::Real(value) => value.is_finite(),
        }
    }
}

/// Names and values of labels; a label without a value is left out.
pub(super) type Labels = Vec<(&'static str, Option<String>)>;

/// One metric with all its samples.
#[derive(Debug, Clone)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    unit: Option<&'static str>,
    help: &'static str,
    samples: Vec<(Labels, Value)>,
}

impl Family {
    /// A gauge without samples.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit: None, help, samples: Vec::new() }
    }

    /// A counter without samples; its name is given without `_total`.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit: None, help, samples: Vec::new() }
    }

    /// The same with a unit, which the name has to end in.
    pub(super) const fn in_unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The same with a sample, where there is a number.
    pub(super) fn with(mut self, labels: Labels, value: Option<Value>) -> Self {
        self.push(labels, value);
        self
    }

    /// A sample, where there is a number.
    pub(super) fn push(&mut self, labels: Labels, value: Option<Value>) {
        self.samples.extend(value.filter(|value| value.is_number()).map(|value| (labels, value)));
    }
}

/// All families that have a sample.
pub(super) fn write(families: &[Family], flavour: Flavour) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        // Writing to a String cannot fail.
        let _ = one(&mut text, family, flavour);
    }
    if flavour == Flavour::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn one(text: &mut String, family: &Family, flavour: Flavour) -> std::fmt::Result {
    let suffix = match family.kind {
        Kind::Gauge => "",
        Kind::Counter => "_total",
    };
    // In OpenMetrics the family of a counter lacks the suffix of its samples.
    let (of_family, kind) = match (flavour, family.kind) {
        (Flavour::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Flavour::Prometheus, Kind::Counter) => (suffix, "counter"),
        (Flavour::OpenMetrics | Flavour::Prometheus, Kind::Gauge) => ("", "gauge"),
    };
    let name = family.name;
    writeln!(text, "# HELP {name}{of_family} {}", escaped(family.help, flavour == Flavour::OpenMetrics))?;
    writeln!(text, "# TYPE {name}{of_family} {kind}")?;
    if let (Flavour::OpenMetrics, Some(unit)) = (flavour, family.unit) {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    for (labels, value) in &family.samples {
        write!(text, "{name}{suffix}")?;
        let mut between = '{';
        for (label, value) in labels.iter().filter_map(|(label, value)| Some((label, value.as_ref()?))) {
            let label = spelled(label, flavour);
            write!(text, "{between}{label}=\"{}\"", escaped(value, true))?;
            between = ',';
        }
        text.push_str(if between == ',' { "} " } else { " " });
        match value {
            Value::Whole(number) => writeln!(text, "{number}")?,
            Value::Real(number) => writeln!(text, "{number}")?,
            Value::Millis(number) => writeln!(text, "{}.{:03}", number / 1000, number % 1000)?,
        }
    }
    Ok(())
}

/// DCGM's one label in camel case is an error to `promtool check metrics`, which reads Prometheus's own format alone.
fn spelled(label: &'static str, flavour: Flavour) -> &'static str {
    match (flavour, label) {
        (Flavour::Prometheus, "modelName") => "model_name",
        (Flavour::Prometheus | Flavour::OpenMetrics, _) => label,
    }
}

/// Backslash, line break, and where asked for the quotation mark are escaped; both formats have no other escape.
fn escaped(value: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Family {
        let labels = vec![("a", Some("x\"y\\z\nend".to_owned())), ("b", None), ("c", Some(String::new()))];
        Family::counter("tests", "What\nit is.")
            .with(labels, Some(Value::Whole(7)))
            .with(vec![], Some(Value::Millis(1005)))
    }

    #[test]
    fn the_dialects_differ_in_the_name_of_a_counters_family_and_in_the_end() {
        assert_eq!(
            write(&[family()], Flavour::OpenMetrics),
            "# HELP tests What\\nit is.\n# TYPE tests counter\ntests_total{a=\"x\\\"y\\\\z\\nend\",c=\"\"} 7\ntests_total 1.005\n# EOF\n"
        );
        assert_eq!(
            write(&[family()], Flavour::Prometheus),
            "# HELP tests_total What\\nit is.\n# TYPE tests_total counter\ntests_total{a=\"x\\\"y\\\\z\\nend\",c=\"\"} 7\ntests_total 1.005\n"
        );
    }

    #[test]
    fn what_is_no_number_is_not_there_and_a_family_without_samples_neither() {
        let of =
            |value| write(&[Family::gauge("g_watts", "G.").in_unit("watts").with(vec![], value)], Flavour::OpenMetrics);
        for value in [None, Some(Value::Real(f64::NAN)), Some(Value::Real(f64::INFINITY))] {
            assert_eq!(of(value), "# EOF\n");
        }
        assert!(of(Some(Value::Real(0.5))).ends_with("# UNIT g_watts watts\ng_watts 0.5\n# EOF\n"));
        assert!(of(Some(Value::flag(true))).contains("g_watts 1\n"));
    }

    #[test]
    fn the_dialect_is_the_one_that_was_asked_for() {
        let server = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Flavour::accepted(server), Flavour::OpenMetrics);
        assert_eq!((Flavour::accepted("*/*"), Flavour::accepted("")), (Flavour::Prometheus, Flavour::Prometheus));
    }
}
