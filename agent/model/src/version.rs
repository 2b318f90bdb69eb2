//! Versions as numbers: `1.17.8-rc.1`, `550.163.01`, `28.2.2`.

/// The leading numbers of a version; a suffix behind `-`, `+` or `~` is left out. Empty where there is none.
pub(crate) fn numbers(version: &str) -> Vec<u64> {
    let digits = version.trim().trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (plain, _) = digits.split_at(end);
    plain.split('.').map_while(|part| part.parse().ok()).collect()
}

/// True where the version is known and older than `than`.
pub(crate) fn is_older(version: &str, than: &[u64]) -> bool {
    let numbers = numbers(version);
    !numbers.is_empty() && numbers.as_slice() < than
}

/// The version of a package without epoch and revision: `1:550.163.01-1ubuntu1` is `550.163.01`.
pub(crate) fn upstream(package: &str) -> &str {
    let without_epoch = package.split_once(':').map_or(package, |(_, rest)| rest);
    let end = without_epoch.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(without_epoch.len());
    without_epoch.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        assert!(is_older("1.9.0", &[1, 17, 8]) && is_older("v1.17.7-rc.1", &[1, 17, 8]));
        assert!(!is_older("1.17.8", &[1, 17, 8]) && !is_older("1.20.0-1", &[1, 17, 8]));
        assert!(!is_older("", &[1]) && !is_older("unknown", &[1]));
    }

    #[test]
    fn epoch_and_revision_go() {
        assert_eq!(upstream("1:550.163.01-1ubuntu1"), "550.163.01");
        assert_eq!(upstream("580.105.08-0ubuntu0.24.04.1"), "580.105.08");
    }
}
