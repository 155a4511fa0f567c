//! The configuration file.

use tributary::config::Config;

/// Reads `bytes` as a file. What it refuses it says in one line a mistake; what it takes can be shown and read again.
pub fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(Some(text), Some(&[])) {
        Ok(config) => assert!(!format!("{config:?}").contains(SECRET), "the secret shows"),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty());
        }
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
