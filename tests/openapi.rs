//! docs/openapi.json is what the code says. `UPDATE=1 cargo test --test openapi` writes it anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use serde_json::Value;

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json")
}

#[test]
fn the_committed_document_has_not_drifted() {
    let mut generated = tributary::api::document().to_pretty_json().unwrap();
    generated.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        fs::write(committed(), &generated).unwrap();
    }
    let committed = fs::read_to_string(committed()).unwrap_or_default();
    assert!(committed == generated, "docs/openapi.json has drifted: run `UPDATE=1 cargo test --test openapi`");
}

#[test]
fn every_operation_is_complete() {
    let document = serde_json::to_value(tributary::api::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            seen += 1;
            let here = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{here}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{here}");
            let keyed = path.starts_with("/v1/");
            let mut needed = vec!["405", "500"];
            needed.extend(if path != "/metrics" { &["503"][..] } else { &[] });
            needed.extend(if keyed { &["401", "403", "422"][..] } else { &[] });
            needed.extend(if method == "post" { &["408", "413", "415"][..] } else { &[] });
            for status in needed {
                let response = &responses[status];
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{here} {status}: {response}");
            }
            if path.starts_with("/v1/keys") {
                continue; // keys are not state: there is no "as of"
            }
            if keyed {
                let success = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
                assert!(success["headers"]["Tributary-As-Of"].is_object(), "{here}");
            }
        }
    }
    assert_eq!(seen, 15);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = serde_json::to_value(tributary::api::document()).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn no_two_schemas_share_a_name() {
    let document = serde_json::to_value(tributary::api::document()).unwrap();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Status"]["enum"], serde_json::json!(["counts", "retracted"]));
    assert_eq!(schemas["Probe"]["required"], serde_json::json!(["status"]));
    assert_eq!(schemas["Position"]["required"], serde_json::json!(["partition", "offset"]));
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                into.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}
