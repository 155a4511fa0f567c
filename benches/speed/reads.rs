//! Reads through the sidecar: how many it answers in a second, and how long one takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::load::{USERS, now, user_id};

/// Connections that ask, each one question after the other.
const CONNECTIONS: u64 = 16;
/// Of so many questions one is for a report; the others are for journeys.
const REPORTS: u64 = 10;

/// Ends the reading when it is dropped, also where the work beside it panics.
pub struct Done<'d>(pub &'d AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks until it is told to stop; prints what that gave.
pub fn measure(port: u16, key: &str, beside: &str, done: &AtomicBool) {
    let began = Instant::now();
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let ask = |seed| move || Connection::new(port, key).ask(&mut Dice::new(seed, 4), done);
        let threads: Vec<_> = (0..CONNECTIONS).map(|seed| scope.spawn(ask(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took[(took.len().saturating_sub(1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "reads beside {beside}: {rate:.0}/s, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        at(0.5),
        at(0.95),
        at(0.99)
    );
}

/// A connection that stays open.
struct Connection {
    stream: BufReader<TcpStream>,
    key: String,
}

impl Connection {
    fn new(port: u16, key: &str) -> Self {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream: BufReader::new(stream), key: key.to_owned() }
    }

    fn ask(mut self, dice: &mut Dice, done: &AtomicBool) -> Vec<Duration> {
        const DAY_MS: i64 = 86_400_000;
        let today = now() / DAY_MS * DAY_MS;
        let report = format!("/v1/reports/channels?model=linear&from={}&to={}", today - DAY_MS, today + DAY_MS);
        let mut took = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let path = match dice.below(REPORTS) {
                0 => report.clone(),
                _ => format!("/v1/users/{}/journey?limit=50", user_id(dice.below(USERS))),
            };
            let began = Instant::now();
            let status = self.get(&path);
            assert!(status == 200 || status == 404, "{path}: {status}");
            took.push(began.elapsed());
        }
        took
    }

    fn get(&mut self, path: &str) -> u16 {
        let key = &self.key;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        status
    }
}
