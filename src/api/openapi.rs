//! The OpenAPI document, generated from the handlers. What every route of a kind can answer is added here, once.

use serde_json::json;
use utoipa::openapi::header::Header;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, ServerBuilder,
};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};

use super::Face;
use super::problem::{Code, FieldError, Rendered, Unready};
use super::writes::{ConversionEvent, TouchpointEvent};
use super::{shapes, table};
use crate::access::{Role, Scope};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tributary",
        description = "Streaming multi-touch attribution: journeys, attribution rows, reports, events in. Every error is an RFC 9457 problem with a stable `code`; but a request that cannot be read as HTTP, or whose head has more than 64 fields or 64 KiB, is answered 400, 414 or 431 without a body before any of this sees it.",
        version = "v1",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "probes", description = "Health and metrics; no key is asked for"),
        (name = "journeys", description = "Journeys and conversions of single users"),
        (name = "reports", description = "Sums that name nobody"),
        (name = "events", description = "Events in, on the embedded log"),
        (name = "status", description = "How the instance is"),
        (name = "keys", description = "Administration of keys")
    )
)]
struct Base;

/// The document.
pub fn document() -> OpenApi {
    let mut document = Base::openapi();
    let routes = super::open(Face::Whole).merge(super::versioned(Face::Whole));
    document.merge(routes.into_openapi());
    document.servers = Some(vec![ServerBuilder::new().url("http://127.0.0.1:8686").build()]);
    let components = document.components.get_or_insert_with(Components::new);
    add_components(components);
    for (path, item) in &mut document.paths.paths {
        for (operation, method) in [(&mut item.get, "GET"), (&mut item.post, "POST")] {
            if let Some(operation) = operation {
                let need = |scope: Scope| vec![SecurityRequirement::new("api_key", [scope.name()])];
                operation.security = table::scope_of(method, path).map(need);
                complete(path, operation, method == "POST");
                link_next_page(operation);
            }
        }
    }
    document
}

fn add_components(components: &mut Components) {
    let schemas = [
        (Rendered::name(), Rendered::schema()),
        (<Code as ToSchema>::name(), Code::schema()),
        (FieldError::name(), FieldError::schema()),
        (Unready::name(), Unready::schema()),
        (TouchpointEvent::name(), TouchpointEvent::schema()),
        (ConversionEvent::name(), ConversionEvent::schema()),
    ];
    components.schemas.extend(schemas.into_iter().map(|(name, schema)| (name.into_owned(), schema)));
    components.schemas.extend(shapes::all());
    let currency = json!({"type": "string", "minLength": 3});
    for (schema, field, other, shape) in [
        ("TouchpointEvent", "cost_micros", "currency", &currency),
        ("ConversionEvent", "value_micros", "currency", &currency),
        ("NewApiKey", "burst", "requests_per_second", &json!({"type": "integer"})),
    ] {
        shapes::needs(components.schemas.get_mut(schema), field, other, shape);
    }
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("trb_live_<id>_<secret><checksum>")
        .description(Some(format!("An API key of `tributary keys create`. {}", roles())))
        .build();
    components.security_schemes.insert("api_key".into(), RefOr::T(SecurityScheme::Http(scheme)));
}

/// The table of roles, as a sentence.
fn roles() -> String {
    let row = |role: Role| {
        let scopes: Vec<_> = role.scopes().iter().copied().map(Scope::name).collect();
        format!("{role}: {}", scopes.join(", "))
    };
    format!("Scopes by role: {}.", Role::ALL.map(row).join("; "))
}

/// Adds what an operation answers beside its success, and the headers of its answers.
fn complete(path: &str, operation: &mut Operation, writes: bool) {
    let responses = &mut operation.responses.responses;
    let versioned = path.starts_with("/v1/");
    let keys = path.starts_with("/v1/keys");
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            add_headers(response, versioned && !keys);
        }
    }
    let always: &[Code] = &[Code::MethodNotAllowed, Code::UriTooLong, Code::HeadTooLarge, Code::Internal];
    let probe: &[Code] = if path.ends_with('z') && !versioned { &[Code::Unavailable] } else { &[] };
    let keyed: &[Code] =
        &[Code::Unauthenticated, Code::Forbidden, Code::InvalidParameters, Code::RateLimited, Code::Overloaded];
    let reads: &[Code] = if path.contains('{') { &[Code::BadRequest, Code::NotFound] } else { &[] };
    let bodies: &[Code] = &[Code::BadRequest, Code::SlowBody, Code::BodyTooLarge, Code::UnsupportedMediaType];
    let (events, changes): (&[Code], &[Code]) = (&[Code::IngestElsewhere], &[Code::Conflict]);
    let kinds = [
        (always, true),
        (probe, true),
        (keyed, versioned),
        (reads, versioned),
        (bodies, writes),
        (events, writes && !keys),
        (changes, writes && keys && path.contains('{')),
    ];
    for code in kinds.into_iter().filter(|(_, applies)| *applies).flat_map(|(codes, _)| codes) {
        let status = code.status();
        responses.entry(status.as_str().to_owned()).or_insert_with(|| RefOr::T(problem(status.as_u16(), versioned)));
    }
}

/// Where the answer is a page, says how the next one is asked for: programs that read the document follow it.
fn link_next_page(operation: &mut Operation) {
    let own = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => Some(parameter.clone()),
        RefOr::Ref(_) => None,
    };
    let parameters: Vec<_> = operation.parameters.iter().flatten().filter_map(own).collect();
    if !parameters.iter().any(|parameter| parameter.name == "cursor") {
        return;
    }
    let mut link = LinkBuilder::new()
        .operation_id(operation.operation_id.clone().unwrap_or_default())
        .description("The next page; there is none where `next` is null")
        .parameter("query.cursor", "$response.body#/next");
    for parameter in parameters.iter().filter(|parameter| parameter.parameter_in == ParameterIn::Path) {
        let name = &parameter.name;
        link = link.parameter(format!("path.{name}"), format!("$request.path.{name}"));
    }
    if let Some(RefOr::T(page)) = operation.responses.responses.get_mut("200") {
        page.links.insert("next".into(), RefOr::T(link.build()));
    }
}

/// What a problem of that status is called: the titles of its codes.
fn problem(status: u16, versioned: bool) -> Response {
    let of_status =
        |code: &Code| code.status().as_u16() == status && (versioned != (*code == Code::Unavailable) || status != 503);
    let codes: Vec<_> =
        Code::ALL.iter().filter(|code| of_status(code)).map(|code| format!("`{}`", code.name())).collect();
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let mut response = ResponseBuilder::new()
        .description(format!("A problem: {}", codes.join(", ")))
        .content("application/problem+json", content)
        .build();
    add_headers(&mut response, false);
    response
}

fn add_headers(response: &mut Response, fresh: bool) {
    let text = |description: &str| {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        RefOr::T(Header::new(RefOr::T(Schema::Object(schema)))).map_description(description)
    };
    response.headers.insert("X-Request-Id".into(), text("The request's id, as in the log"));
    if fresh {
        let as_of = "Everything logged before this moment is in the answer (RFC 3339)";
        let position = "The next offset of each input, `partition:touchpoints:conversions`, joined by commas";
        response.headers.insert("Tributary-As-Of".into(), text(as_of));
        response.headers.insert("Tributary-Position".into(), text(position));
    }
}

trait Described {
    fn map_description(self, description: &str) -> Self;
}

impl Described for RefOr<Header> {
    fn map_description(self, description: &str) -> Self {
        match self {
            Self::T(mut header) => {
                header.description = Some(description.to_owned());
                Self::T(header)
            }
            reference => reference,
        }
    }
}
