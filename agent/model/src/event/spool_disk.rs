//! What of the spool is still to be written, and how: appended, or the file written again as a whole.

/// Largest file.
pub const SPOOL_MAX_BYTES: usize = 16 * 1024 * 1024;
/// A file with more than this, and more than four times of what counts in it, is written again.
const SLACK_BYTES: usize = 1024 * 1024;
/// More than this is not kept to be appended: the file is written as a whole instead.
const PENDING_MAX_BYTES: usize = 1024 * 1024;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolWrite {
    /// Append these bytes.
    Append {
        /// Whole lines.
        bytes: Vec<u8>,
        /// They are to be on disk before this is reported. What only spares a delivery need not be.
        sync: bool,
    },
    /// Replace the file by these bytes.
    Whole(Vec<u8>),
}

/// The file, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct SpoolDisk {
    /// The number of the last event that is on disk.
    stored: u64,
    file_bytes: usize,
    pending: Vec<u8>,
    /// The number of the last event in `pending`.
    pending_seq: u64,
    sync: bool,
    needs_whole: bool,
    /// The write that is under way, and the number of its last event.
    writing: Option<(SpoolWrite, u64)>,
    /// So many appends in a row failed.
    failures: u32,
}

/// After so many of them the file is written as a whole: it may be gone, or another one.
const FAILURES_MOST: u32 = 2;

impl SpoolDisk {
    /// A file of so many bytes, of which that event is the last.
    pub(super) fn with(file_bytes: usize, stored: u64, needs_whole: bool) -> Self {
        Self { stored, pending_seq: stored, file_bytes, needs_whole, ..Self::default() }
    }

    /// This line is to be written; `seq` is the number of its last event.
    pub(super) fn queue(&mut self, line: Vec<u8>, seq: u64, sync: bool) {
        self.pending.extend(line);
        self.pending_seq = self.pending_seq.max(seq);
        self.sync |= sync;
        if self.pending.len() > PENDING_MAX_BYTES {
            self.pending = Vec::new();
            self.needs_whole = true;
        }
    }

    /// The next write, where there is one and none is under way; `whole` gives the whole file, `live_bytes` is what counts in it.
    pub(super) fn next(&mut self, live_bytes: usize, whole: impl FnOnce() -> Vec<u8>) -> Option<SpoolWrite> {
        if self.writing.is_some() || (self.pending.is_empty() && !self.needs_whole) {
            return None;
        }
        let bytes = self.file_bytes.saturating_add(self.pending.len());
        let most = SPOOL_MAX_BYTES.min(SLACK_BYTES.saturating_add(live_bytes.saturating_mul(4)));
        let pending = std::mem::take(&mut self.pending);
        let write = if self.needs_whole || bytes > most {
            SpoolWrite::Whole(whole())
        } else {
            SpoolWrite::Append { bytes: pending, sync: std::mem::take(&mut self.sync) }
        };
        self.writing = Some((write.clone(), self.pending_seq));
        Some(write)
    }

    /// It was written.
    pub(super) fn done(&mut self) {
        let Some((write, seq)) = self.writing.take() else { return };
        match write {
            SpoolWrite::Append { bytes, .. } => self.file_bytes = self.file_bytes.saturating_add(bytes.len()),
            SpoolWrite::Whole(bytes) => {
                self.file_bytes = bytes.len();
                self.needs_whole = false;
            }
        }
        self.stored = self.stored.max(seq);
        self.failures = 0;
    }

    /// It was not written, or only a part of it.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.needs_whole |= self.failures >= FAILURES_MOST;
        match self.writing.take() {
            Some((SpoolWrite::Append { bytes, .. }, _)) => {
                // A part of it may be there: the line that was cut must not take the next one with it.
                let again = [b"\n".as_slice(), &bytes, &std::mem::take(&mut self.pending)].concat();
                self.queue(again, 0, true);
            }
            Some((SpoolWrite::Whole(_), _)) => self.needs_whole = true,
            None => {}
        }
    }

    /// The number of the last event that may be delivered: one that is on disk, or any while none can be kept.
    pub(super) const fn deliverable(&self) -> u64 {
        if self.failures > 0 { u64::MAX } else { self.stored }
    }
}
