//! How much room the disk has that holds Docker's images, and how much of it is its reserve.

use crate::host_facts::DiskUsage;
use serde::{Deserialize, Serialize};

/// A larger reserve is of no use to images, however large the disk is: 64 GiB.
const RESERVE_MOST_BYTES: u64 = 64 << 30;

/// The room of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRoom {
    /// The directory that was asked for.
    pub path: String,
    /// Free, in bytes.
    pub available_bytes: u64,
    /// So much of it is to stay free, in bytes.
    pub reserve_bytes: u64,
    /// Inodes are running out, however many bytes are free.
    pub has_few_inodes: bool,
}

impl DiskRoom {
    /// The room of a disk of which so much may be used.
    #[must_use]
    pub fn of(disk: &DiskUsage, limit_pct: u64) -> Self {
        let all = disk.used_bytes.saturating_add(disk.available_bytes);
        Self {
            path: disk.path.clone(),
            available_bytes: disk.available_bytes,
            reserve_bytes: (all / 100).saturating_mul(100_u64.saturating_sub(limit_pct)).min(RESERVE_MOST_BYTES),
            has_few_inodes: disk.inodes_total > 0 && disk.inodes_free < disk.inodes_total / 100,
        }
    }

    /// So many bytes are missing until the reserve is free; at least one while inodes are running out.
    #[must_use]
    pub fn lacking_bytes(&self) -> u64 {
        self.reserve_bytes.saturating_sub(self.available_bytes).max(u64::from(self.has_few_inodes))
    }

    /// The reserve is free again, and a little more: a disk at its limit must not be short and not short in turns.
    #[must_use]
    pub fn is_free_again(&self) -> bool {
        self.lacking_bytes() == 0
            && (self.reserve_bytes == 0
                || self.available_bytes >= self.reserve_bytes.saturating_add(self.reserve_bytes / 20))
    }

    /// In words, with both numbers.
    #[must_use]
    pub fn words(&self) -> String {
        let few = if self.has_few_inodes { ", and its inodes are running out" } else { "" };
        let (free, reserve) = (self.available_bytes >> 20, self.reserve_bytes >> 20);
        format!("the disk of {} has {free} MiB free, and its reserve is {reserve} MiB{few}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(used_bytes: u64, available_bytes: u64, inodes_free: u64) -> DiskUsage {
        let total_bytes = used_bytes + available_bytes + 50;
        DiskUsage { path: "/d".to_owned(), total_bytes, available_bytes, used_bytes, inodes_total: 1000, inodes_free }
    }

    #[test]
    fn the_reserve_is_a_share_of_what_can_be_used_and_inodes_count_too() {
        let room = DiskRoom::of(&disk(950, 50, 500), 90);
        assert_eq!((room.reserve_bytes, room.lacking_bytes(), room.is_free_again()), (100, 50, false));
        let at_the_limit = DiskRoom::of(&disk(900, 100, 500), 90);
        assert_eq!(
            (at_the_limit.lacking_bytes(), at_the_limit.is_free_again()),
            (0, false),
            "not short, and not over it"
        );
        assert!(DiskRoom::of(&disk(890, 110, 500), 90).is_free_again());
        assert_eq!(DiskRoom::of(&disk(100, 900, 9), 90).lacking_bytes(), 1);
        let all = DiskRoom::of(&disk(1000, 0, 500), 100);
        assert_eq!((all.lacking_bytes(), all.is_free_again()), (0, true), "no reserve is wanted");
        let large = DiskRoom::of(&disk(9 << 40, 1 << 40, 500), 90);
        assert_eq!((large.reserve_bytes, large.lacking_bytes()), (64 << 30, 0), "a large disk is not short at 90 %");
        let none = DiskUsage { inodes_total: 0, ..disk(100, 900, 0) };
        assert_eq!(DiskRoom::of(&none, 90).lacking_bytes(), 0, "this file system counts none");
    }
}
