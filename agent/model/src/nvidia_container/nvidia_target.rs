//! Which image a role is to be created from: the wished one, or the one before it where that failed or cannot be had.

use super::nvidia_look::ImageSeen;
use super::nvidia_memory::NvidiaMemory;
use super::nvidia_phase::NvidiaHold;
use super::nvidia_record::NvidiaRecord;
use super::nvidia_role::NvidiaRole;
use super::nvidia_spec::{DriverOptions, NvidiaOptions, NvidiaSpec, ToolkitOptions};
use super::nvidia_wish::NvidiaWish;
use super::nvidia_world::{NvidiaRefused, NvidiaWorld};
use crate::image_ref::{ImageDigest, ImageRef};

/// The oldest toolkit that knows `NO_RUNTIME_CONFIG`.
const KNOWS_NO_RUNTIME_CONFIG: [u32; 2] = [1, 19];

/// What a role is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A container of this.
    Spec(NvidiaSpec),
    /// This image has to be pulled before it is known what its tag stands for.
    Unresolved(ImageRef),
    /// Nothing new.
    Refused(NvidiaRefused),
}

/// The image that a look at a role's containers is to report about; `None` where nothing is wished of it.
#[must_use]
pub fn image_to_look_at(
    role: NvidiaRole,
    world_wish: &NvidiaWish,
    image: &ImageRef,
    record: &NvidiaRecord,
) -> ImageRef {
    let memory = record.of(role);
    match desired(role, world_wish, image, memory) {
        Ok(spec) => match (memory.has_failed(&spec), memory.way_back_from(&spec)) {
            (Some(_), Some(good)) => good.image.clone(),
            (Some(_) | None, Some(_) | None) => spec.image,
        },
        Err(unresolved) => unresolved,
    }
}

/// The record as a turn begins with it: in this boot, and about this wish.
#[must_use]
pub fn record_for(wish: &NvidiaWish, record: &NvidiaRecord, boot_id: &str) -> NvidiaRecord {
    let mut record = record.clone().in_boot(boot_id);
    for role in NvidiaRole::ALL {
        if !wish.deploys(*role) {
            continue;
        }
        let options = match role {
            NvidiaRole::Driver => wish.driver_kernel_modules.into(),
            NvidiaRole::Toolkit => wish.driver_root.kind(wish.deploy_driver).code(),
        };
        let of_role = format!("{} {options}", wish.image(*role));
        let memory = record.of_mut(*role);
        if memory.wish.as_ref().is_some_and(|former| is_the_same_wish(former, &of_role)) {
            memory.wish = Some(of_role.clone());
        }
        let is_news = memory.wish.as_ref() != Some(&of_role);
        record.of_mut(*role).wish(of_role);
        if is_news {
            match role {
                NvidiaRole::Driver => record.driver_host.failures = super::NvidiaFailures::default(),
                NvidiaRole::Toolkit => {
                    (record.runtime.not_taken, record.runtime.failures) = (None, super::NvidiaFailures::default());
                    record.runtime.cdi.try_again();
                }
            }
        }
    }
    record
}

/// The first builds with schema 1 wrote the option with a capital letter: the same wish, which begins nothing afresh.
fn is_the_same_wish(former: &str, now: &str) -> bool {
    let Some((image, option)) = former.rsplit_once(' ') else { return false };
    format!("{image} {}", option.to_ascii_lowercase()) == now
}

/// What is wished with its digest, or the image whose digest is not known yet.
pub(super) fn desired(
    role: NvidiaRole,
    wish: &NvidiaWish,
    image: &ImageRef,
    memory: &NvidiaMemory,
) -> Result<NvidiaSpec, ImageRef> {
    let digest = match (image.digest(), &memory.resolved) {
        (Some(digest), _) => digest,
        (None, Some(resolved)) if !memory.pull_again => resolved,
        (None, Some(_) | None) => return Err(image.clone()),
    };
    Ok(spec_of(role, wish, image, digest))
}

fn spec_of(role: NvidiaRole, wish: &NvidiaWish, image: &ImageRef, digest: &ImageDigest) -> NvidiaSpec {
    let options = match role {
        NvidiaRole::Driver => NvidiaOptions::Driver(DriverOptions {
            kernel_modules: wish.driver_kernel_modules,
            config_digest: config_digest(wish, digest),
        }),
        NvidiaRole::Toolkit => NvidiaOptions::Toolkit(ToolkitOptions {
            driver_root: wish.driver_root.kind(wish.deploy_driver),
            knows_no_runtime_config: image.tag().is_some_and(knows_no_runtime_config),
        }),
    };
    NvidiaSpec { image: image.at(digest.clone()), options }
}

/// `DRIVER_CONFIG_DIGEST` of the wished driver container: where the host has the same one stored, its module is kept. `None` until it is
/// known by which digest the image goes. `image` is the one that [`super::nvidia_image`] names.
#[must_use]
pub fn driver_config_planned(wish: &NvidiaWish, image: &ImageRef, record: &NvidiaRecord) -> Option<String> {
    match desired(NvidiaRole::Driver, wish, image, record.of(NvidiaRole::Driver)).ok()?.options {
        NvidiaOptions::Driver(DriverOptions { config_digest, .. }) => Some(config_digest),
        NvidiaOptions::Toolkit(_) => None,
    }
}

/// Equal for equal settings. What the installation depends on is the image and the kind of modules.
fn config_digest(wish: &NvidiaWish, digest: &ImageDigest) -> String {
    let modules: &str = wish.driver_kernel_modules.into();
    format!("gpuhost-{modules}-{}", digest.as_str().trim_start_matches("sha256:"))
}

fn knows_no_runtime_config(tag: &str) -> bool {
    let mut numbers = tag.strip_prefix('v').unwrap_or(tag).split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
    [major, minor] >= KNOWS_NO_RUNTIME_CONFIG
}

/// Resolves the tag where its image is here. Returns what the role is to become.
pub(super) fn target(role: NvidiaRole, world: &NvidiaWorld, seen: &ImageSeen, memory: &mut NvidiaMemory) -> Target {
    let image = match world.image(role) {
        Some(Ok(image)) => image,
        Some(Err(refused)) => return Target::Refused(refused.clone()),
        None => {
            let why = format!("no image is named for the {role} container");
            return Target::Refused(NvidiaRefused { code: "invalid_argument".to_owned(), why });
        }
    };
    if let Err((key, why)) = world.policy.allows(role, image) {
        let why = format!("{key}: {why}");
        return Target::Refused(NvidiaRefused { code: "denied_by_local_policy".to_owned(), why });
    }
    if let (None, ImageSeen::Present { digests }) = (image.digest(), seen)
        && (memory.resolved.is_none() && !memory.pull_again)
    {
        // Of several the one that a container of ours runs: nothing is replaced for want of an order.
        let good = memory.good.as_ref().and_then(|good| good.image.digest());
        memory.resolved = good.filter(|good| digests.contains(good)).or(digests.first()).cloned();
    }
    match desired(role, &world.wish, image, memory) {
        Ok(spec) => Target::Spec(spec),
        Err(image) => Target::Unresolved(image),
    }
}

/// What holds while the one before is kept in place of the wished one.
pub(super) fn rolled_back(spec: &NvidiaSpec, memory: &NvidiaMemory) -> Option<(NvidiaSpec, NvidiaHold)> {
    let failed = memory.has_failed(spec)?;
    let good = memory.way_back_from(spec)?.clone();
    let reason = format!("{}: {}", failed.fault, failed.reason);
    Some((good, NvidiaHold::RolledBack { image: failed.spec.image.to_string(), reason }))
}
