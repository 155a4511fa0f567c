//! Envelope, keys and temporary files; what the store and the log make of them is tested there.

use std::io::{Read, Seek, SeekFrom, Write};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use proptest::prelude::*;
use secrecy::zeroize::ZeroizeOnDrop;
use sha2::Sha256;

use super::envelope::{DataKey, SECRET, Sealed};
use super::*;

const LAYOUT: Layout = Layout { keys: b"k", clear: &[b"f"] };

fn keks(current: u8, older: &[u8]) -> Keks {
    Keks::new(Kek::new(&[current; 32]), older.iter().map(|byte| Kek::new(&[*byte; 32])).collect())
}

fn secret() -> [u8; SECRET] {
    std::array::from_fn(|n| n as u8)
}

fn sealed(key: &DataKey, place: &[u8], value: &[u8]) -> Vec<u8> {
    let mut into = Vec::new();
    key.seal(place, value, &mut into).unwrap();
    into
}

fn opened(key: &DataKey, place: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut into = b"before".to_vec();
    let outcome = key.open(place, &Sealed::parse(bytes)?, &mut into);
    let rest = into.strip_prefix(b"before").unwrap().to_vec();
    assert!(outcome.is_ok() || rest.is_empty(), "nothing is left of what does not open");
    outcome.map(|()| rest)
}

/// Rows as a RocksDB would hold them after these were written.
fn store(rows: &mut Vec<(Vec<u8>, Vec<u8>)>, writes: Vec<(Vec<u8>, Vec<u8>)>) {
    for (key, value) in writes {
        rows.retain(|(there, _)| *there != key);
        rows.push((key, value));
    }
    rows.sort();
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_nothing_else_does(
        place in proptest::collection::vec(any::<u8>(), 0..50),
        value in proptest::collection::vec(any::<u8>(), 0..400),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let key = DataKey::new(7, &secret()).unwrap();
        let good = sealed(&key, &place, &value);
        prop_assert_eq!(good.len(), value.len() + OVERHEAD);
        prop_assert_eq!(opened(&key, &place, &good).unwrap(), value);
        let mut bad = good.clone();
        bad[flip.index(good.len())] ^= 1 << bit;
        // The number says which key to take, which is the ring's affair.
        if !(1..5).contains(&flip.index(good.len())) {
            prop_assert!(opened(&key, &place, &bad).is_err());
        }
        let elsewhere = [&place, &b"x"[..]].concat();
        prop_assert!(opened(&key, &elsewhere, &good).is_err());
        prop_assert!(opened(&key, &place, &good[..good.len() - 1]).is_err());
    }
}

#[test]
fn another_implementation_of_xchacha20_poly1305_opens_it() {
    let key = DataKey::new(7, &secret()).unwrap();
    let secret = secret();
    let (cipher, nonce) = secret.split_first_chunk::<32>().unwrap();
    let cipher = XChaCha20Poly1305::new(cipher.into());
    for counter in 0..3_u64 {
        let bytes = sealed(&key, b"place", b"value");
        assert_eq!(bytes[..11], [&[1, 0, 0, 0, 7][..], &counter.to_be_bytes()[2..]].concat(), "no counter comes twice");
        let nonce: [u8; 24] = [nonce, &counter.to_be_bytes()].concat().try_into().unwrap();
        let plain = cipher.decrypt(&XNonce::from(nonce), Payload { msg: &bytes[11..], aad: b"place" }).unwrap();
        assert_eq!(plain, b"value");
    }
}

#[test]
fn every_opening_draws_a_key_and_reads_what_the_others_sealed() {
    let (mut rows, mut values, keks) = (Vec::new(), Vec::new(), keks(1, &[]));
    let mut hashes = Vec::new();
    for opening in 0..4_u32 {
        let (ring, writes) = Keyring::open(LAYOUT, &rows, &keks).unwrap();
        assert_eq!(writes.len(), if opening == 0 { 2 } else { 1 });
        store(&mut rows, writes);
        for _ in 0..2 {
            let mut value = Vec::new();
            ring.seal(b"place", b"value", &mut value).unwrap();
            values.push(value);
        }
        for value in &values {
            let mut plain = Vec::new();
            ring.open_value(b"place", value, &mut plain).unwrap();
            assert_eq!(plain, b"value");
        }
        hashes.push(ring.mac().hash(b"u", b"user"));
    }
    values.sort();
    values.dedup_by_key(|value| value[..11].to_vec());
    assert_eq!(values.len(), 8, "no key seals with one counter twice");
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "what is hashed once is found for ever");
}

