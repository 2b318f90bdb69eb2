//! How far a pull is, from the lines that Docker writes about each layer.

use bollard::models::CreateImageInfo;
use model::nvidia_container::ImageSeen;
use std::collections::BTreeMap;

/// More layers are not counted; Docker takes 127.
const LAYERS_MAX: usize = 512;

/// How far one layer is.
#[derive(Debug, Default)]
struct Layer {
    /// Bytes that are here, and all of them.
    done: u64,
    total: u64,
    /// The most that has been here: one whose connection was cut begins again.
    most: u64,
    /// It is downloaded.
    is_whole: bool,
}

/// How far each layer is.
#[derive(Debug, Default)]
pub(crate) struct PullProgress(BTreeMap<String, Layer>);

impl PullProgress {
    /// Takes a line into account. A layer that Docker has already has no size. False: nothing has come forward by it, since Docker counts
    /// down to another try, or has again what it had before the connection was cut.
    pub(crate) fn note(&mut self, line: &CreateImageInfo) -> bool {
        let status = line.status.as_deref().unwrap_or_default();
        if status.starts_with("Retrying") {
            return false;
        }
        let Some(layer) = &line.id else { return true };
        if self.0.len() >= LAYERS_MAX && !self.0.contains_key(layer) {
            return true;
        }
        let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let detail = line.progress_detail.clone().unwrap_or_default();
        match status {
            "Downloading" => {
                let known = self.0.entry(layer.clone()).or_default();
                known.done = bytes(detail.current);
                known.total = bytes(detail.total).max(known.done);
                let is_new = known.done > known.most || known.most == 0;
                known.most = known.most.max(known.done).max(1);
                is_new
            }
            "Verifying Checksum" | "Download complete" => {
                let Some(known) = self.0.get_mut(layer) else { return true };
                known.done = known.total;
                !std::mem::replace(&mut known.is_whole, true)
            }
            "Extracting" | "Pull complete" => {
                if let Some(known) = self.0.get_mut(layer) {
                    (known.done, known.is_whole) = (known.total, true);
                }
                true
            }
            _ => true,
        }
    }

    /// As a look shows it.
    pub(crate) fn seen(&self) -> ImageSeen {
        let sum = |of: fn(&Layer) -> u64| self.0.values().map(of).fold(0, u64::saturating_add);
        ImageSeen::Pulling { done_bytes: sum(|layer| layer.done), total_bytes: sum(|layer| layer.total) }
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

    #[test]
    fn what_docker_has_again_after_a_cut_brings_nothing_forward() {
        let mut progress = PullProgress::default();
        for (status, current, moves) in [
            ("Pulling fs layer", None, true),
            ("Downloading", Some(100), true),
            ("Downloading", Some(300), true),
            ("Retrying in 5 seconds", None, false),
            ("Retrying in 4 seconds", None, false),
            ("Downloading", Some(100), false),
            ("Downloading", Some(300), false),
            ("Downloading", Some(301), true),
            ("Download complete", None, true),
            ("Verifying Checksum", None, false),
            ("Extracting", Some(10), true),
            ("Extracting", Some(10), true),
        ] {
            let progress_detail = Some(bollard::models::ProgressDetail { current, total: Some(1000) });
            let (id, status) = (Some("aa".to_owned()), Some(status.to_owned()));
            let line = CreateImageInfo { id, status, progress_detail, error_detail: None };
            assert_eq!(progress.note(&line), moves, "{line:?}");
        }
    }
}
