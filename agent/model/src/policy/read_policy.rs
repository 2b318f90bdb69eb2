//! Reads the policy file, with the file, line and field in every complaint.

use super::{
    HostPolicy, ManagerPolicy, MigPolicy, NvidiaPolicy, PassthroughPolicy, Policy, WorkspaceRepair, WorkspacesPolicy,
};
use crate::docker_config::DockerRestart;
use crate::fields::{ConfigErrors, Document, Section, Value};
use crate::ids::PciAddress;
use crate::image_ref::ImageRef;
use std::net::IpAddr;

/// A policy file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read from the disk.
    #[error("{0}")]
    File(String),
    /// It is not a plain file that only root can write.
    #[error("{file}: {said}")]
    Unfit {
        /// The file.
        file: String,
        /// What is wrong with it.
        said: String,
    },
    /// It is not a policy.
    #[error("{0}")]
    Wrong(ConfigErrors),
}

/// Most changes of one GPU in a minute that can be allowed: each takes seconds.
const MOST_CHANGES_PER_MINUTE: u64 = 60;

/// Reads the text of a policy file.
///
/// # Errors
/// All that is wrong, with its places. Nothing of a wrong file is taken.
pub fn read(file: &str, text: &str) -> Result<Policy, PolicyError> {
    let mut policy = Policy::default();
    let Policy { host, manager } = &mut policy;
    let document = Document::read(file, text, |top| {
        top.section("host", |section| {
            let HostPolicy { passthrough, mig, nvidia, workspaces } = host;
            section.section("passthrough", |section| {
                let PassthroughPolicy { allowed, never, boot_vga, memory_reserve_mib, changes_per_minute } =
                    passthrough;
                section.flag("allowed", allowed);
                section.list("never", never, gpu);
                section.flag("boot_vga", boot_vga);
                section.whole("memory_reserve_mib", 0..=MOST_MIB, "MiB", memory_reserve_mib);
                section.whole("changes_per_minute", 0..=MOST_CHANGES_PER_MINUTE, "", changes_per_minute);
            });
            section.section("mig", |section| {
                let MigPolicy { allowed, never, changes_per_minute, stop_workspaces } = mig;
                section.flag("allowed", allowed);
                section.list("never", never, gpu);
                section.whole("changes_per_minute", 0..=MOST_CHANGES_PER_MINUTE, "", changes_per_minute);
                section.flag("stop_workspaces", stop_workspaces);
            });
            section.section("nvidia", |section| {
                let NvidiaPolicy { driver, toolkit, images, docker_config, cdi, docker_restart } = nvidia;
                section.flag("driver", driver);
                section.flag("toolkit", toolkit);
                section.list("images", images, repository);
                section.flag("docker_config", docker_config);
                section.flag("cdi", cdi);
                section.text("docker_restart", docker_restart, docker_restart_word);
            });
            section.section("workspaces", |section| of_workspaces(section, workspaces));
        });
        top.section("manager", |section| {
            let ManagerPolicy {
                enable,
                drain,
                labels,
                intervals,
                overrides,
                features,
                passthrough,
                passthrough_gpus,
                mig,
                mig_gpus,
                nvidia,
                docker_restart,
                workspaces,
                proxy,
                max_removals,
                changes_per_minute,
            } = manager;
            section.flag("enable", enable);
            section.flag("drain", drain);
            section.flag("labels", labels);
            section.flag("intervals", intervals);
            section.flag("overrides", overrides);
            section.flag("features", features);
            section.flag("passthrough", passthrough);
            section.list("passthrough_gpus", passthrough_gpus, gpu);
            section.flag("mig", mig);
            section.list("mig_gpus", mig_gpus, gpu);
            section.flag("nvidia", nvidia);
            section.flag("docker_restart", docker_restart);
            section.flag("workspaces", workspaces);
            section.flag("proxy", proxy);
            section.whole("max_removals", 0..=MOST_REMOVALS, "", max_removals);
            section.whole("changes_per_minute", 0..=MOST_CHANGES_PER_MINUTE, "", changes_per_minute);
        });
    });
    match ConfigErrors::of(document.faults().to_vec()) {
        Some(faults) => Err(PolicyError::Wrong(faults)),
        None => Ok(policy),
    }
}

fn of_workspaces(section: &mut Section<'_, '_>, to: &mut WorkspacesPolicy) {
    let WorkspacesPolicy { allowed, registries, host_paths, host_paths_writable, networks, listen, repair } = to;
    section.flag("allowed", allowed);
    section.list("registries", registries, registry);
    section.list("host_paths", host_paths, folder);
    section.list("host_paths_writable", host_paths_writable, folder);
    section.list("networks", networks, network);
    section.list("listen", listen, address);
    section.text("repair", repair, repair_word);
}

/// As many workspaces as a desired state can have.
const MOST_REMOVALS: u64 = 4096;
/// More memory than any machine has, and no more than a number of TOML can be.
const MOST_MIB: u64 = 1 << 40;

