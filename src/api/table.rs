//! The one table of who may do what: every route that needs a key, and the scope it asks for. Which roles open a scope
//! stands in [`Role::scopes`](crate::access::Role::scopes); the OpenAPI document says both from here.
//!
//! A route that is missing here is open to nobody.

use crate::access::Scope;

/// Method, path and scope.
pub(super) const TABLE: &[(&str, &str, Scope)] = &[
    ("GET", "/v1/reports/channels", Scope::Reports),
    ("GET", "/v1/users/{user_id}/journey", Scope::Journeys),
    ("GET", "/v1/conversions/{conversion_id}/attributions", Scope::Journeys),
    ("POST", "/v1/touchpoints", Scope::WriteEvents),
    ("POST", "/v1/conversions", Scope::WriteEvents),
    ("GET", "/v1/status", Scope::Control),
    ("GET", "/v1/keys", Scope::Keys),
    ("POST", "/v1/keys", Scope::Keys),
    ("GET", "/v1/keys/{key_id}", Scope::Keys),
    ("POST", "/v1/keys/{key_id}/rotate", Scope::Keys),
    ("POST", "/v1/keys/{key_id}/revoke", Scope::Keys),
];

/// What a route asks for. Where GET is answered, HEAD is.
pub(super) fn scope_of(method: &str, path: &str) -> Option<Scope> {
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE.iter().find(|(m, p, _)| *m == method && *p == path).map(|(_, _, scope)| *scope)
}
