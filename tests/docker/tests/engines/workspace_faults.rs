//! Docker in trouble on each engine: silent, killed, restarted, its containerd killed, containers that go while they are looked at; and that
//! a wait for events ends for what is ours and for nothing else.

use crate::workspace_world::{Host, container, image, workspace};
use crate::world::{World, until};
use docker::{PULL_STALLED_AFTER, WorkspaceContainers};
use docker_engines::{PATIENCE, releases};
use model::driver::ProbeError;
use model::nvidia_container::ContainerRun;
use model::ports::ActError;
use model::time::UnixMillis;
use model::workspace_life::WorkspaceDeed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant, SystemTime};

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(now.as_millis()).unwrap())
}

/// A wait that begins now; it is given far more time than any test has.
fn wait(host: &Host, since: UnixMillis) -> tokio::task::JoinHandle<Result<(), ProbeError>> {
    let hand = WorkspaceContainers::new(&host.engine.socket(), PULL_STALLED_AFTER);
    tokio::spawn(async move { hand.await_event(since, 100 * PATIENCE).await })
}

async fn ends(wait: tokio::task::JoinHandle<Result<(), ProbeError>>, what: &str) {
    let ended = tokio::time::timeout(PATIENCE, wait).await;
    ended
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
        .unwrap()
        .unwrap_or_else(|fault| panic!("{what}: {fault}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make test-docker runs it"]
async fn a_wait_ends_for_what_happens_to_ours_and_not_for_what_happens_to_others() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let mut host = Host::start(release, &world, "runc");
        let before = now();
        host.pull(&image).await;
        ends(wait(&host, before), "the pull, which was before the wait").await;
        let id = host.create(container("w-1", &image)).await;
        let other = format!("{}@{}", image.repository(), image.digest().unwrap());
        for (what, arguments) in [
            ("rename", &["rename", "gpuhost-w-1", "mine"][..]),
            ("rename back", &["rename", "mine", "gpuhost-w-1"]),
            ("start", &["start", "gpuhost-w-1"]),
            ("pause", &["pause", "gpuhost-w-1"]),
            ("unpause", &["unpause", "gpuhost-w-1"]),
            ("die", &["kill", "gpuhost-w-1"]),
        ] {
            let waiting = wait(&host, now());
            host.engine.docker(arguments);
            ends(waiting, what).await;
        }
        let since = now();
        host.engine.docker(&["rm", "gpuhost-w-1"]);
        ends(wait(&host, since), "a removal that was before the wait").await;

        // A container of another, and what is executed in ours.
        let id_2 = host.run(container("w-2", &image)).await;
        until("what was before to be past", || async { (now().0 > since.0 + 1).then_some(()) }).await;
        let since = UnixMillis(now().0 + 1);
        until("the next millisecond", || async { (now() > since).then_some(()) }).await;
        let waiting = wait(&host, since);
        host.engine.docker(&["run", "--rm", "--network=none", "--entrypoint=true", &other]);
        host.engine.docker(&["exec", id_2.as_str(), "true"]);
        // Docker shows what was before to a wait that begins later: this one waits to its end.
        let (begin, most) = (Instant::now(), Duration::from_secs(2));
        host.hand.await_event(since, most).await.unwrap();
        assert!(begin.elapsed() >= most && !waiting.is_finished(), "{release}");
        host.engine.docker(&["stop", "--time=0", id_2.as_str()]);
        ends(waiting, "the end of ours").await;

        // Docker reads its configuration again, then goes.
        let waiting = wait(&host, now());
        host.engine.signal(Signal::SIGHUP);
        ends(waiting, "the reload").await;
        let waiting = wait(&host, UnixMillis(now().0 + 1000));
        host.engine.kill();
        let _ended = tokio::time::timeout(PATIENCE, waiting).await.expect("the end of Docker ends the wait").unwrap();
        let gone = host.hand.await_event(now(), PATIENCE).await;
        assert!(matches!(gone, Err(ProbeError::Absent { .. })), "{release}: {gone:?}");
        drop(id);
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_docker_that_is_silent_holds_no_call_longer_than_its_deadline() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let id = host.run(container("w-1", &image)).await;
        host.engine.signal(Signal::SIGSTOP);
        let soon = Duration::from_secs(1);
        let silent = host.hand.look(std::slice::from_ref(&image), soon).await;
        assert!(matches!(silent, Err(ProbeError::Timeout { .. })), "{release}: {silent:?}");
        host.hand.await_event(now(), soon).await.expect("nothing was heard, and nothing is concluded");
        for deed in [
            WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 120 },
            WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id: id.clone() },
            WorkspaceDeed::Create(Box::new(container("w-2", &image))),
        ] {
            let silent = host.hand.apply(&deed, &host.policy, soon).await;
            assert!(matches!(silent, Err(ActError::Unreachable { .. })), "{release}: {deed}: {silent:?}");
        }
        host.engine.signal(Signal::SIGCONT);
        let seen = host.does("w-1", "it to be shown again", |_| true).await;
        assert_eq!((seen.id, seen.foreign), (id, None), "{release}");
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn workspaces_live_on_while_docker_is_killed_and_one_that_ended_meanwhile_has_ended() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let mut host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let id = host.run(container("w-1", &image)).await;
        host.run(container("w-2", &image)).await;
        let frozen = host.run(container("w-3", &image)).await;
        host.apply(WorkspaceDeed::Pause { workspace_id: workspace("w-3"), id: frozen }).await.unwrap();
        let before = host.seen(&workspace("w-1")).await;
        let ending = host.seen(&workspace("w-2")).await.pid.unwrap();
        host.engine.kill();
        let gone = host.hand.look(&[], PATIENCE).await;
        assert!(matches!(gone, Err(ProbeError::Absent { .. })), "{release}: {gone:?}");
        kill(Pid::from_raw(ending.cast_signed()), Signal::SIGKILL).unwrap();
        host.engine.start_again();
        let after = host.seen(&workspace("w-1")).await;
        assert_eq!(
            (&after.id, after.pid, after.foreign),
            (&id, before.pid, None),
            "{release}: its process is the same"
        );
        let ended = host.does("w-2", "its end to be seen", |run| matches!(run, ContainerRun::Ended { .. })).await;
        assert!(ended.pid.is_none(), "{release}: {ended:?}");
        host.does("w-3", "it to be frozen", |run| *run == ContainerRun::Paused).await;
        host.apply(WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 30 }).await.unwrap();
        host.apply(WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id }).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "make test-docker runs it"]