fn gpu(text: &str) -> Value<PciAddress> {
    text.parse().map_err(|_| "expected a PCI address, 0000:41:00.0 or 41:00.0".to_owned())
}

fn registry(text: &str) -> Value<String> {
    let fits = format!("{text}/a").parse::<ImageRef>().is_ok_and(|image| image.registry() == text);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected a registry, registry.example or registry.example:5000".to_owned())
    }
}

fn folder(text: &str) -> Value<String> {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected the absolute path of a folder below /, without '.' and '..'".to_owned())
    }
}

/// Docker's own networks take a workspace out of its isolation, or give it no network at all.
fn network(text: &str) -> Value<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let fits = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(known);
    match text {
        "host" | "container" => {
            Err("a workspace may not be in the network of the host or of another container".to_owned())
        }
        _ if fits => Ok(text.to_owned()),
        _ => Err("expected the name of a network of Docker".to_owned()),
    }
}

fn repair_word(text: &str) -> Value<WorkspaceRepair> {
    text.parse().map_err(|_| "expected never, when_idle or restart".to_owned())
}

fn docker_restart_word(text: &str) -> Value<DockerRestart> {
    text.parse().map_err(|_| format!("expected one of {}", DockerRestart::VALUES.join(", ")))
}

fn address(text: &str) -> Value<IpAddr> {
    text.parse().map_err(|_| "expected an IP address".to_owned())
}

fn repository(text: &str) -> Value<String> {
    let fits = |image: &ImageRef| image.names_registry() && image.to_string() == image.repository();
    let fits = text.parse::<ImageRef>().is_ok_and(|image| fits(&image));
    if fits { Ok(text.to_owned()) } else { Err("expected REGISTRY/PATH without tag and digest".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::super::{Act, Requester};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_file_is_the_default_and_a_manager_may_nothing() {
        let policy = read("policy.toml", "").unwrap();
        assert_eq!(policy, Policy::default());
        assert!(policy.explain(Act::PassthroughBind, Requester::Local, None).allowed);
        assert!(!policy.explain(Act::PassthroughBind, Requester::Manager, None).allowed);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_line_and_field() {
        for (text, words) in [
            (
                "[host.passthrough]\n\nalowed = true\n",
                [":3:1:", "host.passthrough.alowed is not known; did you mean allowed?"],
            ),
            ("[host.passthrough]\nnever = ['41:00']\n", [":2:10:", "PCI address"]),
            ("[host.passthrough]\nchanges_per_minute = 61\n", ["host.passthrough.changes_per_minute", "61"]),
            ("[manager]\nchanges_per_minute = 600\n", ["manager.changes_per_minute", "600"]),
            ("[manager]\npassthrough = 'yes'\n", [":2:15:", "manager.passthrough is a text: expected true or false"]),
            ("[managers]\n", [":1:2:", "managers is not known; did you mean manager?"]),
        ] {
            let said = read("/etc/p.toml", text).unwrap_err().to_string();
            assert!(said.starts_with("/etc/p.toml:") && words.iter().all(|word| said.contains(word)), "{text}: {said}");
        }
    }

    #[test]
    fn the_shipped_file_says_what_is_so_without_it() {
        let shipped = include_str!("../../../../packaging/config/policy.toml");
        assert_eq!(read("policy.toml", shipped).unwrap(), Policy::default());
        let spelled: String = shipped
            .lines()
            .map(|line| {
                line.strip_prefix("#").filter(|rest| rest.contains(" = ") && !rest.starts_with(' ')).unwrap_or(line)
            })
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(
            read("policy.toml", &spelled).unwrap(),
            Policy::default(),
            "the values in comments are the defaults"
        );
        for (section, keys) in toml::Table::try_from(Policy::default()).unwrap() {
            let keys: Vec<String> = keys
                .as_table()
                .unwrap()
                .iter()
                .flat_map(|(key, value)| match value.as_table() {
                    Some(inner) => inner.keys().cloned().collect(),
                    None => vec![key.clone()],
                })
                .collect();
            for key in keys {
                assert!(shipped.contains(&format!("#{key} = ")), "{section}: {key} is not explained");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = read("policy.toml", &text);
        }
    }

    #[test]
    fn what_is_done_about_lost_gpus_is_one_of_three_words_and_nothing_by_itself() {
        let repair = |text: &str| read("p", text).map(|policy| policy.host.workspaces.repair);
        assert_eq!(repair("").unwrap(), WorkspaceRepair::Never);
        for (word, expected) in [
            ("never", WorkspaceRepair::Never),
            ("when_idle", WorkspaceRepair::WhenIdle),
            ("restart", WorkspaceRepair::Restart),
        ] {
            assert_eq!(repair(&format!("[host.workspaces]\nrepair = '{word}'")).unwrap(), expected);
            assert_eq!(expected.code(), word);
        }
        let refused = repair("[host.workspaces]\nrepair = 'always'").unwrap_err().to_string();
        assert!(
            refused.contains("host.workspaces.repair") && refused.contains("never, when_idle or restart"),
            "{refused}"
        );
    }
}
