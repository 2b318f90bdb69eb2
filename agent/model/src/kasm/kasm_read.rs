//! Reads Kasm's `agent.app.config.yaml`: by its keys, as its releases from 1.9 on write them, and within the bounds of our YAML.

use super::kasm_config::{KasmImport, LeftOutKey, MappedKey};
use crate::enrol::Secret;
use crate::mig::files::FileError;
use crate::mig::files::scalar::is_null;
use crate::mig::files::yaml::{Node, Value, read};
use crate::printable::printable;
use toml::Value as Toml;

/// The port of a manager where the file has none.
const PORT: u16 = 443;
/// So many characters of a name or a value are repeated.
const SHOWN_MOST_CHARS: usize = 128;
/// Most managers that are taken over.
const MANAGERS_MOST: usize = 16;
/// The name of Kasm's own proxy on the network of a single-server installation.
const OWN_PROXY: &str = "proxy";

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// This text in `[manager]`.
    Text(&'static str),
    /// `server_id`: the id of the installer's template counts as none.
    ServerId,
    /// This port in `[manager]`.
    Port(&'static str),
    /// The hosts of the managers.
    Managers,
    /// Their port.
    ManagersPort,
    /// The token that all hosts share.
    Token,
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// The keys that are known, with the section that they are in.
const KEYS: [(&str, &str, Target); 22] = [
    ("agent", "server_id", Target::ServerId),
    ("agent", "public_hostname", Target::Text("public_hostname")),
    ("agent", "public_port", Target::Port("public_port")),
    ("agent", "provider", Target::Text("provider")),
    ("agent", "zone", Target::Text("zone")),
    ("agent", "zone_name", Target::Text("zone")),
    ("agent", "auto_scaled", Target::Nothing("a host with a server id and a provider is an autoscaled one here")),
    ("agent", "listen_port", Target::Nothing("the daemon opens no port")),
    ("agent", "port", Target::Nothing("the daemon opens no port")),
    ("agent", "proto", Target::Nothing("the daemon opens no port")),
    ("manager", "hostnames", Target::Managers),
    ("manager", "hostname", Target::Managers),
    ("manager", "public_port", Target::ManagersPort),
    ("manager", "port", Target::ManagersPort),
    ("manager", "token", Target::Token),
    ("manager", "auth_token", Target::Token),
    ("manager", "zone", Target::Text("zone")),
    ("manager", "zone_name", Target::Text("zone")),
    ("manager", "proto", Target::Nothing("a manager is always spoken to over HTTPS")),
    ("manager", "ssl", Target::Nothing("a manager is always spoken to over HTTPS")),
    ("manager", "ssl_verify", Target::Nothing(NOT_VERIFIED)),
    ("manager", "verify_ssl", Target::Nothing(NOT_VERIFIED)),
];

const NOT_VERIFIED: &str = "a manager's certificate is always verified: set manager.ca_file or manager.pin_sha256";

/// Reads a file.
///
/// # Errors
/// It is not YAML within the bounds, not a configuration of Kasm's agent, or a key is set twice to different values.
pub fn import_kasm(text: &str) -> Result<KasmImport, FileError> {
    let whole = |why: &str| FileError { line: None, field: String::new(), why: why.to_owned() };
    let root = read(text)?.filter(|root| !is_null(root)).ok_or_else(|| whole("it is empty"))?;
    let Value::Map(sections) = &root.value else { return Err(whole("expected a map with agent and manager")) };
    if !sections.iter().any(|(key, _)| ["agent", "manager"].contains(&key.text.as_str())) {
        let why = "it has neither agent nor manager; expected agent.app.config.yaml of a Kasm agent";
        return Err(whole(why));
    }
    let mut reader = Reader::default();
    for (section, node) in sections {
        match &node.value {
            Value::Map(entries) if ["agent", "manager"].contains(&section.text.as_str()) => {
                for (key, value) in entries {
                    reader.take(&section.text, (&key.text, key.line), value)?;
                }
            }
            Value::Scalar { .. } | Value::List(_)
                if ["agent", "manager"].contains(&section.text.as_str()) && !is_null(node) =>
            {
                let (line, field) = (Some(section.line), section.text.clone());
                return Err(FileError { line, field, why: "expected a map".to_owned() });
            }
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                reader.unknown(shown(&section.text), section.line);
            }
        }
    }
    reader.finish()
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    import: KasmImport,
    hosts: Option<(String, Vec<String>)>,
    port: Option<(String, u16)>,
}

impl Reader {
    fn unknown(&mut self, key: String, line: u64) {
        self.import.left_out.push(LeftOutKey { key, line, why: None });
    }

    fn take(&mut self, section: &str, (name, line): (&str, u64), node: &Node) -> Result<(), FileError> {
        let field = format!("{section}.{}", shown(name));
        let Some((_, _, target)) = KEYS.iter().find(|(of, key, _)| *of == section && *key == name) else {
            self.unknown(field, line);
            return Ok(());
        };
        let fault = |why: String| FileError { line: Some(line), field: field.clone(), why };
        if let Target::Nothing(why) = target {
            self.import.left_out.push(LeftOutKey { key: field, line, why: Some((*why).to_owned()) });
            return Ok(());
        }
        let values = scalars(node).map_err(fault)?;
        if values.is_empty() {
            let why = Some("it is not set".to_owned());
            self.import.left_out.push(LeftOutKey { key: field, line, why });
            return Ok(());
        }
        let one = || match values.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(FileError { line: Some(line), field: field.clone(), why: "expected one value".to_owned() }),
        };
        match target {
            Target::Text(to) => self.set(&field, line, to, Toml::String(one()?))?,
            Target::ServerId => {
                let id = one()?;
                if id.bytes().all(|byte| b"0-".contains(&byte)) {
                    let why = Some("it is the id of the installer's template".to_owned());
                    self.import.left_out.push(LeftOutKey { key: field.clone(), line, why });
                } else {
                    self.set(&field, line, "server_id", Toml::String(id.to_ascii_lowercase()))?;
                }
            }
            Target::Port(to) => self.set(&field, line, to, Toml::Integer(i64::from(port(&one()?).map_err(fault)?)))?,
            Target::ManagersPort => self.port = Some((field.clone(), port(&one()?).map_err(fault)?)),
            Target::Managers if values.len() > MANAGERS_MOST => {
                return Err(fault(format!("it names {} managers; at most {MANAGERS_MOST} are used", values.len())));
            }
            Target::Managers => match &self.hosts {
                Some((other, hosts)) if *hosts != values => return Err(fault(format!("it differs from {other}"))),
                Some(_) | None => self.hosts = Some((field.clone(), values)),
            },
            Target::Token => self.token(field.clone(), line, &one()?)?,
            Target::Nothing(_) => {}
        }
        Ok(())
    }

    fn set(&mut self, field: &str, line: u64, to: &'static str, value: Toml) -> Result<(), FileError> {
        let text = value.as_str().map_or_else(|| value.to_string(), shown);
        if self.import.manager.get(to).is_some_and(|before| *before != value) {
            let why = format!("manager.{to} would get another value than from an earlier key");
            return Err(FileError { line: Some(line), field: field.to_owned(), why });
        }
        self.import.manager.insert(to, value);
        let (from, to) = (field.to_owned(), format!("manager.{to}"));
        self.import.mapped.push(MappedKey { from, to, value: Some(text) });
        Ok(())
    }

    /// No message shows any of it.
    fn token(&mut self, field: String, line: u64, text: &str) -> Result<(), FileError> {
        let fault = |why: &str| FileError { line: Some(line), field: field.clone(), why: why.to_owned() };
        let token =
            Secret::of_manager(text).ok_or_else(|| fault("it is not one line of at most 4096 printable ASCII"))?;
        if self.import.token.as_ref().is_some_and(|before| *before != token) {
            return Err(fault("it differs from an earlier token of the file"));
        }
        self.import.token = Some(token);
        let to = "manager.shared_token_file".to_owned();
        self.import.mapped.push(MappedKey { from: field, to, value: None });
        Ok(())
    }

    fn finish(mut self) -> Result<KasmImport, FileError> {
        let (at_port, port) = self.port.take().map_or((None, PORT), |(field, port)| (Some(field), port));
        let Some((field, hosts)) = self.hosts.take() else {
            self.import.notes.push("no manager is named: set manager.urls yourself".to_owned());
            return Ok(self.import);
        };
        if hosts.iter().any(|host| host == OWN_PROXY) {
            let note = "`proxy` is the name of Kasm's own proxy on the network of its containers: replace it by the name or \
                        address under which this host reaches the manager";
            self.import.notes.push(note.to_owned());
        }
        let urls: Vec<String> = hosts.iter().map(|host| url(host, port)).collect();
        let value = Some(shown(&urls.join(", ")));
        self.import.manager.insert("urls", Toml::Array(urls.into_iter().map(Toml::String).collect()));
        self.import.mapped.push(MappedKey { from: field, to: "manager.urls".to_owned(), value });
        if let Some(from) = at_port {
            let value = Some(port.to_string());
            self.import.mapped.push(MappedKey { from, to: "manager.urls (the port)".to_owned(), value });
        }
        let note = "Kasm's agent does not verify the manager's certificate, and this daemon does: for a certificate that no \
                    authority of this system has signed, set manager.ca_file or manager.pin_sha256";
        self.import.notes.push(note.to_owned());
        Ok(self.import)
    }
}

