//! The value of a metric, wherever the facts of a GPU hold it.

use super::table::{maybe, metric_table};
use super::{Metric, Value};
use crate::absence::{Absence, Reading};
use crate::driver::{DriverGpu, MigMode};
use crate::observation::Gpu;

impl From<bool> for Value {
    fn from(holds: bool) -> Self {
        Self::Flag(holds)
    }
}

impl From<MigMode> for Value {
    fn from(mode: MigMode) -> Self {
        Self::Flag(mode == MigMode::Enabled)
    }
}

/// Makes the readers of the rows.
macro_rules! readers {
    ($(
        #[doc = $doc:literal]
        $name:ident $code:ident $(kernel $link:ident)? $(in $($path:ident).+)? $(: $kind:ty)?, $row:expr;
    )+) => {
        /// The value of a metric as far as the driver knows it.
        #[must_use]
        pub fn of_driver(metric: Metric, driver: &DriverGpu) -> Reading<Value> {
            match metric {
                $(Metric::$name => {
                    $(Reading::<$kind>::clone(&driver.metrics.$code).map(Value::from))?
                    $(driver.$($path).+.clone().map(Value::from))?
                })+
            }
        }

        /// The value of a metric as the kernel knows it; `None` where only drivers do.
        fn of_kernel(metric: Metric, gpu: &Gpu) -> Option<Reading<Value>> {
            match metric {
                $(Metric::$name => maybe!($(gpu.pci.link.$link.clone().map(Value::from))?),)+
            }
        }
    };
}
metric_table!(readers);

/// The value of a metric of an observed GPU; where no driver answered for it, that is the reason.
#[must_use]
pub fn of_gpu(metric: Metric, gpu: &Gpu) -> Reading<Value> {
    let by_driver = match &gpu.driver {
        Some(driver) => of_driver(metric, driver),
        None => Reading::Absent(gpu.driver_absence.clone().unwrap_or(Absence::NotProbed)),
    };
    match of_kernel(metric, gpu) {
        Some(by_kernel) => by_kernel.or(by_driver),
        None => by_driver,
    }
}
