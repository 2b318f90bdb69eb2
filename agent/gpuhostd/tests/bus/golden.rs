//! The interface files and their pages are what the daemon says of itself: made from the doc comments, compared here.
//!
//! `UPDATE_GOLDEN=1 cargo test -p gpuhostd --test bus golden` writes them anew.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::{PrivateBus, top};
use crate::rig::{Served, busctl, until};
use roxmltree::{Document, Node, ParsingOptions};
use std::fmt::Write;
use std::sync::Arc;

const NAME: &str = "org.gpuhost.Agent1";

/// Each interface with an object that has it, and what is to be said of it as a whole.
const INTERFACES: [(&str, &str, &str); 9] = [
    (
        "Host",
        "/org/gpuhost/Agent1",
        "The daemon, the host around the GPUs, and the state of the check-in with a manager. On the root object, \
         /org/gpuhost/Agent1, which is also the ObjectManager of all others.",
    ),
    (
        "DesiredState",
        "/org/gpuhost/Agent1",
        "What the manager's document and the files in /etc/gpuhostd/desired.d wish of this host, how far the host is so, what \
         prevents the rest, and what is set over the configuration files. On the root object, /org/gpuhost/Agent1.",
    ),
    (
        "Gpu",
        "/org/gpuhost/Agent1/gpu/0000_41_00_0",
        "A GPU at /org/gpuhost/Agent1/gpu/ADDRESS, with _ for : and . in the PCI address (0000_41_00_0).",
    ),
    (
        "MigDevice",
        "/org/gpuhost/Agent1/gpu/0000_41_00_0/mig/1_0",
        "A MIG device of a GPU, at the path of the GPU followed by /mig/INSTANCE, which is GPU instance and compute instance with \
         _ between them. It exists as long as the layout has it; while MIG mode is on the GPU itself is not schedulable.",
    ),
    (
        "IommuGroup",
        "/org/gpuhost/Agent1/iommu_group/17",
        "An IOMMU group that holds a GPU, at /org/gpuhost/Agent1/iommu_group/NUMBER.",
    ),
    (
        "NvidiaContainer",
        "/org/gpuhost/Agent1/nvidia/driver",
        "NVIDIA's driver container at /org/gpuhost/Agent1/nvidia/driver, and its toolkit container at \
         /org/gpuhost/Agent1/nvidia/toolkit. Both objects always exist; Phase shows whether there is a container.",
    ),
    (
        "Workspaces",
        "/org/gpuhost/Agent1",
        "All GPU workspaces of this host together, and what concerns no single one. On the root object, /org/gpuhost/Agent1.",
    ),
    (
        "Workspace",
        "/org/gpuhost/Agent1/workspace/alice_2d1",
        "A GPU workspace at /org/gpuhost/Agent1/workspace/ID, with each byte of the id that is no letter and no digit as _ and two \
         hexadecimal digits (alice_2d1 for alice-1). It exists as long as a document, a file of this host or a container has it.",
    ),
    (
        "Job",
        "/org/gpuhost/Agent1/job/1",
        "A requested change, at /org/gpuhost/Agent1/job/NUMBER. A method that changes something returns the path of its job \
         at once; \
         subscribe to PropertiesChanged, then read State, so that nothing is missed.",
    ),
];

/// Said in every file.
const OF_ALL: &str = "A property that may have no value is left out of GetAll while it has none; Get then returns the error \
                      org.gpuhost.Agent1.Error.Absent, and the property Absent names it with the reason.";

/// The `<interface>` element of an introspection, cut out as text.
fn cut<'a>(xml: &'a str, interface: &str) -> &'a str {
    let options = ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = Document::parse_with_options(xml, options).unwrap();
    let is_it = |n: &Node<'_, '_>| n.has_tag_name("interface") && n.attribute("name") == Some(interface);
    let range = document.descendants().find(is_it).unwrap_or_else(|| panic!("no {interface} in {xml}")).range();
    &xml[range]
}

fn interface_file(element: &str, about: &str) -> String {
    let comment = |text: &str| text.replace("--", "\u{2013}");
    format!(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n  \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n\
         <!-- Made from the doc comments of the daemon; do not edit. -->\n<node>\n  <!--\n  {}\n\n  {}\n  -->\n  {element}\n</node>\n",
        comment(about),
        comment(OF_ALL)
    )
}

