//! The directory of keys in memory: fed by the control topic, asked at every request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::control::{ControlLog, ControlRecord};
use super::known::Known;
use super::pepper::{self, Peppers};
use super::record::{Rate, Record, Subject, Use};
use super::token::{Malformed, Token};
use super::{Error, Listed, Role};
use crate::core::Millis;

/// How long the follower waits for news; a key made elsewhere holds here within this and a little.
const WAIT: Duration = Duration::from_millis(250);
/// How long it waits where the topic cannot be read.
const PAUSE: Duration = Duration::from_millis(500);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The key's public id.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
    /// How much it may ask; none: what everybody may.
    pub rate: Option<Rate>,
}

/// Why a token is nobody's. Callers of the API are told none of this; logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was given.
    #[error("no key")]
    Missing,
    /// It is no key at all, or mistyped.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No key has this id.
    #[error("unknown key")]
    Unknown,
    /// The id is known, the secret is not its.
    #[error("wrong secret")]
    Wrong,
    /// It was revoked.
    #[error("revoked key")]
    Revoked,
    /// Its time is over, or the grace after its rotation is.
    #[error("expired key")]
    Expired,
    /// It is not to be used from where the caller is.
    #[error("key used from outside its networks")]
    Network,
    /// It was made under a pepper that this instance does not have.
    #[error("the key was made under another pepper: instances that share keys need the same access.pepper_file")]
    Pepper,
}

impl Denied {
    /// Whether the secret was right all the same: then the id is known to be the bearer's own.
    pub fn is_proven(self) -> bool {
        matches!(self, Self::Revoked | Self::Expired | Self::Network)
    }
}

/// All keys there are.
pub struct Keys {
    peppers: Peppers,
    by_id: RwLock<HashMap<String, Known>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// An empty directory.
    pub fn new(peppers: Peppers) -> Self {
        Self { peppers, by_id: RwLock::default() }
    }

    /// Reads the whole control topic: no request may be answered before this. Returns where to follow on from.
    pub fn load(&self, control: &dyn ControlLog) -> Result<i64, Error> {
        let mut from = 0;
        loop {
            let read = control.read(from, WAIT)?;
            read.records.iter().for_each(|record| self.apply(record));
            from = read.next;
            if read.at_end {
                return Ok(from);
            }
        }
    }

    /// How many keys, neither revoked nor expired, were made under a pepper that is not here.
    pub fn under_other_peppers(&self, now: Millis) -> usize {
        self.list(now).iter().filter(|key| key.is_shut_out()).count()
    }

