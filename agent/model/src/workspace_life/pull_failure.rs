//! What made a pull fail, by the words of Docker and of the registry: the status of the answer differs from release to release.

/// Stable code of a failed pull.
#[must_use]
pub fn pull_failure_code(why: &str) -> &'static str {
    let why = why.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if has(&["no space left on device", "disk quota exceeded"]) {
        return "disk_full";
    }
    if has(&["toomanyrequests", "too many requests"]) {
        return "registry_rate_limited";
    }
    if has(&[
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "incorrect username or password",
        "access denied",
        "access to the resource is denied",
        "401 ",
        "403 forbidden",
        "denied: ",
    ]) {
        return "registry_auth";
    }
    if has(&["manifest unknown", "not found", "name unknown", "repository does not exist"]) {
        return "image_not_found";
    }
    "pull_failed"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_several_releases_and_registries_have_their_code() {
        for (why, code) in [
            ("unauthorized: authentication required", "registry_auth"),
            ("Head \"http://r/v2/x/manifests/1\": no basic auth credentials", "registry_auth"),
            ("error from registry: incorrect username or password", "registry_auth"),
            ("denied: requested access to the resource is denied", "registry_auth"),
            ("pull access denied for x, repository does not exist or may require 'docker login'", "registry_auth"),
            ("unexpected status from HEAD request to http://r/v2/x: 401 Unauthorized", "registry_auth"),
            ("unexpected status code [manifests 1]: 403 Forbidden", "registry_auth"),
            ("manifest unknown: manifest unknown", "image_not_found"),
            ("manifest for r/x@sha256:1 not found: manifest unknown", "image_not_found"),
            ("name unknown: repository name not known to registry", "image_not_found"),
            ("failed to register layer: write /layer.tar: no space left on device", "disk_full"),
            ("toomanyrequests: You have reached your pull rate limit", "registry_rate_limited"),
            ("unexpected EOF", "pull_failed"),
            ("dial tcp 127.0.0.1:5000: connect: connection refused", "pull_failed"),
            ("Docker reported no progress for 60000 ms: the registry or the network stalls", "pull_failed"),
            ("", "pull_failed"),
        ] {
            assert_eq!(pull_failure_code(why), code, "{why}");
        }
    }
}
