//! What a caller reports about an enrolment, checked before anybody is asked whether it may.

use super::options::{Parser, invalid};
use model::checkin::Pins;
use model::checkin::manager::shown;
use model::checkin::pins::PINS_MAX;
use model::enrol::{EnrolSpec, Secret};
use model::refusal::Refusal;
use model::settings::{HostNaming, is_https};

/// Most managers in one call.
const URLS_MAX: usize = 16;
/// Longest address in bytes.
const URL_MAX_BYTES: usize = 512;
/// Longest bundle of authorities in bytes.
const CA_MAX_BYTES: usize = 64 * 1024;
/// Longest id or name of a host in bytes.
const NAME_MAX_BYTES: usize = 1024;
/// Longest pin: 32 bytes in hexadecimal with colons.
const PIN_MAX_BYTES: usize = 95;

/// The options of `Enroll`.
#[derive(Debug)]
pub(super) struct EnrolOptions {
    ca_pem: Option<String>,
    pins: Pins,
    shared: bool,
    named: HostNaming,
    unless_enrolled: bool,
}

impl EnrolOptions {
    /// Takes them out of the caller's options.
    pub(super) fn take(parser: &mut Parser) -> Result<Self, Refusal> {
        let ca_pem = parser.text("ca-pem", CA_MAX_BYTES)?;
        let given = parser.text("pin-sha256", PIN_MAX_BYTES * PINS_MAX + 1)?;
        let pins = Pins::given(given.iter().flat_map(|pins| pins.split([',', ' '])).map(str::to_owned).collect());
        let shared = parser.flag("shared")?.unwrap_or(false);
        let [server_id, provider, public_hostname] = [
            parser.text("server-id", NAME_MAX_BYTES)?,
            parser.text("provider", NAME_MAX_BYTES)?,
            parser.text("public-hostname", NAME_MAX_BYTES)?,
        ];
        let unless_enrolled = parser.flag("unless-enrolled")?.unwrap_or(false);
        let named = HostNaming::given(server_id.as_deref(), provider.as_deref(), public_hostname.as_deref());
        let named = named.map_err(|(name, why)| invalid(name, why))?;
        if ca_pem.is_some() && !pins.is_empty() {
            return Err(invalid(
                "pin-sha256",
                "a pin replaces certificate authorities: give either ca-pem or pin-sha256",
            ));
        }
        if ca_pem.as_ref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            return Err(invalid("ca-pem", "it has no CERTIFICATE block: expected the content of a PEM file"));
        }
        let pins = pins.normal().map_err(|fault| invalid("pin-sha256", fault.to_string()))?;
        Ok(Self { ca_pem, pins, shared, named, unless_enrolled })
    }

    /// The wish, whole.
    pub(super) fn spec(self, urls: Vec<String>, token: Secret) -> EnrolSpec {
        let Self { ca_pem, pins, shared, named, unless_enrolled } = self;
        EnrolSpec { urls, token, shared, ca_pem, pins, named, unless_enrolled }
    }
}

/// The addresses, where each is an https address with a host in it.
pub(super) fn checked_urls(urls: Vec<String>) -> Result<Vec<String>, Refusal> {
    if urls.is_empty() || urls.len() > URLS_MAX {
        return Err(invalid("urls", format!("expected 1 to {URLS_MAX} addresses, got {}", urls.len())));
    }
    match urls.iter().find(|url| url.len() > URL_MAX_BYTES || !is_https(url)) {
        None => Ok(urls),
        Some(bad) => {
            let why = format!("{:?} is not the address of a manager: expected https://host[:port]", shown(bad));
            Err(invalid("urls", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use zbus::Variant;

    fn take(pairs: &[(&str, &str)]) -> Result<EnrolOptions, Refusal> {
        let options: HashMap<_, _> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), Variant::from(*value).try_into().unwrap())).collect();
        EnrolOptions::take(&mut Parser::new(options))
    }

    #[test]
    fn only_https_addresses_with_a_host_pass() {
        let good = ["https://manager.example", "https://10.0.0.1:8443", "https://[::1]:443/", "HTTPS://m"];
        assert!(checked_urls(good.map(str::to_owned).to_vec()).is_ok());
        let bad =
            ["http://manager.example", "https://", "https://a b", "https://a\n[Unit]", "https://-x@y", "../x", ""];
        for url in bad {
            assert!(checked_urls(vec![url.to_owned()]).is_err(), "{url:?}");
        }
        let said = checked_urls(vec!["https://joe:hunter2@manager.example".to_owned()]).unwrap_err().to_string();
        assert!(said.contains("manager.example") && !said.contains("hunter2"), "{said}");
        assert!(checked_urls(Vec::new()).is_err());
        assert!(checked_urls(vec![format!("https://{}", "a".repeat(4096))]).is_err());
    }

    #[test]
    fn trust_is_given_in_one_way_and_has_its_form() {
        let pin = "ab:".repeat(31) + "ab";
        assert!(take(&[("pin-sha256", &pin)]).is_ok());
        assert_eq!(take(&[("pin-sha256", &format!("{pin},{pin}"))]).unwrap().pins.all().len(), 2);
        assert!(take(&[("pin-sha256", &format!("{pin},{pin},{pin}"))]).is_err());
        for bad in [vec![("pin-sha256", "abcd")], vec![("ca-pem", "not a certificate")]] {
            assert_eq!(take(&bad).unwrap_err().code(), "invalid_argument");
        }
        let pem = "-----BEGIN CERTIFICATE-----\n";
        assert!(take(&[("ca-pem", pem)]).is_ok());
        assert!(take(&[("ca-pem", pem), ("pin-sha256", &pin)]).is_err());
    }
}