    /// Follows the control topic from `from` on, until `stop` says so; on a thread of its own. `tell` hears whenever the keys
    /// are known as they stand, and why they cannot be.
    pub fn follow(
        &self,
        control: &dyn ControlLog,
        mut from: i64,
        stop: impl Fn() -> bool,
        tell: impl Fn(Result<(), &Error>),
    ) {
        while !stop() {
            match control.read(from, WAIT) {
                Ok(read) => {
                    read.records.iter().for_each(|record| self.apply(record));
                    from = read.next;
                    if read.at_end {
                        tell(Ok(()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the control topic cannot be read, keys stay as they are known");
                    tell(Err(&error));
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Takes one record of the control topic in. Records of other kinds and unreadable ones change nothing: the latter
    /// are logged, for a key that cannot be read opens nothing.
    pub fn apply(&self, record: &ControlRecord) {
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        match (Subject::of(&record.key), record.value.as_deref()) {
            (Some(Subject::Key(id)), None) => drop(by_id.remove(id)),
            (Some(Subject::Key(id)), Some(value)) => {
                let record = serde_json::from_slice::<Record>(value).ok();
                if let Some(replaces) = record.as_ref().and_then(|record| record.replaces.clone()) {
                    by_id.entry(replaces.id).or_default().replaced(id, replaces.until);
                }
                by_id.entry(id.to_owned()).or_default().set(record);
            }
            (Some(Subject::Use(id)), Some(value)) => {
                let used = serde_json::from_slice::<Use>(value).map_or(0, |used| used.at);
                by_id.entry(id.to_owned()).or_default().written(used);
            }
            (Some(Subject::Use(_)) | None, _) => {}
        }
    }

    /// Who the bearer of this text is, who asks from there now. An unknown id costs the same hash as a known one.
    pub fn authenticate(&self, text: &str, from: Option<IpAddr>, now: Millis) -> Result<Identity, Denied> {
        let token = Token::parse(text)?;
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let known = by_id.get(token.id);
        let key = known.and_then(Known::key);
        let pepper = key.map_or(Some(self.peppers.current()), |key| self.peppers.get(&key.record.pepper_id));
        let hash = pepper.unwrap_or(self.peppers.current()).hash(token.secret);
        let right = pepper::same(&hash, &key.map_or([0; 32], |key| key.hash));
        let (Some(known), Some(key)) = (known, key) else {
            return Err(Denied::Unknown);
        };
        match pepper {
            None => return Err(Denied::Pepper),
            Some(_) if !right => return Err(Denied::Wrong),
            Some(_) => known.admit(from, now)?,
        }
        known.used(now);
        Ok(Identity { key_id: token.id.to_owned(), role: key.record.role, rate: key.record.rate })
    }

    /// Every key, oldest first, as it stands now.
    pub fn list(&self, now: Millis) -> Vec<Listed> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = by_id.iter().filter_map(|(id, known)| self.listed(id, known, now)).collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// One key, as it stands now.
    pub fn get(&self, id: &str, now: Millis) -> Option<Listed> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        self.listed(id, by_id.get(id)?, now)
    }

    fn listed(&self, id: &str, known: &Known, now: Millis) -> Option<Listed> {
        let other_pepper = self.peppers.get(&known.record()?.pepper_id).is_none();
        Some(Listed { other_pepper, ..known.listed(id, now)? })
    }

    /// The record of a key.
    pub(super) fn record(&self, id: &str) -> Option<Record> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id)?.key().map(|key| key.record.clone())
    }

    /// The last uses that the control topic is to be told of.
    pub(super) fn unwritten_uses(&self) -> Vec<(String, Use)> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        by_id.iter().filter_map(|(id, known)| Some((id.clone(), known.unwritten_use()?))).collect()
    }

    pub(super) fn peppers(&self) -> &Peppers {
        &self.peppers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::access::Pepper;
    use crate::access::control::memory::MemoryControl;
    use crate::access::{Admin, Created, KeyState, NewKey, Rotation};

    /// When the keys of these tests are made.
    const NOW: Millis = 1_700_000_000_000;

    fn admin(pepper: u8) -> (Admin, Arc<Keys>, Arc<MemoryControl>) {
        let control = Arc::new(MemoryControl::default());
        let keys = Arc::new(Keys::new(Peppers::new(Pepper::new(&[pepper; 32]), Vec::new())));
        (Admin::new(Arc::clone(&keys), control.clone()), keys, control)
    }

    fn make(admin: &Admin, role: Role) -> Created {
        admin.create(NewKey { note: "for a test".into(), ..NewKey::of(role) }, NOW).unwrap()
    }

    fn ask(keys: &Keys, made: &Created) -> Result<Identity, Denied> {
        keys.authenticate(&made.key, None, NOW)
    }

    #[test]
    fn a_key_opens_until_it_is_revoked() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Analyst);
        let who = ask(&keys, &made).unwrap();
        assert_eq!((who.key_id.as_str(), who.role), (made.id.as_str(), Role::Analyst));
        admin.revoke(&made.id).unwrap();
        assert_eq!(ask(&keys, &made), Err(Denied::Revoked));
        control.put(&Subject::Key(&made.id).name(), None).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(ask(&keys, &made), Err(Denied::Unknown));
    }

    #[test]
    fn what_is_kept_opens_nothing() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        let kept = control.0.lock().unwrap().clone();
        let kept = String::from_utf8(kept[0].value.clone().unwrap()).unwrap();
        let secret = made.key.rsplit('_').next().unwrap();
        assert!(!kept.contains(&secret[..43]) && !kept.contains(secret), "{kept}");
        let stranger = crate::access::token::Fresh::draw().unwrap();
        assert_eq!(keys.authenticate(stranger.text(), None, NOW), Err(Denied::Unknown));
        assert_eq!(keys.authenticate("nonsense", None, NOW), Err(Denied::Malformed(Malformed::Shape)));
    }

    #[test]
    fn the_secret_of_another_key_is_wrong() {
        let (admin, keys, control) = admin(1);
        let (one, two) = (make(&admin, Role::Viewer), make(&admin, Role::Admin));
        let record = keys.record(&one.id).unwrap();
        // The second key's id, with the first one's hash beneath it.
        control.put(&Subject::Key(&two.id).name(), Some(&serde_json::to_vec(&record).unwrap())).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(ask(&keys, &two), Err(Denied::Wrong));
    }

    #[test]
    fn another_pepper_is_named_and_an_older_one_still_serves() {
        let (admin, _, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        let without = Arc::new(Keys::new(Peppers::new(Pepper::new(&[2; 32]), Vec::new())));
        without.load(&*control).unwrap();
        assert_eq!(ask(&without, &made), Err(Denied::Pepper));
        assert!(without.get(&made.id, NOW).unwrap().is_shut_out() && without.under_other_peppers(NOW) == 1);
        let there = Admin::new(Arc::clone(&without), control.clone());
        let refused = there.rotate(&made.id, Rotation::default(), NOW).unwrap_err();
        assert!(matches!(&refused, Error::Conflict(why) if why.contains("access.older_pepper_files")), "{refused}");
        assert_eq!(control.0.lock().unwrap().len(), 1, "nothing was made");
        let with = Keys::new(Peppers::new(Pepper::new(&[2; 32]), vec![Pepper::new(&[1; 32])]));
        with.load(&*control).unwrap();
        assert!(ask(&with, &made).is_ok());
        assert!(!with.get(&made.id, NOW).unwrap().is_shut_out() && with.under_other_peppers(NOW) == 0);
        there.revoke(&made.id).unwrap();
        assert_eq!(without.under_other_peppers(NOW), 0, "revoked: nobody waits for its pepper");
    }

    #[test]
    fn a_key_made_elsewhere_holds_here() {
        let (admin, _, control) = admin(1);
        let here = Arc::new(Keys::new(Peppers::new(Pepper::new(&[1; 32]), Vec::new())));
        let from = here.load(&*control).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (follows, told) = (Arc::clone(&here), Arc::clone(&stop));
        let follower =
            std::thread::spawn(move || follows.follow(&*control, from, || told.load(Ordering::Acquire), |_| ()));
        let made = make(&admin, Role::Ingestor);
        let began = std::time::Instant::now();
        while ask(&here, &made).is_err() {
            assert!(began.elapsed() < Duration::from_secs(1), "not within a second");
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Release);
        follower.join().unwrap();
    }

    struct Away;

    impl ControlLog for Away {
        fn put(&self, _: &str, _: Option<&[u8]>) -> Result<(), Error> {
            Err(Error::Control("no broker".into()))
        }

        fn read(&self, _: i64, _: Duration) -> Result<crate::access::ControlRecords, Error> {
            Err(Error::Control("no broker".into()))
        }
    }

    #[test]
    fn it_is_told_whether_the_keys_are_known_as_they_stand() {
        let (_, keys, control) = admin(1);
        for (control, known) in [(&*control as &dyn ControlLog, true), (&Away, false)] {
            let told = std::cell::Cell::new(None);
            keys.follow(control, 0, || told.get().is_some(), |how| told.set(Some(how.is_ok())));
            assert_eq!(told.get(), Some(known));
        }
    }

    #[test]
    fn unreadable_records_open_nothing_and_other_kinds_are_left_alone() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        control.put("webhook/1", Some(b"{}")).unwrap();
        control.put(&Subject::Key(&made.id).name(), Some(b"{\"role\":\"root\"}")).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(ask(&keys, &made), Err(Denied::Unknown));
    }

    /// What compaction leaves, the newest record of each name, in either order, into a directory of its own: as another
    /// instance, or one that starts again, may find it.
    fn elsewhere(control: &MemoryControl, backwards: bool) -> Keys {
        let keys = Keys::new(Peppers::new(Pepper::new(&[1; 32]), Vec::new()));
        let all = control.0.lock().unwrap().clone();
        let newest = |(place, record): &(usize, &ControlRecord)| all[place + 1..].iter().all(|r| r.key != record.key);
        let mut records: Vec<_> = all.iter().enumerate().filter(newest).map(|(_, record)| record.clone()).collect();
        if backwards {
            records.reverse();
        }
        records.iter().for_each(|record| keys.apply(record));
        keys
    }

    #[test]
    fn a_key_opens_until_its_time_is_over() {
        let (admin, keys, _) = admin(1);
        let made = admin.create(NewKey { expires_at: Some(NOW + 10), ..NewKey::of(Role::Viewer) }, NOW).unwrap();
        assert!(keys.authenticate(&made.key, None, NOW + 9).is_ok());
        assert_eq!(keys.authenticate(&made.key, None, NOW + 10), Err(Denied::Expired));
        assert_eq!(keys.get(&made.id, NOW + 9).unwrap().state, KeyState::Open);
        assert_eq!(keys.get(&made.id, NOW + 10).unwrap().state, KeyState::Expired);
    }

    #[test]
    fn both_secrets_are_good_until_the_grace_is_over() {
        let (admin, _, control) = admin(1);
        let old = admin
            .create(
                NewKey {
                    note: "shop".into(),
                    expires_at: Some(NOW + 1_000),
                    rate: Some(Rate { per_second: 5.try_into().unwrap(), burst: 7.try_into().unwrap() }),
                    networks: vec!["10.0.0.0/8".parse().unwrap()],
                    ..NewKey::of(Role::Ingestor)
                },
                NOW,
            )
            .unwrap();
        let new = admin.rotate(&old.id, Rotation { grace_ms: 100, expires_at: None }, NOW + 500).unwrap();
        assert!(new.id != old.id && new.key != old.key);
        for backwards in [false, true] {
            let keys = elsewhere(&control, backwards);
            let from = Some("10.1.1.1".parse().unwrap());
            let ask = |made: &Created, at| keys.authenticate(&made.key, from, NOW + at).map(|who| (who.role, who.rate));
            assert!(ask(&old, 599).is_ok());
            assert_eq!(ask(&old, 600), Err(Denied::Expired));
            assert_eq!(ask(&new, 599), ask(&old, 599), "the successor may do what the old key may");
            assert!(ask(&new, 1_499).is_ok());
            assert_eq!(ask(&new, 1_500), Err(Denied::Expired), "it lives as long as the old one was made for");
            assert_eq!(keys.authenticate(&new.key, None, NOW + 599), Err(Denied::Network));
            let (was, is) = (keys.get(&old.id, NOW).unwrap(), keys.get(&new.id, NOW).unwrap());
            assert_eq!((was.replaced_by.as_deref(), was.expires_at), (Some(new.id.as_str()), Some(NOW + 600)));
            assert_eq!(is.replaces.map(|old| old.id).as_deref(), Some(old.id.as_str()));
            assert_eq!((is.note, is.networks), (was.note, was.networks));
        }
    }

    #[test]
    fn a_grace_never_outlives_the_key() {
        let (admin, keys, _) = admin(1);
        let old = admin.create(NewKey { expires_at: Some(NOW + 10), ..NewKey::of(Role::Viewer) }, NOW).unwrap();
        let new = admin.rotate(&old.id, Rotation { grace_ms: 100, expires_at: Some(NOW + 99) }, NOW).unwrap();
        assert_eq!(keys.authenticate(&old.key, None, NOW + 10), Err(Denied::Expired));
        assert_eq!(keys.get(&new.id, NOW).unwrap().expires_at, Some(NOW + 99));
    }

    #[test]
    fn only_an_open_key_without_a_successor_is_rotated() {
        let (admin, _, _) = admin(1);
        let rotate = |id: &str, at| admin.rotate(id, Rotation::default(), at).map(|made| made.id);
        let (revoked, twice) = (make(&admin, Role::Viewer), make(&admin, Role::Viewer));
        admin.revoke(&revoked.id).unwrap();
        assert!(matches!(rotate(&revoked.id, NOW), Err(Error::Conflict(_))));
        let successor = rotate(&twice.id, NOW).unwrap();
        let again = rotate(&twice.id, NOW).unwrap_err();
        assert!(matches!(&again, Error::Conflict(why) if why.contains(&successor)), "{again}");
        let short = admin.create(NewKey { expires_at: Some(NOW + 1), ..NewKey::of(Role::Viewer) }, NOW).unwrap();
        assert!(matches!(rotate(&short.id, NOW + 1), Err(Error::Conflict(_))));
        assert!(matches!(rotate("nobody", NOW), Err(Error::NoKey(_))));
    }

    #[test]
    fn nothing_that_crosses_a_revocation_undoes_it() {
        let (here, keys, control) = admin(1);
        let made = make(&here, Role::Admin);
        // Another instance has not heard of the revocation when it rotates the key and writes its last use.
        let behind = Arc::new(elsewhere(&control, false));
        let there = Admin::new(Arc::clone(&behind), control.clone());
        here.revoke(&made.id).unwrap();
        assert!(ask(&behind, &made).is_ok());
        there.write_uses().unwrap();
        there.rotate(&made.id, Rotation::default(), NOW).unwrap();
        for backwards in [false, true] {
            assert_eq!(ask(&elsewhere(&control, backwards), &made), Err(Denied::Revoked));
        }
        // What came first may be told last.
        let first = control.0.lock().unwrap()[0].clone();
        keys.apply(&first);
        assert_eq!(ask(&keys, &made), Err(Denied::Revoked));
    }

    #[test]
    fn where_a_key_may_be_used_from() {
        let (admin, keys, _) = admin(1);
        let networks = vec!["192.0.2.0/24".parse().unwrap()];
        let made = admin.create(NewKey { networks, ..NewKey::of(Role::Viewer) }, NOW).unwrap();
        let from = |text: &str| keys.authenticate(&made.key, Some(text.parse().unwrap()), NOW);
        assert!(from("192.0.2.9").is_ok() && from("::ffff:192.0.2.9").is_ok());
        assert_eq!(from("192.0.3.9"), Err(Denied::Network));
        assert_eq!(keys.authenticate(&made.key, None, NOW), Err(Denied::Network));
    }

    #[test]
    fn a_last_use_is_coarse_and_written_at_most_once_an_hour() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        let used = |keys: &Keys| keys.get(&made.id, NOW).unwrap().last_used_at;
        let writes = || control.0.lock().unwrap().len();
        let hour = 3_600_000;
        admin.write_uses().unwrap();
        assert_eq!((used(&keys), writes()), (None, 1), "never used, nothing to write");
        for at in [0, 30_000, hour - 1] {
            keys.authenticate(&made.key, None, NOW + at).unwrap();
            admin.write_uses().unwrap();
        }
        assert_eq!((used(&keys), writes()), (Some(NOW + hour - 1), 2), "the first use was written, no other yet");
        assert_eq!(used(&elsewhere(&control, true)), Some(NOW));
        keys.authenticate(&made.key, None, NOW + hour + 60_000).unwrap();
        // The other instance has heard of the first use alone; this one writes the next, and then both are quiet.
        admin.write_uses().unwrap();
        admin.write_uses().unwrap();
        assert_eq!(writes(), 3);
        assert_eq!(used(&elsewhere(&control, false)), Some(NOW + hour + 60_000));
        let denied = keys.authenticate(&made.key.replace("trb_", "trc_"), None, NOW + 9 * hour);
        assert!(denied.is_err() && used(&keys) == Some(NOW + hour + 60_000), "who is denied has not used it");
    }
}
