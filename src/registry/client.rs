//! The calls, and what their answers mean.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use apache_avro::Schema;
use reqwest::{StatusCode, Url};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_referenced_schema, get_schema_by_id, get_schema_by_subject_and_version, perform_sr_call,
    post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredReference, RegisteredSchema, SchemaType, SrCall, SuppliedSchema,
};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Credentials, Error, Settings};

/// How many schemas one schema may refer to, directly and through others.
const MAX_REFERENCES: usize = 64;

// The registry's own error codes.
const SUBJECT_NOT_FOUND: u32 = 40401;
const VERSION_NOT_FOUND: u32 = 40402;
const SCHEMA_NOT_FOUND: u32 = 40403;

/// A schema as a registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id, which records carry.
    pub id: u32,
    /// Its version under the subject, where the registry says it.
    pub version: Option<u32>,
    /// Its text.
    pub schema: String,
}

/// Whether a schema may follow the one that a subject has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// There is none to follow.
    First,
    /// It may.
    Compatible,
    /// It may not, for these reasons (some registries give none).
    Incompatible(Vec<String>),
}

#[derive(Debug)]
pub(super) struct Client {
    /// The registry crate's client.
    settings: SrSettings,
    /// For the calls that it does not have.
    http: reqwest::Client,
    urls: Vec<Url>,
    credentials: Credentials,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let urls = settings.urls.iter().map(|url| address(url)).collect::<Result<Vec<_>, _>>()?;
        let mut addresses = settings.urls.iter().map(|url| url.trim_end_matches('/').to_owned());
        let Some(first) = addresses.next() else {
            return Err(Error::Settings("registry.url: at least one address is needed".into()));
        };
        let mut builder = SrSettings::new_builder(first);
        for other in addresses {
            builder.add_url(other);
        }
        match &settings.credentials {
            Credentials::None => {}
            Credentials::Basic { username, password } => {
                builder.set_basic_authorization(username, Some(password.expose_secret()));
            }
            Credentials::Bearer(token) => {
                builder.set_token_authorization(token.expose_secret());
            }
        }
        builder.set_timeout(settings.timeout);
        let unusable = |e: String| Error::Settings(format!("registry: no HTTP client: {e}"));
        // Built first, for its error says why: a certificate's content is looked at only here.
        let own = http(settings)?.build().map_err(|e| match settings.authorities {
            Some(_) => no_authority(&chain(&e)),
            None => unusable(chain(&e)),
        })?;
        Ok(Self {
            settings: builder.build_with(http(settings)?).map_err(|e| unusable(e.to_string()))?,
            http: own,
            urls,
            credentials: settings.credentials.clone(),
        })
    }

    /// The schema of that id, with the schemas that it refers to put in their places.
    pub(super) async fn schema(&self, id: u32) -> Result<Arc<Schema>, Error> {
        let invalid = |reason: String| Error::Invalid { id, reason };
        let registered = get_schema_by_id(id, &self.settings).await.map_err(|error| match code(&error) {
            Some(SCHEMA_NOT_FOUND) => Error::UnknownId(id),
            _ => verdict(&error),
        })?;
        if registered.schema_type != SchemaType::Avro {
            return Err(invalid(format!("of type {:?}, not Avro", registered.schema_type)));
        }
        let others = self.referenced(id, registered.references).await?;
        let parsed = if others.is_empty() {
            Schema::parse_str(&registered.schema)
        } else {
            Schema::parse_str_with_list(&registered.schema, others.values()).and_then(|(mut schema, others)| {
                schema.denormalize(&others)?;
                Ok(schema)
            })
        };
        parsed.map(Arc::new).map_err(|error| invalid(format!("no Avro schema that can be used: {error}")))
    }

    /// The texts of the schemas that a schema refers to, and of those that these refer to, by name.
    async fn referenced(&self, id: u32, mut open: Vec<RegisteredReference>) -> Result<BTreeMap<String, String>, Error> {
        let invalid = |reason: String| Error::Invalid { id, reason };
        let mut texts = BTreeMap::new();
        while let Some(reference) = open.pop() {
            if texts.contains_key(&reference.name) {
                continue;
            }
            if texts.len() == MAX_REFERENCES {
                return Err(invalid(format!("refers to more than {MAX_REFERENCES} other schemas")));
            }
            let found =
                get_referenced_schema(&self.settings, &reference).await.map_err(|error| match code(&error) {
                    Some(SUBJECT_NOT_FOUND | VERSION_NOT_FOUND | SCHEMA_NOT_FOUND) => {
                        invalid(format!("refers to {}, which the registry does not have", reference.name))
                    }
                    _ => verdict(&error),
                })?;
            open.extend(found.references);
            texts.insert(reference.name, found.schema);
        }
        Ok(texts)
    }

    pub(super) async fn register(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        match post_schema(&self.settings, subject.to_owned(), supplied).await {
            Ok(registered) => Ok(registered.id),
            Err(error) if status(&error) == Some(409) => {
                Err(Error::Incompatible { subject: subject.into(), reasons: words(&error) })
            }
            Err(error) => Err(verdict(&error)),
        }
    }

    pub(super) async fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        known(get_schema_by_subject_and_version(&self.settings, subject, None).await)
    }

    pub(super) async fn registered(&self, subject: &str, schema: &str) -> Result<Option<Registered>, Error> {
        let body = request(schema);
        let answer = perform_sr_call(&self.settings, SrCall::PostForVersion(subject, &body)).await;
        let Some(raw) = absent(answer)? else { return Ok(None) };
        let id = raw.id.ok_or_else(|| Error::Refused("a schema without an id in its answer".into()))?;
        Ok(Some(Registered { id, version: raw.version, schema: raw.schema.unwrap_or_else(|| schema.to_owned()) }))
    }

    pub(super) async fn compatible(&self, subject: &str, schema: &str) -> Result<Compatibility, Error> {
        #[derive(Deserialize)]
        struct Answer {
            is_compatible: bool,
            #[serde(default)]
            messages: Vec<String>,
        }
        let path = ["compatibility", "subjects", subject, "versions", "latest"];
        let body = request(schema);
        let answer = self.first(|url| {
            let mut url = extended(url, &path);
            url.set_query(Some("verbose=true"));
            let request = self.http.post(url).header(reqwest::header::CONTENT_TYPE, MEDIA_TYPE);
            self.authorized(request).body(body.clone())
        });
        match answer.await {
            Err(Unanswered::Code(SUBJECT_NOT_FOUND | VERSION_NOT_FOUND, _)) => Ok(Compatibility::First),
            Err(unanswered) => Err(unanswered.into()),
            Ok(text) => match serde_json::from_str::<Answer>(&text) {
                Err(_) => Err(not_a_registry("its answer about compatibility cannot be read")),
                Ok(answer) if answer.is_compatible => Ok(match self.latest(subject).await? {
                    Some(_) => Compatibility::Compatible,
                    None => Compatibility::First,
                }),
                Ok(answer) => Ok(Compatibility::Incompatible(answer.messages)),
            },
        }
    }

    pub(super) async fn reachable(&self) -> Result<(), Error> {
        let text = self.first(|url| self.authorized(self.http.get(extended(url, &["schemas", "types"])))).await?;
        match serde_json::from_str::<Vec<String>>(&text) {
            Ok(types) if types.iter().any(|kind| kind == "AVRO") => Ok(()),
            _ => Err(not_a_registry("it does not say that it knows Avro schemas")),
        }
    }

    #[cfg(test)]
    pub(super) fn first_url(&self) -> &Url {
        self.urls.first().unwrap()
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Basic { username, password } => request.basic_auth(username, Some(password.expose_secret())),
            Credentials::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }

    /// The answer of the first address that has one, else why the last has none.
    async fn first(&self, request: impl Fn(&Url) -> reqwest::RequestBuilder) -> Result<String, Unanswered> {
        let mut last = Unanswered::Unreachable("no address".into());
        for url in &self.urls {
            match once(request(url)).await {
                Ok(text) => return Ok(text),
                Err(unanswered) => last = unanswered,
            }
        }
        Err(last)
    }
}

