//! Synthetic shoppers: a stream of events that is a pure function of its settings and the times it is asked for.
//!
//! Each shopper makes journeys of 1 to 20 touchpoints; some journeys end in a conversion. Some events are held back and
//! come out of order, some come twice, a few of those with other content, and some conversions are taken back or
//! restated, now and then before they are known.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::catalog::{CHANNELS, CURRENCIES, Channel, GOALS};
use super::dice::Dice;
use crate::core::Millis;
use crate::core::event::{ConversionDraft, TouchpointDraft};

/// The longest journey, in touchpoints.
pub const LONGEST: u8 = 20;

/// What the shoppers are like. Chances are in a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The events of one seed are always the same.
    pub seed: u64,
    /// Shoppers about at once.
    pub users: u32,
    /// How many events came before these: ids go on from here, so that a later run repeats none.
    pub position: u64,
    /// Of journeys, how many end in a conversion.
    pub converting: u64,
    /// Of finished journeys, how many are followed by another of the same shopper rather than by a new shopper.
    pub returning: u64,
    /// Of events, how many are held back and come later than they happened.
    pub late: u64,
    /// Of events, how many come twice.
    pub repeated: u64,
    /// Of conversions, how many are taken back or restated.
    pub adjusted: u64,
    /// Whether a few shoppers are far busier than most (the square of chance chooses who acts).
    pub skewed: bool,
}

impl Settings {
    /// What `tributary demo` shows: shoppers come and go.
    pub fn demo(seed: u64, users: u32, position: u64) -> Self {
        Self {
            seed,
            users: users.max(1),
            position,
            converting: 160,
            returning: 250,
            late: 15,
            repeated: 10,
            adjusted: 60,
            skewed: false,
        }
    }

    /// A fixed population in which a few are far busier than most.
    pub fn load(seed: u64, users: u32) -> Self {
        Self { returning: 1_000, converting: 130, late: 10, skewed: true, ..Self::demo(seed, users, 0) }
    }
}

