//! What one input may cost: heap above what was there before, and CPU time of the thread, both linear in its length.

use crate::Target;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use std::time::Duration;

/// Limits for one input: a fixed part, and a part for each of its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Heap in bytes.
    pub heap: usize,
    /// Heap in bytes for each byte of the input.
    pub heap_per_byte: usize,
    /// CPU time.
    pub time: Duration,
    /// CPU time for each byte of the input.
    pub time_per_byte: Duration,
}

impl Bounds {
    /// What suits a parser of small documents. The time is generous, since the machine is shared: it catches what grows faster
    /// than its input.
    pub const USUAL: Self = Self {
        heap: 512 * 1024,
        heap_per_byte: 64,
        time: Duration::from_millis(250),
        time_per_byte: Duration::from_micros(5),
    };

    fn heap_for(&self, bytes: usize) -> usize {
        self.heap.saturating_add(self.heap_per_byte.saturating_mul(bytes))
    }

    fn time_for(&self, bytes: usize) -> Duration {
        self.time + self.time_per_byte.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}

/// Looks at one input within the target's bounds; `heap` is the allocator of the process.
///
/// # Panics
/// Something does not hold, or it cost too much.
pub fn look(target: &Target, heap: &PeakAlloc, input: &[u8]) {
    let (before, began) = (heap.current_usage(), thread_time());
    heap.reset_peak_usage();
    (target.run)(input);
    let (taken, most) = (thread_time().saturating_sub(began), target.bounds.time_for(input.len()));
    let (peak, room) = (heap.peak_usage().saturating_sub(before), target.bounds.heap_for(input.len()));
    assert!(peak <= room, "{} bytes of input took {peak} bytes of heap, more than {room}", input.len());
    assert!(taken <= most, "{} bytes of input took {taken:?}, more than {most:?}", input.len());
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
