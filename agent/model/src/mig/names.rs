//! Names of MIG devices where NVML gives none (drivers before profile information of version 2): from indices and sizes.

use super::profile::ProfileName;

const ME: &str = "me";

/// The name of a MIG device, as mig-parted and nvidia-smi would write it; none where an index is one that has no meaning yet.
///
/// `gpu_index` and `compute_index` are NVML's profile indices, `memory_mib` the GPU instance's memory, `total_bytes` that of the
/// GPU. The size in a name is the instance's share of the GPU in eighths, rounded up, of the GPU's memory in whole GiB.
#[must_use]
pub fn of_indices(gpu_index: u32, compute_index: u32, memory_mib: u64, total_bytes: u64) -> Option<ProfileName> {
    let (gpu, plus, minus): (u32, Option<&str>, Option<&str>) = match gpu_index {
        0 | 9 => (1, None, None),
        1 => (2, None, None),
        2 => (3, None, None),
        3 => (4, None, None),
        4 => (7, None, None),
        5 => (8, None, None),
        6 => (6, None, None),
        7 => (1, Some(ME), None),
        8 => (2, Some(ME), None),
        10 => (1, Some("gfx"), None),
        11 => (2, Some("gfx"), None),
        12 => (4, Some("gfx"), None),
        13 => (1, None, Some(ME)),
        14 => (2, None, Some(ME)),
        15 => (1, Some("me.all"), None),
        16 => (2, Some("me.all"), None),
        _ => return None,
    };
    let compute = match compute_index {
        0 | 7 => 1,
        1 => 2,
        2 => 3,
        3 => 4,
        4 | 8 => 7,
        5 => 8,
        6 => 6,
        _ => return None,
    };
    let list = |word: Option<&str>| word.map(str::to_owned).into_iter().collect();
    let memory_gb = gigabytes(memory_mib, total_bytes)?;
    Some(ProfileName { compute, gpu, memory_gb, plus: list(plus), minus: list(minus) })
}

fn gigabytes(memory_mib: u64, total_bytes: u64) -> Option<u64> {
    const MIB: u128 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let eighths = (u128::from(memory_mib) * MIB * 8).div_ceil(u128::from(total_bytes).max(1));
    let total_gb = u128::from(total_bytes.div_ceil(GIB));
    let halves = eighths.checked_mul(total_gb)?.checked_add(4)?;
    u64::try_from(halves / 8).ok().filter(|_| total_bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(gpu: u32, compute: u32, mib: u64, bytes: u64) -> Option<String> {
        of_indices(gpu, compute, mib, bytes).map(|name| name.to_string())
    }

    #[test]
    fn a_size_is_in_eighths_of_the_gpu_and_not_rounded_by_itself() {
        const A100_40: u64 = 40 << 30;
        assert_eq!(name(0, 0, 4864, A100_40).as_deref(), Some("1g.5gb"));
        assert_eq!(name(9, 0, 9856, A100_40).as_deref(), Some("1g.10gb"));
        assert_eq!(name(2, 0, 19968, A100_40).as_deref(), Some("1c.3g.20gb"));
        assert_eq!(name(4, 8, 40192, A100_40).as_deref(), Some("7g.40gb"), "the NVLink profile fills it as well");
        assert_eq!(name(0, 0, 16384, 150_754_820_096).as_deref(), Some("1g.18gb"), "1/8 of 141 is 17.6");
        assert_eq!(name(13, 0, 24192, 102_641_958_912).as_deref(), Some("1g.24gb-me"));
    }

    #[test]
    fn an_index_of_tomorrow_has_no_name_of_ours() {
        assert_eq!(name(17, 2, 1, 1 << 30), None, "3g+gfx of NVML 13.1, which gives the name itself");
        assert_eq!(name(18, 2, 1, 1 << 30), None);
        assert_eq!(name(0, 9, 1, 1 << 30), None);
        assert_eq!(name(0, 0, u64::MAX, 1), None);
        assert_eq!(name(0, 0, 1, 0), None);
    }
}
