#!/usr/bin/env python3
"""Reads the attribution rows as any consumer would, and writes them as `tributary replay` does.

    .tools/venv/bin/python tests/reader/read_rows.py --brokers 127.0.0.1:9092 \
        --registry http://127.0.0.1:8081/apis/ccompat/v7 > rows.ndjson

The whole topic is read with read_committed, from its beginning to the end it has now, and compacted: of each key the last
record counts, and a null value deletes it. Avro is decoded by Confluent's own deserializer through the registry. What is
left is written as NDJSON, sorted by the bytes of row_id, in the contract's order of columns, so that `cmp` can compare it
with the batch answer. It shares no code with Tributary.

Exit codes: 0 done, 1 a record that breaks the contract, or the topic cannot be read, 2 usage, 3 a transaction stayed open
(what lies behind it cannot be read yet, so an answer would be half of one).
"""

import argparse
import datetime
import json
import sys
import time
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

# Column -> its type; whether it may be null.
COLUMNS = {
    "row_id": (str, False),
    "conversion_id": (str, False),
    "model": (str, False),
    "model_version": (int, True),
    "touchpoint_id": (str, False),
    "user_id": (str, False),
    "kind": (str, False),
    "converted_at": (int, False),
    "touched_at": (int, True),
    "channel": (str, False),
    "interaction": (str, True),
    "source": (str, True),
    "medium": (str, True),
    "campaign": (str, True),
    "content": (str, True),
    "term": (str, True),
    "position": (int, False),
    "path_length": (int, False),
    "credit_micros": (int, False),
    "credited_micros": (int, False),
    "conversion_micros": (int, False),
    "currency": (str, True),
    "revision": (int, False),
    "truncated": (bool, False),
    "removed": (bool, False),
}

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)


class Broken(Exception):
    """A record that breaks the contract, or a topic that cannot be read to its end."""


class Open(Exception):
    """A transaction is still open."""


def consumer(brokers, isolation):
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"reader-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "check.crcs": True,
        }
    )


def partitions_of(client, topic):
    metadata = client.list_topics(topic, timeout=30).topics[topic]
    if metadata.error is not None:
        raise Broken(f"topic {topic}: {metadata.error.str()}")
    return sorted(metadata.partitions)


def ends(client, topic, partitions):
    """Partition -> the offset after the last record that this client's isolation level lets it read."""
    return {
        number: client.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1] for number in partitions
    }


def settled_ends(client, brokers, topic, partitions, seconds):
    """The ends of the topic, once no transaction hides anything before them."""
    uncommitted = consumer(brokers, "read_uncommitted")
    deadline = time.monotonic() + seconds
    try:
        while True:
            everything = ends(uncommitted, topic, partitions)
            stable = ends(client, topic, partitions)
            hidden = {number: (stable[number], end) for number, end in everything.items() if stable[number] < end}
            if not hidden:
                return stable
            if time.monotonic() >= deadline:
                raise Open(
                    "; ".join(
                        f"partition {number}: a transaction open since offset {lso} hides what lies before {end}"
                        for number, (lso, end) in sorted(hidden.items())
                    )
                )
            time.sleep(0.2)
    finally:
        uncommitted.close()


def records(client, topic, until):
    """The records of all partitions, each up to its end in `until`."""
    unfinished = {number for number, end in until.items() if end > 0}
    client.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in sorted(unfinished)])
    while unfinished:
        message = client.poll(30)
        if message is None:
            raise Broken(f"no answer within 30 s for partitions {sorted(unfinished)}")
        number = message.partition()
        if message.error() is None:
            # What stands last may be a transaction's marker, which is never handed out: the end is told by an event.
            if message.offset() < until[number]:
                yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            if message.offset() >= until[number]:
                unfinished.discard(number)
        else:
            raise Broken(f"partition {number}: {message.error().str()}")


def avro_decoder(url, topic):
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": url}))
    context = SerializationContext(topic, MessageField.VALUE)
    return lambda value: deserializer(value, context)


def json_decoder(value):
    return json.loads(value.decode())


def plain(value):
    """Avro's timestamp-millis comes as a datetime; rows have whole milliseconds."""
    return (value - EPOCH) // MILLISECOND if isinstance(value, datetime.datetime) else value


def row(key, decoded):
    """The decoded value as a row in the order of the columns, checked against the contract."""
    unknown = decoded.keys() - COLUMNS.keys()
    if unknown:
        raise Broken(f"columns that the contract does not know: {sorted(unknown)}")
    columns = {name: plain(decoded.get(name)) for name in COLUMNS}
    for name, (kind, nullable) in COLUMNS.items():
        value = columns[name]
        if value is None:
            if not nullable:
                raise Broken(f"{name}: null")
        elif type(value) is not kind:
            raise Broken(f"{name}: {value!r} is no {kind.__name__}")
    if columns["row_id"].encode() != key:
        raise Broken(f"row_id: {columns['row_id']!r} is not the record's key")
    return json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode()


def compacted(messages, decode):
    """Key -> row, as a compacted topic leaves them; and how many records there were."""
    latest = {}
    count = 0
    for message in messages:
        count += 1
        where = f"partition {message.partition()} offset {message.offset()}"
        key = message.key()
        if key is None:
            raise Broken(f"{where}: no key")
        # The same key in two partitions would make the answer depend on the order in which they are read.
        partition, _ = latest.get(key, (message.partition(), None))
        if partition != message.partition():
            raise Broken(f"{where}: key {key!r} was seen in partition {partition} before")
        latest[key] = (partition, None if message.value() is None else message.value())
    rows = {}
    for key, (_, value) in latest.items():
        if value is None:
            continue
        try:
            rows[key] = row(key, decode(value))
        except Broken as reason:
            raise Broken(f"key {key!r}: {reason}") from None
        except Exception as reason:  # whatever a decoder raises: the record is what is wrong
            raise Broken(f"key {key!r}: cannot be decoded: {reason}") from reason
    return rows, count


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True, help="host:port of a broker, several with commas")
    parser.add_argument("--registry", help="base URL of the registry's Confluent API; needed for Avro")
    parser.add_argument("--topic", default="attributions")
    parser.add_argument("--format", choices=["avro", "json"], default="avro")
    parser.add_argument("--output", default="-", help="file to write to; standard output when absent")
    parser.add_argument("--settle", type=float, default=30.0, metavar="SECONDS", help="how long to wait for open transactions")
    given = parser.parse_args()
    if given.format == "avro" and not given.registry:
        parser.error("--format avro needs --registry")
    return given


def read(given):
    client = consumer(given.brokers, "read_committed")
    try:
        partitions = partitions_of(client, given.topic)
        until = settled_ends(client, given.brokers, given.topic, partitions, given.settle)
        decode = json_decoder if given.format == "json" else avro_decoder(given.registry, given.topic)
        return compacted(records(client, given.topic, until), decode)
    finally:
        client.close()


def main():
    given = arguments()
    try:
        rows, count = read(given)
    except Open as reason:
        print(f"read_rows: {reason}", file=sys.stderr)
        return 3
    except (Broken, KafkaException) as reason:
        print(f"read_rows: {reason}", file=sys.stderr)
        return 1
    output = sys.stdout.buffer if given.output == "-" else open(given.output, "wb")
    with output:
        for key in sorted(rows):
            output.write(rows[key] + b"\n")
    print(f"read_rows: {count} records, {len(rows)} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
