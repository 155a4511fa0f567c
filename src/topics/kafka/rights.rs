//! What the brokers say that this client's principal may do with a topic or a group: KIP-430's authorized operations, which
//! rdkafka has no safe form of. Asking changes nothing, so it may be done beside a running instance.
//!
//! What makes each block sound: the client is borrowed for as long as the question takes, what was asked with is destroyed
//! once, after the answer, and everything read from an answer is copied while the answer is there.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;

/// An operation of Kafka's access control lists. Read and Write include Describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    DescribeConfigs,
}

impl Operation {
    /// The name that `kafka-acls` takes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::DescribeConfigs => "DescribeConfigs",
        }
    }

    const fn raw(self) -> sys::rd_kafka_AclOperation_t {
        match self {
            Self::Read => sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ,
            Self::Write => sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE,
            Self::DescribeConfigs => sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        }
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operations(u32);

impl Operations {
    pub(super) fn allow(self, operation: Operation) -> bool {
        self.0 & (1 << operation.raw() as u32) != 0
    }
}

/// The operations allowed on a resource, none where the brokers do not tell (older than 2.3); or why it may not even be
/// described.
pub(super) type Rights = Result<Option<Operations>, Code>;

/// What may be done with each of these topics, in their order.
pub(super) fn of_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    wait: Duration,
) -> Result<Vec<Rights>, Code> {
    let (_names, mut pointers) = terminated(names)?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let answer = Answer::to(client, kind, wait, |options, queue| {
        // SAFETY: as many names as are said, each terminated and alive; the collection copies them and is destroyed once.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    })?;
    let mut found = Vec::new();
    // SAFETY: the answer is there until the end of this function, and all that is read belongs to it.
    unsafe {
        let (mut count, mut operations) = (0, 0);
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
        for topic in slice_of(sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count), count) {
            let error = sys::rd_kafka_TopicDescription_error(*topic);
            let list = sys::rd_kafka_TopicDescription_authorized_operations(*topic, &raw mut operations);
            let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(*topic)).to_string_lossy().into_owned();
            found.push((name, rights(error, list, operations)));
        }
    }
    let of = |name: &&str| found.iter().find(|(found, _)| found == name).map_or(Err(Code::UnknownTopic), |(_, of)| *of);
    Ok(names.iter().map(of).collect())
}

/// What may be done with a group, be there such a one or not.
pub(super) fn of_group<C: ClientContext>(client: &Client<C>, name: &str, wait: Duration) -> Result<Rights, Code> {
    let (_names, mut pointers) = terminated(&[name])?;
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let answer = Answer::to(client, kind, wait, |options, queue| {
        // SAFETY: one name, terminated and alive, which is copied.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(client.native_ptr(), pointers.as_mut_ptr(), 1, options, queue);
        }
    })?;
    // SAFETY: the answer is there until the end of this function, and all that is read belongs to it.
    unsafe {
        let (mut count, mut operations) = (0, 0);
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0.as_ptr());
        let groups = slice_of(sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count), count);
        let group = groups.first().ok_or(Code::Fail)?;
        let error = sys::rd_kafka_ConsumerGroupDescription_error(*group);
        let list = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*group, &raw mut operations);
        Ok(rights(error, list, operations))
    }
}

type Names = (Vec<CString>, Vec<*const std::ffi::c_char>);

/// The names as C has them, and pointers to these.
fn terminated(names: &[&str]) -> Result<Names, Code> {
    let names: Vec<CString> = names.iter().map(|name| CString::new(*name)).collect::<Result<_, _>>().map_err(|_| {
        Code::InvalidArgument // a name with a zero byte, which no topic or group has
    })?;
    let pointers = names.iter().map(|name| name.as_ptr()).collect();
    Ok((names, pointers))
}

/// # Safety
/// `start` is null or the beginning of `count` values that stay as they are for `'a`.
unsafe fn slice_of<'a, T>(start: *mut T, count: usize) -> &'a [T] {
    // SAFETY: what the caller promises.
    if start.is_null() { &[] } else { unsafe { slice::from_raw_parts(start, count) } }
}

/// # Safety
/// `error` is null or an error that is alive, `list` null or the beginning of `count` operations.
unsafe fn rights(
    error: *const sys::rd_kafka_error_t,
    list: *const sys::rd_kafka_AclOperation_t,
    count: usize,
) -> Rights {
    // SAFETY: what the caller promises. The numbers are read as numbers: a later librdkafka may know more operations.
    unsafe {
        match Code::from(sys::rd_kafka_error_code(error)) {
            Code::NoError => {}
            code => return Err(code),
        }
        if list.is_null() {
            return Ok(None);
        }
        let numbers = slice_of(list.cast::<u32>().cast_mut(), count);
        Ok(Some(Operations(numbers.iter().fold(0, |all, number| all | 1_u32.checked_shl(*number).unwrap_or(0)))))
    }
}

/// An answer of librdkafka's admin client.
struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Answer {
    /// The answer to what `send` asks, which is given the options and where to answer.
    fn to<C: ClientContext>(
        client: &Client<C>,
        kind: sys::rd_kafka_admin_op_t,
        wait: Duration,
        send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Self, Code> {
        let millis = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the client is alive; queue and options are ours and destroyed once, when nothing asks with them any more.
        let event = unsafe {
            let queue = sys::rd_kafka_queue_new(client.native_ptr());
            let options = sys::rd_kafka_AdminOptions_new(client.native_ptr(), kind);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            send(options, queue);
            // The question itself ends in time; a second on top, so that its own answer says so.
            let event = sys::rd_kafka_queue_poll(queue, millis.saturating_add(1_000));
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_queue_destroy(queue);
            event
        };
        let answer = Self(NonNull::new(event).ok_or(Code::OperationTimedOut)?);
        // SAFETY: the answer is ours.
        match Code::from(unsafe { sys::rd_kafka_event_error(answer.0.as_ptr()) }) {
            Code::NoError => Ok(answer),
            code => Err(code),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed here only.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
