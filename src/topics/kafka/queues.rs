//! The few calls into librdkafka that rdkafka has no safe form of: the one place here where `unsafe` is allowed.
//!
//! - A partition's records in batches, `rd_kafka_consume_batch_queue`: one call and one lock for hundreds of records. Only on
//!   partition queues: on the consumer's own queue it would meet a rebalance without its callback and unassign everything.
//! - Producing over a topic's handle.
//! - What is known without asking (end of a partition, length of a queue, generation of the group), and an exact wait for the
//!   producer's queue to be empty (rdkafka's own waits in steps of 100 ms).
//!
//! What makes each block sound is one of three things: a pointer that librdkafka handed out is used while its owner is alive
//! ([`Queue`] keeps the consumer, a message keeps itself), what was received is destroyed once, and callbacks touch only what
//! is kept alive until they are switched off.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::super::Offset;

/// Wakes a worker that waits for records or for a rebalance.
#[derive(Debug, Default)]
pub(super) struct Wake {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.signalled.lock().unwrap_or_else(PoisonError::into_inner) // a single flag: never half written
    }

    /// Called by librdkafka's threads when a queue gets its first entry.
    pub(super) fn signal(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Whether there was a signal since the last call.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.lock())
    }

    /// Waits for a signal until the deadline, and takes it.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let mut signalled = self.lock();
        while !*signalled {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            signalled = self.changed.wait_timeout(signalled, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut *signalled)
    }
}

/// The queue of one partition of a consumer, or the consumer's own, which is only looked at.
pub(super) struct Queue<C: ConsumerContext> {
    handle: NonNull<sys::rd_kafka_queue_t>,
    ahead: VecDeque<Message>,
    wake: Option<Arc<Wake>>,
    _consumer: Arc<BaseConsumer<C>>, // the last field: it goes last
}

// SAFETY: librdkafka's queues may be used from any thread; the messages in `ahead` are owned.
unsafe impl<C: ConsumerContext> Send for Queue<C> {}

impl<C: ConsumerContext> Queue<C> {
    /// The queue of a partition, cut off from the consumer's own queue, which no longer hands out its records. To be called
    /// before the partition is assigned. None if the name is no topic's.
    pub(super) fn of_partition(
        consumer: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        wake: &Arc<Wake>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive (`consumer` is), the name is terminated; a null answer is refused.
        let handle = NonNull::new(unsafe { sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) })?;
        // SAFETY: the handle is ours; the callback's argument lives in `wake`, which this queue keeps until its drop has
        // switched the callback off. Both calls take the queue's lock.
        unsafe {
            sys::rd_kafka_queue_forward(handle.as_ptr(), ptr::null_mut());
            let argument = Arc::as_ptr(wake).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(handle.as_ptr(), Some(on_first_entry), argument);
        }
        Some(Self { handle, ahead: VecDeque::new(), wake: Some(Arc::clone(wake)), _consumer: Arc::clone(consumer) })
    }

    /// The consumer's own queue: rebalances, errors, log lines.
    pub(super) fn of_consumer(consumer: &Arc<BaseConsumer<C>>) -> Option<Self> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive (`consumer` is); a null answer is refused.
        let handle = NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(client) })?;
        Some(Self { handle, ahead: VecDeque::new(), wake: None, _consumer: Arc::clone(consumer) })
    }

    /// How many entries wait.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the handle is ours and its client alive.
        self.ahead.len() + unsafe { sys::rd_kafka_queue_length(self.handle.as_ptr()) }
    }

    /// Whether there is a message. What waits may also be a mark of librdkafka's own, left by an assignment: that is taken out,
    /// for the wake-up tells of first entries only.
    pub(super) fn ready(&mut self) -> bool {
        if self.ahead.is_empty() && self.len() > 0 {
            self.refill(1, Duration::ZERO);
        }
        !self.ahead.is_empty()
    }

    /// The next message, waiting up to `wait` for it. Takes up to `most` at once from librdkafka.
    pub(super) fn next(&mut self, most: usize, wait: Duration) -> Option<Message> {
        if self.ahead.is_empty() {
            self.refill(most, wait);
        }
        self.ahead.pop_front()
    }

    /// Gives a message back: it is the next one again.
    pub(super) fn put_back(&mut self, message: Message) {
        self.ahead.push_front(message);
    }

    fn refill(&mut self, most: usize, wait: Duration) {
        const CHUNK: usize = 512;
        let mut messages = [ptr::null_mut(); CHUNK];
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let room = most.clamp(1, CHUNK);
        // SAFETY: the handle is ours and its client alive; there is room for that many pointers.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.handle.as_ptr(), wait, messages.as_mut_ptr(), room) };
        let count = usize::try_from(count).unwrap_or(0); // -1: nothing
        self.ahead.extend(messages.iter().take(count).filter_map(|message| NonNull::new(*message).map(Message)));
    }
}

impl<C: ConsumerContext> Drop for Queue<C> {
    fn drop(&mut self) {
        self.ahead.clear();
        // SAFETY: the handle is ours and its client alive; after the first call nothing uses the callback's argument.
        unsafe {
            if self.wake.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.handle.as_ptr(), None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.handle.as_ptr());
        }
    }
}

