//! Who owns which partition, and since when.
//!
//! Every change of owner raises the partition's epoch; a member commits under the epochs it was told of in its last
//! poll, so that one that was overtaken cannot write, however late it comes. A partition changes hands in one of two ways:
//!
//! - [`Broker::assign`]: at once. The former owner is fenced from that moment and learns of it in its next poll.
//! - [`Broker::hand_over`]: as a cooperative rebalance does it. The owner keeps committing until its next poll tells it
//!   that the partition is lost; when it polls once more (it has closed what it had open by then) the heir gains it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::Error;
use super::broker::Broker;
use crate::topics::Assignment;

/// One life of a member: a member that joins again is another instance.
pub(super) type Instance = u64;

/// A partition's epoch: how many times it changed hands.
pub(super) type Epoch = u64;

/// The consumer group.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<Instance, String>,
    joined: Instance,
    /// By partition number.
    shares: Vec<Share>,
    /// Counts changes, so that a poll knows whether to look.
    changes: u64,
}

/// The state of one partition number in the group.
#[derive(Clone, Debug, Default)]
struct Share {
    owner: Option<Instance>,
    epoch: Epoch,
    /// Who gets it when the owner, or whoever is letting go, has let go.
    heir: Option<Instance>,
    /// Was told that it lost the partition and has not polled since.
    leaving: Option<Instance>,
}

impl Share {
    fn give(&mut self, owner: Option<Instance>) {
        *self = Self { owner, epoch: self.epoch + 1, heir: None, leaving: None };
    }

    /// Who has it when everything under way is done.
    fn settled(&self) -> Option<Instance> {
        self.heir.or(self.owner)
    }
}

impl Group {
    pub(super) fn new(partitions: NonZeroU32) -> Self {
        Self { shares: vec![Share::default(); partitions.get() as usize], ..Self::default() }
    }

    pub(super) fn join(&mut self, member: &str) -> Instance {
        let before = self.instance(member);
        self.joined += 1;
        self.changes += 1;
        self.members.insert(self.joined, member.to_owned());
        if let Some(before) = before {
            self.members.remove(&before);
            for share in &mut self.shares {
                share.heir = share.heir.map(|heir| if heir == before { self.joined } else { heir });
                if share.owner == Some(before) {
                    share.heir = share.heir.or(Some(self.joined));
                }
            }
            self.let_go(before);
        }
        self.joined
    }

    pub(super) fn leave(&mut self, instance: Instance) {
        if self.members.remove(&instance).is_some() {
            self.let_go(instance);
        }
    }

    fn let_go(&mut self, instance: Instance) {
        self.changes += 1;
        for share in &mut self.shares {
            share.heir = share.heir.filter(|heir| *heir != instance);
            if share.owner == Some(instance) || share.leaving == Some(instance) {
                share.give(share.heir);
            }
        }
    }

