//! The books: what was written to the inputs, what the group has committed, what the outputs hold. After each commit the
//! outputs must be exactly the batch answer to exactly the records that are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tributary::topics::embedded::{Broker, OwnedRecord, Topic};
use tributary::topics::{Input, Offset, Offsets, PartitionOffsets, PerInput, origin};

use crate::answer::{Answer, News, Rows};
use crate::events::{Meaning, Written};
use crate::plan::Plan;

/// The books of one partition.
pub struct Book {
    /// Every record of the inputs, by offset.
    pub written: PerInput<Vec<Written>>,
    /// What the group has committed, next offsets.
    pub committed: PerInput<Offset>,
    /// The answer to what is committed.
    pub answer: Answer,
    /// The compacted output, as a reader has it.
    pub rows: Rows,
    rows_end: Offset,
    letters_end: Offset,
    /// Origins of the dead letters.
    aside: BTreeSet<(Input, Offset)>,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// What happened to the events.
    pub news: News,
    /// Rows and deletions.
    pub rows: usize,
    /// Dead letters.
    pub letters: usize,
    /// Whether one of them went by pointer.
    pub by_pointer: bool,
    /// Offsets moved.
    pub moved: i64,
    /// Partitions of which some moved.
    pub partitions: usize,
}

/// The books of all partitions.
pub struct Ledger {
    broker: Arc<Broker>,
    books: Vec<Book>,
}

impl Ledger {
    /// Empty books.
    pub fn new(broker: Arc<Broker>, plan: &Plan) -> Self {
        let book = |_| Book {
            written: PerInput::default(),
            committed: PerInput::default(),
            answer: Answer::new(plan.rules.clone(), plan.format()),
            rows: Rows::new(),
            rows_end: 0,
            letters_end: 0,
            aside: BTreeSet::new(),
        };
        Self { broker, books: (0..plan.partitions).map(book).collect() }
    }

    /// The books of a partition.
    pub fn book(&self, partition: u32) -> &Book {
        &self.books[partition as usize]
    }

    /// The books of a partition, to add to.
    pub fn book_mut(&mut self, partition: u32) -> &mut Book {
        &mut self.books[partition as usize]
    }

    /// Enters a commit that was applied.
    pub fn commit(&mut self, offsets: &Offsets) -> Result<Entry, String> {
        let mut all = Entry::default();
        let mut named = BTreeSet::new();
        for of_partition in offsets.iter() {
            let partition = of_partition.partition;
            if !named.insert(partition) {
                return Err(format!("partition {partition} stands twice in one commit"));
            }
            let book = &mut self.books[partition as usize];
            let entry =
                book.enter(&self.broker, of_partition).map_err(|what| format!("partition {partition}: {what}"))?;
            all.rows += entry.rows;
            all.letters += entry.letters;
            all.moved += entry.moved;
            all.partitions += usize::from(entry.moved > 0);
            all.by_pointer |= entry.by_pointer;
            all.news.taken_back |= entry.news.taken_back;
            all.news.truncated |= entry.news.truncated;
            all.news.unattributed |= entry.news.unattributed;
        }
        self.nothing_else()?;
        Ok(all)
    }

    /// No partition's outputs have moved that was not entered.
    pub fn nothing_else(&self) -> Result<(), String> {
        let rows = self.broker.ends(Topic::Attributions);
        let letters = self.broker.ends(Topic::DeadLetter);
        for (partition, book) in self.books.iter().enumerate() {
            if rows[partition] != book.rows_end || letters[partition] != book.letters_end {
                return Err(format!("partition {partition}: written by a transaction that did not commit its offsets"));
            }
        }
        Ok(())
    }
}

impl Book {
    fn enter(&mut self, broker: &Broker, offsets: &PartitionOffsets) -> Result<Entry, String> {
        let partition = offsets.partition;
        let mut entry = Entry::default();
        let before = self.committed;
        for input in Input::ALL {
            let (from, to) = (*before.get(input), *offsets.next.get(input));
            if to < from {
                return Err(format!("the committed offset of {} goes back from {from} to {to}", input.name()));
            }
            let written = self.written.get(input);
            let Some(read) = written.get(from as usize..to as usize) else {
                return Err(format!("{to} is committed of {}, which ends at {}", input.name(), written.len()));
            };
            read.iter().for_each(|record| self.answer.add(&record.meaning));
            entry.moved += to - from;
        }
        self.committed = offsets.next;
        let records = broker.read(Topic::Attributions, partition, self.rows_end, usize::MAX).unwrap();
        entry.rows = records.len();
        self.rows_end = broker.ends(Topic::Attributions)[partition as usize];
        self.read_rows(&records)?;
        let letters = broker.read(Topic::DeadLetter, partition, self.letters_end, usize::MAX).unwrap();
        entry.letters = letters.len();
        self.letters_end = broker.ends(Topic::DeadLetter)[partition as usize];
        for letter in &letters {
            entry.by_pointer |= self.read_letter(letter, before)?;
        }
        self.all_bad_are_aside(before)?;
        let (expected, news) = self.answer.rows();
        entry.news = news;
        if *expected != self.rows {
            return Err(differences(expected, &self.rows));
        }
        Ok(entry)
    }

