//! A timer for a loop that waits for other things too: it stays armed from one turn to the next. Making it anew in each turn would
//! cost five calls of the kernel.

use model::ports::Clock;
use model::time::BootMillis;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The timer.
pub struct Alarm<K> {
    clock: Arc<K>,
    armed: Option<(BootMillis, Sleep)>,
}

impl<K: Clock> Alarm<K> {
    /// One that is not armed.
    #[must_use]
    pub const fn new(clock: Arc<K>) -> Self {
        Self { clock, armed: None }
    }

    /// Waits until the instant; for ever where there is none. Whoever stops waiting and asks again for the same instant finds
    /// the timer as it was.
    pub async fn at(&mut self, when: Option<BootMillis>) {
        let Some(when) = when else {
            self.armed = None;
            return pending().await;
        };
        if self.armed.as_ref().is_none_or(|(armed, _)| *armed != when) {
            let clock = Arc::clone(&self.clock);
            self.armed = Some((when, Box::pin(async move { clock.sleep_until(when).await })));
        }
        if let Some((_, sleep)) = &mut self.armed {
            sleep.await;
        }
        self.armed = None;
    }
}
