//! Which settings differ between two configurations, by their names alone: values may be secrets.

use secrecy::ExposeSecret;

use super::Config;
use super::settings;

/// The settings that differ, in the order of the documentation. Of a secret that a file holds, the setting that names the file.
pub fn changed(before: &Config, after: &Config) -> Vec<&'static str> {
    let tree = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (shown_before, shown_after) = (tree(before), tree(after));
    let secrets = changed_secrets(before, after);
    let differs = |path: &&'static str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        secrets.contains(path) || shown_before.pointer(&pointer) != shown_after.pointer(&pointer)
    };
    settings::all().map(|setting| setting.path).filter(differs).collect()
}

/// Secrets are shown as hidden, so these are compared apart.
fn changed_secrets(before: &Config, after: &Config) -> Vec<&'static str> {
    let mut changed = Vec::new();
    for (before, after) in before.registry.secrets().into_iter().zip(after.registry.secrets()) {
        let [was, is] = [before, after].map(|named| named.map(|(_, secret)| secret.expose_secret()));
        if was != is {
            changed.extend(after.or(before).map(|(setting, _)| setting));
        }
    }
    if !before.kafka.properties.expose().eq(after.kafka.properties.expose()) {
        changed.push("kafka.properties");
    }
    changed
}