    fn instance(&self, member: &str) -> Option<Instance> {
        self.members.iter().find(|(_, name)| *name == member).map(|(instance, _)| *instance)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether an instance holds a partition since this epoch, still.
    pub(super) fn holds(&self, instance: Instance, partition: u32, epoch: Epoch) -> bool {
        self.shares.get(partition as usize).is_some_and(|share| share.owner == Some(instance) && share.epoch == epoch)
    }

    /// What changed for an instance since it knew `held`: what it lost first, in the order of the partitions.
    pub(super) fn poll(&mut self, instance: Instance, held: &BTreeMap<u32, Epoch>) -> Vec<(Assignment, Epoch)> {
        let (mut lost, mut gained) = (Vec::new(), Vec::new());
        for (partition, share) in (0..).zip(&mut self.shares) {
            if share.leaving == Some(instance) {
                share.give(share.heir);
                self.changes += 1;
            }
            if share.owner == Some(instance) && share.heir.is_some_and(|heir| heir != instance) {
                *share = Share { owner: None, epoch: share.epoch + 1, heir: share.heir, leaving: Some(instance) };
                self.changes += 1;
            }
            let before = held.get(&partition).copied();
            let now = share.owner.filter(|owner| *owner == instance).map(|_| share.epoch);
            if before == now {
                continue;
            }
            if let Some(epoch) = before {
                lost.push((Assignment::Lost(partition), epoch));
            }
            if let Some(epoch) = now {
                gained.push((Assignment::Gained(partition), epoch));
            }
        }
        lost.append(&mut gained);
        lost
    }

    fn assign(&mut self, partition: u32, member: &str, planned: bool) -> Result<(), Error> {
        let Some(instance) = self.instance(member) else {
            return Err(Error::Refused(format!("no member {member} has joined")));
        };
        let Some(share) = self.shares.get_mut(partition as usize) else {
            return Err(Error::Refused(format!("there is no partition {partition}")));
        };
        self.changes += 1;
        if share.owner == Some(instance) {
            share.heir = None;
        } else if planned && (share.owner.is_some() || share.leaving.is_some()) {
            share.heir = Some(instance);
        } else {
            share.give(Some(instance));
        }
        Ok(())
    }

    /// The moves that make every member's number of partitions the same or one more, moving as few as may be.
    fn moves(&self) -> Vec<(u32, String)> {
        let mut shares: BTreeMap<Instance, Vec<u32>> = self.members.keys().map(|id| (*id, Vec::new())).collect();
        let mut pool = Vec::new();
        for (partition, share) in (0..).zip(&self.shares) {
            match share.settled().and_then(|instance| shares.get_mut(&instance)) {
                Some(of_member) => of_member.push(partition),
                None => pool.push(partition),
            }
        }
        let Some(each) = self.shares.len().checked_div(shares.len()) else {
            return Vec::new();
        };
        let mut spare = self.shares.len() - each * shares.len();
        let mut order: Vec<_> = shares.iter_mut().collect();
        order.sort_by_key(|(instance, of_member)| (std::cmp::Reverse(of_member.len()), **instance));
        let mut wanting = Vec::new();
        for (instance, of_member) in order {
            let quota = each + usize::from(spare > 0);
            spare = spare.saturating_sub(1);
            while of_member.len() > quota {
                pool.extend(of_member.pop());
            }
            wanting.extend(std::iter::repeat_n(*instance, quota - of_member.len()));
        }
        pool.sort_unstable();
        let named = |instance| self.members.get(&instance).cloned().unwrap_or_default();
        pool.into_iter().zip(wanting).map(|(partition, instance)| (partition, named(instance))).collect()
    }
}

impl Broker {
    /// The members of the group, in the order in which they joined.
    pub fn members(&self) -> Vec<String> {
        self.lock().group.members.values().cloned().collect()
    }

    /// Who owns each partition number: none while nobody does or one is being handed over.
    pub fn owners(&self) -> Vec<Option<String>> {
        let state = self.lock();
        let name = |share: &Share| share.owner.and_then(|owner| state.group.members.get(&owner).cloned());
        state.group.shares.iter().map(name).collect()
    }

    /// Gives a partition to a member at once; the former owner, alive or not, is fenced.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such member or partition.
    pub fn assign(&self, partition: u32, member: &str) -> Result<(), Error> {
        let assigned = self.lock().group.assign(partition, member, false);
        self.changed.notify_all();
        assigned
    }

    /// Gives a partition to a member when the former owner has let go of it, at its next two polls or when it leaves.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such member or partition.
    pub fn hand_over(&self, partition: u32, member: &str) -> Result<(), Error> {
        let assigned = self.lock().group.assign(partition, member, true);
        self.changed.notify_all();
        assigned
    }

