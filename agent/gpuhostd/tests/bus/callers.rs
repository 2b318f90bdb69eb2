//! Every method and property as anybody may try it: the list comes from introspection, the options from the refusals' own words.

use crate::rig::core::{Core, core};
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, block_on, busctl};
use gpuhostd::bus::action::{PolkitAction, action_for};
use model::desired::Epoch;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use zbus::{Connection, OwnedVariant, Structure, Variant};

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
/// Where a caller that is a process of its own finds the bus.
const CALLER_BUS: &str = "GPUHOSTD_TEST_CALLER_BUS";
/// The caller without rights.
pub(crate) const NO_RIGHTS: &str = "callers::caller_without_rights";
const NOT_AUTHORIZED: &str = "org.gpuhost.Agent1.Error.NotAuthorized";
const INVALID_ARGUMENT: &str = "org.gpuhost.Agent1.Error.InvalidArgument";

/// Names that are none: each would leave a folder, start a line or a section, be an option or a pattern, or read as another.
const NO_NAMES: [&str; 12] = [
    "../x",
    "/abs",
    "",
    ".",
    "\n[Unit]",
    "a\rb",
    "%n",
    "-oProxyCommand=x",
    "$(id)",
    "\u{202e}x",
    "a b",
    "0000:00:1f.2/../..",
];

/// A method as the introspection has it.
#[derive(Debug)]
struct Method {
    path: String,
    interface: String,
    name: String,
    /// Name and signature of what it takes.
    takes: Vec<(String, String)>,
}

impl Method {
    fn action(&self) -> PolkitAction {
        action_for(&self.interface, &self.name).unwrap_or_else(|| panic!("{self:?} has no action"))
    }

    fn reads(&self) -> bool {
        self.action() == PolkitAction::Inspect
    }

    /// Arguments that pass every check, with these options.
    fn arguments(&self, options: HashMap<&str, Variant<'static>>) -> Vec<Variant<'static>> {
        let mut options = Some(options);
        let values = self.takes.iter().map(|(name, signature)| match signature.as_str() {
            "h" if name == "workspace" => piped(br#"{"workspace_id": "w", "desired": "stopped"}"#),
            "h" => piped(b"one-use-token\n"),
            "s" if name == "document" => Variant::from("{}"),
            "s" if name == "layout" => Variant::from("1g.5gb@4,3g.20gb:2"),
            "s" if name == "trust" || name == "sha256" => Variant::from("ab".repeat(32)),
            "s" => Variant::from("0000:41:00.0"),
            "b" => Variant::from(true),
            "t" => Variant::from(0_u64),
            "as" => Variant::from(vec!["https://manager.example"]),
            "a{sv}" => {
                let owned: HashMap<String, Variant<'static>> =
                    options.take().unwrap().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                Variant::from(owned)
            }
            other => panic!("{}.{}: give a good {name} of type {other} here", self.interface, self.name),
        });
        values.collect()
    }
}

/// The reading end of a pipe with this in it.
fn piped(content: &[u8]) -> Variant<'static> {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(content).unwrap();
    Variant::Fd(std::os::fd::OwnedFd::from(reader).into())
}

/// Everything on the bus: our methods, and our properties as path, interface and name.
async fn walk(client: &Connection) -> (Vec<Method>, Vec<[String; 3]>) {
    let (mut methods, mut properties, mut paths) = (Vec::new(), Vec::new(), vec![ROOT.to_owned()]);
    while let Some(path) = paths.pop() {
        let introspect = "org.freedesktop.DBus.Introspectable";
        let reply = client.call_method(Some(NAME), path.as_str(), Some(introspect), "Introspect", &()).await.unwrap();
        let xml: String = reply.body().deserialize().unwrap();
        let parsing = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&xml, parsing).unwrap();
        let named = |node: &roxmltree::Node<'_, '_>| node.attribute("name").unwrap().to_owned();
        for node in document.root_element().children().filter(roxmltree::Node::is_element) {
            if node.has_tag_name("node") {
                paths.push(format!("{path}/{}", named(&node)));
                continue;
            }
            let interface = named(&node);
            if !interface.starts_with(NAME) {
                continue;
            }
            for member in node.children() {
                if member.has_tag_name("property") {
                    properties.push([path.clone(), interface.clone(), named(&member)]);
                } else if member.has_tag_name("method") {
                    let arguments = member.children().filter(|n| n.attribute("direction") == Some("in"));
                    let takes = arguments.map(|n| (named(&n), n.attribute("type").unwrap().to_owned())).collect();
                    methods.push(Method {
                        path: path.clone(),
                        interface: interface.clone(),
                        name: named(&member),
                        takes,
                    });
                }
            }
        }
    }
    (methods, properties)
}

