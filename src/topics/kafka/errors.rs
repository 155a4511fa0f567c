//! What librdkafka's errors mean to the engine.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::super::{Error, Offset};
use super::reach::Reach;

/// A partition's number as librdkafka has it.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX) // Kafka numbers partitions with 31 bits
}

/// Whether an error says that a connection, not a request, failed.
pub(super) fn is_transport(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::NetworkException
            | Code::RequestTimedOut
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::WaitingForCoordinator
    )
}

/// The code of an error; [`Code::Fail`] if it has none.
pub(super) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}

/// A client that could not be made. rdkafka's own words would show the property's value, which may be a password.
pub(super) fn unmade(kind: &str, error: &KafkaError) -> Error {
    Error::Fatal(match error {
        KafkaError::ClientConfig(_, why, ..) => format!("kafka.properties: {why}; correct or remove it"),
        _ => format!("kafka {kind}: {error}"),
    })
}

/// What an error in a partition's stream means.
pub(super) fn refusal(topic: &str, partition: u32, next: Offset, code: Code, text: &str) -> Error {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Error::Fatal(format!(
            "{topic}-{partition}: offset {next} is not in the log any more ({text}). Retention has passed it or the topic was \
             made anew: restore a newer state, or begin with a new group, data folder and output topic"
        )),
        Code::TopicAuthorizationFailed => {
            Error::Fatal(format!("{topic}-{partition}: reading is not permitted; grant Read on topic {topic}"))
        }
        _ => Error::Unreachable(format!("{topic}-{partition}: {text}")),
    }
}

/// What an error on the consumer's own queue means. Most are told for the log's sake: librdkafka tries again by itself.
pub(super) fn verdict(error: &KafkaError) -> Result<(), Error> {
    let code = code(error);
    match error {
        KafkaError::MessageConsumptionFatal(_) => {
            let way_out = match code {
                Code::FencedInstanceId => ": another process runs with this instance's name; give each its own",
                _ => "",
            };
            Err(Error::Fatal(format!("kafka consumer: {code}{way_out}")))
        }
        _ => match code {
            Code::GroupAuthorizationFailed => Err(Error::Fatal("kafka consumer: grant Read on the group".into())),
            Code::TopicAuthorizationFailed => {
                Err(Error::Fatal("kafka consumer: grant Read on the input topics".into()))
            }
            Code::InconsistentGroupProtocol => Err(Error::Fatal(
                "kafka consumer: the group has members of another kind; give Tributary a group of its own".into(),
            )),
            Code::InvalidSessionTimeout => Err(Error::Fatal(
                "kafka consumer: the session timeout is outside the broker's group.min/max.session.timeout.ms".into(),
            )),
            _ => Ok(()),
        },
    }
}

/// A question that was not answered: nothing changed, it can be asked again.
pub(super) fn unreachable(reach: &Reach, what: &str, error: &KafkaError) -> Error {
    let code = code(error);
    match code {
        Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Error::Fatal(format!(
                "{what}: not permitted ({code}); see the list of permissions in docs/kafka-security.md"
            ))
        }
        _ => {
            if is_transport(code) {
                reach.failed(&format!("{what}: {code}"));
            }
            Error::Unreachable(format!("{what}: {code}"))
        }
    }
}
