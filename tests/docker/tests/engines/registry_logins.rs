//! Logins to a registry that knows one user, on each engine: the right one is enough, and what is wrong is recognised by its words.

use crate::workspace_world::Host;
use crate::world::{World, until};
use docker::{LoginSource, PULL_STALLED_AFTER, WorkspaceContainers};
use docker_engines::{Engine, Image, PATIENCE, Registry, Release, Users, releases};
use model::image_ref::ImageRef;
use model::nvidia_container::ImageSeen;
use model::registry_login::RegistryLogin;
use model::workspace_life::{WorkspaceDeed, pull_failure_code};

const PASSWORD: &str = "secret-of-the-registry";

/// What becomes of a pull: nothing, or the code and the words of its failure.
async fn pull(
    host: &Host,
    hand: &WorkspaceContainers,
    image: &ImageRef,
    login: Option<RegistryLogin>,
) -> Option<String> {
    let deed = WorkspaceDeed::Pull { image: image.clone(), login };
    hand.apply(&deed, &host.policy, 2 * PATIENCE).await.unwrap();
    let seen = until("the image", || async {
        let seen = hand.look(std::slice::from_ref(image), PATIENCE).await.unwrap().image(image);
        (!matches!(seen, ImageSeen::Pulling { .. })).then_some(seen)
    })
    .await;
    assert!(!format!("{seen:?}").contains(PASSWORD), "{seen:?}");
    match seen {
        ImageSeen::Present { .. } => None,
        ImageSeen::PullFailed { why } => Some(why),
        other => panic!("{other:?}"),
    }
}

fn file(registry: &str, password: &str) -> LoginSource {
    let text = serde_json::json!({ "auths": { registry: { "username": "gpu", "password": password } } }).to_string();
    LoginSource::new("/etc/gpuhostd/registries.json", move || Ok(Some(text.clone().into_bytes())))
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_registry_with_users_serves_who_has_its_login_and_a_refusal_has_its_reason() {
    let world = World::new();
    let closed = Registry::start(Users::One);
    let source = Engine::start(Release::V26_1);
    source.docker(&["login", "--username", "gpu", "--password", PASSWORD, closed.address()]);
    Image::new().import(&source, "made:1");
    let image: ImageRef = closed.push(&source, "made:1", "kasm/private:1").parse().unwrap();
    let registry = closed.address();
    let login = |registry: &str, password: &str| RegistryLogin {
        registry: registry.to_owned(),
        username: "gpu".to_owned(),
        password: password.to_owned(),
    };
    for release in releases() {
        let mut host = Host::start(release, &world, "runc");
        host.policy.workspaces.registries.push(registry.to_owned());
        let hand = |source| WorkspaceContainers::with_logins(&host.engine.socket(), PULL_STALLED_AFTER, source);
        let refused = [
            ("no login", pull(&host, &hand(LoginSource::default()), &image, None).await),
            ("a wrong password", pull(&host, &hand(file(registry, "wrong")), &image, None).await),
            ("another registry's", pull(&host, &hand(file("other.example", PASSWORD)), &image, None).await),
            ("a wish with a wrong one", {
                let wished = Some(login(registry, "wrong"));
                pull(&host, &hand(LoginSource::default()), &image, wished).await
            }),
        ];
        for (what, why) in refused {
            let why = why.unwrap_or_else(|| panic!("{release}: {what} is enough"));
            println!("{release}: {what}: {why}");
            assert_eq!(pull_failure_code(&why), "registry_auth", "{release}: {what}: {why}");
        }
        assert_eq!(pull(&host, &hand(file(registry, PASSWORD)), &image, None).await, None, "{release}");
        host.engine.docker(&["rmi", &format!("{}@{}", image.repository(), image.digest().unwrap())]);
        let wished = Some(login(registry, PASSWORD));
        assert_eq!(pull(&host, &hand(LoginSource::default()), &image, wished).await, None, "{release}");
    }
}
