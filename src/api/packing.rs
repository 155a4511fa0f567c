//! Bodies that come compressed: unpacked no further than a body may be large, whatever they promise.

use std::borrow::Cow;
use std::io::Read;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;

use super::problem::{Code, Problem};

/// How much of memory a zstd frame may ask for, as a power of two: 8 MiB, what its levels below `--long` use.
const ZSTD_WINDOW: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

/// The answer to a body beyond the limit.
pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a body has at most {limit} bytes, also unpacked"))
}

impl Packing {
    /// What `Content-Encoding` says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut said = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = match (said.next(), said.next()) {
            (None, _) => return Ok(Self::None),
            (Some(one), None) => one.to_str().unwrap_or_default().trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => String::new(),
        };
        match encoding.as_str() {
            "identity" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Problem::new(Code::UnsupportedMediaType, "Content-Encoding: send gzip, zstd, or none")),
        }
    }

    /// The body as it was before it was compressed.
    pub(super) fn unpack(self, body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, Problem> {
        let unpacked = match self {
            Self::None => return Ok(body.into()),
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(body), limit),
            Self::Zstd => zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW)?;
                read(decoder, limit)
            }),
        };
        let unpacked =
            unpacked.map_err(|_| Problem::new(Code::BadRequest, "the body is not what Content-Encoding says"))?;
        if unpacked.len() > limit { Err(too_large(limit)) } else { Ok(unpacked.into()) }
    }
}

/// Reads one byte more than the limit, at most.
fn read(decoder: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    decoder.take((limit as u64).saturating_add(1)).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_comes_out_as_it_was() {
        let body = b"{\"a\":1}\n".repeat(100);
        assert_eq!(Packing::Gzip.unpack(&gzip(&body), 900).unwrap(), body);
        assert_eq!(Packing::Zstd.unpack(&zstd::encode_all(body.as_slice(), 3).unwrap(), 900).unwrap(), body);
        assert_eq!(Packing::None.unpack(&body, 900).unwrap(), body);
    }

    #[test]
    fn a_bomb_is_cut_off_where_the_limit_is() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(Packing::Gzip.unpack(&bomb, 1_000).unwrap_err().code, Code::BodyTooLarge);
        let bomb = zstd::encode_all(vec![b' '; 64 << 20].as_slice(), 3).unwrap();
        assert_eq!(Packing::Zstd.unpack(&bomb, 1_000).unwrap_err().code, Code::BodyTooLarge);
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert_eq!(packing.unpack(b"{}", 100).unwrap_err().code, Code::BadRequest, "{packing:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Packing::of(&headers), Ok(Packing::None));
        headers.insert(CONTENT_ENCODING, "br".parse().unwrap());
        assert_eq!(Packing::of(&headers).unwrap_err().code, Code::UnsupportedMediaType);
        headers.insert(CONTENT_ENCODING, "GZIP".parse().unwrap());
        assert_eq!(Packing::of(&headers), Ok(Packing::Gzip));
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Packing::of(&headers).is_err(), "packed twice");
    }
}
