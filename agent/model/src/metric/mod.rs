//! The metrics of a GPU: one table has of each its unit, its name on D-Bus, in the manager API and in OpenMetrics, where it is
//! read, and whether it outlasts sleep. Whatever shows, merges or forgets metrics loops over it; only the code that asks a
//! source knows a metric by its name.

mod metric_value;
mod metrics_page;
mod row;
mod table;

pub use metric_value::{of_driver, of_gpu};
pub use metrics_page::table;
pub use row::{MetricRow, Named, Smi, Unit};

use crate::absence::{Absence, Reading};
use row::Unit as U;
use serde::{Deserialize, Serialize};
use table::{MEMORY_INFO, NO_FIELD, NO_SUCH_THING, NOT_SHOWN, SM_CLOCK_INSTEAD, maybe, metric_table};

/// The value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(u64),
    /// Any number.
    Real(f64),
    /// A word.
    Text(String),
    /// Several words.
    List(Vec<String>),
}

/// The field of one metric, with the type that it has.
#[derive(Debug)]
pub enum MetricSlot<'a> {
    /// Any number.
    Real(&'a mut Reading<f64>),
    /// A whole number of 32 bits.
    Small(&'a mut Reading<u32>),
    /// A whole number of 64 bits.
    Whole(&'a mut Reading<u64>),
    /// A word.
    Text(&'a mut Reading<String>),
    /// Several words.
    List(&'a mut Reading<Vec<String>>),
}

impl MetricSlot<'_> {
    /// There is no value, for this reason.
    pub fn forget(self, why: &Absence) {
        let why = why.clone();
        match self {
            Self::Real(slot) => *slot = Reading::Absent(why),
            Self::Small(slot) => *slot = Reading::Absent(why),
            Self::Whole(slot) => *slot = Reading::Absent(why),
            Self::Text(slot) => *slot = Reading::Absent(why),
            Self::List(slot) => *slot = Reading::Absent(why),
        }
    }

    /// This number, or why there is none; where the metric is a word, nothing happens.
    pub fn number(self, number: Reading<u32>) {
        match self {
            Self::Real(slot) => *slot = number.map(f64::from),
            Self::Small(slot) => *slot = number,
            Self::Whole(slot) => *slot = number.map(u64::from),
            Self::Text(_) | Self::List(_) => {}
        }
    }
}

/// One type of field: how it is shown, and its slot.
macro_rules! field {
    ($kind:ty, $slot:ident, $value:expr) => {
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                $value(value)
            }
        }
        impl<'a> From<&'a mut Reading<$kind>> for MetricSlot<'a> {
            fn from(field: &'a mut Reading<$kind>) -> Self {
                Self::$slot(field)
            }
        }
    };
}
field!(f64, Real, Value::Real);
field!(u32, Small, |number| Value::Whole(u64::from(number)));
field!(u64, Whole, Value::Whole);
field!(String, Text, Value::Text);
field!(Vec<String>, List, Value::List);

/// Makes the metrics, and the fields of those that have one, of the rows.
macro_rules! define {
    ($(
        #[doc = $doc:literal]
        $name:ident $code:ident $(kernel $link:ident)? $(in $($path:ident).+)? $(: $kind:ty)?, $row:expr;
    )+) => {
        /// A metric of a GPU, in the order of the families in OpenMetrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Metric {
            $(#[doc = $doc] $name,)+
        }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name of its field, and in descriptions of simulated hosts.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => stringify!($code),)+ }
            }

            /// What it is.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$name => $doc,)+ }
            }

            /// Its row of the table.
            #[must_use]
            pub const fn row(self) -> MetricRow {
                match self { $(Self::$name => $row,)+ }
            }
        }

        /// What one source measured of a GPU, each value or the reason why there is none.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Metrics {
            $($(#[doc = $doc] pub $code: Reading<$kind>,)?)+
        }

        impl Metrics {
            /// Nothing is known, for this reason.
            #[must_use]
            pub fn absent(why: &Absence) -> Self {
                Self { $($($code: Reading::<$kind>::Absent(why.clone()),)?)+ }
            }

            /// Each value of a trusted source, filled in from another one.
            #[must_use]
            pub fn filled(self, other: Self) -> Self {
                Self { $($($code: Reading::<$kind>::filled(self.$code, other.$code),)?)+ }
            }

            /// The field of a metric; `None` where the driver's facts hold it elsewhere.
            pub fn slot(&mut self, metric: Metric) -> Option<MetricSlot<'_>> {
                match metric { $(Metric::$name => maybe!($(<&mut Reading<$kind> as Into<MetricSlot<'_>>>::into(&mut self.$code))?),)+ }
            }
        }
    };
}
metric_table!(define);

impl Metrics {
    /// The fields of all metrics that have one.
    pub fn each(&mut self, mut change: impl FnMut(Metric, MetricSlot<'_>)) {
        for metric in Metric::ALL {
            if let Some(slot) = self.slot(*metric) {
                change(*metric, slot);
            }
        }
    }

    /// The GPU sleeps: what was measured is not true any more.
    pub fn forget_measured(&mut self) {
        self.each(|metric, slot| {
            if !metric.row().outlasts_sleep {
                slot.forget(&Absence::GpuAsleep);
            }
        });
    }
}
