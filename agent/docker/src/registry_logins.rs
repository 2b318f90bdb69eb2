//! The logins to registries in a file in Docker's own format (`config.json`): `auths` with `auth`, or a user and a password. Nothing of a
//! login is repeated anywhere; no helper program is started.

use bollard::auth::DockerCredentials;
use model::base64_text::decode_base64;
use model::image_ref::ImageRef;
use model::registry_login::{RegistryLogin, RegistryLoginsSeen, registry_of};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// More entries are not read.
const LOGINS_MOST: usize = 256;

/// One login.
#[derive(Clone, PartialEq, Eq, Default)]
struct Login {
    username: String,
    password: String,
    identity_token: Option<String>,
    registry_token: Option<String>,
}

/// All of them, by registry, and by repository below it where a key names one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RegistryLogins {
    logins: BTreeMap<(String, Option<String>), Login>,
    faults: Vec<String>,
}

impl fmt::Debug for RegistryLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistryLogins").field(&self.names()).finish()
    }
}

/// Reads the file of logins, each time again. Blocking. An error is what is wrong with it, with what to do.
type Read = dyn Fn() -> Result<Option<Vec<u8>>, String> + Send + Sync;

/// Where the logins are read.
#[derive(Clone)]
pub struct LoginSource {
    place: Arc<str>,
    read: Arc<Read>,
}

impl fmt::Debug for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoginSource").field(&self.place).finish()
    }
}

impl Default for LoginSource {
    fn default() -> Self {
        Self::new("", || Ok(None))
    }
}

impl LoginSource {
    /// A file, and how its bytes are had; none where there is no file.
    #[must_use]
    pub fn new(place: &str, read: impl Fn() -> Result<Option<Vec<u8>>, String> + Send + Sync + 'static) -> Self {
        Self { place: place.into(), read: Arc::new(read) }
    }

    /// Reads it.
    async fn logins(&self) -> RegistryLogins {
        let read = Arc::clone(&self.read);
        let bytes = tokio::task::spawn_blocking(move || read()).await;
        match bytes {
            Ok(Ok(Some(bytes))) => RegistryLogins::parse(&bytes),
            Ok(Ok(None)) => RegistryLogins::default(),
            Ok(Err(fault)) => RegistryLogins { faults: vec![fault], ..RegistryLogins::default() },
            Err(_) => {
                RegistryLogins { faults: vec!["its reading was aborted".to_owned()], ..RegistryLogins::default() }
            }
        }
    }

    /// What is there, without any secret.
    pub async fn seen(&self) -> RegistryLoginsSeen {
        let logins = self.logins().await;
        RegistryLoginsSeen { place: self.place.to_string(), registries: logins.names(), faults: logins.faults }
    }

    /// The login for an image, where there is one: that of this host, else that of the wish. And what is wrong with the file.
    pub(crate) async fn login(
        &self,
        image: &ImageRef,
        wished: Option<&RegistryLogin>,
    ) -> (Option<DockerCredentials>, Option<String>) {
        let logins = self.logins().await;
        let own = logins.of(image).map(|login| login.credentials(image.registry()));
        // A login is for its registry alone, whatever a document has beside it.
        let wished = wished.filter(|login| login.registry == image.registry());
        let login = own.or_else(|| wished.map(wished_credentials));
        let fault = logins.faults.first().map(|fault| format!("{}: {fault}", self.place));
        (login, fault)
    }
}

fn wished_credentials(login: &RegistryLogin) -> DockerCredentials {
    let (username, password) = (login.username.clone(), login.password.clone());
    Login { username, password, ..Login::default() }.credentials(&login.registry)
}

impl Login {
    /// As Docker takes it in one header of one request.
    fn credentials(&self, registry: &str) -> DockerCredentials {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        DockerCredentials {
            username: text(&self.username),
            password: text(&self.password),
            auth: None,
            email: None,
            serveraddress: text(registry),
            identitytoken: self.identity_token.clone(),
            registrytoken: self.registry_token.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_none() && self.registry_token.is_none()
    }
}

/// What matters of the file; the rest of it is Docker's own.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct LoginFile {
    auths: BTreeMap<String, Value>,
    cred_helpers: BTreeMap<String, Value>,
    creds_store: Option<Value>,
}

