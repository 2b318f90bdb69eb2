//! Kasm's `agent.app.config.yaml`: the forms of its releases, what a template leaves unset, and files that only look like one.

use model::kasm::{KasmImport, import_kasm};
use model::settings::merge;

const TOKEN: &str = "kZ/9+canary&s3cret==";

/// As a single-server installation of an early release has it: one name, no ports, the template's id.
const FORM_1_9: &str = "agent:\n  server_id: 00000000-0000-0000-0000-000000000000\n  public_hostname: 10.0.0.7\n  listen_port: 4444\n\
                        manager:\n  hostname: proxy\n  token: kZ/9+canary&s3cret==\nlogging:\n  level: DEBUG\n";
/// As a host in a zone of several managers has it.
const FORM_1_12: &str = "agent:\n  server_id: 7B0F42A1-58a4-4b13-9f3d-0a1b2c3d4e5f\n  public_hostname: agent-1.kasm.example\n  \
                         public_port: 8443\n  provider: aws\n  auto_scaled: true\nmanager:\n  hostnames: ['m1.example', 'm2.example']\n  \
                         public_port: 443\n  token: \"kZ/9+canary&s3cret==\"\n";
/// As an autoscaler's script leaves it, with values of its template that were never filled in.
const FORM_1_16: &str = "agent:\n  server_id: 'None'\n  public_hostname: None\n  provider: ''\n  zone: ~\n  type: docker\n  gpu_filter: []\n\
                         manager:\n  hostnames:\n  - m1.example\n  - None\n  port: 8443\n  ssl_verify: false\n  token: 'kZ/9+canary&s3cret=='\n\
                         new_in_1_19:\n  deep: {er: 1}\n";

fn pairs(import: &KasmImport) -> Vec<(&str, &str, Option<&str>)> {
    import.mapped.iter().map(|key| (key.from.as_str(), key.to.as_str(), key.value.as_deref())).collect()
}

fn settings(import: &KasmImport) -> model::settings::ManagerSettings {
    let text = import.config("/etc/gpuhostd/token").unwrap();
    let merged = merge(&[("kasm.toml".to_owned(), text.clone())]);
    assert_eq!(merged.faults, [], "{text}");
    assert!(!text.contains("canary"), "{text}");
    merged.settings.manager
}

fn left_out(import: &KasmImport) -> Vec<(&str, bool)> {
    import.left_out.iter().map(|key| (key.key.as_str(), key.why.is_some())).collect()
}

#[test]
fn an_early_form_with_one_manager() {
    let import = import_kasm(FORM_1_9).unwrap();
    let manager = settings(&import);
    assert_eq!(manager.urls, ["https://proxy:443"]);
    assert_eq!(manager.public_hostname.as_deref(), Some("10.0.0.7"));
    assert_eq!((manager.server_id, manager.shared_token_file.as_deref()), (None, Some("/etc/gpuhostd/token")));
    assert_eq!(import.token.as_ref().unwrap().expose(), TOKEN);
    assert_eq!(left_out(&import), [("agent.server_id", true), ("agent.listen_port", true), ("logging", false)]);
    assert!(import.notes.iter().any(|note| note.contains("`proxy`")), "{:?}", import.notes);
}

#[test]
fn a_form_with_several_managers_and_ports() {
    let import = import_kasm(FORM_1_12).unwrap();
    let manager = settings(&import);
    assert_eq!(manager.urls, ["https://m1.example:443", "https://m2.example:443"]);
    assert_eq!(manager.server_id.as_deref(), Some("7b0f42a1-58a4-4b13-9f3d-0a1b2c3d4e5f"));
    assert_eq!((manager.public_port, manager.provider.as_str()), (8443, "aws"));
    let token = pairs(&import).into_iter().find(|(from, ..)| *from == "manager.token").unwrap();
    assert_eq!(token, ("manager.token", "manager.shared_token_file", None));
    assert!(import.notes.iter().any(|note| note.contains("pin_sha256")), "{:?}", import.notes);
}

