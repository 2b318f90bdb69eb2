//! The digest of the settings that a driver's installation depends on: equal settings, equal digest, whatever their order.

use crate::fingerprint::fnv1a;
use crate::image_ref::ImageRef;
use std::collections::BTreeMap;

/// The name of the variable that NVIDIA's entrypoint compares with what it stored in `/run/nvidia/nvidia-driver.state`: where both are
/// equal and the module is loaded, a start of the container leaves the module alone.
pub const DRIVER_CONFIG_DIGEST: &str = "DRIVER_CONFIG_DIGEST";

/// The digest of an installation from this image with this environment, `gpuhost1-` and 16 hexadecimal digits; never empty. Of the
/// image only its digest counts, where it has one. [`DRIVER_CONFIG_DIGEST`] itself and variables without a value do not count.
///
/// The number in front changes with what goes into it: a new version of gpuhostd must not find an equal digest for other settings.
#[must_use]
pub fn driver_config_digest<'a>(image: &ImageRef, environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let counted = |(name, value): &(&str, &str)| !value.is_empty() && *name != DRIVER_CONFIG_DIGEST;
    let environment: BTreeMap<&str, &str> = environment.into_iter().filter(counted).collect();
    let image = image.digest().map_or_else(|| image.to_string(), ToString::to_string);
    // JSON keeps one text from being taken for two.
    let text = serde_json::to_string(&(image, environment)).unwrap_or_default();
    format!("gpuhost1-{:016x}", fnv1a(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(digit: &str) -> ImageRef {
        format!("nvcr.io/nvidia/driver:580@sha256:{}", digit.repeat(64)).parse().unwrap()
    }

    const ENVIRONMENT: [(&str, &str); 2] = [("KERNEL_MODULE_TYPE", "open"), ("NO_PROXY", "a,b")];

    #[test]
    fn it_is_the_same_in_each_version_of_the_product() {
        // The value is compared with a file that an earlier version wrote.
        assert_eq!(driver_config_digest(&image("a"), ENVIRONMENT), GOLDEN);
    }

    const GOLDEN: &str = "gpuhost1-165861a2fbc6733a";

    #[test]
    fn order_names_and_empty_values_do_not_matter() {
        let other: ImageRef = format!("mirror.example/driver@sha256:{}", "a".repeat(64)).parse().unwrap();
        let environment =
            [("NO_PROXY", "a,b"), ("HTTP_PROXY", ""), (DRIVER_CONFIG_DIGEST, "x"), ("KERNEL_MODULE_TYPE", "open")];
        assert_eq!(driver_config_digest(&other, environment), GOLDEN);
    }

    #[test]
    fn each_part_of_it_matters() {
        let mut seen = vec![
            driver_config_digest(&image("a"), ENVIRONMENT),
            driver_config_digest(&image("b"), ENVIRONMENT),
            driver_config_digest(&image("a"), [("KERNEL_MODULE_TYPE", "proprietary"), ("NO_PROXY", "a,b")]),
            driver_config_digest(&image("a"), [("KERNEL_MODULE_TYPE", "open")]),
            driver_config_digest(&image("a"), [("KERNEL_MODULE_TYPE", "open"), ("NO_PROXY", "a\",\"b")]),
            driver_config_digest(&"nvcr.io/nvidia/driver:580".parse().unwrap(), ENVIRONMENT),
            driver_config_digest(&"nvcr.io/nvidia/driver:570".parse().unwrap(), ENVIRONMENT),
        ];
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    proptest! {
        #[test]
        fn it_is_one_word_for_any_settings(pairs in proptest::collection::vec((".{0,20}", ".{0,20}"), 0..8)) {
            let text = driver_config_digest(&image("a"), pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert!(text.len() == 25 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        }
    }
}
