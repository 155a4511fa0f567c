//! A naive store, seeded batches that are applied to both, and the comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::{Millis, Model};
use crate::store::{BUCKET_MS, Batch, Cell, ConversionKey, Dimension, Hasher, Place, Stored, Sum, UserKey, View};

/// 2026-01-01T00:00:00Z.
pub const START: Millis = 1_767_225_600_000;
const USERS: u64 = 40;
const CONVERSIONS: u64 = 60;

/// SplitMix64: the same numbers for the same seed, everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

type CellName = (Dimension, Model, u32, Option<String>, bool, Option<String>);

/// What the store must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fold {
    touchpoints: BTreeSet<(u64, Millis, Vec<u8>)>,
    conversions: BTreeMap<(u64, u64), (Millis, Vec<u8>)>,
    adjustments: BTreeMap<(u64, u64, u64), (Millis, Vec<u8>)>,
    cells: BTreeMap<CellName, Sum>,
    pub applied: Option<u64>,
}

pub fn user(n: u64) -> UserKey {
    Hasher::Plain.user(&format!("user-{n}"))
}

pub fn conversion(n: u64) -> ConversionKey {
    Hasher::Plain.conversion(&format!("order-{n}"))
}

impl Fold {
    /// The state after the batches 0 to `last`.
    pub fn up_to(seed: u64, last: Option<u64>) -> Self {
        let mut fold = Self::default();
        let mut batch = Batch::new();
        for number in 0..last.map_or(0, |last| last + 1) {
            batch.clear();
            fold.step(seed, number, &mut batch);
        }
        fold
    }

    /// Applies batch `number` here and fills `batch` with it.
    pub fn step(&mut self, seed: u64, number: u64, batch: &mut Batch) {
        let mut dice = Dice(seed ^ (number << 20));
        for _ in 0..1 + dice.roll(200) {
            match dice.roll(10) {
                0..6 => self.touch(&mut dice, batch),
                6..8 => self.convert(&mut dice, batch),
                8 => self.adjust(&mut dice, batch),
                _ => self.roll_up(&mut dice, batch),
            }
        }
        self.applied = Some(number);
        batch.set_meta(&number.to_be_bytes());
    }

    fn touch(&mut self, dice: &mut Dice, batch: &mut Batch) {
        let who = dice.roll(USERS);
        let at = START + Millis::try_from(dice.roll(10_000)).unwrap();
        let record = format!("touch-{}-{}", dice.roll(5_000), "x".repeat(dice.roll(100) as usize)).into_bytes();
        batch.put_touchpoint(user(who), at, &record);
        self.touchpoints.insert((who, at, record));
    }

    fn convert(&mut self, dice: &mut Dice, batch: &mut Batch) {
        let (who, which) = (dice.roll(USERS), dice.roll(CONVERSIONS));
        let at = START + Millis::try_from(dice.roll(3)).unwrap() * BUCKET_MS;
        let record = format!("conversion-{}", dice.roll(1_000)).into_bytes();
        let before = self.conversions.get(&(who, which)).map(|(at, _)| *at);
        batch.put_conversion(user(who), conversion(which), at, &record, before);
        self.conversions.insert((who, which), (at, record));
    }

    fn adjust(&mut self, dice: &mut Dice, batch: &mut Batch) {
        let (who, which, id) = (dice.roll(USERS), dice.roll(CONVERSIONS), dice.roll(4));
        let at = START + Millis::try_from(dice.roll(1_000)).unwrap();
        let record = format!("adjustment-{}", dice.roll(1_000)).into_bytes();
        batch.put_adjustment(user(who), conversion(which), &format!("adjustment-{id}"), at, &record);
        self.adjustments.insert((who, which, id), (at, record));
    }