/// Calls it; the error's name and message where it fails.
async fn call(client: &Connection, method: &Method, arguments: Vec<Variant<'_>>) -> Result<(), (String, String)> {
    let (at, interface, name) = (method.path.as_str(), method.interface.as_str(), method.name.as_str());
    let answer = if arguments.is_empty() {
        client.call_method(Some(NAME), at, Some(interface), name, &()).await
    } else {
        let body = arguments.into_iter().fold(Structure::builder(), |body, argument| body.append_field(argument));
        client.call_method(Some(NAME), at, Some(interface), name, &body.build().unwrap()).await
    };
    match answer {
        Ok(_) => Ok(()),
        failed => Err(crate::rig::error_of(failed)),
    }
}

/// The options that a method knows, with the type of each, from what it says when it is given others.
async fn options_of(client: &Connection, method: &Method) -> Vec<(String, String)> {
    let (name, said) =
        call(client, method, method.arguments(HashMap::from([("as-user", "root".into())]))).await.unwrap_err();
    assert_eq!(name, INVALID_ARGUMENT, "{method:?}: {said}");
    let known = said.rsplit_once("the options are ").unwrap_or_else(|| panic!("{method:?}: {said}")).1;
    let mut options = Vec::new();
    for key in known.split(", ") {
        let odd = method.arguments(HashMap::from([(key, Variant::U8(7))]));
        let (name, said) = call(client, method, odd).await.unwrap_err();
        assert_eq!(name, INVALID_ARGUMENT, "{method:?} {key}: {said}");
        let kind = said.split('(').nth(1).and_then(|rest| rest.split(')').next());
        options.push((key.to_owned(), kind.unwrap_or_else(|| panic!("{method:?} {key}: {said}")).to_owned()));
    }
    options
}

/// Values of an option that name another user, file or object, or are as large as they get.
fn tempting(kind: &str) -> Vec<Variant<'static>> {
    match kind {
        "b" => vec![true.into(), false.into()],
        "t" => vec![1_u64.into(), 60_u64.into(), u64::MAX.into()],
        "s" => ["root", "0", "/etc/shadow", ROOT, "-----BEGIN CERTIFICATE-----"].map(Variant::from).to_vec(),
        other => panic!("give tempting values of type {other} here"),
    }
}

/// Tries everything with every option; whatever would change something must be refused.
async fn try_everything(client: &Connection) {
    let (methods, properties) = walk(client).await;
    assert!(methods.len() > 5 && properties.len() > 100, "{methods:?}");
    for method in &methods {
        let plain = call(client, method, method.arguments(HashMap::new())).await;
        match plain {
            Ok(()) => assert!(method.reads(), "{method:?} was let through"),
            Err((name, said)) => assert!(!method.reads() && name == NOT_AUTHORIZED, "{method:?}: {name} {said}"),
        }
        for (key, kind) in options_of(client, method).await {
            for value in tempting(&kind) {
                let shown = format!("{method:?} with {key} = {value:?}");
                match call(client, method, method.arguments(HashMap::from([(key.as_str(), value)]))).await {
                    Ok(()) => assert!(method.reads(), "{shown} was let through"),
                    Err((name, said)) => {
                        assert!([NOT_AUTHORIZED, INVALID_ARGUMENT].contains(&name.as_str()), "{shown}: {name} {said}");
                    }
                }
            }
        }
        for arguments in [vec![], {
            let mut more = method.arguments(HashMap::new());
            more.push("one too many".into());
            more
        }] {
            assert!(call(client, method, arguments).await.is_err(), "{method:?} took too few or too many arguments");
        }
    }
    for [path, interface, name] in &properties {
        let properties = Some("org.freedesktop.DBus.Properties");
        let asked = (interface.as_str(), name.as_str());
        let now = client.call_method(Some(NAME), path.as_str(), properties, "Get", &asked).await;
        let now = now.map_or(Variant::from(true), |reply| {
            let value: OwnedVariant = reply.body().deserialize().unwrap();
            Variant::from(value)
        });
        let wish = (asked.0, asked.1, now);
        let written = client.call_method(Some(NAME), path.as_str(), properties, "Set", &wish).await;
        assert!(written.is_err(), "{path} {interface}.{name} was written");
    }
}

