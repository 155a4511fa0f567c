//! Keys of sealed seeds, drawn from the seed, for the order of a state's users is the order of their hashes.

use std::cell::RefCell;
use std::sync::Arc;

use tributary::seal::{Error, Kek, Keks};

use crate::dice::Dice;
use crate::plan::Plan;

thread_local! {
    /// A seed runs on one thread.
    static DICE: RefCell<Dice> = RefCell::new(Dice::new(0, 6));
}

/// A seed begins.
pub fn begin(seed: u64) {
    DICE.set(Dice::new(seed, 6));
}

fn draw(bytes: &mut [u8]) -> Result<(), Error> {
    DICE.with_borrow_mut(|dice| bytes.iter_mut().for_each(|byte| *byte = dice.below(256) as u8));
    Ok(())
}

/// The keys of who has had so many, if the seed is sealed.
pub fn keks(plan: &Plan, count: u8) -> Option<Arc<Keks>> {
    let kek = |number| Kek::new(&[number; 32]);
    plan.sealed.then(|| Arc::new(Keks::new(kek(count), (1..count).map(kek).collect()).with_random(draw)))
}
