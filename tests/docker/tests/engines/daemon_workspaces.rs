//! The whole daemon with its hands beside a real engine: workspaces of the local desired state from their wish to their end.

use crate::daemon::Daemon;
use crate::workspace_world::image;
use crate::world::World;
use docker_engines::{Engine, releases};
use model::image_ref::ImageRef;
use serde_json::{Value, json};

fn workspace(id: &str, image: &ImageRef, change: &Value) -> Value {
    let volumes = json!([{ "name": format!("home-{id}"), "target": "/data" }]);
    let mut wish = json!({ "workspace_id": id, "desired": "running", "image": image.to_string(), "cores": 0.5,
                           "memory": 67_108_864, "volumes": volumes, "environment": { "PASSWORD": "hunter2-of-the-user" } });
    for (name, value) in change.as_object().unwrap() {
        wish[name] = value.clone();
    }
    wish
}

fn document(workspaces: &[Value]) -> Value {
    json!({ "workspaces": workspaces })
}

/// Its full id and its state, where it is there.
fn container(engine: &Engine, id: &str) -> Option<(String, String)> {
    let name = format!("name=^/?gpuhost-{id}$");
    let listed = engine.docker(&["ps", "--all", "--no-trunc", "--filter", &name, "--format", "{{.ID}} {{.State}}"]);
    listed.split_once(' ').map(|(id, state)| (id.to_owned(), state.to_owned()))
}

fn state(engine: &Engine, id: &str) -> Option<String> {
    container(engine, id).map(|(_, state)| state)
}

fn runs(engine: &Engine, id: &str) -> Option<String> {
    container(engine, id).filter(|(_, state)| state == "running").map(|(id, _)| id)
}

fn volumes(engine: &Engine) -> Vec<String> {
    engine.docker(&["volume", "ls", "--quiet"]).lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "make test-docker runs it"]
fn workspaces_of_a_file_are_pulled_run_kept_over_restarts_created_anew_stopped_and_deleted() {
    let world = World::new();
    let image = image(&world, "1", &["ENV NVIDIA_VISIBLE_DEVICES=all"]);
    for release in releases() {
        let engine = Engine::start(release);
        engine.docker(&["volume", "create", "of-another"]);
        let mut daemon = Daemon::new(&engine, &world);
        let both = document(&[workspace("w1", &image, &json!({})), workspace("w2", &image, &json!({}))]);
        daemon.wish(Some(&both));
        daemon.start("");
        let first = daemon.until("w1", |engine| runs(engine, "w1"));
        let second = daemon.until("w2", |engine| runs(engine, "w2"));
        let inspected = engine.inspect(&first);
        let variables: Vec<&str> =
            inspected["Config"]["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(variables.contains(&"NVIDIA_VISIBLE_DEVICES=void"), "{release}: {variables:?}");
        assert_eq!(inspected["HostConfig"]["RestartPolicy"]["Name"], "no");
        assert!(volumes(&engine).contains(&"gpuhost-home-w1".to_owned()));

        // A restart, and a daemon that was killed, change nothing of what runs.
        let started = engine.inspect(&second)["State"]["StartedAt"].clone();
        daemon.stop();
        daemon.start("");
        daemon.kill();
        daemon.wish(Some(&document(&[
            workspace("w1", &image, &json!({ "cores": 0.25 })),
            workspace("w2", &image, &json!({})),
        ])));
        daemon.start("");
        let anew = daemon.until("w1 with its new specification", |engine| runs(engine, "w1").filter(|id| *id != first));
        assert_ne!(anew, first);
        assert_eq!(
            engine.docker(&["exec", "gpuhost-w1", "cat", "/data/ended"]),
            "ended",
            "{release}: its volume is kept"
        );
        assert_eq!(runs(&engine, "w2"), Some(second.clone()), "{release}");
        assert_eq!(engine.inspect(&second)["State"]["StartedAt"], started, "{release}: nobody touched the other one");

        let wished = |first: &str, second: &str| {
            document(&[
                workspace("w1", &image, &json!({ "cores": 0.25, "desired": first })),
                workspace("w2", &image, &json!({ "desired": second })),
            ])
        };
        daemon.wish(Some(&wished("paused", "stopped")));
        daemon.until("w1 to be frozen", |engine| (state(engine, "w1")? == "paused").then_some(()));
        daemon.until("w2 to end", |engine| (state(engine, "w2")? == "exited").then_some(()));
        daemon.wish(Some(&wished("deleted", "running")));
        daemon.until("w1 to be gone", |engine| container(engine, "w1").is_none().then_some(()));
        daemon.until("its volume to be gone", |engine| {
            (!volumes(engine).contains(&"gpuhost-home-w1".to_owned())).then_some(())
        });
        assert_eq!(
            daemon.until("w2", |engine| runs(engine, "w2")),
            second,
            "{release}: started again, not created anew"
        );

        // A file that is lost is no wish: what runs goes on. A list that lacks it is one: it is stopped, and kept.
        daemon.wish(None);
        daemon.wish(Some(&document(&[workspace("w3", &image, &json!({}))])));
        daemon.until("w3", |engine| runs(engine, "w3"));
        daemon.until("w2 to end", |engine| (state(engine, "w2")? == "exited").then_some(()));
        assert!(volumes(&engine).contains(&"gpuhost-home-w2".to_owned()), "{release}");
        assert!(volumes(&engine).contains(&"of-another".to_owned()), "{release}");
        assert!(!daemon.log().contains("hunter2"), "{release}: no value of an environment is in the log");
    }
}