/// What registries want their JSON called.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Why a call of our own has no answer.
enum Unanswered {
    Unreachable(String),
    Status(StatusCode),
    Code(u32, String),
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Unreachable(why) => unreachable(why),
            Unanswered::Status(status) => by_status(status.as_u16(), &format!("HTTP status {status}")),
            Unanswered::Code(code, message) => by_status(status_of(code), &format!("error {code}: {message}")),
        }
    }
}

async fn once(request: reqwest::RequestBuilder) -> Result<String, Unanswered> {
    let unreachable = |error: reqwest::Error| Unanswered::Unreachable(chain(&error));
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(text);
    }
    Err(match serde_json::from_str::<RawError>(&text) {
        Ok(error) => Unanswered::Code(error.error_code, error.message),
        Err(_) => Unanswered::Status(status),
    })
}

fn http(settings: &Settings) -> Result<reqwest::ClientBuilder, Error> {
    let builder = reqwest::Client::builder().timeout(settings.timeout);
    let Some(pem) = &settings.authorities else { return Ok(builder) };
    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| no_authority(&chain(&error)))?;
    if certificates.is_empty() {
        return Err(no_authority("it holds no certificate"));
    }
    Ok(builder.tls_certs_only(certificates))
}

fn no_authority(why: &str) -> Error {
    Error::Settings(format!("registry.ca_file: {why}; name a file of PEM certificates"))
}

