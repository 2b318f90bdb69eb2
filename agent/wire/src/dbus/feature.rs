//! What a GPU can be used for, as it is shown.

use super::value::DictView;
use model::features::{Feature, FeatureName, Features};
use serde::{Deserialize, Serialize};

/// One use of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FeatureView {
    /// `cuda`, `nvenc`, `nvdec`, `vaapi`, `dri3`, `egl` or `vulkan`.
    pub feature: String,
    /// The chip and the bound kernel driver can do it.
    pub supported: bool,
    /// A workspace that is given the GPU can use it now.
    pub enabled: bool,
    /// Stable code of why not.
    pub reason: Option<String>,
    /// The same as a sentence.
    pub detail: Option<String>,
}

impl DictView for FeatureView {}

impl From<(&FeatureName, &Feature)> for FeatureView {
    fn from((name, feature): (&FeatureName, &Feature)) -> Self {
        Self {
            feature: name.code().to_owned(),
            supported: feature.supported,
            enabled: feature.enabled,
            reason: feature.reason.map(|lack| lack.code().to_owned()),
            detail: feature.reason.map(|lack| lack.sentence()),
        }
    }
}

/// All features, in their order.
pub(super) fn views(features: &Features) -> Vec<FeatureView> {
    features.iter().map(FeatureView::from).collect()
}
