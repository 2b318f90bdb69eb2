//! What a browser would remember of an answer, and an agent must not: cookies, other places, other protocols. And portals where a
//! host enrols.

use crate::attack::{enrolled, kept, one_slot};
use crate::world::{Host, TOKEN, no_violations, with_token};
use manager::{Endpoint, Options, RawAnswer, Scripted};
use model::enrol::CheckinState;
use serde_json::json;

#[tokio::test]
async fn nothing_of_a_head_is_remembered_and_no_other_place_is_asked() {
    let mut host = Host::new();
    let (manager, running) = enrolled(&mut host, with_token()).await;
    let elsewhere = host.manager(Options { fleet: Some(manager.fleet()), ..Options::default() }).await;
    let (place, url) = (elsewhere.addr(), elsewhere.url());
    host.clock.advance(31_000).await;
    let before = kept(&host);
    let answer = Scripted::json(200, &json!({"next_heartbeat_s": 30}))
        .header("set-cookie", "session=stolen; Path=/; Secure")
        .header("alt-svc", &format!("h3=\":{0}\"; ma=86400, h2=\"{place}\"; persist=1", place.port()))
        .header("location", &url)
        .header("content-location", &url)
        .header("refresh", &format!("0; url={url}"))
        .header("link", &format!("<{url}>; rel=preconnect"))
        .header("www-authenticate", "Basic realm=\"x\"")
        .header("proxy-authenticate", "Basic realm=\"x\"")
        .header("strict-transport-security", "max-age=1")
        .header("keep-alive", "timeout=1, max=1")
        .header("x-gpuhostd-protocol", "9.9")
        .header("retry-after", "86400")
        .header("clear-site-data", "\"*\"");
    manager.script(Endpoint::Heartbeat, vec![answer; 3]);
    for _ in 0..6 {
        one_slot(&host).await;
        assert_eq!((running.state(), running.now().interval_s), (CheckinState::Ok, 30));
    }
    assert_eq!(running.now().failed, 0);
    for request in manager.requests() {
        let sent: Vec<_> = request.headers.keys().map(String::as_str).collect();
        for never in ["cookie", "referer", "authorization-info", "proxy-authorization", "origin"] {
            assert!(!sent.contains(&never), "{never} in {sent:?}");
        }
    }
    assert!(elsewhere.requests().is_empty() && elsewhere.failed_handshakes().is_empty(), "another place was asked");
    assert_eq!(kept(&host), before);
    running.stop().await;
    no_violations(&manager);
}

/// Whatever a portal shows, the host enrols at the next manager or in its slot, and its token is not spent.
#[tokio::test]
async fn a_portal_where_a_host_enrols_costs_no_token() {
    let login = "https://127.0.0.1:1/login";
    let mut portals = vec![
        Scripted::page(200),
        Scripted::page(407).header("proxy-authenticate", "Basic realm=\"x\""),
        Scripted::page(511),
        Scripted::page(451),
        Scripted::status(204),
        Scripted::bytes(RawAnswer::head(
            &["HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: x"],
            "",
        )),
        Scripted::json(200, &json!({"server_id": "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7"})),
        Scripted::json(200, &json!({"server_id": "../../etc/shadow", "secret": "s"})),
        Scripted::json(
            200,
            &json!({"error_message": "log in first", "server_id": "5f2ae64e-fdb7-40c7-a94e-2da71ae54dc7", "secret": "s"}),
        ),
    ];
    portals.extend([301, 302, 303, 307, 308].map(|status| Scripted::status(status).header("location", login)));
    for portal in portals {
        let mut host = Host::new();
        let manager = host.manager(with_token()).await;
        manager.script(Endpoint::Enroll, vec![portal.clone(); 2]);
        host.unattended(&[&manager], TOKEN);
        let running = host.start().await;
        assert_eq!(running.state(), CheckinState::Unreachable, "{portal:?}");
        assert!(!host.identity().exists(), "{portal:?}: something was kept as an identity");
        host.clock.advance(91_000).await;
        assert_eq!(running.state(), CheckinState::Ok, "{portal:?}: {:?}", running.now());
        running.stop().await;
        no_violations(&manager);
    }
}
