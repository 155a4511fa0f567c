//! Latency: from producing a conversion to reading its rows, while events come at a steady rate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::job::Job;
use crate::load::{self, Event, Load};
use crate::stage::{PARTITIONS, Sender, Stage};

/// Connections, classes and caches get warm meanwhile; what is sent then is not measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// When each conversion was handed to the producer, until its first row is read.
type Sent = Mutex<HashMap<String, Instant>>;

/// Sends events for `time` at a rate and prints the latency of their conversions.
pub fn measure(stage: &Stage, load: &mut Load, job: &Job, rate: f64, time: Duration) {
    let sent: Arc<Sent> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let reader = Reader::new(stage, job.attributions());
    let reading = {
        let (sent, done) = (Arc::clone(&sent), Arc::clone(&done));
        std::thread::spawn(move || reader.run(&sent, &done))
    };
    let before = job.spent();
    let achieved = send(stage, load, rate, time, &sent);
    let cpu = (job.spent() - before).cpu.as_secs_f64() / time.as_secs_f64();
    std::thread::sleep(Duration::from_secs(2));
    done.store(true, Ordering::Relaxed);
    let mut latencies = reading.join().unwrap();
    latencies.sort_unstable();
    let unanswered = sent.lock().unwrap().len();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "latency at {achieved:.0} events/s: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({} conversions, {unanswered} unanswered; {cpu:.2} cores)",
        at(0.5),
        at(0.99),
        at(1.0),
        latencies.len()
    );
}

/// The events are made beforehand, so that making them takes nothing from the two cores that are measured.
fn send(stage: &Stage, load: &mut Load, rate: f64, time: Duration, sent: &Sent) -> f64 {
    let count = (rate * time.as_secs_f64()) as usize;
    load.new_users(); // paths as long as in the load that gave the rate, so that an event has as many rows
    let start = load::now();
    let mut events: Vec<Event> = (0..count).map(|n| load.at(start + (n as f64 / rate * 1e3) as i64)).collect();
    let shift = load::now() - start;
    let sender = Sender::new(stage, 1);
    let began = Instant::now();
    let mut next = 0;
    while next < count {
        let due = ((began.elapsed().as_secs_f64() * rate) as usize).min(count);
        for event in &mut events[next..due] {
            event.logged_at += shift;
            if let Some(id) = event.conversion.take_if(|_| began.elapsed() > WARM_UP) {
                sent.lock().unwrap().insert(id, Instant::now());
            }
            sender.send(event);
        }
        next = due;
        std::thread::sleep(Duration::from_micros(500));
    }
    let took = began.elapsed();
    sender.finish();
    count as f64 / took.as_secs_f64()
}

struct Reader(BaseConsumer);

impl Reader {
    fn new(stage: &Stage, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", stage.broker.address())
            .set("group.id", "bench-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "5")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition as i32, Offset::End).unwrap();
        }
        consumer.assign(&list).unwrap();
        // The first poll asks for the ends; what is sent afterwards lies behind them.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            drop(consumer.poll(Duration::from_millis(50)));
        }
        Self(consumer)
    }

    fn run(self, sent: &Sent, done: &AtomicBool) -> Vec<Duration> {
        let mut latencies = Vec::new();
        let mut last = String::new();
        while !done.load(Ordering::Relaxed) {
            let Some(Ok(record)) = self.0.poll(Duration::from_millis(20)) else { continue };
            let key = std::str::from_utf8(record.key().unwrap_or_default()).unwrap();
            let id = key.split('|').next().unwrap_or_default();
            if id != last {
                id.clone_into(&mut last);
                latencies.extend(sent.lock().unwrap().remove(id).map(|at| at.elapsed()));
            }
        }
        latencies
    }
}
