//! What producers write: events of few users at few moments, so that they collide, and records that cannot be used. Each
//! comes with what it means, so that the answer expected of the engine owes nothing to its decoding.

use serde_json::json;
use tributary::core::event::MAX_AHEAD;
use tributary::core::{Adjustment, Conversion, Millis, Touchpoint};
use tributary::topics::Input;

use crate::dice::Dice;
use crate::plan::{EPOCH, Plan};
use crate::wire;

/// The texts of a touchpoint, in the contract's order.
pub const TEXTS: [&str; 8] = ["channel", "interaction", "source", "medium", "campaign", "content", "term", "milestone"];

/// A touchpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub event_id: String,
    pub user_id: String,
    pub occurred_at: Millis,
    /// As [`TEXTS`].
    pub texts: [Option<String>; 8],
    pub cost: Option<i64>,
    pub currency: Option<String>,
}

impl Touch {
    /// As the core has it.
    pub fn core(&self) -> Touchpoint<'_> {
        let [channel, interaction, source, medium, campaign, content, term, milestone] =
            self.texts.each_ref().map(Option::as_deref);
        Touchpoint {
            event_id: &self.event_id,
            user_id: &self.user_id,
            occurred_at: self.occurred_at,
            channel,
            interaction: interaction.unwrap_or("click"),
            source,
            medium,
            campaign,
            content,
            term,
            cost_micros: self.cost,
            currency: self.currency.as_deref(),
            milestone,
        }
    }
}

/// A conversion, or an adjustment where it adjusts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub event_id: String,
    pub user_id: String,
    pub occurred_at: Millis,
    pub kind: Option<String>,
    pub value: Option<i64>,
    pub currency: Option<String>,
    pub adjusts: Option<String>,
}

impl Order {
    /// As the core has a conversion.
    pub fn conversion(&self) -> Conversion<'_> {
        Conversion {
            event_id: &self.event_id,
            user_id: &self.user_id,
            occurred_at: self.occurred_at,
            kind: self.kind.as_deref().unwrap_or("conversion"),
            value_micros: self.value,
            currency: self.currency.as_deref(),
        }
    }

    /// As the core has an adjustment.
    pub fn adjustment(&self) -> Adjustment<'_> {
        Adjustment {
            event_id: &self.event_id,
            user_id: &self.user_id,
            occurred_at: self.occurred_at,
            kind: self.kind.as_deref().unwrap_or("conversion"),
            value_micros: self.value,
            currency: self.currency.as_deref(),
            adjusts: self.adjusts.as_deref().unwrap_or_default(),
        }
    }
}

/// What a record means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A touchpoint.
    Touch(Touch),
    /// A conversion or an adjustment.
    Order(Order),
    /// It cannot be used; the reason names this field.
    Bad(&'static str),
}

impl Meaning {
    fn occurred_at(&self) -> Millis {
        match self {
            Self::Touch(touch) => touch.occurred_at,
            Self::Order(order) => order.occurred_at,
            Self::Bad(_) => 0,
        }
    }

    fn user_id(&self) -> &str {
        match self {
            Self::Touch(touch) => &touch.user_id,
            Self::Order(order) => &order.user_id,
            Self::Bad(_) => "",
        }
    }
}

/// A record as it lies in the log.
#[derive(Clone, Debug)]
pub struct Written {
    pub input: Input,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub logged_at: Millis,
    pub meaning: Meaning,
}

/// The producers.
pub struct Producers {
    users: Vec<String>,
    step: Millis,
    avro: u64,
    bad: u64,
    poison: bool,
    said: Vec<Meaning>,
}

const CHANNELS: [&str; 7] = ["direct", "Direct", "email", "paid search", "ünïcode ☂", "a|b\\c", "\"quoted\""];
const CAMPAIGNS: [&str; 4] = ["spring", "c|1", "s\\p", "\u{10348}"];
const TOUCH_IDS: [&str; 7] = ["t1", "t2", "t|3", "t\\4", "т5", "t\u{2028}6", "T1"];
const VALUES: [i64; 7] = [0, 1, 7, 99, 1_000_000, 12_345_678, 1_000_000_000_000_000];

