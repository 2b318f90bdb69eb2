//! After NVIDIA's driver or toolkit was changed, the host is looked at once more before a workspace is given a GPU: what was seen before
//! the change names the driver, the devices and the CDI files of before.

use crate::driver_changing::driver_changing;
use crate::handle::Handle;
use model::nvidia_container::NvidiaState;
use model::time::UnixMillis;
use tokio::task::JoinSet;

const LOOKED_AT_AGAIN: &str = "NVIDIA's driver or toolkit was changed, and the host is being looked at once more";

/// Since when driver and toolkit container have their phase, and whether something is being done to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NvidiaMark {
    driver: Option<UnixMillis>,
    toolkit: Option<UnixMillis>,
    is_done: bool,
}

/// Whether what is known of the host is of after the last change.
pub(crate) struct FreshHost {
    observer: Handle,
    mark: Option<NvidiaMark>,
    is_due: bool,
    looking: JoinSet<()>,
}

impl FreshHost {
    /// Nothing was changed yet: what is seen at a start is of after the start.
    pub(crate) fn new(observer: Handle) -> Self {
        Self { observer, mark: None, is_due: false, looking: JoinSet::new() }
    }

    /// Why no workspace is given a GPU of NVIDIA now. The look that ends this is begun here.
    pub(crate) fn hold(&mut self, nvidia: &NvidiaState) -> Option<String> {
        let changing = driver_changing(nvidia);
        let mark = NvidiaMark {
            driver: nvidia.driver.since,
            toolkit: nvidia.toolkit.since,
            is_done: nvidia.driver.deed.is_none() && nvidia.toolkit.deed.is_none(),
        };
        let is_ours = nvidia.driver.wished || nvidia.toolkit.wished;
        // A change that began and ended between two turns is one too.
        let is_other = self.mark.replace(mark).is_some_and(|before| before != mark);
        self.is_due |= changing.is_some() || (is_ours && is_other);
        if changing.is_some() {
            return changing;
        }
        if std::mem::take(&mut self.is_due) {
            // One that was begun earlier may have read before the change.
            self.looking.abort_all();
            let observer = self.observer.clone();
            self.looking.spawn(async move { observer.look_again().await });
        }
        (!self.looking.is_empty()).then(|| LOOKED_AT_AGAIN.to_owned())
    }

    /// Returns when a look has ended; never while none is under way.
    pub(crate) async fn looked(&mut self) {
        if self.looking.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
