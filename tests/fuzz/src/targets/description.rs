//! Descriptions of simulated hosts: what is taken can be written and read again, stood on, observed, judged and reported.

use super::often;
use crate::Target;
use crate::bounds::Bounds;
use model::driver::DriverSource;
use model::judge::{ObservationMeta, judge};
use model::observation::RawObservation;
use model::ports::HostPort;
use model::time::{BootMillis, UnixMillis};
use sim::SimHost;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The target.
pub const TARGET: Target = Target {
    name: "description",
    what: "tests/hosts/*.toml, and the snapshots that are loaded as one",
    run,
    seeds,
    words: &WORDS,
    // `functions_total` may ask for all 65,280 functions that a domain has room for, and each answer is a copy of the bus.
    bounds: Bounds { heap: 256 << 20, heap_per_byte: 1024, time: Duration::from_secs(2), ..Bounds::USUAL },
};

const WORDS: [&str; 26] = [
    "name = 'x'\nsummary = 'y'\n",
    "[[gpus]]\n",
    "[[functions]]\n",
    "[driver]\n",
    "[docker]\n",
    "[host]\n",
    "[faults]\n",
    "[models.a]\n",
    "[gpus.mig]\n",
    "[[gpus.mig.instances]]\n",
    "[gpus.virtual_functions]\n",
    "address = '0000:41:00.0'\n",
    "model = 'a'\n",
    "id = '10de:20b0'\n",
    "class = 0x030200\n",
    "parent = '0000:40:00.0'\n",
    "count = 16\n",
    "offset = 4\n",
    "stride = 1\n",
    "group = 4294967295\n",
    "first_group = 4294967295\n",
    "functions_total = 300\n",
    "driver = 'nvidia'\n",
    "no_pci_bus = true\n",
    "health = 'lost'\n",
    "memory_mib = 9223372036854775807\n",
];

fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(description) = sim::parse(text, "fuzz") else { return };
    if let Ok(written) = description.to_toml() {
        assert_eq!(sim::parse(&written, "written").expect("what was written is read"), description);
    }
    let host = SimHost::new(description).expect("what was parsed can be stood on");
    let sources = [DriverSource::Nvml, DriverSource::Smi, DriverSource::SmiInDriverContainer, DriverSource::Sysfs];
    let raw = RawObservation {
        scan: at_once(host.scan_pci()).map_err(|fault| fault.to_string()),
        reports: sources.into_iter().map(|source| (source, at_once(host.probe_driver(source)), 1)).collect(),
        docker: at_once(host.read_docker()),
        host: at_once(host.read_host(None)),
    };
    let listed = raw.scan.as_ref().map_or(0, |scan| scan.gpus.len());
    let seen = ObservationMeta { sequence: 1, observed_at: UnixMillis(0), observed_boot: BootMillis(1) };
    let observed = judge(raw, seen, None);
    assert_eq!(observed.gpus.len(), listed, "a GPU was lost or invented between scan and observation");
    let inventory = wire::manager::gpu::inventory(&observed);
    serde_json::to_vec(&inventory).expect("an inventory has a JSON form");
}

/// The simulated host answers at once.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the simulated host waits"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let built_in = sim::BUILT_IN.iter().map(|(_, text)| text.as_bytes().to_vec());
    let large = b"name = 'x'\nsummary = 'y'\nfunctions_total = 4294967295\n".to_vec();
    built_in.chain([large, often("[[gpus]]\n", 2000)]).collect()
}
