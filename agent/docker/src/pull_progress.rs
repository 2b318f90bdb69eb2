//! How far a pull is, from the lines that Docker writes about each layer.

use bollard::models::CreateImageInfo;
use model::nvidia_container::ImageSeen;
use std::collections::BTreeMap;

/// More layers are not counted; Docker takes 127.
const LAYERS_MAX: usize = 512;

/// Bytes that are here and bytes in all, for each layer.
#[derive(Debug, Default)]
pub(crate) struct PullProgress(BTreeMap<String, (u64, u64)>);

impl PullProgress {
    /// Takes a line into account. A layer that Docker has already has no size.
    pub(crate) fn note(&mut self, line: &CreateImageInfo) {
        let Some(layer) = &line.id else { return };
        if self.0.len() >= LAYERS_MAX && !self.0.contains_key(layer) {
            return;
        }
        let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let detail = line.progress_detail.clone().unwrap_or_default();
        match line.status.as_deref() {
            Some("Downloading") => {
                let (done, total) = (bytes(detail.current), bytes(detail.total));
                self.0.insert(layer.clone(), (done, total.max(done)));
            }
            Some("Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete") => {
                if let Some((done, total)) = self.0.get_mut(layer) {
                    *done = *total;
                }
            }
            _ => {}
        }
    }

    /// As a look shows it.
    pub(crate) fn seen(&self) -> ImageSeen {
        let sum = |of: fn(&(u64, u64)) -> u64| self.0.values().map(of).fold(0, u64::saturating_add);
        ImageSeen::Pulling { done_bytes: sum(|(done, _)| *done), total_bytes: sum(|(_, total)| *total) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_are_summed_and_what_is_downloaded_stays_so_while_it_is_extracted() {
        let mut progress = PullProgress::default();
        for (layer, status, current, total) in [
            ("1.17.8", "Pulling from nvidia/k8s/container-toolkit", None, None),
            ("aa", "Already exists", None, None),
            ("bb", "Downloading", Some(10), Some(100)),
            ("cc", "Downloading", Some(7), Some(50)),
            ("bb", "Download complete", None, None),
            ("bb", "Extracting", Some(20), Some(100)),
            ("dd", "Downloading", Some(5), Some(-1)),
        ] {
            let progress_detail = Some(bollard::models::ProgressDetail { current, total });
            let (id, status) = (Some(layer.to_owned()), Some(status.to_owned()));
            progress.note(&CreateImageInfo { id, status, progress_detail, error_detail: None });
        }
        assert_eq!(progress.seen(), ImageSeen::Pulling { done_bytes: 112, total_bytes: 155 });
    }
}
