//! Network interfaces with their addresses and counters.

use super::text::{content, first_line};
use model::host_facts::Nic;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::SockaddrStorage;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

/// Hardware type of the loopback interface (`ARPHRD_LOOPBACK`).
const LOOPBACK: &str = "772";

/// More than this are virtual ends of containers, not ways to reach the host.
const INTERFACES_MAX: usize = 256;

/// All interfaces but loopback, by name.
pub(super) fn interfaces(sys: &Path) -> Vec<Nic> {
    let folder = sys.join("class/net");
    let listed = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = listed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let mut addresses = addresses();
    let mut interfaces = Vec::new();
    for name in names {
        let path = folder.join(&name);
        // bonding_masters is a plain file among the interfaces.
        if !path.is_dir() || first_line(&path.join("type")).known().is_some_and(|kind| kind == LOOPBACK) {
            continue;
        }
        let addresses = addresses.remove(&name).unwrap_or_default();
        interfaces.push(interface(name, &path, addresses));
        if interfaces.len() == INTERFACES_MAX {
            break;
        }
    }
    interfaces
}

fn interface(name: String, path: &Path, addresses: Vec<String>) -> Nic {
    let count = |file: &str| content(&path.join(file)).ok().and_then(|text| text.trim().parse().ok());
    let mac = first_line(&path.join("address")).into_known();
    Nic {
        name,
        mac: mac.map(|mac| mac.to_ascii_lowercase()).filter(|mac| mac != "00:00:00:00:00:00"),
        addresses,
        state: first_line(&path.join("operstate")).into_known(),
        // −1, or an error, while there is no link and on virtual interfaces.
        speed_mbit_s: content(&path.join("speed")).ok().and_then(|text| text.trim().parse().ok()),
        rx_bytes: count("statistics/rx_bytes"),
        tx_bytes: count("statistics/tx_bytes"),
    }
}

/// Addresses with their prefix lengths, by interface.
fn addresses() -> HashMap<String, Vec<String>> {
    let mut by_name = HashMap::<String, Vec<String>>::new();
    for entry in getifaddrs().into_iter().flatten() {
        if let Some(address) = with_prefix(&entry) {
            by_name.entry(entry.interface_name).or_default().push(address);
        }
    }
    by_name
}

fn with_prefix(entry: &InterfaceAddress) -> Option<String> {
    let address = ip(entry.address.as_ref()?)?;
    let prefix = match ip(entry.netmask.as_ref()?)? {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    };
    Some(format!("{address}/{prefix}"))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
