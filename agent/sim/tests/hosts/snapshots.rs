//! Snapshots as hosts: one that was taken answers as its host did, and one that was made up to do harm is refused.

use flate2::Compression;
use flate2::write::GzEncoder;
use model::driver::{DriverSource, ProbeError};
use model::ports::{HostPort, KernelLogPort};
use model::snapshot::{CONTENT_MAX_BYTES, ENTRIES_MAX, MANIFEST, RECORDED, Recorded};
use sim::archive::ArchiveNode;
use sim::{BadSnapshot, HostSnapshot, RecordedHost, SimHost, load, load_any};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tar::{Builder, EntryType, Header};

const GOOD_MANIFEST: &str = r#"{"format":1,"gpuhostd":"0.1.0","taken_at":0,"as_root":true,"files":[],"missed":[]}"#;

/// A recorded host as format 1 wrote it. It must load for ever: a field that the model gets later needs a default.
const FIRST_FORMAT: &str = include_str!("recorded-format-1.json");

/// The answers of simulated hosts are there at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a simulated host never waits"),
    }
}

/// An archive of entries as they are given, whatever they say.
struct Made(Builder<GzEncoder<Vec<u8>>>);

impl Made {
    fn new() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// The name is written raw: the library itself would refuse `..`.
    fn entry(mut self, kind: EntryType, path: &str, content: &[u8], target: &str) -> Self {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_size(u64::try_from(content.len()).unwrap());
        header.set_mode(0o600);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, content.as_bytes(), "")
    }

    fn open(self) -> Result<HostSnapshot, BadSnapshot> {
        let bytes = self.0.into_inner().unwrap().finish().unwrap();
        HostSnapshot::read(bytes.as_slice(), "made.tar.gz")
    }
}

fn recorded(of: &str) -> Recorded {
    let host = SimHost::new(load(of).unwrap()).unwrap();
    let reports = [DriverSource::Nvml, DriverSource::Smi].map(|source| (source, now(host.probe_driver(source))));
    Recorded {
        name: of.to_owned(),
        scan: now(host.scan_pci()),
        reports: reports.into(),
        docker: now(host.read_docker()),
        host: now(host.read_host(None)),
        kernel_log: now(host.kernel_log().next_lines()).ok(),
    }
}

#[test]
fn a_recorded_host_answers_as_its_host_did() {
    for name in ["dgx-a100", "mixed-faults", "vgpu-host-16vf", "gb200", "mixed-old-cards"] {
        let before = recorded(name);
        let text = serde_json::to_string(&before).unwrap();
        let snapshot = Made::new().file(MANIFEST, GOOD_MANIFEST).file(RECORDED, &text).open().unwrap();
        let host = RecordedHost::new(snapshot.recorded().unwrap());
        assert_eq!(now(host.scan_pci()), before.scan, "{name}");
        assert_eq!(now(host.read_docker()), before.docker, "{name}");
        assert_eq!(now(host.read_host(Some("/elsewhere".to_owned()))), before.host, "{name}");
        for (source, report) in before.reports {
            assert_eq!(now(host.probe_driver(source)), report, "{name} {source:?}");
        }
        let not_asked = now(host.probe_driver(DriverSource::SmiInDriverContainer));
        assert!(matches!(not_asked, Err(ProbeError::NotAsked { .. })), "{not_asked:?}");
    }
}

#[test]
fn what_format_1_wrote_can_still_be_read() {
    let snapshot = Made::new().file(MANIFEST, GOOD_MANIFEST).file(RECORDED, FIRST_FORMAT).open().unwrap();
    let recorded = snapshot.recorded().expect("a field without a default makes every older snapshot unreadable");
    let scan = recorded.scan.unwrap();
    assert_eq!(scan.gpus.len(), 4);
    assert_eq!(recorded.reports[0].1.as_ref().unwrap().gpus.len(), 2);
    assert_eq!(recorded.host.hostname.known().map(String::as_str), Some("trouble"));
}

#[test]
fn a_snapshot_of_another_format_or_of_nothing_is_refused_by_name() {
    let newer = GOOD_MANIFEST.replace("\"format\":1", "\"format\":2");
    let refusal = |made: Made| made.open().unwrap().recorded().unwrap_err().to_string();
    let newer = refusal(Made::new().file(MANIFEST, &newer).file(RECORDED, FIRST_FORMAT));
    assert!(newer.contains("format 2") && newer.contains("made.tar.gz"), "{newer}");
    let nothing = refusal(Made::new().file("README", "hello"));
    assert!(nothing.contains(MANIFEST), "{nothing}");
    let half = refusal(Made::new().file(MANIFEST, GOOD_MANIFEST).file(RECORDED, "{"));
    assert!(half.contains(RECORDED), "{half}");
    let garbage = HostSnapshot::read(&b"not gzip"[..], "x.tar.gz").unwrap_err().to_string();
    assert!(garbage.contains("x.tar.gz") && garbage.contains("debug snapshot"), "{garbage}");
    let missing = load_any("/nonexistent/x.tar.gz").unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/x.tar.gz"), "{missing}");
}

#[test]
fn nothing_leads_out_of_the_archive() {
    let file = |path: &str| Made::new().file(path, "x").open();
    let link = |path: &str, target: &str| Made::new().entry(EntryType::Symlink, path, b"", target).open();
    for path in ["../x", "/etc/x", "a/../../x", "."] {
        assert!(matches!(file(path), Err(BadSnapshot::Forbidden { .. })), "{path}");
    }
    for (path, target) in [("a/b", "/etc"), ("a/b", "../../etc"), ("a", ".."), ("a/b", "../c/../../d"), ("a", "")] {
        assert!(matches!(link(path, target), Err(BadSnapshot::Forbidden { .. })), "{path} -> {target}");
    }
    for kind in [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Directory] {
        let made = Made::new().entry(kind, "a", b"", "b").open();
        assert!(matches!(made, Err(BadSnapshot::Forbidden { .. })), "{kind:?}");
    }
    let good = link("sys/bus/pci/devices/0000:01:00.0", "../../../devices/x").unwrap();
    let node = good.nodes.get(Path::new("sys/bus/pci/devices/0000:01:00.0"));
    assert_eq!(node, Some(&ArchiveNode::Link("../../../devices/x".into())));
}

#[test]
fn a_small_archive_that_unpacks_to_a_large_one_is_refused() {
    let zeros = vec![0; CONTENT_MAX_BYTES / 2 + 1];
    let made = Made::new().entry(EntryType::Regular, "a", &zeros, "").entry(EntryType::Regular, "b", &zeros, "");
    assert!(matches!(made.open(), Err(BadSnapshot::Forbidden { .. })));
    let many = (0..=ENTRIES_MAX).fold(Made::new(), |made, number| made.file(&number.to_string(), ""));
    assert!(matches!(many.open(), Err(BadSnapshot::Forbidden { .. })));
    // More than any tar of a snapshot has, behind one entry: the reader stops.
    let mut endless = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(1 << 40);
    header.set_cksum();
    endless.write_all(header.as_bytes()).unwrap();
    (0..80).for_each(|_| endless.write_all(&vec![0; 1024 * 1024]).unwrap());
    let bytes = endless.finish().unwrap();
    assert!(HostSnapshot::read(bytes.as_slice(), "bomb.tar.gz").is_err());
}
