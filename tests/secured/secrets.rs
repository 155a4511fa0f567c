//! Secrets of a test's life, and the search for them where they must not be.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A secret.
pub fn random() -> String {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What is looked for: secrets as they are, and as they travel.
#[derive(Default)]
pub struct Canary(Vec<(String, Vec<u8>)>);

impl Canary {
    /// Looks for a password or token, also as basic authentication has it for this user.
    pub fn add(&mut self, name: &str, secret: &str, user: &str) {
        self.0.push((name.to_owned(), secret.as_bytes().to_vec()));
        let basic = STANDARD.encode(format!("{user}:{secret}"));
        self.0.push((format!("{name}, encoded"), basic.trim_end_matches('=').as_bytes().to_vec()));
    }

    /// Looks for any line of a private key.
    pub fn add_key(&mut self, pem: &str) {
        let lines = pem.lines().filter(|line| !line.starts_with("-----") && line.len() > 20);
        self.0.extend(lines.map(|line| ("a private key".to_owned(), line.as_bytes().to_vec())));
    }

    /// The secrets that are in some text.
    pub fn found(&self, text: &[u8]) -> Vec<&str> {
        let within = |secret: &[u8]| memchr::memmem::find(text, secret).is_some();
        self.0.iter().filter(|(_, secret)| within(secret)).map(|(name, _)| name.as_str()).collect()
    }

    /// None of the secrets may be in this text.
    pub fn absent(&self, place: &str, text: &[u8]) {
        assert_eq!(self.found(text), Vec::<&str>::new(), "secrets in {place}");
    }

    /// None of the secrets may be in any file below a folder; how many files that are.
    pub fn absent_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files += self.absent_below(&path);
            } else if path.is_file() {
                self.absent(&path.display().to_string(), &std::fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}

#[test]
fn a_secret_is_found_as_it_is_and_as_it_travels() {
    let mut canary = Canary::default();
    canary.add("the password", "hunter2hunter2", "me");
    canary.add_key("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END PRIVATE KEY-----\n");
    assert_eq!(canary.found(b"sasl.password = hunter2hunter2"), ["the password"]);
    assert_eq!(canary.found(b"authorization: Basic bWU6aHVudGVyMmh1bnRlcjI="), ["the password, encoded"]);
    assert_eq!(canary.found(b"key MIGHAgEAMBMGByqGSM49AgEGCCqGSM49 key"), ["a private key"]);
    assert_eq!(canary.found(b"-----BEGIN PRIVATE KEY-----"), Vec::<&str>::new());
}
