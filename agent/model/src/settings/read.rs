//! Lays configuration files over each other, field by field, and gathers all that is wrong with its place.

use super::{
    AgentSettings, DockerSettings, GpuSettings, ImagesSettings, ManagerPaths, ManagerSettings, MetricsSettings,
    NvidiaSettings, ProxySettings, ReadinessSettings, Settings, check,
};
use crate::fields::{ConfigError, ConfigPlace, Document, Section};
use crate::nvidia_container::NvidiaWish;
use std::collections::BTreeMap;

/// The files, laid over each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// What is right in them; for what is wrong the defaults, or what an earlier file states. Anyone who uses it although something
    /// is wrong has to say so.
    pub settings: Settings,
    /// What is wrong.
    pub faults: Vec<ConfigError>,
    /// Where the value in force of each field comes from.
    pub places: BTreeMap<String, ConfigPlace>,
}

/// Lays files (name, text) over each other in their order; a later one wins field by field, and a list replaces a list. An empty
/// text takes an optional setting away that an earlier file has.
#[must_use]
pub fn merge(files: &[(String, String)]) -> Merged {
    let mut merged = Merged { settings: Settings::default(), faults: Vec::new(), places: BTreeMap::new() };
    let mut order = Vec::new();
    for (name, text) in files {
        let document = Document::read(name, text, |top| all(top, &mut merged.settings));
        merged.faults.extend_from_slice(document.faults());
        for (field, place) in document.places() {
            order.push(field.to_owned());
            merged.places.insert(field.to_owned(), place);
        }
    }
    let ManagerSettings { ca_file, pin_sha256, enrolment_token_file, shared_token_file, .. } = &merged.settings.manager;
    let trust = "a manager is verified either by an authority or by the SHA-256 of its certificate";
    let token = "a host has either a one-use token for an identity of its own or the token that all hosts share";
    let trusts = ["manager.ca_file", "manager.pin_sha256"];
    let tokens = ["manager.enrolment_token_file", "manager.shared_token_file"];
    let excluding = [
        (trusts, ca_file.is_some() && !pin_sha256.is_empty(), trust),
        (tokens, enrolment_token_file.is_some() && shared_token_file.is_some(), token),
    ];
    for (pair, _, why) in excluding.into_iter().filter(|(_, both, _)| *both) {
        // The one that was set last.
        let last = order.iter().rev().find_map(|field| pair.into_iter().find(|one| one == field));
        let place = last.and_then(|last| Some((last, merged.places.get(last)?)));
        let other = pair.into_iter().find(|one| Some(*one) != last).unwrap_or_default();
        let fault = |(last, place): (&str, &ConfigPlace)| {
            place.fault(last, format!("is set, and so is {other}: {why}; remove one of them"))
        };
        merged.faults.extend(place.map(fault));
    }
    merged
}

/// A file.
pub(super) fn all(top: &mut Section<'_, '_>, settings: &mut Settings) {
    let Settings {
        agent: to_agent,
        manager: to_manager,
        docker: to_docker,
        nvidia: to_nvidia,
        images: to_images,
        metrics: to_metrics,
        readiness: to_readiness,
        proxy: to_proxy,
        gpu,
        // No file of settings can set it.
        desired: _,
    } = settings;
    top.section("agent", |section| agent(section, to_agent));
    top.section("manager", |section| manager(section, to_manager));
    top.section("docker", |section| {
        let DockerSettings { socket } = to_docker;
        section.text("socket", socket, check::socket);
    });
    top.section("nvidia", |section| nvidia(section, to_nvidia));
    top.section("images", |section| images(section, to_images));
    top.section("metrics", |section| {
        let MetricsSettings { socket, textfile, job_mapping } = to_metrics;
        section.text("socket", socket, check::optional_socket);
        section.text("textfile", textfile, check::textfile);
        section.text("job_mapping", job_mapping, check::optional_directory);
    });
    top.section("readiness", |section| readiness(section, to_readiness));
    top.section("proxy", |section| {
        let ProxySettings { directory } = to_proxy;
        section.text("directory", directory, check::directory);
    });
    top.section("gpu", |section| {
        section.sections(check::gpu, |address, section| {
            let GpuSettings { features_off } = gpu.entry(address).or_default();
            section.list("features_off", features_off, check::feature);
        });
    });
}

