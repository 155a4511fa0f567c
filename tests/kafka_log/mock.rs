//! Errors that a real broker cannot be made to answer, from librdkafka's mock cluster. It does not keep offsets that were sent
//! in a transaction, so nothing but the outcome of each call is asserted here.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Answer};
use tributary::topics::kafka::Settings;
use tributary::topics::{Assignment, Error, TopicLog};

use crate::worker::{Worker, bare_settings, both, eventually, offsets, row};

fn cluster(test: &str) -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Settings) {
    let mock = MockCluster::new(1).unwrap();
    let settings = bare_settings(&mock.bootstrap_servers(), test);
    let names = &settings.topics;
    for topic in [&names.touchpoints, &names.conversions, &names.attributions, &names.dead_letter] {
        mock.create_topic(topic, 1, 1).unwrap();
    }
    (mock, settings)
}

fn transact(worker: &mut Worker, before_commit: impl FnOnce()) -> Result<(), Error> {
    worker.log.begin()?;
    worker.log.produce(row(0, b"row"))?;
    before_commit();
    worker.log.commit(&offsets(0, both(1))).map(drop)
}

#[test]
fn each_answer_of_a_broker_has_its_meaning() {
    let (mock, mut settings) = cluster("answers");
    settings.timeouts.request = Duration::from_secs(5);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    transact(&mut worker, || {}).unwrap();

    // Retriable: asked again until it is done.
    let again = [
        Answer::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        Answer::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        Answer::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
    ];
    transact(&mut worker, || mock.request_errors(Api::EndTxn, &again)).unwrap();

    // The end was asked for, and what became of it is not known.
    for answer in [Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Answer::RD_KAFKA_RESP_ERR_UNKNOWN] {
        let error = transact(&mut worker, || mock.request_errors(Api::EndTxn, &[answer])).unwrap_err();
        assert!(matches!(error, Error::Unknown(_)), "{answer:?}: {error:?}");
        worker.log.recover().unwrap();
        transact(&mut worker, || {}).unwrap();
    }

    // The group went on.
    for answer in [Answer::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, Answer::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID] {
        let error = transact(&mut worker, || mock.request_errors(Api::TxnOffsetCommit, &[answer])).unwrap_err();
        assert!(matches!(error, Error::Fenced(_)), "{answer:?}: {error:?}");
        transact(&mut worker, || {}).unwrap();
    }

    // Before the end was asked for: aborted, and the next one works, if need be on a new producer.
    for (api, answer) in [
        (Api::TxnOffsetCommit, Answer::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        (Api::TxnOffsetCommit, Answer::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED),
        (Api::TxnOffsetCommit, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
        (Api::AddOffsetsToTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE),
        (Api::AddOffsetsToTxn, Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING),
    ] {
        let error = transact(&mut worker, || mock.request_errors(api, &[answer])).unwrap_err();
        assert!(matches!(error, Error::Aborted(_)), "{api:?} {answer:?}: {error:?}");
        transact(&mut worker, || {}).unwrap();
    }
}

#[test]
fn a_transactional_id_that_is_taken_again_and_again_is_fatal() {
    let (mock, settings) = cluster("taken");
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let taken = [Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH];
    let mut errors = Vec::new();
    for _ in 0..5 {
        errors.push(transact(&mut worker, || mock.request_errors(Api::TxnOffsetCommit, &taken)).unwrap_err());
    }
    let last = errors.pop().unwrap();
    assert!(matches!(&last, Error::Fatal(words) if words.contains("its own name")), "{last:?}");
    assert!(errors.iter().all(|error| matches!(error, Error::Aborted(_))), "{errors:?}");
}

/// A broker that was stopped during a rebalance knows the names of the group under earlier ids when it is back.
#[test]
fn a_member_that_the_group_forgot_while_the_broker_was_away_joins_again() {
    let (mock, settings) = cluster("forgotten");
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    mock.broker_down(1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    mock.broker_up(1).unwrap();
    mock.request_errors(Api::Heartbeat, &[Answer::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    let mut changes = Vec::new();
    eventually("its partition again", Duration::from_secs(60), || {
        match worker.log.poll(Duration::from_millis(100)) {
            Ok(more) => changes.extend(more),
            Err(error) => assert!(matches!(error, Error::Unreachable(_)), "{error:?}"),
        }
        (changes.len() == 2).then_some(())
    });
    assert_eq!(changes, [Assignment::Lost(0), Assignment::Gained(0)]);

    // Once: another process of the name would be told apart by nothing else.
    mock.request_errors(Api::Heartbeat, &[Answer::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    let error = eventually("an end", Duration::from_secs(30), || worker.log.poll(Duration::from_millis(100)).err());
    assert!(matches!(&error, Error::Fatal(words) if words.contains("instance's name")), "{error:?}");
}

#[test]
fn a_member_that_is_fenced_while_the_broker_was_there_ends() {
    let (mock, settings) = cluster("fenced");
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    mock.request_errors(Api::Heartbeat, &[Answer::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    let error = eventually("an end", Duration::from_secs(30), || worker.log.poll(Duration::from_millis(100)).err());
    assert!(matches!(&error, Error::Fatal(words) if words.contains("instance's name")), "{error:?}");
}
