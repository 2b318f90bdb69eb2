//! What is wished of NVIDIA's two containers, from the settings and the desired state.

use super::nvidia_role::NvidiaRole;
use super::nvidia_spec::{DriverRootKind, KernelModuleType};
use crate::docker_config::DockerRestart;
use crate::image_ref::ImageRef;
use serde::{Deserialize, Serialize};

/// The driver that is deployed where no image is named; its tag gets the name of the operating system.
const DRIVER_IMAGE: (&str, &str) = ("nvcr.io/nvidia/driver", "580.126.16");
/// The toolkit that is deployed where no image is named.
const TOOLKIT_IMAGE: (&str, &str) = ("nvcr.io/nvidia/k8s/container-toolkit", "v1.17.8-ubuntu20.04");

/// The image of one of NVIDIA's containers, as an administrator may name it: with its registry, and with a tag other than `latest`
/// or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NvidiaImage(ImageRef);

impl NvidiaImage {
    /// The reference.
    #[must_use]
    pub const fn image(&self) -> &ImageRef {
        &self.0
    }
}

/// A text that names no image for one of NVIDIA's containers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected REGISTRY/PATH:TAG or REGISTRY/PATH@sha256:…: {why}")]
pub struct BadNvidiaImage {
    why: String,
}

impl std::str::FromStr for NvidiaImage {
    type Err = BadNvidiaImage;

    fn from_str(text: &str) -> Result<Self, BadNvidiaImage> {
        let bad = |why: String| BadNvidiaImage { why };
        let image: ImageRef = text.parse().map_err(|fault: crate::image_ref::BadImageRef| bad(fault.to_string()))?;
        if !image.names_registry() {
            return Err(bad("it names no registry, and Docker would take it from its own".to_owned()));
        }
        if image.digest().is_none() && image.tag().is_none_or(|tag| tag == "latest") {
            return Err(bad("without a version or a digest it is not known what will run".to_owned()));
        }
        Ok(Self(image))
    }
}

impl TryFrom<String> for NvidiaImage {
    type Error = BadNvidiaImage;

    fn try_from(text: String) -> Result<Self, BadNvidiaImage> {
        text.parse()
    }
}

impl From<NvidiaImage> for String {
    fn from(image: NvidiaImage) -> Self {
        image.0.to_string()
    }
}

/// Where the toolkit container is to look for the driver's files.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
pub enum DriverRootWish {
    /// Where they are: below `/run/nvidia/driver` with a driver container, else at `/`.
    #[default]
    #[serde(rename = "auto")]
    #[strum(serialize = "auto")]
    Auto,
    /// Those of a driver container.
    #[serde(rename = "/run/nvidia/driver")]
    #[strum(serialize = "/run/nvidia/driver")]
    Container,
    /// Those of the host.
    #[serde(rename = "/")]
    #[strum(serialize = "/")]
    Host,
}

impl DriverRootWish {
    /// Every value, in the order of the enum.
    pub const VALUES: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// Where they are, on a host that has a driver container or none.
    #[must_use]
    pub const fn kind(self, has_driver_container: bool) -> DriverRootKind {
        match self {
            Self::Container => DriverRootKind::Container,
            Self::Host => DriverRootKind::Host,
            Self::Auto if has_driver_container => DriverRootKind::Container,
            Self::Auto => DriverRootKind::Host,
        }
    }
}

/// What is wished. Without a word nothing is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NvidiaWish {
    /// A driver container is deployed.
    pub deploy_driver: bool,
    /// From this image.
    pub driver_image: NvidiaImage,
    /// Which kernel modules it builds.
    pub driver_kernel_modules: KernelModuleType,
    /// A toolkit container is deployed.
    pub deploy_toolkit: bool,
    /// From this image.
    pub toolkit_image: NvidiaImage,
    /// Where the driver's files are that it works with.
    pub driver_root: DriverRootWish,
    /// How far gpuhostd may go for what Docker takes up at a restart only; the policy bounds it.
    pub docker_restart: DockerRestart,
}

impl NvidiaWish {
    /// A container of this role is wished.
    #[must_use]
    pub const fn deploys(&self, role: NvidiaRole) -> bool {
        match role {
            NvidiaRole::Driver => self.deploy_driver,
            NvidiaRole::Toolkit => self.deploy_toolkit,
        }
    }

    /// The image of a role.
    #[must_use]
    pub const fn image(&self, role: NvidiaRole) -> &ImageRef {
        match role {
            NvidiaRole::Driver => self.driver_image.image(),
            NvidiaRole::Toolkit => self.toolkit_image.image(),
        }
    }
}

fn built_in((repository, tag): (&str, &str)) -> NvidiaImage {
    NvidiaImage(ImageRef::built_in(repository, tag))
}

impl Default for NvidiaWish {
    fn default() -> Self {
        Self {
            deploy_driver: false,
            driver_image: built_in(DRIVER_IMAGE),
            driver_kernel_modules: KernelModuleType::default(),
            deploy_toolkit: false,
            toolkit_image: built_in(TOOLKIT_IMAGE),
            driver_root: DriverRootWish::default(),
            docker_restart: DockerRestart::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_with_its_registry_and_a_version() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for right in ["nvcr.io/nvidia/driver:580", "localhost:5000/x:1", &format!("r.example/x@{digest}")] {
            assert!(right.parse::<NvidiaImage>().is_ok(), "{right}");
        }
        for wrong in [
            "nvidia/driver:580",
            "nvcr.io/nvidia/driver",
            "nvcr.io/nvidia/driver:latest",
            "-v",
            "r.example/x@sha256:ab",
        ] {
            assert!(wrong.parse::<NvidiaImage>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_deployed_unless_it_is_wished_and_the_built_in_images_are_allowed() {
        let wish = NvidiaWish::default();
        let policy = crate::policy::NvidiaPolicy::default();
        for role in NvidiaRole::ALL {
            assert!(!wish.deploys(*role));
            assert_eq!(wish.image(*role).to_string().parse().as_ref(), Ok(wish.image(*role)));
            assert_eq!(policy.allows(*role, wish.image(*role)), Ok(()));
        }
    }

    #[test]
    fn the_driver_is_found_where_it_is() {
        assert_eq!(DriverRootWish::Auto.kind(true), DriverRootKind::Container);
        assert_eq!(DriverRootWish::Auto.kind(false), DriverRootKind::Host);
        assert_eq!(DriverRootWish::Host.kind(true), DriverRootKind::Host);
        assert_eq!("/".parse(), Ok(DriverRootWish::Host));
    }
}