/// The comment that stands before an element, as one paragraph.
fn said_of(node: Node<'_, '_>) -> String {
    let mut before = node.prev_siblings().skip(1).find(|n| !n.is_text());
    let comment = before.take_if(|n| n.is_comment()).and_then(|n| n.text()).unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn signature(method: Node<'_, '_>, direction: &str) -> String {
    let args = method.children().filter(|n| n.has_tag_name("arg") && n.attribute("direction") == Some(direction));
    let told = args.map(|arg| format!("{} `{}`", arg.attribute("name").unwrap_or("-"), arg.attribute("type").unwrap()));
    told.collect::<Vec<_>>().join(", ")
}

fn announced(property: Node<'_, '_>) -> &'static str {
    let is_it = |n: &Node<'_, '_>| n.attribute("name") == Some("org.freedesktop.DBus.Property.EmitsChangedSignal");
    match property.children().find(is_it).and_then(|n| n.attribute("value")) {
        Some("const") => "never changes",
        Some("false") => "no",
        _ => "yes",
    }
}

fn page(xml: &str, interface: &str, about: &str) -> String {
    let options = ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = Document::parse_with_options(xml, options).unwrap();
    let element = document.descendants().find(|n| n.has_tag_name("interface")).unwrap();
    let of_kind = |kind: &'static str| element.children().filter(move |n| n.has_tag_name(kind));
    let mut page = format!("# {interface}\n\n{about}\n\n{OF_ALL}\n");
    if of_kind("method").next().is_some() {
        page.push_str("\n## Methods\n");
    }
    for method in of_kind("method") {
        let name = method.attribute("name").unwrap();
        let (takes, gives) = (signature(method, "in"), signature(method, "out"));
        write!(page, "\n### {name}({takes}) → {gives}\n\n{}\n", said_of(method)).unwrap();
    }
    if of_kind("signal").next().is_some() {
        page.push_str("\n## Signals\n");
    }
    for signal in of_kind("signal") {
        let args = signal.children().filter(|n| n.has_tag_name("arg"));
        let args: Vec<String> = args
            .map(|arg| format!("{} `{}`", arg.attribute("name").unwrap_or("-"), arg.attribute("type").unwrap()))
            .collect();
        write!(page, "\n### {}({})\n\n{}\n", signal.attribute("name").unwrap(), args.join(", "), said_of(signal))
            .unwrap();
    }
    page.push_str("\n## Properties\n\n| Property | Type | Announced | |\n|---|---|---|---|\n");
    for property in of_kind("property") {
        let (name, kind) = (property.attribute("name").unwrap(), property.attribute("type").unwrap());
        writeln!(page, "| {name} | `{kind}` | {} | {} |", announced(property), said_of(property)).unwrap();
    }
    page
}

fn compare(path: &str, made: &str) {
    let file = top().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "{path} is not what the daemon says; look at the change, then UPDATE_GOLDEN=1:\n{made}");
}

#[test]
fn the_golden_interfaces_are_what_the_daemon_says() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    served.core.workspaces.send_replace(Arc::new(hosts::workspaces()));
    until("the workspace is there", || busctl(&bus, &["tree", "--list", NAME]).contains("/workspace/"));
    busctl(&bus, &["call", NAME, "/org/gpuhost/Agent1", "org.gpuhost.Agent1.Host", "Rescan", "a{sv}", "0"]);
    let mut index =
        "# D-Bus interfaces\n\nMade from the interface files in `packaging/dbus-1/interfaces`.\n\n".to_owned();
    for (short, path, about) in INTERFACES {
        let interface = format!("{NAME}.{short}");
        let xml = busctl(&bus, &["introspect", "--xml-interface", NAME, path]);
        let file = interface_file(cut(&xml, &interface), about);
        compare(&format!("packaging/dbus-1/interfaces/{interface}.xml"), &file);
        compare(&format!("docs/dbus/{interface}.md"), &page(&file, &interface, about));
        writeln!(index, "- [{interface}]({interface}.md): {about}").unwrap();
    }
    compare("docs/dbus/README.md", &index);
}
