//! Events, rows and stored records, in every framing.

use std::sync::OnceLock;

use apache_avro::Schema;

use tributary::codec::{Framing, avro, framing, json, record, schemas};
use tributary::core::event::ConversionEvent;
use tributary::core::{Fault, Rules, row};

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
pub fn body(bytes: &[u8]) {
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

/// Good bytes of every kind that [`body`] reads.
pub fn good() -> Vec<Vec<u8>> {
    let touchpoint = br#"{"event_id":"tp-1","user_id":"user-1","occurred_at":1700000000000,"channel":"paid_search",
        "campaign":"fr\u00fch|ling","cost_micros":123456,"currency":"EUR"}"#;
    let conversion =
        br#"{"event_id":"order-1","user_id":"user-1","occurred_at":1700000000005,"conversion_type":"purchase",
        "value_micros":99000000,"currency":"EUR"}"#;
    let (touchpoint, conversion) = (json::touchpoint(touchpoint).unwrap(), json::conversion(conversion).unwrap());
    let touchpoint = touchpoint.check().unwrap();
    let ConversionEvent::Conversion(conversion) = conversion.check().unwrap() else { panic!("an adjustment") };
    let mut rows = Vec::new();
    let rules = Rules::default();
    row::credit(&conversion, &[], &[touchpoint], &rules, &mut Default::default(), &mut rows);
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

/// What [`good`] says is good is read.
pub fn read_back(good: &[Vec<u8>]) {
    assert!(json::touchpoint(&good[0]).unwrap().check().is_ok());
    assert!(json::conversion(&good[1]).unwrap().check().is_ok());
    assert!(record::decode_touchpoint(0, &good[2]).is_ok());
    assert!(record::decode_conversion(0, &good[3]).is_ok());
    assert!(plans().touchpoints[0].decode(&good[4][5..]).unwrap().check().is_ok());
    assert!(plans().conversion.decode(&good[5][5..]).unwrap().check().is_ok());
    assert!(avro::read_row(&good[6]).is_ok());
}
