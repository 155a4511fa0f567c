//! API keys as a caller sends them, and what the control topic keeps of them.

use tributary::access::Record;
use tributary::access::token::Token;

/// Reads `bytes` as a key, and as a key's record.
pub fn body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::parse(text) {
        assert!(text.starts_with(&format!("trb_live_{}_", token.id)));
        assert_eq!((text.len(), token.id.len()), (75, 16));
        let secret = &text[26..69];
        assert!(!format!("{token:?}").contains(secret), "the secret shows");
    }
    if let Ok(record) = serde_json::from_str::<Record>(text) {
        let written = serde_json::to_string(&record).unwrap();
        let mut again: Record = serde_json::from_str(&written).unwrap();
        assert!(again.unknown.keys().eq(record.unknown.keys()));
        again.unknown = record.unknown.clone(); // a number with a point may come back with another last digit
        assert_eq!(again, record);
    }
}

/// A key, and records of an older and a newer version.
pub fn good() -> Vec<Vec<u8>> {
    let key = "trb_live_0123456789abcdef_0123456789012345678901234567890123456789012";
    let record = r#"{"role":"viewer","hash":"00","pepper_id":"p","created_at":7,"note":"n","revoked":false"#;
    let newer = r#","rate":{"per_second":3,"burst":9},"networks":["10.1.0.0/16","::1/128"],"replaces":{"id":"a","until":5},"x":[1]}"#;
    [format!("{key}{}", checksum(key)), format!("{record}}}"), format!("{record}{newer}")]
        .map(String::into_bytes)
        .to_vec()
}

/// CRC-32 in base62, as docs/keys.md has it.
fn checksum(body: &str) -> String {
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let crc = crc32fast::hash(body.as_bytes());
    (0..6).rev().map(|place| digits[(crc / 62_u32.pow(place) % 62) as usize]).collect()
}

/// What [`good`] says is good is read.
pub fn read_back(good: &[Vec<u8>]) {
    assert_eq!(Token::parse(std::str::from_utf8(&good[0]).unwrap()).unwrap().id, "0123456789abcdef");
    assert!(good[1..].iter().all(|record| serde_json::from_slice::<Record>(record).is_ok()));
}
