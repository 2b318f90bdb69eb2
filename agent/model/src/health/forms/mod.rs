//! The forms of records, by who writes them.

pub(crate) mod bus;
pub(crate) mod drm;
pub(crate) mod firmware;
pub(crate) mod iommu;
pub(crate) mod nvidia;

/// The number at the beginning of a text.
pub(crate) fn leading_number(text: &str) -> Option<u32> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The hexadecimal number behind `key: 0x` in a text.
pub(crate) fn hex(text: &str, key: &str) -> Option<u32> {
    let (_, rest) = text.split_once(key)?;
    let digits = rest.trim_start_matches([':', ' ']).strip_prefix("0x")?;
    let digits = digits.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_behind_their_keys() {
        assert_eq!(hex("aer_status: 0x00004000, aer_mask: 0x12", "aer_mask"), Some(0x12));
        assert_eq!(hex("status:0x1f05 source:0x0200", "status"), Some(0x1f05));
        assert_eq!(hex("status", "status"), None);
        assert_eq!((leading_number("79, x"), leading_number("x79")), (Some(79), None));
    }
}