impl Producers {
    /// The producers of a seed.
    pub fn new(plan: &Plan) -> Self {
        let names = ["u1", "u|2", "ü3", "user 4", "\\u0035", "u6"];
        let mut users: Vec<String> = names.iter().take(plan.users).map(|name| (*name).to_owned()).collect();
        if plan.seed.is_multiple_of(5) {
            users[0] = "x".repeat(128);
        }
        let step = (plan.rules.lookback_ms() / 4).max(1);
        Self { users, step, avro: plan.avro, bad: plan.bad, poison: plan.poison, said: Vec::new() }
    }

    /// The next record, logged now.
    pub fn next(&mut self, dice: &mut Dice, now: Millis) -> Written {
        // A producer's clock may run behind, never ahead of the broker's.
        let logged_at = now - if dice.chance(200) { dice.between(0, 5_000) } else { 0 };
        if dice.chance(self.bad) {
            return self.bad(dice, logged_at);
        }
        if self.poison && dice.chance(30) {
            return self.poison(dice, logged_at);
        }
        let meaning = self.meaning(dice, logged_at);
        // What is told once more must not come from the future of this record.
        let logged_at = logged_at.max(meaning.occurred_at() - MAX_AHEAD);
        if self.said.len() < 64 {
            self.said.push(meaning.clone());
        } else {
            let place = dice.index(64);
            self.said[place] = meaning.clone();
        }
        if dice.chance(self.avro) { wire::avro(meaning, logged_at) } else { write(dice, meaning, logged_at) }
    }

    fn meaning(&self, dice: &mut Dice, logged_at: Millis) -> Meaning {
        let said = if self.said.is_empty() { None } else { Some(dice.pick(&self.said).clone()) };
        match (dice.weighted(&[(45, 0), (12, 1), (14, 2), (10, 3), (10, 4), (6, 5)]), said) {
            (1, _) => Meaning::Order(self.conversion(dice)),
            (2, _) => Meaning::Order(self.adjustment(dice)),
            (3, Some(said)) => said, // once more
            (4, Some(Meaning::Touch(touch))) => {
                // The same event, another content.
                let fresh = self.touch(dice, logged_at);
                let Touch { event_id, user_id, occurred_at, .. } = touch;
                Meaning::Touch(Touch { event_id, user_id, occurred_at, ..fresh })
            }
            (4, Some(Meaning::Order(order))) => {
                let fresh = self.conversion(dice);
                let Order { event_id, user_id, adjusts, .. } = order;
                Meaning::Order(Order { event_id, user_id, adjusts, ..fresh })
            }
            (5, Some(Meaning::Touch(touch))) => {
                // Sent again with a new time.
                Meaning::Touch(Touch { occurred_at: self.moment(dice), ..touch })
            }
            _ => Meaning::Touch(self.touch(dice, logged_at)),
        }
    }

    /// A moment on a grid of quarters of the lookback window, now and then beside it.
    fn moment(&self, dice: &mut Dice) -> Millis {
        let beside = if dice.chance(200) { dice.between(-1, 1) } else { 0 };
        EPOCH + dice.between(0, 10) * self.step + beside
    }

    fn touch(&self, dice: &mut Dice, logged_at: Millis) -> Touch {
        let mut texts: [Option<String>; 8] = Default::default();
        for (place, text) in texts.iter_mut().enumerate() {
            let from: &[&str] = match place {
                0 => &CHANNELS,
                1 => &["click", "view", "visit"],
                4 => &CAMPAIGNS,
                _ => &["x", "y z"],
            };
            let often = if place == 0 { 850 } else { 300 };
            *text = dice.chance(often).then(|| (*dice.pick(from)).to_owned());
        }
        let (cost, currency) = money(dice);
        let last_moment = dice.chance(10);
        Touch {
            event_id: (*dice.pick(&TOUCH_IDS)).to_owned(),
            user_id: dice.pick(&self.users).clone(),
            occurred_at: if last_moment { logged_at + MAX_AHEAD } else { self.moment(dice) },
            texts,
            cost,
            currency,
        }
    }

