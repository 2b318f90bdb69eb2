//! What a reader of the bus sees: the tree, the properties, what is not known, and the whole in one document.

use crate::rig::core::core;
use crate::rig::hosts;
use crate::rig::private_bus::PrivateBus;
use crate::rig::{NOBODY, Served, block_on, busctl, busctl_as, busctl_refused, client, error_of, until};
use futures_util::StreamExt;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use wire::dbus::proxy::{GpuProxy, HostProxy, Options};
use zbus::fdo::{ObjectManagerProxy, PropertiesProxy};
use zbus::names::InterfaceName;
use zbus::wire::Endian;
use zbus::{Message, MessageStream};

const NAME: &str = "org.gpuhost.Agent1";
const ROOT: &str = "/org/gpuhost/Agent1";
const GPU: &str = "/org/gpuhost/Agent1/gpu/0000_41_00_0";
const IDLE_GPU: &str = "/org/gpuhost/Agent1/gpu/0000_c1_00_0";

#[test]
fn busctl_shows_the_tree() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let tree = busctl(&bus, &["tree", "--list", NAME]);
    for path in [ROOT, GPU, IDLE_GPU, "/org/gpuhost/Agent1/iommu_group/17", "/org/gpuhost/Agent1/iommu_group/18"] {
        assert!(tree.lines().any(|line| line == path), "{path} is missing:\n{tree}");
    }
}

