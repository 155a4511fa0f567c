//! Any bytes at all, and good bytes bent a little: an answer, never a panic. Seeded, so a failure comes again.

use std::sync::OnceLock;

use apache_avro::Schema;

use super::{Framing, avro, framing, json, record, samples, schemas};
use crate::core::Fault;
use crate::core::event::ConversionEvent;

/// The plans that bytes are tried under.
struct Plans {
    touchpoints: Vec<avro::TouchpointPlan>,
    conversion: avro::ConversionPlan,
}

fn plans() -> &'static Plans {
    static PLANS: OnceLock<Plans> = OnceLock::new();
    PLANS.get_or_init(|| {
        let rich = r#"{"type":"record","name":"Rich","fields":[
            {"name":"list","type":{"type":"array","items":{"type":"map","values":["null","string","Rich"]}}},
            {"name":"channel","type":["null","bytes",{"type":"enum","name":"Kind","symbols":["a","b"]},"int"]},
            {"name":"money","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
            {"name":"occurred_at","type":["null",{"type":"long","logicalType":"timestamp-nanos"}]},
            {"name":"flag","type":"boolean"},{"name":"id","type":{"type":"fixed","name":"Id","size":3}},
            {"name":"event_id","type":"string"}]}"#;
        let plan = |text: &str| avro::TouchpointPlan::compile(&Schema::parse_str(text).unwrap()).unwrap();
        let conversion = Schema::parse_str(schemas::CONVERSION).unwrap();
        Plans {
            touchpoints: vec![plan(schemas::TOUCHPOINT), plan(rich)],
            conversion: avro::ConversionPlan::compile(&conversion).unwrap(),
        }
    })
}

/// Reads `bytes` as everything there is. What is read must hold its own promises.
pub(crate) fn body(bytes: &[u8]) {
    match framing(bytes) {
        Framing::Avro { datum, .. } => assert_eq!(datum.len() + 5, bytes.len()),
        Framing::Json(text) => assert_eq!(text, bytes),
        Framing::Unknown(reason) => assert!(!reason.is_empty()),
    }
    if let Ok(draft) = json::touchpoint(bytes) {
        checked(draft.check().map(|touchpoint| {
            let mut stored = Vec::new();
            record::encode_touchpoint(&touchpoint, &mut stored);
            assert_eq!(record::decode_touchpoint(touchpoint.occurred_at, &stored), Ok(touchpoint));
        }));
    }
    if let Ok(draft) = json::conversion(bytes) {
        checked(draft.check().map(drop));
    }
    for plan in &plans().touchpoints {
        if let Ok(draft) = plan.decode(bytes) {
            checked(draft.check().map(drop));
        }
    }
    if let Ok(draft) = plans().conversion.decode(bytes) {
        checked(draft.check().map(drop));
    }
    if let Ok((id, row)) = avro::read_row(bytes) {
        let mut again = Vec::new();
        avro::write_row(id, &row, &mut again);
        assert_eq!(avro::read_row(&again), Ok((id, row)));
    }
    for (event_id, user_id) in [
        record::decode_touchpoint(0, bytes).map(|t| (t.event_id, t.user_id)),
        record::decode_conversion(0, bytes).map(|c| (c.event_id, c.user_id)),
        record::decode_adjustment(0, bytes).map(|a| (a.event_id, a.user_id)),
    ]
    .into_iter()
    .flatten()
    {
        assert!(event_id.len() + user_id.len() < bytes.len());
    }
}

fn checked(outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        assert!(!fault.field.is_empty() && !fault.reason.is_empty());
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Good bytes of every kind that [`body`] reads.
fn good() -> Vec<Vec<u8>> {
    let touchpoint = crate::core::Touchpoint {
        channel: Some("paid_search"),
        campaign: Some("früh|ling"),
        cost_micros: Some(123_456),
        currency: Some("EUR"),
        ..samples::bare("tp-1", "user-1")
    };
    let conversion = crate::core::Conversion {
        event_id: "order-1",
        user_id: "user-1",
        occurred_at: touchpoint.occurred_at + 5,
        kind: "purchase",
        value_micros: Some(99_000_000),
        currency: Some("EUR"),
    };
    let mut rows = Vec::new();
    let rules = crate::core::Rules::default();
    crate::core::row::credit(&conversion, &[], &[touchpoint], &rules, &mut Default::default(), &mut rows);
    let mut all = vec![
        br#"{"event_id":"e","user_id":"u","occurred_at":"2024-05-01T12:30:00.250Z","channel":"\u00e9","x":[{}]}"#
            .to_vec(),
        br#"{"event_id":"c","user_id":"u","occurred_at":1700000000000,"value_micros":5,"currency":"USD"}"#.to_vec(),
    ];
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        all.push(bytes);
    };
    add(&|out| record::encode_touchpoint(&touchpoint, out));
    add(&|out| record::encode_conversion(&conversion, out));
    add(&|out| avro::write_touchpoint(1, &touchpoint, out));
    add(&|out| avro::write_conversion(2, &ConversionEvent::Conversion(conversion), out));
    add(&|out| avro::write_row(3, &rows[0], out));
    let datums: Vec<_> = all.iter().filter(|bytes| bytes[0] == 0).map(|bytes| bytes[5..].to_vec()).collect();
    all.extend(datums);
    all
}

fn bend(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, dice.next() as u8),
        2 => drop((!bytes.is_empty()).then(|| bytes.remove(at))),
        3 => {
            let tail = bytes.split_off(at);
            bytes.extend_from_slice(&[0xff; 9][..dice.below(10)]);
            bytes.extend(tail);
        }
        4 => {
            let copy = bytes[at..].to_vec();
            bytes.extend(copy);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// Runs [`body`] over so many inputs from `seed` on.
pub(crate) fn run(seed: u64, inputs: usize) {
    let good = good();
    let mut dice = Dice(seed);
    for _ in 0..inputs {
        let mut bytes = good[dice.below(good.len())].clone();
        if dice.below(4) == 0 {
            bytes = (0..dice.below(64)).map(|_| dice.next() as u8).collect();
        }
        for _ in 0..dice.below(5) {
            bend(&mut bytes, &mut dice);
        }
        body(&bytes);
    }
}

#[test]
fn good_bytes_are_good() {
    let good = good();
    assert!(json::touchpoint(&good[0]).unwrap().check().is_ok());
    assert!(json::conversion(&good[1]).unwrap().check().is_ok());
    assert!(record::decode_touchpoint(0, &good[2]).is_ok());
    assert!(record::decode_conversion(0, &good[3]).is_ok());
    assert!(plans().touchpoints[0].decode(&good[4][5..]).unwrap().check().is_ok());
    assert!(plans().conversion.decode(&good[5][5..]).unwrap().check().is_ok());
    assert!(avro::read_row(&good[6]).is_ok());
}

#[test]
fn forty_thousand_bent_inputs() {
    for seed in 0..8 {
        run(seed, 5_000);
    }
}
