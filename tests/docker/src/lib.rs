//! Real Docker engines, a registry and stand-in images, started by a test and gone with it. `fetch.sh` brings the parts.

mod engine;
mod holder;
mod image;
mod leftovers;
mod parts;
mod registry;
mod relay;
pub mod stand_in;

pub use engine::{Engine, Options};
pub use image::Image;
pub use parts::{Release, releases};
pub use registry::{Registry, Users};
pub use relay::{Behaviour, Relay};

use std::time::{Duration, Instant};

/// How long a test waits for what must come: it finds what never comes, and measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
///
/// # Panics
/// When there was none within [`PATIENCE`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