/// Plays a caller without rights in a process of its own.
#[test]
#[ignore = "run as another user by the tests beside it"]
fn caller_without_rights() {
    let address = std::env::var(CALLER_BUS).expect("started by a test beside it");
    block_on(async {
        try_everything(&zbus::connection::Builder::address(address.as_str()).build().await.unwrap()).await
    });
}

/// Runs one of the ignored tests as somebody else.
pub(crate) fn play(test: &str, bus: &PrivateBus, uid: u32) {
    let mut program = Command::new("/proc/self/exe");
    program.args(["--ignored", "--exact", test, "--nocapture"]).env(CALLER_BUS, &bus.address).current_dir("/");
    let output = program.uid(uid).gid(uid).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "uid {uid}: {said}");
}

fn got(core: &Core) -> Vec<&'static str> {
    core.got.borrow().iter().map(|got| got.operation).collect()
}

fn with_workspaces(served: &Served, bus: &PrivateBus) {
    served.core.workspaces.send_replace(std::sync::Arc::new(hosts::workspaces()));
    crate::rig::until("the workspaces are there", || {
        busctl(bus, &["tree", "--list", NAME]).contains("/workspace/b_2e2")
    });
}

#[test]
fn who_has_no_rights_changes_nothing_by_any_method_option_or_property() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    with_workspaces(&served, &bus);
    // With a job there is one object of each kind.
    busctl(&bus, &["call", NAME, ROOT, "org.gpuhost.Agent1.Host", "Rescan", "a{sv}", "0"]);
    play(NO_RIGHTS, &bus, NOBODY);
    assert_eq!(got(&served.core), ["rescan"], "nothing else got through");
}

#[test]
fn root_reaches_with_the_same_calls_what_others_are_refused() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    with_workspaces(&served, &bus);
    let through = block_on(async {
        let client = crate::rig::client(&bus).await;
        let mut through = 0;
        for method in walk(&client).await.0.iter().filter(|method| !method.reads()) {
            assert_eq!(call(&client, method, method.arguments(HashMap::new())).await, Ok(()), "{method:?}");
            through += 1;
        }
        through
    });
    assert!(through >= 3, "{through} methods change something");
    assert_eq!(got(&served.core).len(), through);
}

#[test]
fn what_is_no_name_is_refused_wherever_a_text_can_be_given_even_to_root() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    let tried = block_on(async {
        let client = crate::rig::client(&bus).await;
        let long = "x".repeat(4096);
        let mut tried = 0;
        for method in walk(&client).await.0 {
            let mut calls = Vec::new();
            for text in NO_NAMES.into_iter().chain([long.as_str()]) {
                calls.push((text, method.arguments(HashMap::from([(text, true.into())]))));
                for (key, _) in options_of(&client, &method).await.iter().filter(|(_, kind)| kind == "s") {
                    calls.push((text, method.arguments(HashMap::from([(key.as_str(), text.to_owned().into())]))));
                }
                for (place, (name, signature)) in method.takes.iter().enumerate() {
                    // Of an epoch every such character is allowed; it is compared, and names no file.
                    if name == "epoch" && Epoch::try_from(text.to_owned()).is_ok() {
                        continue;
                    }
                    let wrong: Variant<'static> = match signature.as_str() {
                        "as" => vec![text.to_owned()].into(),
                        "s" => text.to_owned().into(),
                        _ => continue,
                    };
                    let mut arguments = method.arguments(HashMap::new());
                    arguments[place] = wrong;
                    calls.push((text, arguments));
                }
            }
            for (text, arguments) in calls {
                let (name, said) = call(&client, &method, arguments).await.expect_err(text);
                assert_eq!(name, INVALID_ARGUMENT, "{text:?} to {method:?}: {said}");
                let plain = !said.contains(|c: char| c.is_control() || c == '\u{202e}');
                assert!(plain && said.len() < 500, "{text:?} to {method:?} comes back as {said:?}");
                tried += 1;
            }
        }
        tried
    });
    assert!(tried > 100, "{tried} calls");
    assert!(served.core.got.borrow().is_empty());
}