    /// Spreads the partitions evenly over the members, handing over as few as may be.
    ///
    /// # Errors
    /// None but those of [`Self::hand_over`], which cannot be here.
    pub fn spread(&self) -> Result<(), Error> {
        let mut state = self.lock();
        for (partition, member) in state.group.moves() {
            state.group.assign(partition, &member, true)?;
        }
        self.changed.notify_all();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(partitions: u32) -> Group {
        Group::new(NonZeroU32::new(partitions).unwrap())
    }

    fn spread(group: &mut Group) {
        for (partition, member) in group.moves() {
            group.assign(partition, &member, true).unwrap();
        }
    }

    fn counts(group: &Group) -> Vec<usize> {
        let count = |id: &Instance| group.shares.iter().filter(|share| share.settled() == Some(*id)).count();
        group.members.keys().map(count).collect()
    }

    #[test]
    fn spreading_is_even_and_moves_little() {
        let mut group = group(10);
        group.join("a");
        spread(&mut group);
        assert_eq!(counts(&group), [10]);
        group.join("b");
        assert_eq!(group.moves().len(), 5);
        spread(&mut group);
        group.join("c");
        assert_eq!(group.moves().len(), 3);
        spread(&mut group);
        assert_eq!(counts(&group), [4, 3, 3]);
        assert_eq!(group.moves(), []);
    }

    #[test]
    fn a_hand_over_waits_for_two_polls() {
        let mut group = group(1);
        let (a, b) = (group.join("a"), group.join("b"));
        group.assign(0, "a", false).unwrap();
        let gained = group.poll(a, &BTreeMap::new());
        let [(Assignment::Gained(0), epoch)] = gained[..] else { panic!("{gained:?}") };
        let held = BTreeMap::from([(0, epoch)]);

        group.assign(0, "b", true).unwrap();
        assert!(group.holds(a, 0, epoch));
        assert_eq!(group.poll(b, &BTreeMap::new()), []);
        assert_eq!(group.poll(a, &held), [(Assignment::Lost(0), epoch)]);
        assert!(!group.holds(a, 0, epoch));
        assert_eq!(group.poll(b, &BTreeMap::new()), [], "a may have it open still");
        assert_eq!(group.poll(a, &BTreeMap::new()), []);
        assert!(matches!(group.poll(b, &BTreeMap::new())[..], [(Assignment::Gained(0), newer)] if newer > epoch));
    }

    #[test]
    fn a_partition_lost_and_won_back_between_polls_is_told_as_both() {
        let mut group = group(1);
        let a = group.join("a");
        group.join("b");
        group.assign(0, "a", false).unwrap();
        let held = BTreeMap::from([(0, 1)]);
        group.assign(0, "b", false).unwrap();
        group.assign(0, "a", false).unwrap();
        assert!(!group.holds(a, 0, 1));
        assert_eq!(group.poll(a, &held), [(Assignment::Lost(0), 1), (Assignment::Gained(0), 3)]);
    }

    #[test]
    fn who_leaves_while_handing_over_passes_it_on() {
        let mut group = group(2);
        let (a, b) = (group.join("a"), group.join("b"));
        group.assign(0, "a", false).unwrap();
        group.assign(1, "a", false).unwrap();
        group.assign(0, "b", true).unwrap();
        group.leave(a);
        assert_eq!(group.shares[0].owner, Some(b));
        assert_eq!(group.shares[1].owner, None);
    }

    #[test]
    fn joining_again_takes_over_from_the_former_self() {
        let mut group = group(1);
        let first = group.join("a");
        group.assign(0, "a", false).unwrap();
        let second = group.join("a");
        assert!(!group.holds(first, 0, 1));
        assert!(group.holds(second, 0, 2));
        assert_eq!(group.poll(first, &BTreeMap::from([(0, 1)])), [(Assignment::Lost(0), 1)]);
        assert_eq!(group.members.len(), 1);
    }

    #[test]
    fn an_heir_that_joins_again_stays_the_heir() {
        let mut group = group(1);
        let (a, _) = (group.join("a"), group.join("b"));
        group.assign(0, "a", false).unwrap();
        group.assign(0, "b", true).unwrap();
        let again = group.join("b");
        assert!(group.holds(a, 0, 1), "the owner has not let go");
        group.leave(a);
        assert!(group.holds(again, 0, 2));
    }
}