impl RegistryLogins {
    /// Reads a file. What is wrong is a fault that repeats no word of it, and costs its entry alone.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        // A list would be taken for the fields of the file in their order.
        let read = serde_json::from_slice(bytes)
            .and_then(|object: serde_json::Map<String, Value>| serde_json::from_value(object.into()));
        let file: LoginFile = match read {
            Ok(file) => file,
            Err(fault) => {
                let (line, column) = (fault.line(), fault.column());
                // The words of the error can have a value of the file in them.
                let why =
                    format!("line {line}, column {column}: it is not JSON with `auths`, as `docker login` writes it");
                all.faults.push(why);
                return all;
            }
        };
        let has_store = file.creds_store.is_some();
        for (name, value) in file.auths.into_iter().take(LOGINS_MOST) {
            let (registry, path) = registry_of(&name);
            let login = login(&value);
            let shown = model::printable::printable(&registry, 80);
            match login {
                Ok(login) if !login.is_empty() => {
                    all.logins.insert((registry, path.map(str::to_owned)), login);
                }
                // Docker leaves an empty entry where a helper program has the login.
                Ok(_) if has_store || file.cred_helpers.contains_key(&name) => all.faults.push(helper(&shown)),
                Ok(_) => {}
                Err(why) => all.faults.push(format!("auths of {shown}: {why}")),
            }
        }
        for name in file.cred_helpers.keys().take(LOGINS_MOST) {
            let (registry, path) = registry_of(name);
            let is_known = all.logins.contains_key(&(registry.clone(), path.map(str::to_owned)));
            let fault = helper(&model::printable::printable(&registry, 80));
            if !is_known && !all.faults.contains(&fault) {
                all.faults.push(fault);
            }
        }
        all
    }

    fn names(&self) -> Vec<String> {
        let name = |(registry, path): &(String, Option<String>)| match path {
            Some(path) => format!("{registry}/{path}"),
            None => registry.clone(),
        };
        self.logins.keys().map(name).collect()
    }

    /// The login of the longest name that the image is below.
    fn of(&self, image: &ImageRef) -> Option<&Login> {
        let registry = image.registry();
        let repository = image.repository();
        let path = repository.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(repository);
        let is_below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let fits = |((host, prefix), _): &(&(String, Option<String>), &Login)| {
            host == registry && prefix.as_deref().is_none_or(is_below)
        };
        let length = |((_, prefix), _): &(&(String, Option<String>), &Login)| prefix.as_ref().map_or(0, String::len);
        self.logins.iter().filter(fits).max_by_key(length).map(|(_, login)| login)
    }
}

fn helper(registry: &str) -> String {
    format!(
        "a helper program has the login for {registry} (credsStore, credHelpers), and gpuhostd starts none: put it into `auths` \
         (`docker --config DIRECTORY login {registry}` with a config.json of `{{}}` writes it there)"
    )
}

