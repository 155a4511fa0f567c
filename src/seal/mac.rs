//! The keyed hash of what stands in keys: HMAC-SHA256. Without its key nobody can guess a user or an id and compare.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac as _};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

/// A keyed hash. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Mac(Arc<Hmac<Sha256>>);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac")
    }
}

impl Mac {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let mut block = Zeroizing::new([0; 64]); // HMAC itself fills a shorter key up with zeros
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self(Arc::new(Hmac::new((&*block).into())))
    }

    /// Whether both are clones of one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The hash of a text in a domain. No domain may be the beginning of another.
    pub fn hash(&self, domain: &[u8], text: &[u8]) -> [u8; 32] {
        let mut hmac = Hmac::clone(&self.0);
        hmac.update(domain);
        hmac.update(text);
        hmac.finalize().into_bytes().into()
    }
}
