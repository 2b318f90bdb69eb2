//! As much of HTTP as a scrape needs: one request in, one answer out, as pure functions over bytes.

use wire::openmetrics::Flavour;

/// A request's head may be no longer.
pub(super) const HEAD_MAX: usize = 8 * 1024;

/// True where the head of the request is complete.
pub(super) fn is_complete(received: &[u8]) -> bool {
    received.windows(4).any(|end| end == b"\r\n\r\n") || received.windows(2).any(|end| end == b"\n\n")
}

/// The answer to a request, in whole. `page` is called for a good one only.
pub(super) fn answer(received: &[u8], page: impl FnOnce(Flavour) -> String) -> Vec<u8> {
    match asked(received) {
        Ok((body_too, flavour)) => {
            let text = page(flavour);
            let mut whole = head("200 OK", flavour.media_type(), "", text.len());
            if body_too {
                whole.extend_from_slice(text.as_bytes());
            }
            whole
        }
        Err(Fault { status, more, say }) => {
            let mut whole = head(status, "text/plain; charset=utf-8", more, say.len());
            whole.extend_from_slice(say.as_bytes());
            whole
        }
    }
}

/// Why a request is not answered.
struct Fault {
    status: &'static str,
    more: &'static str,
    say: &'static str,
}

const BAD: Fault = Fault { status: "400 Bad Request", more: "", say: "This is not an HTTP request.\n" };
const TOO_LONG: Fault =
    Fault { status: "431 Request Header Fields Too Large", more: "", say: "The head of the request is too long.\n" };
const NOT_FOUND: Fault = Fault { status: "404 Not Found", more: "", say: "The metrics are at /metrics.\n" };
const NOT_ALLOWED: Fault =
    Fault { status: "405 Method Not Allowed", more: "Allow: GET, HEAD\r\n", say: "Only GET and HEAD.\n" };

/// Whether the body is wanted, and in which dialect.
fn asked(received: &[u8]) -> Result<(bool, Flavour), Fault> {
    if !is_complete(received) {
        return Err(if received.len() >= HEAD_MAX { TOO_LONG } else { BAD });
    }
    let text = std::str::from_utf8(received).map_err(|_| BAD)?;
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(BAD);
    }
    let body_too = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Err(NOT_ALLOWED),
    };
    if !matches!(target.split('?').next(), Some("/" | "/metrics")) {
        return Err(NOT_FOUND);
    }
    let fields = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let accepted: Vec<&str> =
        fields.filter(|(name, _)| name.eq_ignore_ascii_case("accept")).map(|(_, value)| value).collect();
    Ok((body_too, Flavour::accepted(&accepted.join(","))))
}

fn head(status: &str, media_type: &str, more: &str, length: usize) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         {more}Connection: close\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: &str) -> String {
        String::from_utf8(answer(request.as_bytes(), |flavour| format!("{flavour:?}\n"))).unwrap()
    }

    #[test]
    fn a_scrape_gets_the_dialect_that_it_asks_for() {
        let text =
            told("GET /metrics HTTP/1.1\r\nHost: x\r\nACCEPT: application/openmetrics-text;version=1.0.0\r\n\r\n");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0"),
            "{text}"
        );
        assert!(text.contains("Content-Length: 12\r\n") && text.ends_with("\r\n\r\nOpenMetrics\n"), "{text}");
        let text = told("GET /metrics?x=1 HTTP/1.0\r\nAccept: */*\r\n\r\n");
        assert!(text.contains("text/plain; version=0.0.4") && text.ends_with("\r\n\r\nPrometheus\n"), "{text}");
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let text = told("HEAD / HTTP/1.1\r\n\r\n");
        assert!(text.contains("Content-Length: 11\r\n") && text.ends_with("close\r\n\r\n"), "{text}");
    }

    #[test]
    fn everything_else_gets_a_reason() {
        for (request, status) in [
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /secret HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics HTTP/2\r\n\r\n", "400"),
            ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\n", "400"),
            ("", "400"),
        ] {
            let text = told(request);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {text}");
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())), "{text}");
        }
        assert!(told(&"x".repeat(HEAD_MAX)).starts_with("HTTP/1.1 431 "));
        let not_text = answer(b"GET /\xff HTTP/1.1\r\n\r\n", |_| panic!("no page for this"));
        assert!(not_text.starts_with(b"HTTP/1.1 400 "));
    }
}
