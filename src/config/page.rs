//! The page of documentation that is made from the table of settings.

use super::settings::{SECTIONS, Setting};
use super::tree::Config;

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = String::from(INTRODUCTION);
    for section in SECTIONS {
        text.push_str(&format!("\n## `[{}]`\n\n{}\n", section.name, section.about));
        text.push_str("\n| setting | takes | default | meaning |\n| --- | --- | --- | --- |\n");
        for Setting { path, takes, meaning } in section.settings {
            let default = default_text(&defaults, path);
            text.push_str(&format!("| `{path}` | {takes} | {default} | {meaning} |\n"));
        }
    }
    text
}

const INTRODUCTION: &str =
    "<!-- Generated from src/config/settings.rs; after a change there: UPDATE=1 cargo test --lib config:: -->
# Configuration

`tributary run --config tributary.toml`: one TOML file, then the environment over it. Every setting has a variable:
`TRIBUTARY`, the section and the setting, joined by two underscores, as in `TRIBUTARY__KAFKA__BROKERS`. A key that is
no setting is refused, with its path. Paths that are not absolute begin where the command is called. All problems are shown at once, by the names of what was set, variables too, and the
exit code is 3.

Durations are a whole number and `ms`, `s`, `m`, `h` or `d`; sizes a whole number and `B`, `KiB`, `MiB` or `GiB`.
`tributary.example.toml` beside this page is a file to start from.
";

fn default_text(defaults: &serde_json::Value, path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    match defaults.pointer(&pointer) {
        None | Some(serde_json::Value::Null) => "none".into(),
        Some(serde_json::Value::String(text)) if text.is_empty() => "empty".into(),
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        Some(serde_json::Value::Array(items))
            if path == "rules.models" && items.len() == crate::core::Model::ALL.len() =>
        {
            "all six".into()
        }
        Some(serde_json::Value::Array(items)) if items.is_empty() => "empty".into(),
        Some(serde_json::Value::Object(_)) => "empty".into(),
        Some(other) => format!("`{other}`"),
    }
}
