use std::collections::{HashMap, HashSet};

use super::shoppers::*;
use crate::core::Millis;
use crate::core::event::ConversionEvent;

const START: Millis = 1_750_000_000_000;

fn events(settings: Settings, count: usize) -> Vec<Event> {
    let mut shoppers = Shoppers::new(settings);
    let mut events: Vec<_> = (0..count).map(|n| shoppers.next_event(START + n as i64)).collect();
    events.extend(shoppers.rest());
    events
}

#[test]
fn a_seed_gives_the_same_events_and_another_seed_others() {
    let one = events(Settings::demo(7, 500, 0), 20_000);
    assert_eq!(one, events(Settings::demo(7, 500, 0), 20_000));
    assert_ne!(one, events(Settings::demo(8, 500, 0), 20_000));
}

#[test]
fn every_event_keeps_the_contract() {
    for event in events(Settings::demo(1, 1_000, 0), 50_000) {
        match event {
            Event::Touchpoint(t) => drop(t.check().unwrap()),
            Event::Conversion(c) => drop(c.check().unwrap()),
        }
    }
}

#[test]
fn all_that_makes_a_stream_hard_is_there() {
    let events = events(Settings::demo(3, 2_000, 0), 200_000);
    let mut journeys: HashMap<String, usize> = HashMap::new();
    let mut seen: HashMap<String, Event> = HashMap::new();
    let (mut same, mut other, mut late, mut early) = (0, 0, 0, 0);
    let (mut conversions, mut retracted, mut restated) = (HashSet::new(), 0, 0);
    let mut newest = START;
    for event in &events {
        let (id, at) = match event {
            Event::Touchpoint(t) => (t.event_id.clone().unwrap(), t.occurred_at.unwrap()),
            Event::Conversion(c) => {
                match c.check().unwrap() {
                    ConversionEvent::Conversion(c) => drop(conversions.insert(c.event_id.to_owned())),
                    ConversionEvent::Adjustment(a) => {
                        early += usize::from(!conversions.contains(a.adjusts));
                        retracted += usize::from(a.value_micros.is_none());
                        restated += usize::from(a.value_micros.is_some());
                    }
                }
                (c.event_id.clone().unwrap(), c.occurred_at.unwrap())
            }
        };
        late += usize::from(at < newest);
        newest = newest.max(at);
        match seen.insert(id.into_owned(), event.clone()) {
            None => *journeys.entry(event.user_id().to_owned()).or_default() += 1,
            Some(before) if before == *event => same += 1,
            Some(_) => other += 1,
        }
    }
    let share = |count: usize| count as f64 / events.len() as f64;
    assert!((0.01..0.06).contains(&share(conversions.len())), "conversions {}", share(conversions.len()));
    assert!((0.005..0.02).contains(&share(same)), "duplicates {}", share(same));
    assert!(share(late) > 0.01, "late {}", share(late));
    assert!(other > 20 && retracted > 50 && restated > 50 && early > 5, "{other} {retracted} {restated} {early}");
    let lengths: HashSet<usize> = journeys.values().copied().collect();
    assert!((1..=10).all(|n| lengths.contains(&n)), "{lengths:?}");
}

#[test]
fn a_later_run_repeats_no_id() {
    let ids = |position| -> HashSet<(String, Option<Millis>)> {
        let id = |event: Event| match event {
            Event::Touchpoint(t) => t.event_id.unwrap().into_owned(),
            Event::Conversion(c) => c.event_id.unwrap().into_owned(),
        };
        events(Settings::demo(5, 300, position), 5_000).into_iter().map(|e| (id(e), None)).collect()
    };
    assert!(ids(0).is_disjoint(&ids(5_000)));
}

#[test]
fn a_load_has_a_fixed_population_and_a_few_busy_users() {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for event in events(Settings::load(2, 1_000), 50_000) {
        *counts.entry(event.user_id().to_owned()).or_default() += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    assert!(counts.len() <= 1_000);
    assert!(counts[counts.len() - 1] > 10 * counts[counts.len() / 2], "{:?}", &counts[counts.len() - 5..]);
}