#[test]
fn busctl_introspect_reads_well_for_an_unprivileged_user() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let output = busctl_as(&bus, NOBODY, &["introspect", NAME, GPU, "org.gpuhost.Agent1.Gpu"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| {
        let found = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(".Address"), r#".Address property s "0000:41:00.0" const"#);
    assert_eq!(line(".Name"), r#".Name property s "NVIDIA H100 80GB HBM3" emits-change"#);
    assert_eq!(line(".Schedulable"), ".Schedulable property b true emits-change");
    assert_eq!(line(".GetMetrics"), ".GetMetrics method a{sv} a{sv} -");
    assert_eq!(line(".BootVga"), ".BootVga property b - emits-change", "what is not known shows no value");
    assert!(line(".IommuGroup").contains("/org/gpuhost/Agent1/iommu_group/17"), "{text}");
}

#[test]
fn get_property_gives_the_value_or_says_why_there_is_none() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    let get = |path, interface, property| busctl(&bus, &["get-property", NAME, path, interface, property]);
    assert_eq!(get(GPU, "org.gpuhost.Agent1.Gpu", "Driver").trim(), r#"s "nvidia""#);
    assert_eq!(get(ROOT, "org.gpuhost.Agent1.Host", "GpuCount").trim(), "u 2");
    assert_eq!(get(ROOT, "org.gpuhost.Agent1.Host", "UsableGpuCount").trim(), "u 1");
    assert_eq!(get(ROOT, "org.gpuhost.Agent1.Host", "ManagerState").trim(), r#"s "not_enrolled""#);
    let foreign = get("/org/gpuhost/Agent1/iommu_group/18", "org.gpuhost.Agent1.IommuGroup", "Foreign");
    assert_eq!(foreign.trim(), r#"as 1 "0000:c2:00.0""#);
    let refused = busctl_refused(&bus, 0, &["get-property", NAME, GPU, "org.gpuhost.Agent1.Gpu", "BootVga"]);
    assert!(refused.contains("BootVga has no value now: unreadable: Permission denied"), "{refused}");
}

#[test]
fn a_property_without_a_value_has_an_error_name_and_a_reason() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let properties = PropertiesProxy::builder(&client).destination(NAME).path(IDLE_GPU).build().await.unwrap();
        let interface = InterfaceName::try_from("org.gpuhost.Agent1.Gpu").unwrap();
        let (name, _) = error_of(properties.get(interface.clone(), "Driver").await.map_err(zbus::Error::from));
        assert_eq!(name, "org.gpuhost.Agent1.Error.Absent");
        let mut all = properties.get_all(interface).await.unwrap();
        assert!(!all.contains_key("Driver"));
        let absent: HashMap<String, String> = all.remove("Absent").unwrap().try_into().unwrap();
        assert_eq!(absent["Driver"], "none");
        assert_eq!(absent["BootVga"], "unreadable: Permission denied");
    });
}

#[test]
fn a_mig_device_is_an_object_under_its_gpu_and_goes_with_the_layout() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    let at = |place: &str| format!("{GPU}/mig/{place}");
    let get = |place, property| {
        busctl(&bus, &["get-property", NAME, &at(place), "org.gpuhost.Agent1.MigDevice", property]).trim().to_owned()
    };
    assert_eq!(get("1_0", "Profile"), r#"s "3g.40gb""#);
    assert_eq!(get("1_0", "Gpu"), format!("o \"{GPU}\""));
    assert_eq!((get("9_0", "MemoryTotalMib"), get("9_0", "Encoders")), ("t 9984".to_owned(), "u 0".to_owned()));
    let refused = busctl_refused(&bus, 0, &["get-property", NAME, &at("9_0"), "org.gpuhost.Agent1.MigDevice", "Uuid"]);
    assert!(refused.contains("Uuid has no value now: not_reported"), "{refused}");
    assert_eq!(busctl(&bus, &["get-property", NAME, GPU, "org.gpuhost.Agent1.Gpu", "Schedulable"]).trim(), "b false");
    served.core.observe(|next| {
        let driver = next.gpus[0].driver.as_mut().unwrap();
        driver.mig_devices.retain(|mig| mig.gpu_instance == 1);
    });
    until("the destroyed one is gone", || !busctl(&bus, &["tree", "--list", NAME]).contains("/mig/9_0"));
    assert!(busctl(&bus, &["tree", "--list", NAME]).contains("/mig/1_0"), "the other stays");
}

/// The one document has, for each object, exactly the properties that `GetAll` shows, under the same names, and `Absent` has
/// exactly the others.
#[test]
fn the_document_and_the_objects_have_the_same_names() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    served.core.workspaces.send_replace(Arc::new(hosts::workspaces()));
    until("the workspaces are there", || busctl(&bus, &["tree", "--list", NAME]).contains("/workspace/b_2e2"));
    block_on(async {
        let client = client(&bus).await;
        let host = HostProxy::new(&client).await.unwrap();
        let text = host.get_observation(Options::new()).await.unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let slices = document["Gpus"][0]["MigDevices"].as_array().unwrap();
        let manager = ObjectManagerProxy::builder(&client).destination(NAME).path(ROOT).build().await.unwrap();
        let objects = manager.get_managed_objects().await.unwrap();
        let listed = document["Gpus"]
            .as_array()
            .unwrap()
            .iter()
            .chain(document["IommuGroups"].as_array().unwrap())
            .chain(document["NvidiaContainers"].as_array().unwrap())
            .chain(document["Workspaces"].as_array().unwrap())
            .chain(slices);
        let mut compared = 0;
        for view in listed {
            let path = zbus::OwnedObjectPath::try_from(view["Path"].as_str().unwrap()).unwrap();
            let shown: BTreeSet<&str> = objects[&path].values().flat_map(HashMap::keys).map(String::as_str).collect();
            let known = view.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
            let named: BTreeSet<&str> =
                known.map(|(name, _)| name.as_str()).filter(|name| !["Path", "Metrics"].contains(name)).collect();
            assert_eq!(named, shown, "{path}");
            let unknown = view.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name);
            assert!(
                unknown.eq(view["Absent"].as_object().unwrap().keys()),
                "{path}: each has its reason in {}",
                view["Absent"]
            );
            compared += 1;
        }
        assert_eq!(compared, 10);
        assert_eq!(document["Host"]["Hostname"], "node7");
        assert_eq!(document["Gpus"][1]["Driver"], serde_json::Value::Null);
    });
}

/// `GetAll` is encoded once and answered before zbus sees it; `GetManagedObjects` and `Get` are zbus's, value by value.
#[test]
fn get_all_has_the_values_that_the_other_calls_have_and_follows_a_change() {
    let bus = PrivateBus::start();
    let served = Served::start(&bus, core(hosts::sliced()));
    block_on(async {
        let client = client(&bus).await;
        let manager = ObjectManagerProxy::builder(&client).destination(NAME).path(ROOT).build().await.unwrap();
        let host = InterfaceName::try_from("org.gpuhost.Agent1.Host").unwrap();
        let compare = async || {
            let mut objects = manager.get_managed_objects().await.unwrap();
            objects.retain(|_, interfaces| !interfaces.is_empty());
            for (path, interfaces) in &objects {
                for (interface, values) in interfaces {
                    assert_eq!(
                        got_all(&client, path.as_str(), interface.as_ref()).await,
                        *values,
                        "{path} {interface}"
                    );
                }
            }
            got_all(&client, ROOT, host.clone()).await;
            objects.len()
        };
        assert_eq!(compare().await, 8, "two GPUs, two groups, two MIG devices, two containers of NVIDIA");
        let root = properties(&client, ROOT).await;
        served.core.observe(|next| {
            next.gpus.truncate(1);
            next.gpus[0].visible_to_runtime ^= true;
        });
        // The root object changes last.
        while u32::try_from(root.get(host.clone(), "GpuCount").await.unwrap()).unwrap() != 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(compare().await, 7);
    });
}