    fn read_rows(&mut self, records: &[OwnedRecord]) -> Result<(), String> {
        let mut written = BTreeSet::new();
        for record in records {
            let key = record.key.clone().ok_or("a row without a key")?;
            let name = String::from_utf8_lossy(&key).into_owned();
            if !written.insert(key.clone()) {
                return Err(format!("{name} is written twice in one transaction"));
            }
            match &record.value {
                Some(value) if self.rows.get(&key) == Some(value) => {
                    return Err(format!("{name} is written again although nothing changed"));
                }
                Some(value) => drop(self.rows.insert(key, value.clone())),
                None if self.rows.remove(&key).is_none() => {
                    return Err(format!("{name} is deleted although it is not there"));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// A dead letter is of a bad record of this very transaction, whole, with the reason; says whether it is a pointer.
    fn read_letter(&mut self, letter: &OwnedRecord, before: PerInput<Offset>) -> Result<bool, String> {
        let headers: BTreeMap<&str, &[u8]> = letter.headers.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        let pairs = letter.headers.iter().map(|(k, v)| (k.as_str(), v.as_slice()));
        let (input, offset) = origin::of(pairs).ok_or("a dead letter without its origin")?;
        let place = format!("{} offset {offset}", input.name());
        let reason = String::from_utf8_lossy(headers.get("tributary-reason").copied().unwrap_or_default());
        let record = self.written.get(input).get(offset as usize).ok_or_else(|| format!("{place} is not there"))?;
        let Meaning::Bad(field) = record.meaning else {
            return Err(format!("{place} is set aside ({reason}) although it is good"));
        };
        if !(*before.get(input)..*self.committed.get(input)).contains(&offset) {
            return Err(format!("{place} is set aside in a transaction that does not cover it"));
        }
        if !reason.starts_with(field) || !reason.contains(": ") {
            return Err(format!("{place} is set aside because of {reason:?}, not {field:?}"));
        }
        let timestamp = record.logged_at.to_string();
        if headers.get("tributary-origin-timestamp").copied() != Some(timestamp.as_bytes()) {
            return Err(format!("{place} is set aside with another timestamp"));
        }
        let by_pointer = headers.contains_key("tributary-value-xxh3");
        let whole = letter.key == record.key && letter.value == record.value;
        let pointer = by_pointer && letter.value.is_none();
        if !whole && !pointer {
            return Err(format!("{place} is set aside, but not whole"));
        }
        if !self.aside.insert((input, offset)) {
            return Err(format!("{place} is set aside twice"));
        }
        Ok(by_pointer)
    }

    fn all_bad_are_aside(&self, before: PerInput<Offset>) -> Result<(), String> {
        for input in Input::ALL {
            let covered = *before.get(input)..*self.committed.get(input);
            for offset in covered {
                let meaning = &self.written.get(input)[offset as usize].meaning;
                if matches!(meaning, Meaning::Bad(_)) && !self.aside.contains(&(input, offset)) {
                    return Err(format!("{} offset {offset} is bad and lost: {meaning:?}", input.name()));
                }
            }
        }
        Ok(())
    }

    /// Whether a record was set aside.
    pub fn is_aside(&self, input: Input, offset: Offset) -> bool {
        self.aside.contains(&(input, offset))
    }

    /// How many records of an input there are.
    pub fn end(&self, input: Input) -> Offset {
        self.written.get(input).len() as Offset
    }
}

/// The first few rows that differ.
pub fn differences(expected: &Rows, found: &Rows) -> String {
    let mut text = String::from("the output is not the batch answer");
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key));
    for key in differing.take(3) {
        let show =
            |rows: &Rows| rows.get(key).map_or("none".into(), |value| String::from_utf8_lossy(value).into_owned());
        text += &format!(
            "\n  {}\n    expected {}\n    found    {}",
            String::from_utf8_lossy(key),
            show(expected),
            show(found)
        );
    }
    text
}
