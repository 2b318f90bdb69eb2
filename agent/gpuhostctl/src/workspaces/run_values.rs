//! Sizes, volumes and ports as they are given on the command line.

use serde_json::{Value, json};

/// A size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected bytes, or a number with KiB, MiB, GiB or TiB, such as 512MiB or 8GiB".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// `NAME:/TARGET[:ro]` or `/PATH:/TARGET[:ro]`.
pub(crate) fn volume(text: &str) -> Result<Value, String> {
    let wrong = || "expected NAME:/TARGET or /PATH:/TARGET, with :ro behind it to mount it read-only".to_owned();
    let (rest, read_only) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let (source, target) = rest.split_once(':').ok_or_else(wrong)?;
    if source.is_empty() || !target.starts_with('/') || target.contains(':') {
        return Err(wrong());
    }
    let kind = if source.starts_with('/') { "source" } else { "name" };
    Ok(json!({kind: source, "target": target, "read_only": read_only}))
}

/// `[[ADDRESS:]HOST:]PORT[/udp]`.
pub(crate) fn port(text: &str) -> Result<Value, String> {
    let wrong = || "expected PORT, HOST:PORT or ADDRESS:HOST:PORT, with /udp behind it for UDP".to_owned();
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, protocol @ ("tcp" | "udp"))) => (rest, protocol),
        Some(_) => return Err(wrong()),
        None => (text, "tcp"),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let (published, container) = match rest.rsplit_once(':') {
        Some((published, container)) => (Some(published), number(container)?),
        None => (None, number(rest)?),
    };
    let mut port = json!({"container": container, "protocol": protocol});
    let mut set = |name: &str, value: Value| {
        if let Some(fields) = port.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    if let Some(published) = published {
        let (address, host) =
            published.rsplit_once(':').map_or((None, published), |(address, host)| (Some(address), host));
        // An address alone, with a port that Docker chooses, has an empty number.
        if !(host.is_empty() && address.is_some()) {
            set("host", Value::from(number(host)?));
        }
        if let Some(address) = address {
            let plain = address.trim_start_matches('[').trim_end_matches(']');
            let parsed: std::net::IpAddr = plain.parse().map_err(|_| wrong())?;
            set("listen", Value::from(parsed.to_string()));
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_its_unit_and_no_other() {
        assert_eq!(
            [size("7"), size("512MiB"), size("8g"), size("1 TiB")],
            [Ok(7), Ok(512 << 20), Ok(8 << 30), Ok(1 << 40)]
        );
        for wrong in ["", "GiB", "1.5GiB", "8GB", "-1", "99999999999TiB", "1e3", "8 Gi B"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_volume_is_ours_by_name_or_the_hosts_by_path() {
        assert_eq!(volume("home:/home/u"), Ok(json!({"name": "home", "target": "/home/u", "read_only": false})));
        assert_eq!(volume("/data:/d:ro"), Ok(json!({"source": "/data", "target": "/d", "read_only": true})));
        for wrong in ["", "home", ":/x", "home:x", "a:/b:/c", "home:/x:z"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_published_where_it_says() {
        assert_eq!(port("80"), Ok(json!({"container": 80, "protocol": "tcp"})));
        assert_eq!(port("8080:80/udp"), Ok(json!({"container": 80, "protocol": "udp", "host": 8080})));
        let all = json!({"container": 80, "protocol": "tcp", "host": 8080, "listen": "10.0.0.1"});
        assert_eq!(port("10.0.0.1:8080:80"), Ok(all));
        let six = json!({"container": 80, "protocol": "tcp", "listen": "::1"});
        assert_eq!(port("[::1]::80"), Ok(six));
        for wrong in ["", "0", "65536", "a:80", "80/sctp", ":80", "x:80:80", "80:"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