fn agent(section: &mut Section<'_, '_>, to: &mut AgentSettings) {
    let AgentSettings { sample_interval_s, log_level } = to;
    section.whole("sample_interval_s", 5..=3600, "seconds", sample_interval_s);
    section.text("log_level", log_level, str::parse);
}

fn manager(section: &mut Section<'_, '_>, to: &mut ManagerSettings) {
    let ManagerSettings {
        urls,
        ca_file,
        pin_sha256,
        enrolment_token_file,
        shared_token_file,
        server_id,
        zone,
        provider,
        public_hostname,
        public_port,
        heartbeat_interval_s,
        insecure_skip_verify,
        paths: to_paths,
    } = to;
    section.list("urls", urls, check::manager_url);
    section.text("ca_file", ca_file, check::optional_file);
    section.text_or_list("pin_sha256", pin_sha256, check::pins);
    section.hidden_text("enrolment_token_file", enrolment_token_file, check::token_file);
    section.hidden_text("shared_token_file", shared_token_file, check::token_file);
    section.text("server_id", server_id, check::server_id);
    section.text("zone", zone, check::optional_label);
    section.text("provider", provider, check::label);
    section.text("public_hostname", public_hostname, check::host_name);
    section.whole("public_port", 1..=65_535, "", public_port);
    section.whole("heartbeat_interval_s", 5..=300, "seconds", heartbeat_interval_s);
    section.flag("insecure_skip_verify", insecure_skip_verify);
    section.section("paths", |section| paths(section, to_paths));
}

fn images(section: &mut Section<'_, '_>, to: &mut ImagesSettings) {
    let ImagesSettings { prune, interval_s, disk_usage_limit_pct, concurrent_pulls } = to;
    section.text("prune", prune, check::prune_mode);
    section.whole("interval_s", 60..=86_400, "seconds", interval_s);
    section.whole("disk_usage_limit_pct", 10..=100, "per cent", disk_usage_limit_pct);
    section.whole("concurrent_pulls", 1..=ImagesSettings::CONCURRENT_PULLS_MOST, "pulls", concurrent_pulls);
}

fn paths(section: &mut Section<'_, '_>, to: &mut ManagerPaths) {
    let ManagerPaths { version, enroll, heartbeat, desired_state, events, credentials, deregister } = to;
    section.text("version", version, check::api_path);
    section.text("enroll", enroll, check::api_path);
    section.text("heartbeat", heartbeat, check::api_path);
    section.text("desired_state", desired_state, check::api_path);
    section.text("events", events, check::api_path);
    section.text("credentials", credentials, check::api_path);
    section.text("deregister", deregister, check::api_path);
}

fn readiness(section: &mut Section<'_, '_>, to: &mut ReadinessSettings) {
    let ReadinessSettings { upstream, jwt_file, ca_file, gates, path } = to;
    section.text("upstream", upstream, check::upstream);
    section.hidden_text("jwt_file", jwt_file, check::token_file);
    section.text("ca_file", ca_file, check::optional_file);
    section.list("gates", gates, check::gate);
    section.text("path", path, check::api_path);
}