fn address(text: &str) -> Result<Url, Error> {
    let unusable = |why: &str| Error::Settings(format!("registry.url: {why}"));
    let url = Url::parse(text).map_err(|error| unusable(&format!("{text:?} is no address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable("holds credentials, which error messages would show; use registry.username and password"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(unusable(&format!("{text:?} is no http or https address")));
    }
    Ok(url)
}

fn extended(url: &Url, path: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn request(schema: &str) -> String {
    serde_json::json!({"schema": schema, "schemaType": "AVRO"}).to_string()
}

fn known(answer: Result<RegisteredSchema, SRCError>) -> Result<Option<Registered>, Error> {
    let found = absent(answer)?;
    Ok(found.map(|s| Registered { id: s.id, version: s.version, schema: s.schema }))
}

/// None where the registry says that there is no such subject, version or schema.
fn absent<T>(answer: Result<T, SRCError>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => match code(&error) {
            Some(SUBJECT_NOT_FOUND | VERSION_NOT_FOUND | SCHEMA_NOT_FOUND) => Ok(None),
            _ => Err(verdict(&error)),
        },
    }
}

/// The registry's own error code. A proxy or another web server on the way has none, or just an HTTP status: its 404
/// says that the address is wrong, not that a schema does not exist.
fn code(error: &SRCError) -> Option<u32> {
    error.source()?.downcast_ref::<RawError>().map(|raw| raw.error_code)
}

fn status(error: &SRCError) -> Option<u16> {
    match code(error) {
        None => None,
        // No code in the body. The HTTP status is in the text alone: "… failed with status 404 Not Found".
        Some(0) => error.error.split_whitespace().find_map(|word| word.parse().ok()),
        Some(code) => Some(status_of(code)),
    }
}

/// The HTTP status that an error code stands for: 40403 is a 404.
fn status_of(code: u32) -> u16 {
    u16::try_from(if code > 999 { code / 100 } else { code }).unwrap_or(0)
}

fn verdict(error: &SRCError) -> Error {
    match status(error) {
        Some(status) => by_status(status, &words(error)),
        None => match error.source().and_then(|source| source.downcast_ref::<reqwest::Error>()) {
            Some(source) if !source.is_decode() => unreachable(chain(source)),
            _ => not_a_registry(&words(error)),
        },
    }
}

/// A certificate that is not believed now will not be in a second either: that is for the operator, not for patience.
fn unreachable(why: String) -> Error {
    if why.contains("invalid peer certificate") {
        return Error::Refused(format!(
            "{why}; does registry.ca_file hold its authority, and its certificate this host name?"
        ));
    }
    Error::Unreachable(why)
}

fn by_status(status: u16, words: &str) -> Error {
    match status {
        408 | 425 | 429 | 500..=599 => Error::Unreachable(words.into()),
        404 => Error::Refused(format!("{words}; is a path missing behind the address, such as /apis/ccompat/v7?")),
        _ => Error::Refused(words.into()),
    }
}

fn not_a_registry(why: &str) -> Error {
    Error::Refused(format!("what answers is no schema registry: {why}"))
}

fn words(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{} ({cause})", error.error),
        None => error.error.clone(),
    }
}

/// An error with its causes: reqwest's own text stops before the one that says why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
