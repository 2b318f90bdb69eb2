//! Waiting for a condition with a deadline, never for a time.

use std::time::{Duration, Instant};

/// How long a test waits for what must come: it says that something is wrong, never how fast it is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer; panics with what was waited for where the deadline passes.
///
/// # Panics
/// When `within` has passed.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