    /// Conversion ids are a user's own: one id under two users breaks the contract.
    fn conversion(&self, dice: &mut Dice) -> Order {
        let user_id = dice.pick(&self.users).clone();
        let (value, currency) = money(dice);
        Order {
            event_id: self.order_id(dice, &user_id),
            user_id,
            occurred_at: self.moment(dice),
            kind: dice.chance(400).then(|| (*dice.pick(&["purchase", "conversion", "sign|up"])).to_owned()),
            value,
            currency,
            adjusts: None,
        }
    }

    fn order_id(&self, dice: &mut Dice, user_id: &str) -> String {
        let number = self.users.iter().position(|user| user == user_id).unwrap_or(0);
        format!("{}{number}{}", dice.pick(&["c", "c|"]), dice.pick(&["a", "b", "\\"]))
    }

    fn adjustment(&self, dice: &mut Dice) -> Order {
        let conversion = self.conversion(dice);
        let event_id = (*dice.pick(&["a1", "a2", "a|3"])).to_owned();
        // An adjustment may bear the id of a conversion: they are two sets.
        let event_id = if dice.chance(100) { conversion.event_id.clone() } else { event_id };
        Order { event_id, adjusts: Some(conversion.event_id.clone()), ..conversion }
    }

    /// A record that cannot be used, and the field that its reason must name.
    fn bad(&self, dice: &mut Dice, logged_at: Millis) -> Written {
        let meaning = if dice.chance(500) {
            Meaning::Touch(self.touch(dice, logged_at))
        } else if dice.chance(500) {
            Meaning::Order(self.conversion(dice))
        } else {
            Meaning::Order(self.adjustment(dice))
        };
        let mut written = write(dice, meaning, logged_at);
        let field = wire::spoil(dice, &mut written);
        written.meaning = Meaning::Bad(field);
        written
    }

    /// A record that makes the engine panic: before or after others of its batch are staged, or over its rows, which a
    /// conversion always has.
    fn poison(&self, dice: &mut Dice, logged_at: Millis) -> Written {
        let id = *dice.pick(&["panic: decoding", "panic: applying", "panic: producing"]);
        let meaning = if id != "panic: producing" && dice.chance(500) {
            Meaning::Touch(Touch { event_id: id.to_owned(), ..self.touch(dice, logged_at) })
        } else {
            Meaning::Order(Order { event_id: id.to_owned(), adjusts: None, ..self.conversion(dice) })
        };
        let mut written = write(dice, meaning, logged_at);
        written.meaning = Meaning::Bad("panic");
        written
    }
}

fn money(dice: &mut Dice) -> (Option<i64>, Option<String>) {
    let value = dice.chance(700).then(|| *dice.pick(&VALUES));
    let currency = (value.is_some() || dice.chance(300)).then(|| (*dice.pick(&["EUR", "USD"])).to_owned());
    (value, currency)
}

fn write(dice: &mut Dice, meaning: Meaning, logged_at: Millis) -> Written {
    let mut fields: Vec<(&str, Option<serde_json::Value>)> = Vec::new();
    let money = |value: &str, amount: Option<i64>, currency: &Option<String>| {
        vec![
            (value.to_owned(), amount.map(|amount| json!(amount))),
            ("currency".to_owned(), currency.clone().map(Into::into)),
        ]
    };
    let (input, more) = match &meaning {
        Meaning::Touch(touch) => {
            fields.push(("event_id", Some(json!(touch.event_id))));
            fields.push(("occurred_at", Some(json!(touch.occurred_at))));
            fields.extend(TEXTS.into_iter().zip(touch.texts.iter().map(|text| text.clone().map(Into::into))));
            (Input::Touchpoints, money("cost_micros", touch.cost, &touch.currency))
        }
        Meaning::Order(order) => {
            fields.push(("event_id", Some(json!(order.event_id))));
            fields.push(("occurred_at", Some(json!(order.occurred_at))));
            fields.push(("kind", order.kind.clone().map(Into::into)));
            fields.push(("adjusts", order.adjusts.clone().map(Into::into)));
            (Input::Conversions, money("value_micros", order.value, &order.currency))
        }
        Meaning::Bad(_) => (Input::Touchpoints, Vec::new()),
    };
    fields.push(("user_id", Some(json!(meaning.user_id()))));
    fields.extend(more.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let key = Some(meaning.user_id().as_bytes().to_vec());
    let value = Some(wire::object(dice, fields));
    Written { input, key, value, logged_at, meaning }
}
