//! Configuration fragments: a fault names its file, and what is taken makes sense and reads the same again.

use super::often;
use crate::bounds::Bounds;
use crate::{Target, pieces};
use model::settings::{KeptSettings, is_https, merge};
use model::time::UnixMillis;

/// The target.
pub const TARGET: Target = Target {
    name: "config",
    what: "config.toml and config.d/*.toml",
    run,
    seeds,
    words: &WORDS,
    // A fault of the TOML parser shows the place: it holds the line twice, and what was read so far.
    bounds: Bounds { heap_per_byte: 512, ..Bounds::USUAL },
};

const WORDS: [&str; 22] = [
    "[agent]\n",
    "[manager]\n",
    "[docker]\n",
    "[nvidia]\n",
    "[manager.paths]\n",
    "urls = ['https://a:1']\n",
    "zone = 'z'\n",
    "heartbeat_interval_s = 5\n",
    "sample_interval_s = 5\n",
    "probe_timeout_ms = 500\n",
    "socket = '/x'\n",
    "pin_sha256 = ''\n",
    "server_id = 'None'\n",
    "log_level = 'info'\n",
    "nvml_paths = []\n",
    "smi_paths = []\n",
    "\"\"\"",
    "'''",
    "= {",
    "\n\n",
    "9223372036854775808",
    "1979-05-27",
];

fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (low, high) = pieces::halves(text.as_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fragments = [("low.toml".to_owned(), text(low)), ("high.toml".to_owned(), text(high))];
    let merged = merge(&fragments);
    for fault in &merged.faults {
        let said = fault.to_string();
        assert!(said.starts_with("low.toml:") || said.starts_with("high.toml:"), "{said}");
        assert!(said.lines().count() == 1, "{said}");
    }
    // What is taken makes sense, also where something else is wrong.
    let settings = merged.settings;
    assert!(settings.manager.urls.iter().all(|url| is_https(url)));
    assert!((5..=300).contains(&settings.manager.heartbeat_interval_s));
    assert!((5..=3600).contains(&settings.agent.sample_interval_s));
    if merged.faults.is_empty() {
        let written = KeptSettings { settings: settings.clone(), since: UnixMillis(1) }
            .write()
            .expect("settings have a TOML form");
        assert_eq!(KeptSettings::read("again", &written).expect("what was written is read").settings, settings);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../../../packaging/config/config.toml");
    let two = "[manager]\nurls = ['https://a:1', 'https://[::1]:2']\nzone = 'z'\n[manager.paths]\nversion = '/v'\n\n[manager]\n\
               urls = ['https://c']\n[agent]\nsample_interval_s = 60\nlog_level = 'debug'\n";
    let dotted = "manager.zone = 'a'\nnvidia = { probe_timeout_ms = 700, smi_paths = ['/x'] }\ndocker.socket = \"/run\\u0041\"\n";
    let uncommented: String =
        shipped.lines().map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n").collect();
    let deep = [b"a = ".to_vec(), often("[", 4000)].concat();
    let keys = often("a.", 4000);
    let texts = [shipped, two, dotted, &uncommented].map(|text| text.as_bytes().to_vec());
    texts.into_iter().chain([deep, keys]).collect()
}
