//! Docker with thousands of containers: those of others cost a look at workspaces nothing, none is left out where each matters, and a list
//! that cannot be read whole is a fault.

use crate::PATIENCE;
use crate::server::{Reply, Server};
use docker::{PULL_STALLED_AFTER, WorkspaceContainers, mig_claims, runtime_users};
use model::driver::ProbeError;
use model::workspace::WorkspaceContainer;
use serde_json::{Value, json};

const LIST: &str = "GET /containers/json?all=true ";
const LAST: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const ANY: &str = "GET /containers/";

/// One as the list shows it.
fn listed(id: &str) -> Value {
    json!({
        "Id": id, "Names": ["/job"], "Image": "r.example/job:1", "ImageID": format!("sha256:{id}"), "Command": "sleep 1",
        "Created": 1_764_000_000, "Ports": [{ "IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" }],
        "Labels": { "a": "1", "b": "2" }, "State": "exited", "Status": "Exited (0) 2 hours ago",
        "HostConfig": { "NetworkMode": "bridge" }, "NetworkSettings": { "Networks": { "bridge": { "IPAMConfig": null } } },
        "Mounts": [{ "Type": "volume", "Name": "v", "Source": "", "Destination": "/data", "RW": true }],
    })
}

/// Two thousand; the last one has a MIG device and the runtime nvidia.
fn list() -> Vec<Value> {
    let ids = (1..2000).map(|number| format!("{number:064x}"));
    ids.chain([LAST.to_owned()]).map(|id| listed(&id)).collect()
}

fn inspected(variable: &str, runtime: &str) -> Reply {
    let one = json!({
        "Name": "/job", "State": { "Running": false }, "HostConfig": { "Runtime": runtime }, "Mounts": [],
        "Config": { "Env": ["PATH=/bin", variable] }, "NetworkSettings": {},
    });
    Reply::Json(200, one.to_string())
}

fn server(list: Reply) -> Server {
    let of_last = inspected("NVIDIA_VISIBLE_DEVICES=MIG-1", "nvidia");
    Server::start(vec![(LIST, list), (LAST, of_last), (ANY, inspected("A=b", "runc"))])
}

#[tokio::test(flavor = "current_thread")]
async fn the_last_of_two_thousand_containers_is_not_missed() {
    let server = server(Reply::Json(200, Value::Array(list()).to_string()));
    let claims = mig_claims(&server.socket(), PATIENCE).await.unwrap();
    let [claim] = claims.as_slice() else { panic!("{claims:?}") };
    assert_eq!((claim.id.as_str(), claim.is_running), (&LAST[..12], false));
    assert_eq!(server.requests().len(), 2001, "each is inspected");
    let users = runtime_users(&server.socket(), &"nvidia".parse().unwrap(), PATIENCE).await.unwrap();
    assert_eq!(users, ["job"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_list_or_a_container_that_cannot_be_read_whole_is_a_fault_and_never_fewer_holders() {
    let whole = Value::Array(list()).to_string();
    let mut nameless = list();
    nameless[7]["Id"] = json!("job");
    let too_many = json!(vec![json!({ "Id": LAST }); 10_000]).to_string();
    for body in [&whole[..whole.len() / 2], &Value::Array(nameless).to_string(), "null", "{}", &too_many] {
        let server = server(Reply::Json(200, body.to_owned()));
        let fault = mig_claims(&server.socket(), PATIENCE).await.unwrap_err();
        assert!(matches!(fault, ProbeError::Garbled { .. }), "{fault:?}");
    }
    // The devices of a container are in a part of the answer that is beyond the bound.
    let variables = json!(vec!["A=b"; 40_000]);
    let large = format!(r#"{{"HostConfig": {{}}, "Config": {{"Env": {variables}}}, "NetworkSettings": {{}}}}"#);
    let list = json!([listed(LAST)]).to_string();
    let server = Server::start(vec![(LIST, Reply::Json(200, list)), (LAST, Reply::Json(200, large))]);
    let fault = mig_claims(&server.socket(), PATIENCE).await.unwrap_err();
    assert!(fault.to_string().contains("NetworkSettings"), "{fault}");
}

/// Three of ours among ten thousand of others, in a Docker that keeps to the filter of a list.
fn ten_thousand() -> Server {
    let label = |one: Value| {
        let Value::Object(mut one) = one else { panic!("{one}") };
        one.insert("Labels".to_owned(), json!({ WorkspaceContainer::ID_LABEL: "w-1" }));
        Value::Object(one)
    };
    let ours: Vec<Value> = (1..=3).map(|number| label(listed(&format!("{number:064x}")))).collect();
    let others = (4..=10_003).map(|number| listed(&format!("{number:064x}")));
    let all: Vec<Value> = ours.iter().cloned().chain(others).collect();
    let image =
        json!([{ "Id": format!("sha256:{LAST}"), "RepoTags": null, "RepoDigests": null, "Size": 1, "Created": 1 }]);
    let whole = |list: Vec<Value>| Reply::Json(200, Value::Array(list).to_string());
    Server::start(vec![
        ("GET /containers/json?all=true&filters=", whole(ours)),
        (LIST, whole(all)),
        ("GET /images/json ", Reply::Json(200, image.to_string())),
        (ANY, inspected("A=b", "runc")),
    ])
}

#[tokio::test(flavor = "current_thread")]
async fn ten_thousand_containers_of_others_cost_a_look_at_workspaces_one_list_of_ours_alone() {
    let server = ten_thousand();
    let hand = WorkspaceContainers::new(&server.socket(), PULL_STALLED_AFTER);
    let look = hand.look(&[], PATIENCE).await.unwrap();
    assert!(look.containers.len() <= 3, "{look:?}");
    let requests = server.requests();
    let lists: Vec<&String> = requests.iter().filter(|one| one.contains("/containers/json")).collect();
    assert!(lists.len() == 1 && lists[0].contains("filters=") && lists[0].contains("label"), "{lists:?}");
    assert_eq!(requests.len(), 4, "one list, and each of ours");
    assert!(server.answered() < 16 * 1024, "{} bytes were read", server.answered());
    // Which image is used by whom is one list too, however many there are.
    let images = hand.stored_images(PATIENCE).await.unwrap();
    assert_eq!((images.len(), images[0].used_by.len()), (1, 0));
    assert_eq!(server.requests().len(), 6, "the images, and all containers");
}
