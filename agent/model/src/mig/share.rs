//! Shares wished compute instances (`1c.3g.20gb`) out over GPU instances: largest first, each into the first that has room.

use super::catalog::GpuProfile;

/// So many compute instances of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Slices of each.
    pub(super) slices: u32,
    /// How many.
    pub(super) count: u64,
}

/// GPU instances of one profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// How many it takes; of a count beyond the limit it is at least that.
    pub(super) instances: u64,
    /// Those that are alike together: slices of the compute instances of each (largest first), and how many.
    pub(super) kinds: Vec<(Vec<u32>, u64)>,
}

/// Shares out. One that fills its GPU instance has it alone. Stops counting at `limit` GPU instances: a count may be anything.
pub(super) fn share_out(profile: &GpuProfile, parts: &[Part], limit: u64) -> Shared {
    let whole: u64 = parts
        .iter()
        .filter(|part| part.slices == profile.compute_slices)
        .fold(0, |sum, part| sum.saturating_add(part.count));
    let mut kinds = Vec::new();
    if whole > 0 {
        kinds.push((vec![profile.compute_slices], whole));
    }
    let mut split: Vec<Part> = parts.iter().filter(|part| part.slices != profile.compute_slices).copied().collect();
    split.sort_by_key(|part| std::cmp::Reverse(part.slices));
    let mut bins: Vec<Vec<u32>> = Vec::new();
    for part in split {
        for _ in 0..part.count {
            if whole.saturating_add(count(&bins)) > limit {
                break;
            }
            match bins.iter_mut().find(|bin| has_room(profile, bin, part.slices)) {
                Some(bin) => bin.push(part.slices),
                None => bins.push(vec![part.slices]),
            }
        }
    }
    let instances = whole.saturating_add(count(&bins));
    for bin in bins {
        match kinds.iter_mut().find(|(compute, _)| *compute == bin) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => kinds.push((bin, 1)),
        }
    }
    Shared { instances, kinds }
}

fn count(bins: &[Vec<u32>]) -> u64 {
    u64::try_from(bins.len()).unwrap_or(u64::MAX)
}

fn has_room(profile: &GpuProfile, bin: &[u32], slices: u32) -> bool {
    let used: u32 = bin.iter().sum();
    let alike = bin.iter().filter(|other| **other == slices).count();
    let known = profile.compute_profiles.known().into_iter().flatten();
    let most = known.filter(|own| own.slices == slices).map(|own| own.instances).max();
    let one_more = most.is_none_or(|most| u64::try_from(alike).is_ok_and(|alike| alike < u64::from(most)));
    used.checked_add(slices).is_some_and(|sum| sum <= profile.compute_slices) && one_more
}

#[cfg(test)]
mod tests {
    use super::super::products::Product;
    use super::*;

    fn shared(profile: &str, parts: &[(u32, u64)]) -> Shared {
        let catalog = Product::find("A100-40GB").unwrap().catalog().unwrap();
        let parts: Vec<Part> = parts.iter().map(|(slices, count)| Part { slices: *slices, count: *count }).collect();
        share_out(catalog.profile(catalog.find(profile).unwrap()).unwrap(), &parts, 8)
    }

    #[test]
    fn larger_ones_come_first_and_what_fits_beside_them_follows() {
        assert_eq!(shared("3g.20gb", &[(1, 1), (2, 1)]).kinds, [(vec![2, 1], 1)]);
        assert_eq!(shared("3g.20gb", &[(3, 1), (1, 1)]).kinds, [(vec![3], 1), (vec![1], 1)]);
        assert_eq!(shared("3g.20gb", &[(2, 2)]).kinds, [(vec![2], 2)], "2 + 2 > 3");
        assert_eq!(shared("7g.40gb", &[(1, 1), (3, 2)]).kinds, [(vec![3, 3, 1], 1)]);
        assert_eq!(shared("3g.20gb", &[(1, 5)]).kinds, [(vec![1, 1, 1], 1), (vec![1, 1], 1)]);
    }

    #[test]
    fn a_count_without_bound_costs_no_time() {
        let huge = shared("3g.20gb", &[(1, u64::MAX), (3, u64::MAX)]);
        assert_eq!(huge.instances, u64::MAX);
        assert!(shared("3g.20gb", &[(1, u64::MAX)]).instances > 8);
    }
}