async fn a_containerd_that_is_killed_costs_no_look_and_what_it_takes_to_stop_is_reported() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let id = host.run(container("w-1", &image)).await;
        let file = host.engine.folder().join("exec/containerd/containerd.pid");
        let text = std::fs::read_to_string(&file).unwrap();
        kill(Pid::from_raw(text.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
        let seen = host.seen(&workspace("w-1")).await;
        assert!(seen.is_live() && seen.foreign.is_none(), "{release}: {seen:?}");
        // dockerd starts its containerd again. Until a stop has its effect it is refused or has none, and both are reported.
        until("the workspace to end", || async {
            let stop = WorkspaceDeed::Stop { workspace_id: workspace("w-1"), id: id.clone(), grace_s: 5 };
            let asked = host.apply(stop).await;
            let run = host.seen(&workspace("w-1")).await.run;
            match (asked, &run) {
                (_, ContainerRun::Ended { .. }) => Some(()),
                (Err(_), _) => None,
                (Ok(()), run) => panic!("{release}: reported as stopped, and is {run:?}"),
            }
        })
        .await;
        host.apply(WorkspaceDeed::Remove { workspace_id: workspace("w-1"), id: id.clone() }).await.unwrap();
        assert!(host.look().await.containers.is_empty(), "{release}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make test-docker runs it"]
async fn containers_that_come_and_go_while_they_are_looked_at_are_no_fault() {
    let world = World::new();
    let image = image(&world, "1", &[]);
    for release in releases() {
        let host = Host::start(release, &world, "runc");
        host.pull(&image).await;
        let looking = WorkspaceContainers::new(&host.engine.socket(), PULL_STALLED_AFTER);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let looks = tokio::spawn(async move {
            let mut stopped = stopped;
            let mut most = 0;
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                let look = looking.look(&[], PATIENCE).await.expect("no look fails");
                assert!(look.containers.iter().all(|one| one.foreign.is_none()), "{look:?}");
                most = most.max(look.containers.len());
            }
            most
        });
        for number in 0..12 {
            let name = format!("w-{number}");
            let id = host.create(container(&name, &image)).await;
            let remove = WorkspaceDeed::Remove { workspace_id: workspace(&name), id };
            let (one, other) = tokio::join!(host.apply(remove.clone()), host.apply(remove));
            assert!(one.is_ok() && other.is_ok(), "{release}: both are done: {one:?} {other:?}");
        }
        stop.send(()).unwrap();
        assert!(looks.await.unwrap() <= 1, "{release}");
        assert!(host.look().await.containers.is_empty(), "{release}");
    }
}
