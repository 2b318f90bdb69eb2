//! Space of one file system, and what the block devices have read and written.

use super::text::content;
use model::absence::{Absence, Reading};
use model::host_facts::DiskUsage;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use std::path::Path;

/// `/proc/diskstats` counts in sectors of this size, whatever the device's own is.
const SECTOR_BYTES: u64 = 512;

/// Asks the file system that holds a folder.
pub(super) fn usage(path: &str) -> Reading<DiskUsage> {
    let status = match statvfs(path) {
        Ok(status) => status,
        Err(Errno::EACCES | Errno::EPERM) => return Reading::Absent(Absence::NoPermission),
        Err(errno) => return Reading::Absent(Absence::Unreadable(format!("statvfs {path}: {errno}"))),
    };
    let unit = status.fragment_size();
    let bytes = |blocks: u64| blocks.saturating_mul(unit);
    Reading::Known(DiskUsage {
        path: path.to_owned(),
        total_bytes: bytes(status.blocks()),
        available_bytes: bytes(status.blocks_available()),
        used_bytes: bytes(status.blocks().saturating_sub(status.blocks_free())),
        inodes_total: status.files(),
        inodes_free: status.files_free(),
    })
}

/// Bytes read and written since boot, over the devices that are hardware: a partition, a mapping or a RAID would count
/// the same bytes again.
pub(super) fn io_bytes(proc: &Path, sys: &Path) -> Reading<(u64, u64)> {
    let text = match content(&proc.join("diskstats")) {
        Ok(text) => text,
        Err(why) => return Reading::Absent(why),
    };
    let mut sum = None;
    for line in text.lines() {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(name) = columns.get(2).filter(|name| !name.contains('/')) else { continue };
        if !sys.join("block").join(name).join("device").exists() {
            continue;
        }
        let sectors = |column: usize| columns.get(column).and_then(|text| text.parse::<u64>().ok());
        let (Some(read), Some(written)) = (sectors(5), sectors(9)) else {
            return Reading::Absent(Absence::garbled(line));
        };
        let (all_read, all_written) = sum.unwrap_or((0_u64, 0_u64));
        sum = Some((all_read.saturating_add(read), all_written.saturating_add(written)));
    }
    let bytes = |(read, written): (u64, u64)| (read.saturating_mul(SECTOR_BYTES), written.saturating_mul(SECTOR_BYTES));
    Reading::from(sum.map(bytes))
}