#[test]
fn without_the_right_key_nothing_opens() {
    let (_, rows) = Keyring::open(LAYOUT, &[], &keks(1, &[])).unwrap();
    let one = Kek::new(&[1; 32]).id();
    assert_eq!(Keyring::wanted(&rows).unwrap(), Some(one));
    let wrong = Keyring::open(LAYOUT, &rows, &keks(2, &[3])).err().unwrap();
    let ids = [2, 3].map(|byte| Kek::new(&[byte; 32]).id().to_string()).join(", ");
    assert_eq!(wrong, Error::WrongKey { wanted: one, given: ids });
    for at in 0..rows[0].1.len() {
        let mut forged = rows.clone();
        forged[0].1[at] ^= 1;
        assert!(Keyring::open(LAYOUT, &forged, &keks(1, &[])).is_err(), "byte {at}");
    }
    let mut swapped = rows.clone();
    let (first, second) = swapped.split_at_mut(1);
    std::mem::swap(&mut first[0].1, &mut second[0].1);
    assert!(Keyring::open(LAYOUT, &swapped, &keks(1, &[])).is_err(), "the hash key is no data key");
}

#[test]
fn a_new_kek_wraps_every_key_at_once_and_calls_the_old_ones_stale() {
    let mut rows = Vec::new();
    let (ring, writes) = Keyring::open(LAYOUT, &rows, &keks(1, &[])).unwrap();
    store(&mut rows, writes);
    let mut old = Vec::new();
    ring.seal(b"place", b"value", &mut old).unwrap();
    assert!(!ring.is_stale(&old).unwrap());
    let hash = ring.mac().hash(b"u", b"user");

    let (_, writes) = Keyring::open(LAYOUT, &rows, &keks(2, &[1])).unwrap();
    store(&mut rows, writes);
    // From here on the first key is needed no more.
    let (ring, _) = Keyring::open(LAYOUT, &rows, &keks(2, &[])).unwrap();
    let mut plain = Vec::new();
    ring.open_value(b"place", &old, &mut plain).unwrap();
    assert_eq!((plain.as_slice(), ring.stale(), ring.is_stale(&old)), (&b"value"[..], &[1][..], Ok(true)));
    assert_eq!(ring.mac().hash(b"u", b"user"), hash);
}

#[test]
fn key_files_are_read_with_care_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{}\n", "aB".repeat(32))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let kek = Kek::from_file(&path).unwrap();
    assert_eq!(kek.id(), Kek::new(&[0xab; 32]).id());
    let shown = [format!("{kek:?}"), format!("{:?}", Keks::new(kek, Vec::new()))].concat();
    assert!(!shown.to_lowercase().contains("abab") && !shown.contains("171"), "{shown}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = Kek::from_file(&path).unwrap_err().to_string();
    assert!(open.contains("everybody") && open.contains("chmod 600"), "{open}");
    for wrong in ["", "zz", &"ab".repeat(31), &"ab".repeat(33), &"+b".repeat(32), &"ä".repeat(32)] {
        let error = Kek::from_hex(wrong).unwrap_err().to_string();
        assert!(error.contains("openssl rand -hex 32") && !error.contains("abab"), "{error}");
    }
}

#[test]
fn a_temporary_file_comes_back_and_shows_nothing() {
    for is_sealed in [false, true] {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap(), is_sealed).unwrap();
        let mut wanted = Vec::new();
        for length in [0, 1, 70_000, 5, 32 << 10] {
            let piece = b"canary-of-a-user ".repeat(length / 17 + 1);
            writer.write_all(&piece[..length]).unwrap();
            wanted.extend_from_slice(&piece[..length]);
        }
        assert_eq!(writer.written(), wanted.len() as u64);
        let mut reader = writer.into_reader().unwrap();
        let mut found = Vec::new();
        reader.read_to_end(&mut found).unwrap();
        assert!(found == wanted);
        let mut raw = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut raw).unwrap();
        assert_eq!(raw.windows(6).any(|part| part == b"canary"), !is_sealed);
    }
}

#[test]
fn a_temporary_file_that_was_changed_is_an_error() {
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = Writer::new(file.try_clone().unwrap(), true).unwrap();
    writer.write_all(b"something").unwrap();
    file.seek(SeekFrom::Start(20)).unwrap();
    file.write_all(b"x").unwrap();
    assert!(writer.into_reader().unwrap().read_to_end(&mut Vec::new()).is_err());
}

/// It does not even compile where the crates' feature is off.
#[test]
fn keys_do_not_stay_in_memory_that_is_given_back() {
    fn is_wiped<T: ZeroizeOnDrop>() {}
    is_wiped::<XChaCha20Poly1305>();
    is_wiped::<Sha256>(); // which is what `Hmac` keeps its key in
}