fn login(entry: &Value) -> Result<Login, &'static str> {
    if !entry.is_object() {
        return Err("it is not an object");
    }
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let (mut username, mut password) = (text("username").unwrap_or_default(), text("password").unwrap_or_default());
    if let Some(auth) = text("auth") {
        let decoded = decode_base64(&auth).and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or("`auth` is not Base64 of USER:PASSWORD")?;
        let (user, secret) = decoded.split_once(':').ok_or("`auth` is not Base64 of USER:PASSWORD")?;
        // Older programs have padded the password with zero bytes.
        (username, password) = (user.to_owned(), secret.trim_end_matches('\0').to_owned());
    }
    let has_control = |text: &str| text.chars().any(char::is_control);
    if has_control(&username) || has_control(&password) {
        return Err("the user or the password has a control character");
    }
    Ok(Login { username, password, identity_token: text("identitytoken"), registry_token: text("registrytoken") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageRef {
        format!("{name}@sha256:{}", "a".repeat(64)).parse().unwrap()
    }

    fn user(logins: &RegistryLogins, name: &str) -> Option<String> {
        Some(logins.of(&image(name))?.username.clone())
    }

    #[test]
    fn a_login_is_for_its_registry_and_its_repositories_alone() {
        let file = br#"{
            "HttpHeaders": {"User-Agent": "Docker-Client"},
            "auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnA6dw=="},
                "r.example:5000": {"username": "plain", "password": "p"},
                "quay.io": {"username": "all", "password": "p"},
                "quay.io/team": {"username": "team", "password": "p"},
                "token.example": {"identitytoken": "t"}
            }}"#;
        let logins = RegistryLogins::parse(file);
        assert_eq!(logins.faults, [""; 0]);
        for (name, expected) in [
            ("docker.io/kasm/desktop", Some("hub")),
            ("r.example:5000/x", Some("plain")),
            ("r.example/x", None),
            ("r.example.evil/x", None),
            ("evil.example/r.example/x", None),
            ("quay.io/team/x", Some("team")),
            ("quay.io/team", Some("team")),
            ("quay.io/teams/x", Some("all")),
            ("token.example/x", Some("")),
        ] {
            assert_eq!(user(&logins, name).as_deref(), expected, "{name}");
        }
        let hub = logins.of(&image("docker.io/kasm/desktop")).unwrap();
        assert_eq!(hub.password, "p:w", "only the first colon ends the user");
        let sent = hub.credentials("docker.io");
        assert_eq!((sent.serveraddress.as_deref(), sent.auth), (Some("docker.io"), None));
    }

    #[test]
    fn what_is_wrong_costs_its_entry_and_repeats_no_secret() {
        let file = br#"{"credsStore": "desktop", "credHelpers": {"ecr.example": "ecr-login"}, "auths": {
            "good.example": {"auth": "dTpw"},
            "store.example": {},
            "short.example": {"auth": "Y2FuYXJ5LXNlY3JldA=="},
            "odd.example": {"auth": "canary-secret!"},
            "list.example": ["canary-secret"],
            "line.example": {"username": "u", "password": "canary-secret\nX-Evil: 1"}
        }}"#;
        let logins = RegistryLogins::parse(file);
        assert_eq!(logins.names(), ["good.example"]);
        assert_eq!(logins.faults.len(), 6, "{:?}", logins.faults);
        for name in ["store.example", "ecr.example"] {
            assert!(logins.faults.iter().any(|fault| fault.contains(name) && fault.contains("helper")), "{name}");
        }
        for text in ["{\"auths\": \"canary-secret\"}", "{\"auths\": {\"canary-secret", "canary-secret", "[]", ""] {
            let logins = RegistryLogins::parse(text.as_bytes());
            assert_eq!((logins.names().len(), logins.faults.len()), (0, 1), "{text}");
            assert!(!logins.faults[0].contains("canary"), "{:?}", logins.faults);
        }
        let shown = format!("{logins:?} {:?}", logins.faults);
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[tokio::test]
    async fn the_login_of_this_host_comes_first_and_that_of_a_wish_goes_to_its_registry_alone() {
        let source = LoginSource::new("/f", || Ok(Some(br#"{"auths": {"a.example": {"auth": "aG9zdDpw"}}}"#.to_vec())));
        let wish = |registry: &str| RegistryLogin {
            registry: registry.to_owned(),
            username: "wish".to_owned(),
            password: "w".to_owned(),
        };
        for (name, wished, expected) in [
            ("a.example/x", Some(wish("a.example")), Some("host")),
            ("b.example/x", Some(wish("b.example")), Some("wish")),
            ("b.example/x", Some(wish("a.example")), None),
            ("b.example/x", None, None),
        ] {
            let (login, fault) = source.login(&image(name), wished.as_ref()).await;
            assert_eq!(login.and_then(|login| login.username).as_deref(), expected, "{name}");
            assert_eq!(fault, None);
        }
        let broken = LoginSource::new("/f", || Err("mode 644: chmod 0600 /f".to_owned()));
        let (login, fault) = broken.login(&image("a.example/x"), None).await;
        assert_eq!((login, fault.as_deref()), (None, Some("/f: mode 644: chmod 0600 /f")));
        assert_eq!(broken.seen().await.faults, ["mode 644: chmod 0600 /f"]);
    }
}
