//! Whether every partition of the group has a member.
//!
//! A cooperative rebalance has two rounds: a partition that moves is given up after the first and given out in the second, for
//! which its former owner asks. If that owner dies in between and is back under its name before its session ends, the group
//! finds nothing changed and hands it its share of the first round; nobody asks for the second, and what was to move has no
//! owner until something else makes the group rebalance. So each member looks now and then, and where two looks in a row find
//! the group settled with partitions left over, the member that has least to lose leaves and joins anew, which is such a
//! something.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::group::Context;

/// What a member remembers of its looks.
pub(super) struct Coverage {
    group: String,
    client: String,
    /// Partitions of the lead topic.
    partitions: u32,
    every: Duration,
    next: Instant,
    /// The look under way: it asks every broker, one of which may be away, and the worker has other things to do meanwhile.
    look: Option<JoinHandle<Option<String>>>,
    /// Whether the last look found partitions without a member.
    left_over: bool,
}

impl Coverage {
    /// For the member that this client is. A look each `every`: as long as a session lasts at least, so that two looks in a row
    /// are not of one rebalance.
    pub(super) fn new(group: String, client: String, partitions: u32, every: Duration) -> Self {
        let next = Instant::now() + every;
        Self { group, client, partitions, every, next, look: None, left_over: false }
    }

    /// Looks, when it is time to; whether this member should leave and join anew.
    pub(super) fn wants_another_round(&mut self, consumer: &Arc<BaseConsumer<Context>>) -> bool {
        if let Some(look) = self.look.take_if(|look| look.is_finished()) {
            let chosen = look.join().ok().flatten();
            let before = std::mem::replace(&mut self.left_over, chosen.is_some());
            let wants = before && chosen.as_ref() == Some(&self.client);
            if wants {
                // The round it asks for takes its time, too: two looks again before the next.
                (self.left_over, self.next) = (false, Instant::now() + self.every);
            }
            return wants;
        }
        if self.look.is_none() && Instant::now() >= self.next {
            self.next = Instant::now() + self.every;
            let (group, partitions, consumer) = (self.group.clone(), self.partitions, Arc::clone(consumer));
            let look = move || look(&consumer, &group, partitions);
            self.look = thread::Builder::new().name("coverage".into()).spawn(look).ok();
        }
        false
    }
}

/// The client that is to join anew; nothing where that is not needed, or nobody answers in time.
fn look(consumer: &BaseConsumer<Context>, group: &str, partitions: u32) -> Option<String> {
    const WAIT: Duration = Duration::from_secs(5);
    let list = consumer.fetch_group_list(Some(group), WAIT);
    // It is an error, too, where one of many brokers is silent; then the others' answers are not to be had either.
    let list = list.inspect_err(|error| tracing::warn!(%error, "who has which partition is not known")).ok()?;
    let found = list.groups().iter().find(|found| found.name() == group && found.state() == "Stable")?;
    let members: Option<Vec<Member<'_>>> =
        found.members().iter().map(|member| Some((member.client_id(), member.assignment()?))).collect();
    left_over(&members?, &consumer.context().topics.touchpoints, partitions).map(str::to_owned)
}

/// A member's client, and its assignment as the group keeps it.
type Member<'g> = (&'g str, &'g [u8]);

/// Where partitions have no member: the client that has fewest, the first by name of several. Nothing also where an assignment
/// cannot be read.
fn left_over<'g>(members: &[Member<'g>], lead: &str, partitions: u32) -> Option<&'g str> {
    let mut free: BTreeSet<i32> = (0..partitions).filter_map(|partition| i32::try_from(partition).ok()).collect();
    let mut least: Option<(usize, &str)> = None;
    for (client, assignment) in members {
        let own = of_topic(assignment, lead)?;
        free.retain(|partition| !own.contains(partition));
        let share = (own.len(), *client);
        least = Some(least.map_or(share, |least| least.min(share)));
    }
    least.filter(|_| !free.is_empty()).map(|(_, client)| client)
}

/// The partitions of a topic in an assignment of the consumer protocol: version, then topics, each a name and its partitions,
/// then whatever the assignor added.
/// <https://github.com/apache/kafka/blob/4.0/clients/src/main/resources/common/message/ConsumerProtocolAssignment.json>
fn of_topic(assignment: &[u8], topic: &str) -> Option<Vec<i32>> {
    let mut rest = assignment;
    let _version = short(&mut rest)?;
    let mut own = Vec::new();
    for _ in 0..int(&mut rest)? {
        let length = usize::try_from(short(&mut rest)?).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        for _ in 0..int(&mut rest)? {
            let partition = int(&mut rest)?;
            if name == topic.as_bytes() {
                own.push(partition);
            }
        }
    }
    Some(own)
}

fn short(rest: &mut &[u8]) -> Option<i16> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i16::from_be_bytes(*bytes))
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = 1_i16.to_be_bytes().to_vec();
        bytes.extend((topics.len() as i32).to_be_bytes());
        for (name, partitions) in topics {
            bytes.extend((name.len() as i16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((partitions.len() as i32).to_be_bytes());
            partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn who_has_least_is_asked_where_a_partition_has_no_member() {
        let [two, one, zero, none] = [&[2, 3][..], &[1], &[0], &[]].map(|own| assignment(&[("lead", own)]));
        assert_eq!(left_over(&[("b", &two), ("a", &one)], "lead", 4), Some("a"));
        assert_eq!(left_over(&[("b", &two), ("d", &none), ("c", &none)], "lead", 4), Some("c"));
        assert_eq!(left_over(&[("b", &two), ("a", &one), ("c", &zero)], "lead", 4), None);
        assert_eq!(left_over(&[("b", &two), ("a", &assignment(&[("other", &[0, 1])]))], "lead", 4), Some("a"));
        assert_eq!(left_over(&[("b", &two), ("a", &[])], "lead", 4), None, "what cannot be read proves nothing");
        assert_eq!(left_over(&[], "lead", 4), None);
    }

    #[test]
    fn an_assignment_that_is_cut_anywhere_is_not_read() {
        let whole = assignment(&[("other", &[7]), ("lead", &[0, 5])]);
        assert_eq!(of_topic(&whole, "lead"), Some(vec![0, 5]));
        let read = whole.len() - 4; // what the assignor added is not looked at
        for length in 0..read {
            assert_eq!(of_topic(&whole[..length], "lead"), None, "{length}");
        }
    }
}