unsafe extern "C" fn on_first_entry(_: *mut sys::rd_kafka_t, argument: *mut c_void) {
    // SAFETY: the argument is the `Wake` that the queue keeps; see `of_partition`.
    if let Some(wake) = unsafe { argument.cast::<Wake>().as_ref() } {
        wake.signal();
    }
}

/// A record, or an error that stands in a record's place.
pub(super) struct Message(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a message is owned, and not tied to the thread that received it.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message is ours until drop and nobody changes it.
        unsafe { self.0.as_ref() }
    }

    /// What went wrong, if this is no record.
    pub(super) fn error(&self) -> Option<(Code, String)> {
        let code = Code::from(self.raw().err);
        if code == Code::NoError {
            return None;
        }
        // SAFETY: for an error the message holds a terminated text, or librdkafka answers its name, or null.
        let text = unsafe {
            let text = sys::rd_kafka_message_errstr(self.0.as_ptr());
            if text.is_null() { code.to_string() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Some((code, text))
    }

    pub(super) fn offset(&self) -> Offset {
        self.raw().offset
    }

    /// Milliseconds since 1970; -1 if the record has none.
    pub(super) fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is ours, the second argument a place for the answer.
        unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) }
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: the bytes belong to the message, which outlives the borrow.
        unsafe { bytes(self.raw().key, self.raw().key_len) }
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.raw().payload, self.raw().len) }
    }

    /// Every header in order; allocates only when there are any. One without a value has an empty one; a name that is no UTF-8
    /// is `?`.
    pub(super) fn headers(&self) -> Vec<(&str, &[u8])> {
        let mut found = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: the message is ours; the headers belong to it, and so do their names and values.
        unsafe {
            let answer = sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers);
            if answer != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return found;
            }
            loop {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let answer =
                    sys::rd_kafka_header_get_all(headers, found.len(), &raw mut name, &raw mut value, &raw mut size);
                if answer != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return found;
                }
                found.push((CStr::from_ptr(name).to_str().unwrap_or("?"), bytes(value, size).unwrap_or_default()));
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed here only.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `start` is null or the beginning of `length` bytes that stay as they are for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: what the caller promises.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// A topic that a producer writes to. With it a record needs no look-up of the topic's name and no list of arguments, which is
/// a good part of what producing a small record costs.
pub(super) struct Topic<C: ProducerContext + 'static> {
    handle: NonNull<sys::rd_kafka_topic_t>,
    _producer: Arc<BaseProducer<C>>, // the last field: it goes last
}

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl<C: ProducerContext> Send for Topic<C> {}

impl<C: ProducerContext> Topic<C> {
    /// None if the name is no topic's.
    pub(super) fn of(producer: &Arc<BaseProducer<C>>, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client is alive, the name terminated; without a configuration the client's own is taken.
        let handle = unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Some(Self { handle: NonNull::new(handle)?, _producer: Arc::clone(producer) })
    }

    /// Puts a record without headers into the producer's queue.
    pub(super) fn produce(&self, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Code> {
        let (key, key_length) = key.map_or((ptr::null(), 0), |key| (key.as_ptr(), key.len()));
        let (value, length) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
        let copy = c_int::try_from(sys::RD_KAFKA_MSG_F_COPY).unwrap_or_default();
        // SAFETY: handle and client are alive; both pointers are null or begin as many bytes, which are copied before it returns.
        // The error is this thread's own.
        unsafe {
            let answer = sys::rd_kafka_produce(
                self.handle.as_ptr(),
                partition,
                copy,
                value.cast_mut().cast(),
                length,
                key.cast(),
                key_length,
                ptr::null_mut(),
            );
            if answer == 0 { Ok(()) } else { Err(Code::from(sys::rd_kafka_last_error())) }
        }
    }
}

impl<C: ProducerContext> Drop for Topic<C> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and given up here only; the client is still alive.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) }
    }
}

/// The end of a partition as the last answered fetch told it: its high watermark, which in a topic written in transactions
/// lies beyond what a reader of committed records sees yet.
pub(super) fn known_end<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str, partition: i32) -> Option<Offset> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name terminated, and there are places for both answers.
    let answer = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (answer == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// The group's generation as this member knows it; none while it is no member. Offsets sent without a generation would not
/// be checked by the broker at all.
pub(super) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<i32> {
    // SAFETY: the client is alive; the answer is ours, used while it is there and destroyed once.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let named = !member.is_null() && !CStr::from_ptr(member).is_empty();
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        (generation >= 0 && named).then_some(generation)
    }
}

/// How many events of a client wait to be served.
pub(super) fn events<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>) -> usize {
    // SAFETY: the client is alive; the handle is ours, used while it is there and given up once.
    unsafe {
        let queue = sys::rd_kafka_queue_get_main(client.native_ptr());
        let length = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        length
    }
}

/// Waits until a producer's records are all delivered or failed, at most for `wait`. Whether they are. Delivery reports must
/// be served by another thread meanwhile.
pub(super) fn flushed<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>, wait: Duration) -> bool {
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive.
    let answer = unsafe { sys::rd_kafka_flush(client.native_ptr(), wait) };
    answer == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