    /// Small sums over few cells, so that many of them come out as 0.
    fn roll_up(&mut self, dice: &mut Dice, batch: &mut Batch) {
        let names = [None, Some("search"), Some("email"), Some("größe")];
        let currencies = [None, Some("EUR"), Some("USD")];
        let cell = Cell {
            dimension: Dimension::ALL[dice.roll(3) as usize],
            model: Model::ALL[dice.roll(6) as usize],
            bucket: Cell::bucket_of(START) + dice.roll(3) as u32,
            name: names[dice.roll(4) as usize],
            unattributed: dice.roll(5) == 0,
            currency: currencies[dice.roll(3) as usize],
        };
        let credit = i128::from(dice.roll(3)) - 1;
        let sum = Sum { credit_micros: credit, credited_micros: credit * i128::from(i64::MAX) };
        batch.add_rollup(&cell, sum);
        let name = (
            cell.dimension,
            cell.model,
            cell.bucket,
            cell.name.map(Into::into),
            cell.unattributed,
            cell.currency.map(Into::into),
        );
        let here = self.cells.entry(name.clone()).or_default();
        here.add(sum);
        if *here == Sum::default() {
            self.cells.remove(&name);
        }
    }

    /// What `view` holds, read through every one of its reads. The users and conversions of the fold are looked for, so an
    /// entry of another user would not show; [`Self::expect`] counts them.
    pub fn of(view: &View<'_>) -> Self {
        let mut fold = Self::default();
        let mut stored = Stored::new();
        for who in 0..USERS {
            stored.clear();
            view.touchpoints(user(who), 0, Millis::MAX, &mut stored).unwrap();
            fold.touchpoints.extend(stored.iter().map(|(at, record)| (who, at, record.to_vec())));
            for which in 0..CONVERSIONS {
                if let Some(found) = view.conversion(user(who), conversion(which)).unwrap() {
                    fold.conversions.insert((who, which), found);
                }
            }
        }
        fold.read_adjustments(view);
        fold.read_cells(view);
        fold.applied = view.meta().unwrap().map(|meta| u64::from_be_bytes(meta.try_into().unwrap()));
        fold
    }

    /// An adjustment's id is not stored: the numbers of this fold are those of the order of reading.
    fn read_adjustments(&mut self, view: &View<'_>) {
        let mut stored = Stored::new();
        for (who, which) in (0..USERS).flat_map(|who| (0..CONVERSIONS).map(move |which| (who, which))) {
            stored.clear();
            view.adjustments(user(who), conversion(which), &mut stored).unwrap();
            let mut found: Vec<_> = stored.iter().map(|(at, record)| (at, record.to_vec())).collect();
            found.sort();
            self.adjustments.extend((0..).zip(found).map(|(n, found)| ((who, which, n), found)));
        }
    }

    fn read_cells(&mut self, view: &View<'_>) {
        let end = START + 100 * BUCKET_MS;
        for (model, dimension) in Model::ALL.into_iter().flat_map(|m| Dimension::ALL.map(|d| (m, d))) {
            let each = |cell: &Cell<'_>, sum| {
                assert_eq!((cell.model, cell.dimension), (model, dimension));
                let name = cell.name.map(Into::into);
                let currency = cell.currency.map(Into::into);
                self.cells
                    .entry((dimension, model, cell.bucket, name, cell.unattributed, currency))
                    .or_default()
                    .add(sum);
                Ok::<_, crate::store::Error>(())
            };
            view.rollups(model, dimension, 0, end, each).unwrap();
        }
    }

    /// This fold with adjustments numbered by their order, as [`Self::of`] has them.
    fn renumbered(mut self) -> Self {
        type Found = Vec<(Millis, Vec<u8>)>;
        let mut groups: BTreeMap<(u64, u64), Found> = BTreeMap::new();
        for ((who, which, _), found) in std::mem::take(&mut self.adjustments) {
            groups.entry((who, which)).or_default().push(found);
        }
        for ((who, which), mut found) in groups {
            found.sort();
            self.adjustments.extend((0..).zip(found).map(|(n, found)| ((who, which, n), found)));
        }
        self
    }

    /// Panics unless `view` holds exactly this.
    pub fn expect(self, view: &View<'_>) {
        let wanted = self.renumbered();
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            after = view.each_conversion(after, 7, |place, record| seen.push((place, record.to_vec()))).unwrap();
            if after.is_none() {
                break;
            }
        }
        let mut places: Vec<_> = wanted
            .conversions
            .iter()
            .map(|((who, which), (occurred_at, record))| {
                let place = Place { user: user(*who), occurred_at: *occurred_at, conversion: conversion(*which) };
                (place, record.clone())
            })
            .collect();
        places.sort();
        assert_eq!(seen, places, "a scan of all conversions");
        assert_eq!(Self::of(view), wanted);
    }
}
