//! The configuration file.

use tributary::config::Config;

/// Reads `bytes` as a file. What it refuses it says in words, one line a mistake; no secret of what it takes shows.
pub fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("file")) {
        return; // it would open whatever file the bytes name
    }
    match Config::parse(Some(text), Some(&[])) {
        Ok(config) => {
            let secret =
                config.kafka.properties.expose().any(|(name, value)| name == "sasl.password" && value == SECRET);
            let elsewhere = text.matches(SECRET).count() > 1;
            assert!(!secret || elsewhere || !format!("{config:?}").contains(SECRET), "the secret shows");
        }
        Err(error) => assert!(error.to_string().lines().all(|line| !line.trim().is_empty())),
    }
}

const SECRET: &str = "canary-7f3a";

/// The example file, and one with a secret in it.
pub fn good() -> Vec<Vec<u8>> {
    let secret = format!(
        "[kafka]\nbrokers = \"a:1\"\n[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\nsasl.password = \"{SECRET}\"\n\
         [limits]\nrate = 5\n[engine]\nworkers = 2\nmemory = \"1GiB\"\nflush_interval = \"2s\"\n"
    );
    vec![include_bytes!("../../docs/tributary.example.toml").to_vec(), secret.into_bytes()]
}

/// What [`good`] says is good is read.
pub fn read_back(good: &[Vec<u8>]) {
    for file in good {
        Config::parse(Some(std::str::from_utf8(file).unwrap()), Some(&[])).unwrap();
    }
}
