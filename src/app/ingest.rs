//! Events that come in through the sidecar, on the embedded log.

use std::sync::Arc;

use crate::api::{Appended, Ingest, IngestError, NewEvent};
use crate::topics::Input;
use crate::topics::embedded::{self, Broker, NewRecord};

/// The embedded log as the sidecar writes it.
pub struct EmbeddedIngest(pub Arc<Broker>);

impl Ingest for EmbeddedIngest {
    fn append(&self, input: Input, events: &[NewEvent<'_>], logged_at: i64) -> Result<Vec<Appended>, IngestError> {
        let records: Vec<_> = events
            .iter()
            .map(|event| NewRecord {
                partition: self.0.partition_of(event.user_id.as_bytes()),
                key: Some(event.user_id.as_bytes()),
                value: Some(event.value),
                headers: &[],
                timestamp: logged_at,
            })
            .collect();
        let positions = self.0.append(input, &records).map_err(|error| match error {
            embedded::Error::Refused(why) => IngestError::Unavailable(why),
            other => IngestError::Broken(other.to_string()),
        })?;
        Ok(positions.into_iter().map(|(partition, offset)| Appended { partition, offset }).collect())
    }
}
