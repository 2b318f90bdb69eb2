//! That no secret survives in any of the forms that it comes in, and that ordinary text does.

use model::snapshot::redact::{MARK, json, text};
use proptest::prelude::{ProptestConfig, proptest};
use serde_json::json;

const SECRET: &str = "Zx81kQ0pLw27vB5t";

/// Forms in which a secret stands in logs, command lines, settings and documents; `@@` is the secret.
const FORMS: [&str; 47] = [
    "token=@@",
    "TOKEN=@@ next",
    "GPUHOSTD_TOKEN=@@",
    "--token @@",
    "--token=@@",
    "--api-token '@@'",
    "-password @@ x",
    "password: @@",
    "password:@@",
    "Password = \"@@\"",
    "passwd=@@,uid=0",
    "passphrase = '@@ with spaces'",
    "db_password=@@;host=x",
    "\"password\": \"@@\"",
    "\"password\" : \"a@@\", \"other\": 1",
    "{\"auths\":{\"registry.example\":{\"auth\":\"@@\"}}}",
    "\\\"token\\\":\\\"@@\\\"",
    "secret=@@",
    "client_secret => @@",
    "apiKey: @@",
    "api-key: @@",
    "X-API-Key: @@",
    "aws_secret_access_key = @@",
    "rd.luks.key=@@",
    "private_key=@@",
    "cookie: @@",
    "Set-Cookie: sid=@@; Path=/",
    "Authorization: Bearer @@",
    "authorization: Basic @@ trailing @@",
    "Proxy-Authorization: Digest username=\"@@\"",
    "\"Authorization\": \"Bearer @@\"",
    "-H 'Authorization: token @@'",
    "sent bearer @@ to the manager",
    "https://user:@@@host/path",
    "https://@@@host/path",
    "proxy http://user:p/@@@proxy.example:3128 refused",
    "postgres://u:@@@db/x?sslmode=off",
    "https://host/x?token=@@&y=1",
    "https://host/x?y=1&api_key=@@",
    "<token>@@</token>",
    "<process_name>python serve.py --token @@ --port 8000</process_name>",
    "<process_name>python --password=&quot;@@&quot;</process_name>",
    "enrolment failed: the manager refused token @@",
    "the password @@ is wrong",
    "registry_auth=@@",
    "credentials[main]: @@",
    "psk=@@",
];

#[test]
fn no_form_of_a_secret_survives() {
    for form in FORMS {
        let redacted = text(&form.replace("@@", SECRET));
        assert!(!redacted.text.contains(SECRET), "{form}: {}", redacted.text);
        assert!(redacted.text.contains(MARK) && redacted.count > 0, "{form}: {}", redacted.text);
    }
}

#[test]
fn it_survives_in_no_json_either() {
    let mut document = json!({
        "token": SECRET,
        "nested": [{ "apiKey": SECRET, "list_of_passwords": [SECRET, { "deep": SECRET }] }],
        "line": format!("started with --token {SECRET}"),
        "url": format!("https://u:{SECRET}@host"),
        "auths": { "registry.example": { "auth": SECRET } },
    });
    let count = json(&mut document);
    assert!(!document.to_string().contains(SECRET), "{document}");
    assert_eq!(count, 7);
}

#[test]
fn tokens_of_known_kinds_are_known_without_a_name() {
    let body = "A1b2C3d4E5f6G7h8I9j0";
    for begin in ["ghp_", "glpat-", "nvapi-", "hf_", "AKIA", "eyJhbGciOiJIUzI1NiJ9."] {
        let redacted = text(&format!("found {begin}{body} in the log"));
        assert_eq!(redacted.text, format!("found {MARK} in the log"), "{begin}");
    }
}

#[test]
fn pem_blocks_go_as_a_whole_even_without_an_end() {
    let begin = ["-----BEGIN", " PRIVATE KEY-----"].concat();
    let whole = format!("a\n{begin}\n{SECRET}\n-----END PRIVATE KEY-----\nb\n");
    assert_eq!(text(&whole).text, format!("a\n{MARK}\nb\n"));
    assert_eq!(text(&format!("a {begin}\\n{SECRET}")).text, format!("a {MARK}"));
}

#[test]
fn what_helps_to_find_a_fault_stays() {
    for line in [
        "BOOT_IMAGE=/boot/vmlinuz-6.1.0-26-amd64 root=UUID=5f7c ro quiet intel_iommu=on iommu=pt vfio-pci.ids=10de:2684",
        "nvidia 56717312 2 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (POE)",
        "trusted 49152 2 encrypted,asn1_encoder, Live 0x0000000000000000",
        "GPU-5f7ce2a1-0000-4000-8000-000000000001 at 0000:41:00.0",
        "https://manager.example:443/manager_api/api/v1/heartbeat",
        "NVRM: Xid (PCI:0000:41:00): 79, pid=1234, name=python, GPU has fallen off the bus.",
        "the manager wants a token; see the keyboard layout of the monkey",
        "basic services started",
        "pin_sha256 = \"\"",
        "",
        "\n\n",
    ] {
        let redacted = text(line);
        assert_eq!(redacted.text, line);
        assert_eq!(redacted.count, 0);
    }
}

#[test]
fn numbers_and_what_is_not_there_stay_as_they_are() {
    let mut document = json!({ "token": null, "password": 3, "secret": true, "key": "", "address": "0000:41:00.0" });
    let before = document.clone();
    assert_eq!(json(&mut document), 0);
    assert_eq!(document, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_taken(input in "\\PC{0,200}") {
        let once = text(&input);
        let without = text(&once.text.replace(MARK, ""));
        assert!(once.count > 0 || once.text == input);
        drop(without);
    }

    #[test]
    fn a_secret_hides_in_no_surroundings(before in "[ -~]{0,20}", after in "[ \t\n\"'<,;][ -~]{0,20}") {
        let redacted = text(&format!("{before} password={SECRET}{after}"));
        assert!(!redacted.text.contains(SECRET), "{}", redacted.text);
    }
}