fn nvidia(section: &mut Section<'_, '_>, to: &mut NvidiaSettings) {
    let NvidiaSettings { nvml_paths, smi_paths, probe_timeout_ms, deployment } = to;
    let NvidiaWish {
        deploy_driver,
        driver_image,
        driver_kernel_modules,
        deploy_toolkit,
        toolkit_image,
        driver_root,
        docker_restart,
    } = deployment;
    section.list("nvml_paths", nvml_paths, check::library);
    section.list("smi_paths", smi_paths, check::program);
    section.whole("probe_timeout_ms", 500..=600_000, "milliseconds", probe_timeout_ms);
    section.flag("deploy_driver", deploy_driver);
    section.text("driver_image", driver_image, check::nvidia_image);
    section.text("driver_kernel_modules", driver_kernel_modules, check::kernel_modules);
    section.flag("deploy_toolkit", deploy_toolkit);
    section.text("toolkit_image", toolkit_image, check::nvidia_image);
    section.text("driver_root", driver_root, check::driver_root);
    section.text("docker_restart", docker_restart, check::docker_restart);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().enumerate().map(|(i, t)| (format!("{i}.toml"), (*t).to_owned())).collect()
    }

    fn right(texts: &[&str]) -> Settings {
        let merged = merge(&files(texts));
        assert_eq!(merged.faults, [], "{texts:?}");
        merged.settings
    }

    fn wrong(texts: &[&str]) -> Vec<String> {
        merge(&files(texts)).faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_gives_the_defaults() {
        assert_eq!(right(&[]), Settings::default());
    }

    #[test]
    fn a_later_file_wins_field_by_field() {
        let low = "[manager]\nurls = ['https://a:1', 'https://b:2']\nzone = 'z'\nca_file = '/ca'\n";
        let high = "[manager]\nurls = ['https://c:3']\nca_file = ''\n[agent]\nsample_interval_s = 60\n";
        let merged = right(&[low, high]);
        assert_eq!(merged.manager.urls, ["https://c:3"]);
        assert_eq!((merged.manager.zone.as_deref(), merged.manager.ca_file), (Some("z"), None));
        assert_eq!(merged.agent.sample_interval_s, 60);
    }

    #[test]
    fn features_are_switched_off_by_gpu() {
        let low = "[gpu.'41:00.0']\nfeatures_off = ['nvenc']\n[gpu.'0000:42:00.0']\nfeatures_off = ['egl', 'vulkan']\n";
        let high = "[gpu.'0000:41:00.0']\nfeatures_off = ['nvdec', 'cuda']\n";
        let merged = right(&[low, high]);
        let off = |at: &str| merged.gpu[&at.parse().unwrap()].features_off.iter().map(|n| n.code()).collect::<Vec<_>>();
        assert_eq!(merged.gpu.len(), 2, "with or without its domain it is the same GPU");
        assert_eq!((off("0000:41:00.0"), off("0000:42:00.0")), (vec!["cuda", "nvdec"], vec!["egl", "vulkan"]));
    }

    #[test]
    fn everything_that_is_wrong_is_named_with_its_place_and_the_rest_is_taken() {
        let low = "[manager]\n\nurl = 'x'\nzone = 'z'\n";
        let high = "[gpu.'0000:41:00.0']\nfeatures_off = ['nvnec']\n[gpu.first]\n";
        let Merged { settings, faults, places } = merge(&files(&[low, high]));
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "0.toml:3:1: manager.url is not known; did you mean urls?",
                "1.toml:2:17: gpu.\"0000:41:00.0\".features_off has \"nvnec\": expected one of cuda, nvenc, nvdec, vaapi, dri3, \
                 egl, vulkan",
                "1.toml:3:6: gpu has the section \"first\": expected a PCI address, as in [gpu.\"0000:41:00.0\"]",
            ]
        );
        assert_eq!(settings.manager.zone.as_deref(), Some("z"));
        assert_eq!(places["manager.zone"], ConfigPlace { file: "0.toml".to_owned(), at: (4, 8) });
    }

    #[test]
    fn values_that_the_daemon_cannot_use_are_refused() {
        for (text, words) in [
            ("[manager]\nurls = ['http://a']", "2:9: manager.urls has \"http://a\": expected https://host"),
            ("[manager]\nurls = ['https://']", "manager.urls has"),
            (
                "[manager]\nurls = ['https://joe:hunter2@a']",
                "manager.urls has \"https://[redacted]@a\": expected https://host",
            ),
            ("[manager]\nurls = 'https://a'", "manager.urls is a text: expected a list of texts"),
            ("[manager]\npin_sha256 = 'abc'", "manager.pin_sha256 is \"abc\""),
            (
                "[manager]\nheartbeat_interval_s = 1",
                "manager.heartbeat_interval_s is 1: expected a whole number from 5",
            ),
            ("[manager]\npublic_port = 0", "manager.public_port is 0: expected a whole number from 1 to 65535"),
            ("[manager]\npublic_port = 65536", "manager.public_port is 65536"),
            ("[manager]\npublic_hostname = 'bad host name'", "manager.public_hostname is \"bad host name\""),
            ("[manager]\npublic_hostname = '-a.example'", "manager.public_hostname"),
            ("[manager]\nca_file = 'ca.pem'", "manager.ca_file is \"ca.pem\""),
            (
                "[manager]\nenrolment_token_file = 'tok3n'",
                "manager.enrolment_token_file does not fit: expected the path",
            ),
            ("[manager]\nshared_token_file = './tok3n'", "manager.shared_token_file does not fit"),
            ("[manager.paths]\nheartbeat = 'no slash'", "manager.paths.heartbeat is \"no slash\""),
            ("[manager.paths]\nenroll = '/a?b'", "manager.paths.enroll"),
            ("[manager]\nserver_id = 'not-a-uuid'", "manager.server_id is \"not-a-uuid\": expected a UUID"),
            ("[manager]\nzone = \"a\\nb\"", "manager.zone"),
            (
                "[agent]\nsample_interval_s = 0",
                "agent.sample_interval_s is 0: expected a whole number from 5 to 3600 (seconds)",
            ),
            (
                "[agent]\nsample_interval_s = 5.5",
                "agent.sample_interval_s is a number with a fraction: expected a whole",
            ),
            ("[agent]\nlog_level = 'verbose'", "agent.log_level is \"verbose\": expected one of off, error"),
            ("[nvidia]\nprobe_timeout_ms = 1", "nvidia.probe_timeout_ms is 1"),
            ("[nvidia]\nsmi_paths = ['../x']", "nvidia.smi_paths has \"../x\""),
            ("[nvidia]\nsmi_paths = ['nvidia-smi']", "nvidia.smi_paths"),
            ("[nvidia]\nnvml_paths = ['lib/x.so']", "nvidia.nvml_paths"),
            ("[docker]\nsocket = 'relative'", "docker.socket"),
            ("[metrics]\nsocket = 'metrics.sock'", "metrics.socket"),
            ("[metrics]\nsocket = '/run/'", "metrics.socket"),
            ("[metrics]\ntextfile = '/run/gpuhostd/metrics.txt'", "metrics.textfile"),
            ("[metrics]\njob_mapping = '/run/../x'", "metrics.job_mapping"),
        ] {
            let said = wrong(&[text]);
            assert!(said.len() == 1 && said[0].contains(words), "{text}: {said:?}");
            assert!(!said[0].contains("hunter2") && !said[0].contains("tok3n"), "a secret is shown: {said:?}");
        }
    }

    #[test]
    fn what_excludes_each_other_is_named_where_the_second_stands() {
        let (low, high) =
            ("[manager]\nca_file = '/ca.pem'\n", format!("[manager]\npin_sha256 = '{}'\n", "0".repeat(64)));
        let said = wrong(&[low, &high]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("1.toml:2:14: manager.pin_sha256 is set, and so is manager.ca_file"), "{said:?}");
        assert!(wrong(&[&high, low])[0].starts_with("1.toml:2:11: manager.ca_file is set"));
        right(&[low, &high, "[manager]\nca_file = ''\n"]);
        let both = "[manager]\nshared_token_file = '/a'\nenrolment_token_file = '/b'\n";
        assert!(wrong(&[both])[0].contains("so is manager.enrolment_token_file: a host has either"));
    }

    #[test]
    fn one_pin_or_two_but_no_more() {
        let pin = "ab".repeat(32);
        let pins = |list: &str| format!("[manager]\npin_sha256 = {list}");
        for (list, count) in [(format!("'{pin}'"), 1), (format!("['{pin}', '{pin}']"), 2), ("''".to_owned(), 0)] {
            assert_eq!(right(&[&pins(&list)]).manager.pin_sha256.all().len(), count);
        }
        for list in [format!("['{pin}', '{pin}', '{pin}']"), "['x']".to_owned(), "7".to_owned(), "[7]".to_owned()] {
            let said = wrong(&[&pins(&list)]);
            assert!(said.len() == 1 && said[0].starts_with("0.toml:2:14: manager.pin_sha256 "), "{list}: {said:?}");
        }
    }

    #[test]
    fn what_a_template_left_unset_counts_as_unset() {
        for unset in ["None", ""] {
            let text = format!("[manager]\nserver_id = '{unset}'\npublic_hostname = '{unset}'\nzone = '{unset}'");
            let manager = right(&[&text]).manager;
            assert_eq!((manager.server_id, manager.public_hostname, manager.zone), (None, None, None));
        }
    }

    #[test]
    fn names_of_hosts() {
        for name in ["gpu1", "gpu1.example", "gpu1.example.", "10.0.0.1", "2001:db8::1", "a_b"] {
            right(&[&format!("[manager]\npublic_hostname = '{name}'")]);
        }
        for name in ["a..b", ".", "a b", "a/b", "http://a", "a:443", &"x".repeat(64)] {
            assert_eq!(wrong(&[&format!("[manager]\npublic_hostname = '{name}'")]).len(), 1, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = merge(&files(&[&text]));
        }
    }
}
