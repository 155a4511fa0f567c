//! The events of a seed: journeys that arrive in any order, with duplicates, conflicting ones, adjustments, and records
//! that cannot be used.

use serde_json::{Map, Value, json};
use tributary::codec::{avro, json as lines};
use tributary::topics::Input;

use crate::dice::Dice;

/// The ids that the registry gave to the schemas of touchpoints and conversions; none where all is JSON.
pub type SchemaIds = Option<[u32; 2]>;

/// A record to be sent.
pub struct Record {
    pub input: Input,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The event as a line for the batch pass; none for a record that cannot be used.
    pub line: Option<String>,
}

/// The events of a seed.
pub struct Events {
    dice: Dice,
    schemas: SchemaIds,
    users: u64,
    /// Events happen in the 30 days before this, in milliseconds.
    end: i64,
    said: Vec<(Input, Map<String, Value>)>,
    count: u64,
}

const DAY: i64 = 86_400_000;
const CHANNELS: [&str; 6] = ["direct", "email", "paid search", "ünïcode ☂", "a|b\\c", "\"quoted\""];

impl Events {
    /// The events of a seed, of so many users.
    pub fn new(seed: u64, users: u64, end: i64, schemas: SchemaIds) -> Self {
        Self { dice: Dice::new(seed, 1), schemas, users, end, said: Vec::new(), count: 0 }
    }

    /// The next record.
    pub fn next(&mut self) -> Record {
        self.count += 1;
        let (input, event) = self.event();
        if self.dice.chance(5) {
            return self.bad(input, event);
        }
        let place = if self.said.len() < 256 { self.said.len() } else { self.dice.index(256) };
        self.said.truncate(256);
        if place == self.said.len() {
            self.said.push((input, event.clone()));
        } else {
            self.said[place] = (input, event.clone());
        }
        let key = key_of(&event);
        let line = Value::Object(event).to_string();
        let value = self.encode(input, &line);
        Record { input, key, value: Some(value), line: Some(line) }
    }

    fn event(&mut self) -> (Input, Map<String, Value>) {
        let again = if self.said.is_empty() { None } else { Some(self.dice.pick(&self.said).clone()) };
        match (self.dice.weighted(&[(62, 0), (14, 1), (8, 2), (8, 3), (8, 4)]), again) {
            (1, _) => (Input::Conversions, self.conversion()),
            (2, Some((Input::Conversions, said))) => (Input::Conversions, self.adjustment(&said)),
            (3, Some(said)) => said, // once more
            (4, Some((input, said))) => (input, self.otherwise(input, &said)),
            _ => (Input::Touchpoints, self.touchpoint()),
        }
    }

    fn user(&mut self) -> u64 {
        self.dice.below(self.users)
    }

    fn moment(&mut self) -> i64 {
        self.end - self.dice.between(1, 30 * DAY)
    }

    fn touchpoint(&mut self) -> Map<String, Value> {
        let (user, moment) = (self.user(), self.moment());
        let mut event = Map::new();
        event.insert("event_id".into(), json!(format!("t{}", self.count)));
        event.insert("user_id".into(), json!(format!("user {user}")));
        event.insert("occurred_at".into(), json!(moment));
        self.describe(&mut event);
        event
    }

    fn describe(&mut self, event: &mut Map<String, Value>) {
        for (name, often) in [("channel", 900), ("source", 300), ("campaign", 300), ("term", 50)] {
            event.remove(name);
            if self.dice.chance(often) {
                event.insert(name.into(), json!(*self.dice.pick(&CHANNELS)));
            }
        }
        if self.dice.chance(300) {
            event.insert("interaction".into(), json!(*self.dice.pick(&["view", "visit", "click"])));
        }
        if self.dice.chance(300) {
            event.insert("cost_micros".into(), json!(self.dice.between(0, 2_000_000)));
            event.insert("currency".into(), json!("EUR"));
        }
    }

    fn conversion(&mut self) -> Map<String, Value> {
        let (user, moment) = (self.user(), self.moment());
        let mut event = Map::new();
        event.insert("event_id".into(), json!(format!("order|{}", self.count)));
        event.insert("user_id".into(), json!(format!("user {user}")));
        event.insert("occurred_at".into(), json!(moment));
        self.price(&mut event);
        event
    }

    fn price(&mut self, event: &mut Map<String, Value>) {
        event.remove("value_micros");
        if self.dice.chance(850) {
            event.insert("value_micros".into(), json!(self.dice.between(0, 500_000_000)));
            event.insert("currency".into(), json!(*self.dice.pick(&["EUR", "USD"])));
        }
        if self.dice.chance(300) {
            event.insert("kind".into(), json!(*self.dice.pick(&["purchase", "signup"])));
        }
    }

    /// A restatement or a retraction of a conversion (an adjustment is adjusted no further).
    fn adjustment(&mut self, of: &Map<String, Value>) -> Map<String, Value> {
        let mut event = of.clone();
        let adjusts = of.get("adjusts").or_else(|| of.get("event_id")).cloned().unwrap();
        event.insert("adjusts".into(), adjusts);
        event.insert("event_id".into(), json!(format!("a{}", self.count)));
        event.insert("occurred_at".into(), json!(self.moment()));
        self.price(&mut event);
        event
    }

    /// The same event with another content; of a touchpoint sometimes with another time.
    fn otherwise(&mut self, input: Input, said: &Map<String, Value>) -> Map<String, Value> {
        let mut event = said.clone();
        match input {
            Input::Touchpoints if self.dice.chance(300) => {
                event.insert("occurred_at".into(), json!(self.moment()));
            }
            Input::Touchpoints => self.describe(&mut event),
            Input::Conversions => {
                if self.dice.chance(500) {
                    event.insert("occurred_at".into(), json!(self.moment()));
                }
                self.price(&mut event);
            }
        }
        event
    }

    /// Avro or JSON, as producers of one topic do while they move from one to the other.
    fn encode(&mut self, input: Input, line: &str) -> Vec<u8> {
        let Some([touchpoints, conversions]) = self.schemas.filter(|_| self.dice.chance(600)) else {
            return line.as_bytes().to_vec();
        };
        let mut value = Vec::new();
        match input {
            Input::Touchpoints => {
                let draft = lines::touchpoint(line.as_bytes()).unwrap();
                avro::write_touchpoint(touchpoints, &draft.check().unwrap(), &mut value);
            }
            Input::Conversions => {
                let draft = lines::conversion(line.as_bytes()).unwrap();
                avro::write_conversion(conversions, &draft.check().unwrap(), &mut value);
            }
        }
        value
    }

    fn bad(&mut self, input: Input, mut event: Map<String, Value>) -> Record {
        let key = key_of(&event);
        let kind = self.dice.below(7);
        let value = match kind {
            0 => Some(b"hello\xff".to_vec()),
            1 => None,
            2 => Some(vec![0, 0, 0x0b, 0xad, 0x1d, 2, 2, 2]), // a schema that nobody registered
            3 => {
                let framed = self.encode(input, &Value::Object(event).to_string());
                Some(framed[..framed.len() / 2].to_vec())
            }
            _ => {
                let (name, wrong) = match kind {
                    4 => ("event_id", json!("")),
                    5 => ("occurred_at", json!(self.end + 30 * DAY)), // the future
                    _ => ("currency", json!("euro")),
                };
                event.insert(name.into(), wrong);
                Some(Value::Object(event).to_string().into_bytes())
            }
        };
        Record { input, key, value, line: None }
    }
}

fn key_of(event: &Map<String, Value>) -> Option<Vec<u8>> {
    event["user_id"].as_str().map(|user| user.as_bytes().to_vec())
}