#[test]
fn what_a_template_leaves_is_unset_and_unknown_keys_are_named_with_their_lines() {
    let import = import_kasm(FORM_1_16).unwrap();
    let manager = settings(&import);
    assert_eq!(manager.urls, ["https://m1.example:8443"]);
    assert_eq!((manager.server_id, manager.public_hostname, manager.zone), (None, None, None));
    assert_eq!(manager.provider, "hardware");
    let unknown: Vec<(&str, u64)> =
        import.left_out.iter().filter(|key| key.why.is_none()).map(|key| (key.key.as_str(), key.line)).collect();
    assert_eq!(unknown, [("agent.type", 6), ("agent.gpu_filter", 7), ("new_in_1_19", 15)]);
    assert!(left_out(&import).contains(&("manager.ssl_verify", true)), "{:?}", import.left_out);
}

#[test]
fn addresses_in_each_way_to_write_them() {
    for (host, url) in [
        ("m.example", "https://m.example:9443"),
        ("m.example:8443", "https://m.example:8443"),
        ("'https://m.example/'", "https://m.example:9443"),
        ("'2001:db8::7'", "https://[2001:db8::7]:9443"),
        ("10.1.2.3", "https://10.1.2.3:9443"),
    ] {
        let import = import_kasm(&format!("manager: {{hostnames: [{host}], port: 9443}}\n")).unwrap();
        assert_eq!(settings(&import).urls, [url], "{host}");
    }
}

#[test]
fn what_the_daemon_would_refuse_is_refused_under_the_name_of_kasm() {
    for (text, words) in [
        ("agent: {server_id: 17}\n", "agent.server_id"),
        ("agent: {public_hostname: 'a b'}\n", "agent.public_hostname"),
        ("agent: {public_port: 70000}\n", "agent.public_port"),
        ("agent: {public_port: 0}\n", "1 to 65535"),
        ("manager: {hostnames: ['a/../b']}\n", "manager.hostnames"),
        ("manager: {hostnames: ['https://joe:canary@m']}\n", "manager.hostnames"),
        ("manager: {hostnames: {a: b}}\n", "expected a text"),
        ("manager: {hostnames: [a], hostname: b}\n", "differs"),
        ("agent: {zone: a}\nmanager: {zone_name: b}\n", "another value"),
        ("manager: {token: 'canary two words'}\n", "manager.token"),
        ("manager: {token: canary-a, auth_token: canary-b}\n", "differs"),
        ("agent: [1]\n", "expected a map"),
        ("agent: on\n", "expected a map"),
        ("api: {server: x}\n", "neither agent nor manager"),
        ("just text\n", "expected a map"),
        ("", "empty"),
        ("# nothing\n", "empty"),
    ] {
        let read = import_kasm(text).and_then(|import| import.config("/etc/gpuhostd/token"));
        let fault = read.unwrap_err().to_string();
        assert!(fault.contains(words) && !fault.contains("canary"), "{text}: {fault}");
    }
}

#[test]
fn a_hostile_file_is_refused_and_costs_little() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let deep = format!("agent: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_map = format!("agent: {}", "{a: ".repeat(100_000));
    let twice = "agent:\n  server_id: a\n  server_id: b\n";
    let huge = format!("agent:\n  provider: {}\n", "x".repeat(2 << 20));
    let tagged = "agent: !!python/object/apply:os.system ['id']\n";
    let many = format!("manager:\n  hostnames: [{}]\n", vec!["h"; 5_000].join(","));
    for (what, text) in [
        ("aliases that grow", bomb.as_str()),
        ("nested lists", &deep),
        ("nested maps", &deep_map),
        ("a key twice", twice),
        ("size", &huge),
        ("a tag", tagged),
        ("two documents", "agent: {}\n---\nmanager: {}\n"),
        ("a value that contains itself", "agent: &a\n  server_id: *a\n"),
        ("many managers", &many),
    ] {
        assert!(import_kasm(text).is_err(), "{what}");
    }
}