/// One event, as a producer would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// For the touchpoints topic.
    Touchpoint(TouchpointDraft<'static>),
    /// For the conversions topic: a conversion or an adjustment.
    Conversion(ConversionDraft<'static>),
}

impl Event {
    /// Whose event it is: the record's key.
    pub fn user_id(&self) -> &str {
        let user_id = match self {
            Self::Touchpoint(t) => &t.user_id,
            Self::Conversion(c) => &c.user_id,
        };
        user_id.as_deref().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Shopper {
    /// The event at which the shopper came; names it.
    since: u64,
    /// Touchpoints of the present journey so far.
    made: u8,
    /// And those still to come.
    left: u8,
    here: bool,
}

/// The stream. Every call of [`Shoppers::next_event`] gives exactly one event.
#[derive(Clone, Debug)]
pub struct Shoppers {
    settings: Settings,
    dice: Dice,
    position: u64,
    /// Names what is made: twice the position, and one more for a second event made at it.
    serial: u64,
    shoppers: Vec<Shopper>,
    /// Held back events by number, and when each is due.
    due: BinaryHeap<Reverse<(u64, u64)>>,
    held: BTreeMap<u64, Event>,
    holds: u64,
    counts: Counts,
}

/// What has been made so far. Events that are held back count from when they are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events handed out.
    pub events: u64,
    /// Conversions, each counted once.
    pub conversions: u64,
    /// Retractions and restatements.
    pub adjusted: u64,
    /// Events that come later than they happened.
    pub late: u64,
    /// Events that come twice.
    pub repeated: u64,
}

impl Shoppers {
    /// Shoppers of these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            dice: Dice::new(settings.seed, settings.position),
            position: settings.position,
            serial: 0,
            shoppers: vec![Shopper::default(); settings.users as usize],
            due: BinaryHeap::new(),
            held: BTreeMap::new(),
            holds: 0,
            counts: Counts::default(),
            settings,
        }
    }

    /// The next event. One that happens now has `now` as its event time; `now` may be a simulated clock.
    pub fn next_event(&mut self, now: Millis) -> Event {
        self.position += 1;
        self.counts.events += 1;
        self.serial = 2 * self.position;
        if let Some(event) = self.take_due(false) {
            return event;
        }
        let event = self.step(now);
        if self.dice.permille(self.settings.repeated) {
            self.counts.repeated += 1;
            let again = self.repeat(&event);
            self.hold(again, 1, 5_000);
        }
        if self.dice.permille(self.settings.late) {
            self.counts.late += 1;
            return self.delay(event, now);
        }
        event
    }

    /// What has been made so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What is still held back, in the order in which it would have come.
    pub fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.take_due(true)).collect()
    }

    fn take_due(&mut self, all: bool) -> Option<Event> {
        let Reverse((due, number)) = self.due.peek().copied()?;
        if due > self.position && !all {
            return None;
        }
        self.due.pop();
        self.held.remove(&number)
    }

    fn hold(&mut self, event: Event, soonest: u64, latest: u64) {
        let number = self.holds;
        self.holds += 1;
        let due = self.position + self.dice.scaled(soonest, latest);
        self.due.push(Reverse((due, number)));
        self.held.insert(number, event);
    }

    /// Half of the late events come when others have come since; the others happened a while ago, up to hours.
    fn delay(&mut self, event: Event, now: Millis) -> Event {
        if self.dice.permille(500) {
            let users = u64::from(self.settings.users);
            self.hold(event, 10, (users * 8).max(20));
            self.serial += 1;
            return self.step(now);
        }
        let before = Millis::try_from(self.dice.scaled(2_000, 6 * 3_600_000)).unwrap_or(0);
        match event {
            Event::Touchpoint(t) => Event::Touchpoint(TouchpointDraft { occurred_at: Some(now - before), ..t }),
            conversion => conversion,
        }
    }

    /// The same event again; one in twenty says something else the second time.
    fn repeat(&mut self, event: &Event) -> Event {
        let mut again = event.clone();
        if let Event::Touchpoint(t) = &mut again
            && self.dice.permille(50)
        {
            t.content = Some("edited".into());
        }
        again
    }

    fn step(&mut self, now: Millis) -> Event {
        let index = self.choose();
        let mut shopper = self.shoppers.get(index).copied().unwrap_or_default();
        if !shopper.here {
            shopper = Shopper { since: self.serial, here: true, ..Shopper::default() };
        }
        if shopper.left == 0 && shopper.made == 0 {
            shopper.left = self.length();
        }
        let event = if shopper.left > 0 {
            let touchpoint = self.touchpoint(&shopper, index, now);
            shopper.made += 1;
            shopper.left -= 1;
            if shopper.left == 0 && !self.dice.permille(self.settings.converting) {
                shopper.made = 0; // gave up
                shopper.here = self.dice.permille(self.settings.returning);
            }
            Event::Touchpoint(touchpoint)
        } else {
            let user_id = self.user_id(&shopper, index);
            shopper.made = 0;
            shopper.here = self.dice.permille(self.settings.returning);
            self.conversion(user_id, now)
        };
        if let Some(place) = self.shoppers.get_mut(index) {
            *place = shopper;
        }
        event
    }

    fn choose(&mut self) -> usize {
        let users = u64::from(self.settings.users);
        let mut index = self.dice.below(users);
        if self.settings.skewed {
            index = self.dice.below(index + 1);
            index = self.dice.below(index + 1);
        }
        usize::try_from(index).unwrap_or(0)
    }

    /// Geometric: each touchpoint is followed by another three times in four.
    fn length(&mut self) -> u8 {
        let mut length = 1;
        while length < LONGEST && self.dice.permille(750) {
            length += 1;
        }
        length
    }

    fn user_id(&self, shopper: &Shopper, index: usize) -> Cow<'static, str> {
        if self.settings.returning == 1_000 {
            return format!("user-{index:06}").into();
        }
        format!("shopper-{:07}", shopper.since).into()
    }

    fn touchpoint(&mut self, shopper: &Shopper, index: usize, now: Millis) -> TouchpointDraft<'static> {
        let stage: fn(&Channel) -> u64 = match (shopper.made, shopper.left) {
            (_, 1) => |c: &Channel| c.closes,
            (0, _) => |c: &Channel| c.opens,
            _ => |c: &Channel| c.follows,
        };
        let channel = self.dice.weighted(&CHANNELS, stage).unwrap_or(&CHANNELS[0]);
        let costs = channel.cost.1 > 0;
        let cost = costs.then(|| self.dice.scaled(channel.cost.0, channel.cost.1));
        TouchpointDraft {
            event_id: Some(format!("t-{}", self.serial).into()),
            user_id: Some(self.user_id(shopper, index)),
            occurred_at: Some(now),
            channel: Some(channel.name.into()),
            interaction: Some(channel.interaction.into()),
            source: text(self.dice.pick(channel.sources)),
            medium: text(channel.medium),
            campaign: text(self.dice.pick(channel.campaigns)),
            content: text(if self.dice.permille(300) { self.dice.pick(&["a", "b", "hero"]) } else { "" }),
            term: text(if channel.medium == "cpc" { self.dice.pick(&["shoes", "running shoes", ""]) } else { "" }),
            cost_micros: cost.and_then(|micros| i64::try_from(micros).ok()),
            currency: costs.then_some("EUR".into()),
            milestone: text(if self.dice.permille(10) { "lead_created" } else { "" }),
        }
    }

    /// A conversion; where it is to be adjusted, the adjustment is held back, or, one time in eight, the conversion is.
    fn conversion(&mut self, user_id: Cow<'static, str>, now: Millis) -> Event {
        self.counts.conversions += 1;
        let goal = self.dice.weighted(&GOALS, |goal| goal.weight).unwrap_or(&GOALS[0]);
        let micros = |cents: u64| i64::try_from(cents * 10_000).unwrap_or(0);
        let value = goal.cents.map(|(low, high)| micros(self.dice.scaled(low, high)));
        let currency = self.dice.weighted(&CURRENCIES, |(_, weight)| *weight).map(|(name, _)| *name);
        let event_id = format!("order-{}", self.serial);
        let conversion = ConversionDraft {
            event_id: Some(event_id.clone().into()),
            user_id: Some(user_id.clone()),
            occurred_at: Some(now),
            kind: Some(goal.kind.into()),
            value_micros: value,
            currency: value.and(currency).map(Into::into),
            adjusts: None,
        };
        if !self.dice.permille(self.settings.adjusted) {
            return Event::Conversion(conversion);
        }
        self.counts.adjusted += 1;
        let restated = value.filter(|_| self.dice.permille(500)).map(|v| v / 2);
        let adjustment = Event::Conversion(ConversionDraft {
            event_id: Some(format!("adjustment-{}", self.serial).into()),
            value_micros: restated,
            currency: restated.and(conversion.currency.clone()),
            adjusts: Some(event_id.into()),
            ..conversion.clone()
        });
        let conversion = Event::Conversion(conversion);
        let early = self.dice.permille(125);
        let (first, second) = if early { (adjustment, conversion) } else { (conversion, adjustment) };
        self.hold(second, 100, 20_000);
        first
    }
}

fn text(value: &'static str) -> Option<Cow<'static, str>> {
    (!value.is_empty()).then_some(Cow::Borrowed(value))
}
