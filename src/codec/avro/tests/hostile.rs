//! Bytes and schemas made to hurt: nothing panics, hangs, overflows the stack or allocates what is merely claimed.

use serde_json::json;

use super::*;

fn plan(fields: &[(&str, serde_json::Value)]) -> TouchpointPlan {
    TouchpointPlan::compile(&record(fields)).unwrap()
}

fn fault(plan: &TouchpointPlan, datum: &[u8]) -> String {
    plan.decode(datum).unwrap_err().to_string()
}

/// The greatest long there is.
const HUGE: [u8; 10] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];

#[test]
fn lengths_are_bounded_by_what_is_there() {
    let plan = plan(&[("event_id", json!("string")), ("extra", json!("bytes"))]);
    assert_eq!(fault(&plan, &[]), "event_id: truncated");
    assert_eq!(fault(&plan, &[0x80]), "event_id: truncated");
    assert_eq!(fault(&plan, &[4, b'a']), "event_id: truncated");
    assert_eq!(fault(&plan, &HUGE), "event_id: truncated");
    assert_eq!(fault(&plan, &[1, b'a']), "event_id: a negative length");
    assert_eq!(fault(&plan, &[0xff; 11]), "event_id: a number of more than 64 bits");
    assert_eq!(fault(&plan, &[2, 0xff]), "event_id: not UTF-8");
    assert_eq!(fault(&plan, &[2, b'a']), "value: the writer's field extra: truncated");
    assert_eq!(fault(&plan, &[2, b'a', 1]), "value: the writer's field extra: a negative length");
    assert_eq!(fault(&plan, &[2, b'a', 2, 0xff, 9]), "value: 1 bytes left over");
    assert_eq!(plan.decode(&[2, b'a', 2, 0xff]).unwrap().event_id.as_deref(), Some("a"));
}

#[test]
fn numbers_keep_to_their_width() {
    let plan = plan(&[("cost_micros", json!("int"))]);
    assert_eq!(fault(&plan, &HUGE), "cost_micros: an int of more than 32 bits");
    assert_eq!(fault(&plan, &[0xff; 10]), "cost_micros: a number of more than 64 bits");
    assert_eq!(plan.decode(&[0x80, 0x00]).unwrap().cost_micros, Some(0), "padding is Avro all the same");
}

#[test]
fn blocks_with_and_without_sizes() {
    let plan = plan(&[("tags", json!({"type": "array", "items": "string"})), ("user_id", json!("string"))]);
    let user = [2, b'u'];
    let good = |blocks: &[u8]| {
        let datum = [blocks, &user].concat();
        assert_eq!(plan.decode(&datum).unwrap().user_id.as_deref(), Some("u"), "{blocks:?}");
    };
    good(&[0]);
    good(&[4, 2, b'a', 2, b'b', 0]);
    good(&[2, 2, b'a', 2, 2, b'b', 0]);
    good(&[3, 8, 2, b'a', 2, b'b', 0]); // minus two items in four bytes
    good(&[3, 8, 2, b'a', 2, b'b', 2, 2, b'c', 0]);
    let tags = |reason: &str| format!("value: the writer's field tags: {reason}");
    assert_eq!(fault(&plan, &[4, 2, b'a']), tags("truncated"));
    assert_eq!(fault(&plan, &[3, 200, 1, 2, b'a']), tags("truncated"));
    assert_eq!(fault(&plan, &[3, 1]), tags("a negative length"));
    assert_eq!(fault(&plan, &HUGE), tags("truncated"));
    let map = self::plan(&[("m", json!({"type": "map", "values": "int"}))]);
    assert!(map.decode(&[2, 2, b'k', 8, 0]).is_ok());
    assert!(map.decode(&[1, 6, 2, b'k', 8, 0]).is_ok());
    assert_eq!(fault(&map, &[2, 2]), "value: the writer's field m: truncated");
}

#[test]
fn countless_items_of_no_size_take_no_time() {
    let empty = json!({"type": "record", "name": "Empty", "fields": [{"name": "n", "type": "null"}]});
    let zero = json!({"type": "fixed", "name": "Zero", "size": 0});
    for item in [json!("null"), empty, zero] {
        let plan = plan(&[("a", json!({"type": "array", "items": item}))]);
        let mut datum = HUGE.repeat(1000);
        datum.push(0);
        assert!(plan.decode(&datum).is_ok());
    }
    let plan = plan(&[
        ("e", json!({"type": "record", "name": "Empty", "fields": []})),
        ("a", json!({"type": "array", "items": "Empty"})),
    ]);
    assert!(plan.decode(&[&HUGE[..], &[0]].concat()).is_ok());
}

#[test]
fn a_type_that_contains_itself_is_bounded() {
    let plan = plan(&[(
        "next",
        json!({"type": "record", "name": "Node", "fields": [
        {"name": "next", "type": ["null", "Node"]}]}),
    )]);
    let list = |length| [vec![2; length], vec![0]].concat();
    assert!(plan.decode(&list(20)).is_ok());
    assert_eq!(fault(&plan, &vec![2; 1_000_000]), "value: the writer's field next: nested deeper than 100 values");
    // A record that is made of itself has no finite value; it must not be tried for ever.
    let endless = self::plan(&[(
        "x",
        json!({"type": "record", "name": "Loop", "fields": [
        {"name": "a", "type": "Loop"}, {"name": "b", "type": "Loop"}]}),
    )]);
    assert_eq!(fault(&endless, &[]), "value: the writer's field x: nested deeper than 100 values");
}

#[test]
fn a_small_schema_that_spells_a_huge_one_stays_small() {
    let mut fields = vec![(
        "r0".to_owned(),
        json!({"type": "record", "name": "R0", "fields": [
        {"name": "x", "type": "int"}]}),
    )];
    for n in 1..40 {
        let inner = format!("R{}", n - 1);
        fields.push((
            format!("r{n}"),
            json!({"type": "record", "name": format!("R{n}"), "fields": [
            {"name": "a", "type": inner}, {"name": "b", "type": inner}]}),
        ));
    }
    let named: Vec<_> = fields.iter().map(|(name, schema)| (name.as_str(), schema.clone())).collect();
    assert_eq!(fault(&plan(&named), &[0; 64]), "value: the writer's field r6: truncated"); // 1 + 2 + … + 32 ints fit
}

#[test]
fn deep_schemas_are_refused() {
    let mut deep = json!("int");
    for _ in 0..55 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(TouchpointPlan::compile(&record(&[("deep", deep)])).is_ok());
    let mut deep = Schema::Int;
    for _ in 0..101 {
        deep = Schema::array(deep).build();
    }
    let Schema::Record(mut outer) = record(&[("deep", json!("int"))]) else { panic!("no record") };
    outer.fields[0].schema = deep;
    let fault = TouchpointPlan::compile(&Schema::Record(outer)).unwrap_err().to_string();
    assert_eq!(fault, "value: the writer's schema is nested deeper than 100 types");
}
