//! Tests of the store as a whole; those of one file stand in it.

mod bounds;
mod fold;
mod reads;
mod recovery;
mod sealed;
