//! Every setting in one table: the documentation is generated from it, and unknown keys are found by it.

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its path in the file: `kafka.brokers`.
    pub path: &'static str,
    /// What it takes, in words.
    pub takes: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// One section of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) settings: &'static [Setting],
}

const fn setting(path: &'static str, takes: &'static str, meaning: &'static str) -> Setting {
    Setting { path, takes, meaning }
}

pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "log",
        about: "Which log events come from and rows go to.",
        settings: &[setting(
            "log.kind",
            "`kafka` or `embedded`",
            "`kafka`: a Kafka cluster, for every real deployment. `embedded`: the log inside this process, durable in \
             `engine.data_dir`, for one machine; events come in through the sidecar.",
        )],
    },
    Section {
        name: "kafka",
        about: "The cluster. Read only when `log.kind` is `kafka`.",
        settings: &[
            setting("kafka.brokers", "text", "Brokers to start from, `host:port`, several with commas. Required."),
            setting(
                "kafka.group_id",
                "text",
                "The consumer group. Instances of one group share the partitions; a new group starts from the beginning.",
            ),
            setting(
                "kafka.instance_id",
                "text",
                "Names this instance for as long as it lives on one disk (static membership), so that one that is \
                 back within `kafka.session_timeout`, after a clean stop or not, finds its partitions where they were. \
                 Empty: the host's name.",
            ),
            setting(
                "kafka.transactional_id_prefix",
                "text",
                "Beginning of the transactional ids; grant the principal this prefix. Each instance adds its id.",
            ),
            setting(
                "kafka.session_timeout",
                "duration, 6s to 30m",
                "After how long without a sign of life the group gives an instance's partitions to others.",
            ),
            setting(
                "kafka.leave_on_stop",
                "true or false",
                "Whether an instance that is stopped leaves the group, so that others take its partitions at once. \
                 Otherwise they are kept for it for `kafka.session_timeout`, which is right for a restart.",
            ),
            setting(
                "kafka.transaction_timeout",
                "duration, 5s to 15m",
                "After how long the broker aborts a transaction that its instance left open. Readers wait for that long.",
            ),
            setting(
                "kafka.largest_record",
                "size, 64KiB to 64MiB",
                "The largest record that is written. A dead letter holds a whole input record, so this is what the input \
                 topics take (`max.message.bytes`) and 64 KiB; a larger one goes by pointer and hash.",
            ),
            setting(
                "kafka.properties",
                "table of text",
                "Handed to librdkafka as they are: names that begin with `security.`, `sasl.`, `ssl.`, `enable.ssl.`, \
                 `https.`, `socket.`, `broker.address.`, `reconnect.`, `client.dns.` or `statistics.`. A name with `_file` after it (`\"sasl.password_file\"`) is read from that file. In the \
                 environment dots are underscores: `TRIBUTARY__KAFKA__PROPERTIES__SASL_PASSWORD`. Never printed.",
            ),
        ],
    },
    Section {
        name: "topics",
        about: "Names of the topics, and how `tributary topics create` makes them.",
        settings: &[
            setting("topics.touchpoints", "text", "Input: touchpoints, keyed by user_id."),
            setting("topics.conversions", "text", "Input: conversions and adjustments, keyed by user_id."),
            setting("topics.attributions", "text", "Output: attribution rows, compacted."),
            setting("topics.dead_letter", "text", "Records that could not be used, with reason and origin."),
            setting("topics.control", "text", "What instances share: API keys (hashed). Compacted."),
            setting("topics.audit", "text", "Who did what, with what outcome."),
            setting(
                "topics.partitions",
                "number, 1 to 1024",
                "Partitions of the inputs, the output and the dead letters: all have the same number. It cannot be \
                 changed later. On Kafka the topics that are there decide; this is what `topics create` makes.",
            ),
            setting("topics.replication", "number, 1 to 9", "Copies that `topics create` asks for; 3 in production."),
            setting(
                "topics.retention",
                "duration, 1h to 3650d",
                "How long inputs and dead letters are kept, by record timestamp. Choose it longer than the data is old.",
            ),
        ],
    },
    Section {
        name: "registry",
        about: "The schema registry (Confluent's API). Needed for Avro, read or written.",
        settings: &[
            setting("registry.url", "text", "Its address. Empty: none, and Avro records are dead-lettered."),
            setting("registry.username", "text", "User for basic authentication."),
            setting("registry.password", "text", "Its password. Never printed; better from a file or the environment."),
            setting("registry.password_file", "path", "A file that holds the password."),
            setting("registry.token", "text", "A bearer token, instead of user and password. Never printed."),
            setting("registry.token_file", "path", "A file that holds the token."),
            setting(
                "registry.ca_file",
                "path",
                "Certificates (PEM) of the authorities that its certificate may come from. None: those of the system.",
            ),
            setting(
                "registry.timeout",
                "duration, 100ms to 5m",
                "After how long a request to it is given up and tried again.",
            ),
        ],
    },
    Section {
        name: "rules",
        about: "The rules of credit. They are part of every result: state made under other rules is refused.",
        settings: &[
            setting(
                "rules.lookback",
                "duration, 1ms to 3650d",
                "How long before a conversion a touchpoint may still earn credit.",
            ),
            setting(
                "rules.half_life",
                "duration, 1ms to 3650d",
                "Time decay: a touchpoint so long before the last one weighs half.",
            ),
            setting(
                "rules.max_path",
                "number, 1 to 10000",
                "The most touchpoints that one conversion credits: its last ones.",
            ),
            setting(
                "rules.models",
                "list of text",
                "Which of `first_touch`, `last_touch`, `last_non_direct_touch`, `linear`, `position_based` and \
                 `time_decay` are computed. In the environment with commas.",
            ),
        ],
    },
    Section {
        name: "output",
        about: "The rows.",
        settings: &[setting(
            "output.format",
            "`json` or `avro`",
            "How rows are written: JSON, or Avro in Confluent framing, which needs `registry.url`.",
        )],
    },
    Section {
        name: "engine",
        about: "The engine and its state.",
        settings: &[
            setting(
                "engine.data_dir",
                "path",
                "Where the state is kept, and with the embedded log the log too. One instance at a time.",
            ),
            setting("engine.workers", "number, 1 to 256", "Worker threads; each owns some of the partitions."),
            setting(
                "engine.memory",
                "size, at least 64MiB",
                "The bound for block cache and write buffers of the state (half), pending batches (a quarter) and the \
                 Kafka client's queues or the embedded log's buffers and cache (a quarter), whatever the number of \
                 users and partitions.",
            ),
            setting(
                "engine.open_files",
                "number, 64 to 1000000",
                "The most files that the state keeps open, shared out evenly; a partition gets at least 20.",
            ),
            setting(
                "engine.batch_latency",
                "duration, 1ms to 5s",
                "How long a worker that has caught up waits for more before it answers what it has.",
            ),
            setting("engine.batch_records", "number, 1 to 1000000", "The most records of one transaction."),
            setting(
                "engine.batch_bytes",
                "size, 1KiB to 1GiB",
                "The most bytes of input of one transaction; at most a quarter of `engine.memory`.",
            ),
            setting(
                "engine.flush_interval",
                "duration, 1s to 1d",
                "How often the state of a quiet partition is flushed, which bounds what is read again after a crash.",
            ),
            setting(
                "engine.offsets_keepalive",
                "duration, 1m to 7d",
                "How often an idle partition commits its offsets again. Shorter than the broker's \
                 `offsets.retention.minutes`.",
            ),
        ],
    },
    Section {
        name: "seal",
        about: "Encryption of everything on disk: see sealing.md.",
        settings: &[
            setting(
                "seal.key_file",
                "path",
                "64 hexadecimal digits (`openssl rand -hex 32`): state, embedded log and temporary files are sealed under \
                 this key. None: nothing is sealed. Decide before the first start: a folder that was filled otherwise is \
                 refused.",
            ),
            setting(
                "seal.older_key_files",
                "list of paths",
                "Keys that data may still be sealed under, while a rotation is under way; wait until \
                 `tributary_seal_left_bytes` is 0 before you take one out.",
            ),
        ],
    },
    Section {
        name: "sidecar",
        about: "Queries, health and metrics over HTTP.",
        settings: &[
            setting("sidecar.listen", "address:port", "Where it listens."),
            setting(
                "sidecar.admin_listen",
                "address:port",
                "Where `/metrics`, `/v1/keys` and `/v1/status` answer, and then only there. None: where the others do.",
            ),
            setting(
                "sidecar.plain_http",
                "true or false",
                "Whether it may listen beyond this machine without TLS: only behind something that speaks TLS.",
            ),
            setting(
                "sidecar.trusted_proxies",
                "number, 0 to 16",
                "How many proxies of your own stand before it: so many entries of `X-Forwarded-For` are believed, from the \
                 right.",
            ),
            setting(
                "sidecar.cors_origins",
                "list of origins",
                "Whose pages a browser lets ask (`https://dashboard.example`). Empty: nobody's.",
            ),
            setting("sidecar.connections", "number, 1 to 1000000", "Connections at once; one more is closed."),
            setting(
                "sidecar.connections_per_address",
                "number, 1 to 1000000",
                "How many of them one address may have (IPv6: one /64), this machine's own too; one more is closed. Not where \
                 `sidecar.trusted_proxies` is set, as all connections are the proxy's then: limit them there.",
            ),
            setting("sidecar.header_timeout", "duration, 100ms to 1m", "How long the head of a request may take."),
            setting(
                "sidecar.write_timeout",
                "duration, 100ms to 10m",
                "After how long a connection that takes nothing of its answer is closed.",
            ),
            setting("sidecar.drain", "duration, 0ms to 5m", "How long a stopping process lets requests finish."),
        ],
    },
    Section {
        name: "tls",
        about: "TLS of the sidecar, 1.2 and 1.3. The files are PEM and read again on SIGHUP.",
        settings: &[
            setting(
                "tls.certificate_file",
                "path",
                "The certificate, and those between it and its root. None: plain HTTP.",
            ),
            setting("tls.key_file", "path", "Its private key. One that everybody on the machine may read is refused."),
            setting(
                "tls.client_ca_file",
                "path",
                "Who signs the certificates that clients must show (mutual TLS), beside their keys. None: they need none.",
            ),
        ],
    },
    Section {
        name: "limits",
        about: "What callers may ask of one instance. Taken anew on SIGHUP.",
        settings: &[
            setting(
                "limits.rate",
                "number, 1 to 10000000",
                "Requests a second of everybody with a key together; beyond it 429.",
            ),
            setting("limits.burst", "number, 1 to 10000000", "How many of them at once."),
            setting(
                "limits.key_rate",
                "number, 1 to 10000000",
                "Requests a second of a key without a rate of its own.",
            ),
            setting("limits.key_burst", "number, 1 to 10000000", "How many of them at once."),
            setting("limits.bad_keys", "number, 1 to 10000000", "Bad keys a minute from one address; beyond it 429."),
            setting(
                "limits.stranger_rate",
                "number, 1 to 10000000",
                "Requests a second without a good key, of everybody together, and as many at once; beyond it 429. They take \
                 nothing from those with one.",
            ),
            setting(
                "limits.concurrency",
                "number, 1 to 100000",
                "Requests with a key served at once; beyond it 503. One without is turned away at once and takes no place.",
            ),
            setting("limits.request_timeout", "duration, 100ms to 5m", "After how long a request is given up (503)."),
            setting(
                "limits.body_size",
                "size, 1KiB to 1GiB",
                "The largest request body, also unpacked; beyond it 413.",
            ),
            setting(
                "limits.report_range",
                "duration, 1d to 36525d",
                "How much time one report may be about; beyond it 422.",
            ),
        ],
    },
    Section {
        name: "access",
        about: "API keys are kept as keyed hashes; the pepper is the key of the hash.",
        settings: &[
            setting(
                "access.pepper_file",
                "path",
                "64 hexadecimal digits (`openssl rand -hex 32`), the same on every instance. None: one is made in \
                 `engine.data_dir`, which serves one instance.",
            ),
            setting(
                "access.older_pepper_files",
                "list of paths",
                "Peppers that older keys were hashed with, so that a new pepper need not replace every key at once.",
            ),
        ],
    },
    Section {
        name: "audit",
        about: "Who did what: see audit.md.",
        settings: &[
            setting(
                "audit.read_sample",
                "number, 0 to 1",
                "The share of the reads of reports and journeys that is written when they are allowed. What is denied, and \
                 every change, always is.",
            ),
            setting(
                "audit.retention",
                "duration, 1h to 3650d",
                "How long entries are kept. On Kafka the topic that is there decides; this is what `topics create` makes.",
            ),
        ],
    },
    Section {
        name: "telemetry",
        about: "Logs and traces.",
        settings: &[
            setting("telemetry.log_format", "`json` or `text`", "How log lines are written to standard error."),
            setting(
                "telemetry.log_filter",
                "text",
                "`error`, `warn`, `info`, `debug` or `trace`, also by module: `info,tributary::stream=debug`.",
            ),
            setting("telemetry.otlp_endpoint", "text", "Where traces go (OTLP over HTTP). Empty: nowhere."),
            setting("telemetry.otlp_ratio", "number, 0 to 1", "The share of traces that is kept."),
        ],
    },
];

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}
