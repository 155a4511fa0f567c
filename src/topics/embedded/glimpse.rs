//! The log as it lies on disk, looked at beside whoever has it open: nothing is locked, and nothing written.

use std::ops::ControlFlow;
use std::path::Path;

use super::broker::owned;
use super::opening::{compare, extent};
use super::rows::IDENTITY;
use super::storage::Storage;
use super::{Error, OwnedRecord, Settings, Topic};
use crate::seal::Standing;

/// A log that is looked at.
pub struct Glimpse(Storage);

impl Glimpse {
    /// Looks at the log in a folder; none where there is none yet. What [`Broker::open`](super::Broker::open) would refuse is
    /// refused here in the same words, but for a log that is in use.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::Differs`], [`Error::Storage`].
    pub fn open(folder: &Path, settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(storage) = Storage::glimpse(folder, settings.seal.as_deref())? else { return Ok(None) };
        let Some(identity) = storage.get(&IDENTITY)? else { return Ok(None) };
        compare(&storage, settings, &identity)?;
        Ok(Some(Self(storage)))
    }

    /// How it is sealed.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn sealing(&self) -> Result<Standing, Error> {
        self.0.sealing()
    }

    /// Every record of the control topic.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn control(&self) -> Result<Vec<OwnedRecord>, Error> {
        let place = (Topic::Control, 0);
        let extent = extent(&self.0, place)?;
        let mut records = Vec::new();
        self.0.scan(place, extent.start..extent.end, |offset, row| {
            records.push(owned(offset, row));
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }
}
