//! Events in, by who may send them; rows out, by who may read them.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use crate::cluster::Cluster;
use crate::stage::until;

const LIMIT: Duration = Duration::from_secs(60);

/// Two touchpoints and an order for each of these users, in this order.
pub fn send(cluster: &Cluster, users: std::ops::Range<u32>) {
    #[allow(clippy::disallowed_methods, reason = "events of the future are refused")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut config = cluster.client("ingest");
    config.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
    let producer: BaseProducer = config.create().unwrap();
    let send = |topic: &str, user: &str, event: serde_json::Value| {
        producer.send(BaseRecord::to(topic).key(user).payload(&event.to_string())).map_err(|(error, _)| error).unwrap();
    };
    for number in users {
        let user = format!("user-{number}");
        for (days, channel) in [(2, "email"), (1, "paid search")] {
            let event = json!({"event_id": format!("touch-{number}-{days}"), "user_id": user, "channel": channel,
                "occurred_at": now - days * 86_400_000});
            send("touchpoints", &user, event);
        }
        let event = json!({"event_id": format!("order-{number}"), "user_id": user, "occurred_at": now - 1_000,
            "value_micros": 12_345_678, "currency": "EUR"});
        send("conversions", &user, event);
    }
    producer.flush(LIMIT).unwrap();
}

/// Waits until the rows of all these users' orders can be read, in Avro.
pub fn await_rows(cluster: &Cluster, users: std::ops::Range<u32>) {
    let mut config = cluster.client("connect");
    config.set("group.id", "connect-rows").set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&["attributions"]).unwrap();
    let mut missing: BTreeSet<String> = users.map(|number| format!("order-{number}")).collect();
    until("rows of all orders", LIMIT, || {
        while let Some(record) = consumer.poll(Duration::from_millis(200)) {
            let record = record.unwrap();
            // An order that is read before its touchpoints has other rows at first; these are deleted.
            let Some(row) = record.payload() else { continue };
            assert_eq!(row[0], 0, "a row that is not framed as Avro");
            let key = String::from_utf8_lossy(record.key().unwrap()).into_owned();
            missing.remove(key.split('|').next().unwrap());
        }
        missing.is_empty()
    });
}
