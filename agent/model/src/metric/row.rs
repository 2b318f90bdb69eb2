//! What the table has of one metric: its unit, whether it outlasts sleep, its name on each face and its place in each source.

/// Unit of a metric, or what else its value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Degrees Celsius.
    Celsius,
    /// Percent, 0 to 100.
    Percent,
    /// Percent of a nominal value that may be exceeded.
    PercentOfNominal,
    /// Watts.
    Watts,
    /// Megahertz.
    Megahertz,
    /// Mebibytes.
    Mebibytes,
    /// A count.
    Count,
    /// A generation of PCIe.
    Generation,
    /// Lanes of a PCIe link.
    Lanes,
    /// Yes or no.
    Flag,
    /// A word of the driver's.
    Text,
    /// Several words.
    List,
}

impl Unit {
    /// As `nvidia-smi` writes it behind a number; empty where it writes the number alone.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Celsius => "C",
            Self::Percent | Self::PercentOfNominal => "%",
            Self::Watts => "W",
            Self::Megahertz => "MHz",
            Self::Mebibytes => "MiB",
            Self::Lanes => "x",
            Self::Count | Self::Generation | Self::Flag | Self::Text | Self::List => "",
        }
    }

    /// True where a number of this unit can be right.
    #[must_use]
    pub fn admits(self, number: f64) -> bool {
        match self {
            Self::Celsius => true,
            Self::Percent => (0.0..=100.0).contains(&number),
            Self::PercentOfNominal => (0.0..=1000.0).contains(&number),
            Self::Watts
            | Self::Megahertz
            | Self::Mebibytes
            | Self::Count
            | Self::Generation
            | Self::Lanes
            | Self::Flag
            | Self::Text
            | Self::List => number >= 0.0,
        }
    }

    /// For a reader.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Celsius => "°C",
            Self::Percent | Self::PercentOfNominal => "%",
            Self::Watts => "W",
            Self::Megahertz => "MHz",
            Self::Mebibytes => "MiB",
            Self::Count => "count",
            Self::Generation => "generation",
            Self::Lanes => "lanes",
            Self::Flag => "yes or no",
            Self::Text => "text",
            Self::List => "list",
        }
    }
}

/// Whether something is there under a name, or is not, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Under this name.
    As(&'static str),
    /// It is not, for this reason.
    Not(&'static str),
}

impl Named {
    /// The name, where there is one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::As(name) => Some(name),
            Self::Not(_) => None,
        }
    }
}

/// How `nvidia-smi -q -x` is asked for a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smi {
    /// The element `name` in the container at this path below `gpu`; a number is followed by the suffix of its unit.
    At {
        /// The container; empty where the element lies in `gpu` itself.
        container: &'static str,
        /// The element.
        element: &'static str,
    },
    /// The parser has code of its own for it, since drivers write it in several ways or places.
    ByHand(&'static str),
    /// It is not read, for this reason.
    Not(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricRow {
    /// The unit.
    pub unit: Unit,
    /// What was known stays true while the GPU sleeps.
    pub outlasts_sleep: bool,
    /// Key of `GetMetrics` on D-Bus and of `Metrics` in JSON.
    pub dbus: Named,
    /// Field of `GpuMetrics` in the manager API.
    pub api: Named,
    /// Family in OpenMetrics.
    pub open: Named,
    /// Help text of that family.
    pub help: &'static str,
    /// Call or field of NVML.
    pub nvml: Named,
    /// Element of nvidia-smi's document.
    pub smi: Smi,
    /// Files of other vendors' drivers, below the function's folder.
    pub sysfs: Named,
}

/// Where the sources of the facts of health are documented.
const HEALTH: &str = "listed in [HEALTH-FACTS.md](HEALTH-FACTS.md)";
/// Why facts of health have no key and no field of their own.
const JUDGED: &str = "it is judged: its reason is in the GPU's health";

impl MetricRow {
    /// A value that is measured: nothing is known of it while the GPU sleeps.
    pub(super) const fn measured(unit: Unit) -> Self {
        let open = Named::Not("");
        Self {
            unit,
            outlasts_sleep: false,
            dbus: open,
            api: open,
            open,
            help: "",
            nvml: open,
            smi: Smi::Not(""),
            sysfs: open,
        }
    }

    /// A setting or a property: it stays true while the GPU sleeps.
    pub(super) const fn lasting(unit: Unit) -> Self {
        Self { outlasts_sleep: true, ..Self::measured(unit) }
    }

    /// A fact of health, whose sources stand in a table of their own.
    pub(super) const fn health(unit: Unit) -> Self {
        let judged = Self::lasting(unit).no_dbus(JUDGED).no_api(JUDGED);
        judged.no_nvml(HEALTH).no_smi(HEALTH).no_sysfs(HEALTH)
    }

    /// Key on D-Bus.
    pub(super) const fn dbus(self, key: &'static str) -> Self {
        Self { dbus: Named::As(key), ..self }
    }

    /// No key on D-Bus, and why.
    pub(super) const fn no_dbus(self, why: &'static str) -> Self {
        Self { dbus: Named::Not(why), ..self }
    }

    /// Field of the manager API.
    pub(super) const fn api(self, field: &'static str) -> Self {
        Self { api: Named::As(field), ..self }
    }

    /// No field in the manager API, and why.
    pub(super) const fn no_api(self, why: &'static str) -> Self {
        Self { api: Named::Not(why), ..self }
    }

    /// Family that DCGM has too.
    pub(super) const fn dcgm(self, family: &'static str, help: &'static str) -> Self {
        Self { open: Named::As(family), help, ..self }
    }

    /// Family of our own, where DCGM has none.
    pub(super) const fn own(self, family: &'static str, help: &'static str) -> Self {
        self.dcgm(family, help)
    }

    /// No family, and why.
    pub(super) const fn no_open(self, why: &'static str) -> Self {
        Self { open: Named::Not(why), ..self }
    }

    /// Call or field of NVML.
    pub(super) const fn nvml(self, call: &'static str) -> Self {
        Self { nvml: Named::As(call), ..self }
    }

    /// NVML is not asked, and why.
    pub(super) const fn no_nvml(self, why: &'static str) -> Self {
        Self { nvml: Named::Not(why), ..self }
    }

    /// Element of nvidia-smi that is read by its path alone.
    pub(super) const fn smi(self, container: &'static str, element: &'static str) -> Self {
        Self { smi: Smi::At { container, element }, ..self }
    }

    /// Elements of nvidia-smi that the parser has code for.
    pub(super) const fn smi_by_hand(self, elements: &'static str) -> Self {
        Self { smi: Smi::ByHand(elements), ..self }
    }

    /// nvidia-smi is not read for it, and why.
    pub(super) const fn no_smi(self, why: &'static str) -> Self {
        Self { smi: Smi::Not(why), ..self }
    }

    /// Files in sysfs.
    pub(super) const fn sysfs(self, files: &'static str) -> Self {
        Self { sysfs: Named::As(files), ..self }
    }

    /// sysfs is not read for it, and why.
    pub(super) const fn no_sysfs(self, why: &'static str) -> Self {
        Self { sysfs: Named::Not(why), ..self }
    }
}