/// What `GetAll` answers, each value of which `Get` answers too.
async fn got_all(
    client: &zbus::Connection,
    path: &str,
    interface: InterfaceName<'_>,
) -> HashMap<String, zbus::OwnedVariant> {
    let object = properties(client, path).await;
    let all = object.get_all(interface.clone()).await.unwrap();
    for (name, value) in &all {
        assert_eq!(object.get(interface.clone(), name).await.unwrap(), *value, "{name} of {path}");
    }
    all
}

/// A caller may send in big endian, and is answered in it; a call that is none of an object's own interface gets zbus's error.
#[test]
fn get_all_is_answered_in_the_byte_order_of_the_caller_and_refused_by_name() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let get_all = async |path: &str, interface: &str, endian| {
            let call = Message::method_call(path, "GetAll").destination(NAME).endian(endian);
            let call = call.interface("org.freedesktop.DBus.Properties").build(&interface).unwrap();
            let mut replies = MessageStream::from(&client);
            client.send(&call).await.unwrap();
            let serial = Some(call.primary_header().serial_num());
            while let Some(message) = replies.next().await {
                let reply = message.unwrap();
                if reply.header().reply_serial() == serial {
                    return reply;
                }
            }
            panic!("the bus is gone");
        };
        let values = async |endian| -> HashMap<String, zbus::OwnedVariant> {
            let reply = get_all(GPU, "org.gpuhost.Agent1.Gpu", endian).await;
            assert_eq!(reply.primary_header().endian_sig(), endian.into());
            reply.body().deserialize().unwrap()
        };
        assert_eq!(values(Endian::Little).await, values(Endian::Big).await);
        for (path, interface, expected) in [
            (GPU, "org.gpuhost.Agent1.Host", "org.freedesktop.DBus.Error.UnknownInterface"),
            (GPU, "", "org.freedesktop.DBus.Error.InvalidArgs"),
            ("/org/gpuhost/Agent1/gpu/none", "org.gpuhost.Agent1.Gpu", "org.freedesktop.DBus.Error.UnknownObject"),
        ] {
            let reply = get_all(path, interface, Endian::Little).await;
            let name = reply.header().error_name().map(ToString::to_string);
            assert_eq!(name.as_deref(), Some(expected), "{path} {interface}");
        }
    });
}

async fn properties(client: &zbus::Connection, path: &str) -> PropertiesProxy<'static> {
    let builder = PropertiesProxy::builder(client).destination(NAME).path(path.to_owned());
    builder.build().await.unwrap()
}

#[test]
fn metrics_are_there_for_the_asking_and_name_what_is_missing() {
    let bus = PrivateBus::start();
    let _served = Served::start(&bus, core(hosts::two_gpus()));
    block_on(async {
        let client = client(&bus).await;
        let gpu = GpuProxy::builder(&client).path(GPU).unwrap_or_else_build().await;
        let mut metrics = gpu.get_metrics(Options::new()).await.unwrap();
        assert_eq!(f64::try_from(metrics.remove("TemperatureCelsius").unwrap()).unwrap(), 36.0);
        assert!(!metrics.contains_key("FanPercent"), "an absent value is left out");
        let absent: HashMap<String, zbus::OwnedVariant> = metrics.remove("Absent").unwrap().try_into().unwrap();
        assert_eq!(String::try_from(absent["FanPercent"].try_clone().unwrap()).unwrap(), "not_supported");
    });
}

/// A shorter way to a proxy without a cache.
trait Build<'a> {
    async fn unwrap_or_else_build(self) -> GpuProxy<'a>;
}

impl<'a> Build<'a> for zbus::proxy::Builder<'a, GpuProxy<'a>> {
    async fn unwrap_or_else_build(self) -> GpuProxy<'a> {
        self.cache_properties(zbus::proxy::CacheProperties::No).build().await.unwrap()
    }
}
