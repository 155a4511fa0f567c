//! Each model against examples worked out by hand, for paths of 1, 2, 3 and 5.

use super::Model;
use crate::core::credit::{WHOLE, share};
use crate::core::{Rules, Touchpoint};

const DAY: i64 = 86_400_000;
const NOON: i64 = 1_700_000_000_000;

/// A path of touchpoints that many days before the last, by channel.
fn path(steps: &[(&'static str, i64)]) -> Vec<Touchpoint<'static>> {
    let touchpoint = |(channel, days_before): &(&'static str, i64)| Touchpoint {
        channel: Some(*channel).filter(|channel| !channel.is_empty()),
        ..Touchpoint::click("t", "u", NOON - days_before * DAY)
    };
    steps.iter().map(touchpoint).collect()
}

fn credits(model: Model, steps: &[(&'static str, i64)]) -> Vec<i64> {
    let (mut weights, mut credits) = (vec![9, 9, 9], Vec::new());
    model.weigh(&path(steps), &Rules::default(), &mut weights);
    share(WHOLE, &weights, &mut credits);
    credits
}

const ONE: [(&str, i64); 1] = [("email", 3)];
const TWO: [(&str, i64); 2] = [("email", 7), ("search", 0)];
const THREE: [(&str, i64); 3] = [("email", 14), ("search", 7), ("social", 0)];
const FIVE: [(&str, i64); 5] = [("email", 28), ("search", 21), ("social", 14), ("direct", 7), ("search", 0)];

#[test]
fn first_touch() {
    assert_eq!(credits(Model::FirstTouch, &ONE), [1_000_000]);
    assert_eq!(credits(Model::FirstTouch, &TWO), [1_000_000, 0]);
    assert_eq!(credits(Model::FirstTouch, &THREE), [1_000_000, 0, 0]);
    assert_eq!(credits(Model::FirstTouch, &FIVE), [1_000_000, 0, 0, 0, 0]);
}

#[test]
fn last_touch() {
    assert_eq!(credits(Model::LastTouch, &ONE), [1_000_000]);
    assert_eq!(credits(Model::LastTouch, &TWO), [0, 1_000_000]);
    assert_eq!(credits(Model::LastTouch, &THREE), [0, 0, 1_000_000]);
    assert_eq!(credits(Model::LastTouch, &FIVE), [0, 0, 0, 0, 1_000_000]);
}

#[test]
fn last_non_direct_touch() {
    let model = Model::LastNonDirectTouch;
    assert_eq!(credits(model, &ONE), [1_000_000]);
    assert_eq!(credits(model, &[("direct", 0)]), [1_000_000]);
    assert_eq!(credits(model, &[("email", 1), ("direct", 0)]), [1_000_000, 0]);
    assert_eq!(credits(model, &[("email", 2), ("search", 1), ("DiReCt", 0)]), [0, 1_000_000, 0]);
    assert_eq!(credits(model, &[("direct", 2), ("Direct", 1), ("DIRECT", 0)]), [0, 0, 1_000_000]);
    assert_eq!(credits(model, &[("email", 1), ("", 0)]), [0, 1_000_000], "no channel is not direct");
    assert_eq!(credits(model, &[("email", 1), ("directory", 0)]), [0, 1_000_000]);
    assert_eq!(credits(model, &FIVE), [0, 0, 0, 0, 1_000_000]);
}

#[test]
fn linear() {
    assert_eq!(credits(Model::Linear, &ONE), [1_000_000]);
    assert_eq!(credits(Model::Linear, &TWO), [500_000, 500_000]);
    assert_eq!(credits(Model::Linear, &THREE), [333_334, 333_333, 333_333]);
    assert_eq!(credits(Model::Linear, &FIVE), [200_000; 5]);
}

#[test]
fn position_based() {
    assert_eq!(credits(Model::PositionBased, &ONE), [1_000_000]);
    assert_eq!(credits(Model::PositionBased, &TWO), [500_000, 500_000]);
    assert_eq!(credits(Model::PositionBased, &THREE), [400_000, 200_000, 400_000]);
    assert_eq!(credits(Model::PositionBased, &FIVE), [400_000, 66_667, 66_667, 66_666, 400_000]);
}

#[test]
fn time_decay_at_exact_half_lives() {
    assert_eq!(credits(Model::TimeDecay, &ONE), [1_000_000], "only the path's last counts, not the conversion's time");
    // 1/3 and 2/3.
    assert_eq!(credits(Model::TimeDecay, &TWO), [333_333, 666_667]);
    // 1/7, 2/7, 4/7 of a million: 142857.14, 285714.28, 571428.57.
    assert_eq!(credits(Model::TimeDecay, &THREE), [142_857, 285_714, 571_429]);
    // 1, 2, 4, 8, 16 of 31: 32258.06, 64516.13, 129032.26, 258064.52, 516129.03.
    assert_eq!(credits(Model::TimeDecay, &FIVE), [32_258, 64_516, 129_032, 258_065, 516_129]);
}

#[test]
fn time_decay_weights_are_powers_of_two_at_half_lives() {
    let mut weights = Vec::new();
    Model::TimeDecay.weigh(&path(&[("a", 53 * 7), ("a", 52 * 7), ("a", 7), ("a", 0)]), &Rules::default(), &mut weights);
    // A half rounds up; a quarter is nothing.
    assert_eq!(weights, [1, 1, 1 << 51, 1 << 52]);
    Model::TimeDecay.weigh(&path(&[("a", 54 * 7), ("a", 0)]), &Rules::default(), &mut weights);
    assert_eq!(weights, [0, 1 << 52]);
}

#[test]
fn numbers_and_names_lead_back() {
    for (number, model) in (0u8..).zip(Model::ALL) {
        assert_eq!((model.number(), Model::of_number(number)), (number, Some(model)));
        assert_eq!(model.name().parse(), Ok(model));
    }
    assert_eq!(Model::of_number(6), None);
    assert!("Linear".parse::<Model>().is_err());
}