/// A host with whatever it has already of an address.
fn url(host: &str, port: u16) -> String {
    let host = host.strip_prefix("https://").unwrap_or(host).trim_end_matches('/');
    let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    match host.rsplit_once(':') {
        _ if is_v6 => format!("https://[{host}]:{port}"),
        Some((_, behind)) if behind.parse::<u16>().is_ok() => format!("https://{host}"),
        Some(_) | None => format!("https://{host}:{port}"),
    }
}

fn port(text: &str) -> Result<u16, String> {
    let fits = text.parse::<u16>().ok().filter(|port| *port != 0);
    fits.ok_or_else(|| format!("{} is not a port from 1 to 65535", shown(text)))
}

/// One value, or the values of a list, without those that a template leaves where it has none.
fn scalars(node: &Node) -> Result<Vec<String>, String> {
    let one = |node: &Node| match &node.value {
        Value::Scalar { .. } if is_null(node) => Ok(None),
        Value::Scalar { text, .. } => {
            let text = text.trim();
            Ok((!text.is_empty() && text != "None").then(|| text.to_owned()))
        }
        Value::List(_) | Value::Map(_) => Err("expected a text or a number".to_owned()),
    };
    match &node.value {
        Value::List(items) => items.iter().filter_map(|item| one(item).transpose()).collect(),
        Value::Scalar { .. } | Value::Map(_) => Ok(one(node)?.into_iter().collect()),
    }
}

fn shown(text: &str) -> String {
    printable(text, SHOWN_MOST_CHARS)
}
