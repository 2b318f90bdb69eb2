//! The login to a registry goes into one header of the request for its own image, and nowhere else.

use crate::PATIENCE;
use crate::server::{Reply, Server};
use docker::{LoginSource, NvidiaContainers, PULL_STALLED_AFTER, WorkspaceContainers};
use model::image_ref::ImageRef;
use model::nvidia_container::{ImageSeen, NvidiaDeed, NvidiaRole};
use model::policy::{HostPolicy, NvidiaPolicy, WorkspacesPolicy};
use model::registry_login::RegistryLogin;
use model::workspace_life::WorkspaceDeed;
use std::time::Duration;

/// `{"auths": …}` for `own.example`: host, canary-password.
const FILE: &str = r#"{"auths": {"own.example": {"auth": "aG9zdDpjYW5hcnktcGFzc3dvcmQ="}}}"#;
const REFUSED: &str = r#"{"message":"Head http://r/v2/x: unauthorized: authentication required"}"#;

fn image(registry: &str) -> ImageRef {
    format!("{registry}/x@sha256:{}", "a".repeat(64)).parse().unwrap()
}

fn server() -> Server {
    let version = Reply::Json(200, r#"{"ApiVersion":"1.41","Version":"20.10.24"}"#.to_owned());
    let list = ("/containers/json", Reply::Json(200, "[]".to_owned()));
    Server::start(vec![list, ("/version", version), ("/images/create", Reply::Json(500, REFUSED.to_owned()))])
}

fn source() -> LoginSource {
    LoginSource::new("/etc/gpuhostd/registries.json", || Ok(Some(FILE.as_bytes().to_vec())))
}

/// The header of the request for an image, once it is there.
async fn sent(server: &Server, number: usize) -> Option<String> {
    let asked = async {
        loop {
            let creates: Vec<String> =
                server.requests().into_iter().filter(|request| request.contains("/images/create")).collect();
            if let Some(request) = creates.get(number) {
                return request.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let request = tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert!(!request.lines().next().unwrap().contains("canary"), "{request}");
    let header = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-registry-auth").then(|| value.to_owned())
    });
    header.filter(|value| value.len() > 8)
}

/// Why the pull of an image has failed, once it has.
async fn why_failed(hand: &WorkspaceContainers, image: &ImageRef) -> String {
    let failed = async {
        loop {
            let look = hand.look(std::slice::from_ref(image), PATIENCE).await.unwrap();
            if let ImageSeen::PullFailed { why } = look.image(image) {
                break why;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap()
}

fn policy() -> HostPolicy {
    let registries = ["own.example", "wish.example", "other.example"].map(str::to_owned).to_vec();
    let workspaces = WorkspacesPolicy { registries, ..WorkspacesPolicy::default() };
    let nvidia = NvidiaPolicy { images: vec!["own.example/x".to_owned()], ..NvidiaPolicy::default() };
    HostPolicy { workspaces, nvidia, ..HostPolicy::default() }
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_is_in_the_header_of_its_registrys_request_and_of_no_other() {
    let server = server();
    let hand = WorkspaceContainers::with_logins(&server.socket(), PULL_STALLED_AFTER, source());
    let login = |registry: &str| RegistryLogin {
        registry: registry.to_owned(),
        username: "wish".to_owned(),
        password: "canary-wish".to_owned(),
    };
    for (number, (of, wished, has_one)) in [
        ("own.example", None, true),
        ("wish.example", Some(login("wish.example")), true),
        ("other.example", Some(login("wish.example")), false),
    ]
    .into_iter()
    .enumerate()
    {
        let deed = WorkspaceDeed::Pull { image: image(of), login: wished };
        assert!(!deed.to_string().contains("canary") && !format!("{deed:?}").contains("canary"));
        hand.apply(&deed, &policy(), PATIENCE).await.unwrap();
        assert_eq!(sent(&server, number).await.is_some(), has_one, "{of}");
    }
    // What is shown of it afterwards has no login in it.
    let why = why_failed(&hand, &image("own.example")).await;
    assert!(why.contains("unauthorized") && !why.contains("canary"), "{why}");
}

#[tokio::test(flavor = "current_thread")]
async fn nvidias_images_are_pulled_with_the_login_of_this_host_too() {
    let server = server();
    let hand = NvidiaContainers::with_logins(&server.socket(), PULL_STALLED_AFTER, source());
    let deed = NvidiaDeed::Pull { role: NvidiaRole::Toolkit, image: image("own.example") };
    hand.apply(&deed, &policy().nvidia, PATIENCE).await.unwrap();
    assert!(sent(&server, 0).await.is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_that_is_not_used_is_named_where_a_registry_refuses() {
    let list = ("/containers/json", Reply::Json(200, "[]".to_owned()));
    let version = Reply::Json(200, r#"{"ApiVersion":"1.41","Version":"20.10.24"}"#.to_owned());
    let refused = ("/images/create", Reply::Json(500, REFUSED.to_owned()));
    let server = Server::start(vec![list, ("/version", version), refused]);
    let unfit = LoginSource::new("/f", || Err("users other than its owner can use it: chmod 0600 /f".to_owned()));
    let hand = WorkspaceContainers::with_logins(&server.socket(), PULL_STALLED_AFTER, unfit);
    let wanted = image("own.example");
    hand.apply(&WorkspaceDeed::Pull { image: wanted.clone(), login: None }, &policy(), PATIENCE).await.unwrap();
    assert_eq!(sent(&server, 0).await, None);
    let why = why_failed(&hand, &wanted).await;
    assert!(why.contains("unauthorized") && why.contains("chmod 0600 /f"), "{why}");
}

#[tokio::test(flavor = "current_thread")]
async fn ten_thousand_containers_of_others_cost_one_list() {
    let ids = 0..10_000_u32;
    let container = |id: u32| {
        serde_json::json!({ "Id": format!("{id:064x}"), "ImageID": format!("sha256:{:064x}", id % 7), "Names": ["/x"],
            "Labels": { "a": "b".repeat(1000) }, "Mounts": [], "State": "running" })
    };
    let containers = serde_json::Value::Array(ids.map(container).collect()).to_string();
    let images: Vec<_> = (0..7).map(|id| serde_json::json!({ "Id": format!("sha256:{id:064x}"), "Size": 5 })).collect();
    let images = serde_json::Value::Array(images).to_string();
    let server = Server::start(vec![
        ("/images/json", Reply::Json(200, images)),
        ("/containers/json", Reply::Json(200, containers)),
    ]);
    let hand = WorkspaceContainers::new(&server.socket(), PULL_STALLED_AFTER);
    let stored = hand.stored_images(PATIENCE).await.unwrap();
    assert_eq!(stored.iter().map(|image| image.used_by.len()).sum::<usize>(), 10_000);
    let asked: Vec<String> = server.requests().iter().map(|it| it.lines().next().unwrap().to_owned()).collect();
    assert_eq!(asked, ["GET /images/json HTTP/1.1", "GET /containers/json?all=true HTTP/1.1"]);
}
