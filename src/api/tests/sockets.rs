//! Real sockets: callers who are slow, or send too much, or are still there when the process stops.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Bench;
use crate::access::{NewKey, Role};
use crate::api::{Limits, Listen, Serving, serve};

pub(super) fn listen() -> Listen {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (header, write) = (Duration::from_millis(300), Duration::from_millis(600));
    Listen { header, write, drain: Duration::from_secs(2), ..Listen::on(any) }
}

pub(super) fn start_on(bench: &Bench, listen: &Listen) -> (Serving, CancellationToken) {
    let stop = CancellationToken::new();
    let serving = serve(listen, &bench.state, &stop).unwrap();
    serving.open(&bench.state);
    (serving, stop)
}

fn start(bench: &Bench) -> (Serving, CancellationToken) {
    start_on(bench, &listen())
}

/// Sends bytes and reads until the other side closes or nothing comes for long.
pub(super) async fn exchange(address: SocketAddr, sent: &str) -> String {
    exchange_on(TcpStream::connect(address).await.unwrap(), sent).await
}

/// The same on a connection that is there. One that is closed meanwhile answers nothing.
pub(super) async fn exchange_on(mut stream: TcpStream, sent: &str) -> String {
    drop(stream.write_all(sent.as_bytes()).await);
    let mut got = Vec::new();
    drop(tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut got)).await.unwrap());
    String::from_utf8_lossy(&got).into_owned()
}

pub(super) fn close(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

fn limits() -> Limits {
    Limits { request: Duration::from_millis(600), body_bytes: 1_000, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_cut_off_and_stops_nobody() {
    let bench = Bench::with(limits(), true);
    let (serving, stop) = start(&bench);
    let address = serving.address();
    let began = Instant::now();
    let slow = tokio::spawn(async move { exchange(address, "GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await });
    let other = exchange(address, &close("/livez")).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    assert!(!slow.await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_endless_bodies_are_refused() {
    let bench = Bench::with(limits(), true);
    let (serving, stop) = start(&bench);
    let key = bench.key(Role::Ingestor);
    let head = |length: &str| {
        format!(
            "POST /v1/touchpoints HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\nconnection: close\r\n{length}\r\n\r\n"
        )
    };
    let slow = exchange(serving.address(), &format!("{}{{", head("content-length: 500"))).await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("\"slow_body\""), "{slow}");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let endless = format!("{}{chunk}{chunk}", head("transfer-encoding: chunked"));
    let endless = exchange(serving.address(), &endless).await;
    assert!(endless.starts_with("HTTP/1.1 413") && endless.contains("\"body_too_large\""), "{endless}");
    let two = head("content-length: 5\r\ntransfer-encoding: chunked");
    let two = exchange(serving.address(), &format!("{two}0\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    assert!(!two.contains("200 OK"), "no request is smuggled: {two}");
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_answered_before_the_end() {
    let bench = Bench::with(Limits { request: Duration::from_secs(5), ..limits() }, true);
    *bench.log.delay.lock().unwrap() = Duration::from_millis(400);
    let (serving, stop) = start(&bench);
    let (address, key) = (serving.address(), bench.key(Role::Ingestor));
    let event = r#"{"event_id":"e1","user_id":"ann","occurred_at":1767225600000}"#;
    let request = format!(
        "POST /v1/touchpoints HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{event}",
        event.len()
    );
    let under_way = tokio::spawn(async move { exchange(address, &request).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    stop.cancel();
    let answer = under_way.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    serving.ended().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any longer");
}

#[tokio::test]
async fn a_key_is_held_against_the_other_end_of_the_connection() {
    let bench = Bench::open();
    let (serving, stop) = start(&bench);
    for (network, status) in [("127.0.0.0/8", 200), ("10.0.0.0/8", 401), ("::/0", 401)] {
        let networks = vec![network.parse().unwrap()];
        let made = bench.admin.create(NewKey { networks, ..NewKey::of(Role::Operator) }, 0).unwrap();
        let (key, forged) = (made.key, "x-forwarded-for: 10.0.0.1\r\nforwarded: for=10.0.0.1\r\n");
        let head = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{forged}");
        let answer = exchange(serving.address(), &format!("{head}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{network}: {answer}");
    }
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test]
async fn until_it_is_opened_only_probes_answer() {
    let bench = Bench::open();
    let stop = CancellationToken::new();
    let serving = serve(&listen(), &bench.state, &stop).unwrap();
    let (address, journey) = (serving.address(), "/v1/users/ann/journey");
    for path in ["/livez", "/metrics"] {
        let answer = exchange(address, &close(path)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = exchange(address, &close(journey)).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (head, body) = (answer.to_lowercase(), "\"code\":\"starting\"");
    assert!(answer.contains(body) && head.contains("retry-after: 1") && head.contains("problem+json"), "{answer}");
    assert!(exchange(address, &close("/nothing")).await.starts_with("HTTP/1.1 404"));
    serving.open(&bench.state);
    let answer = exchange(address, &close(journey)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_names_the_setting() {
    let bench = Bench::open();
    let (serving, stop) = start(&bench);
    let error = serve(&Listen::on(serving.address()), &bench.state, &stop).unwrap_err().to_string();
    assert!(error.starts_with("sidecar.listen: "), "{error}");
    stop.cancel();
    serving.ended().await.unwrap();
}

/// Opens connections that say a part of a head, so many that there is room for no more.
pub(super) async fn occupy(address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_closed_and_those_that_say_nothing_make_room() {
    let bench = Bench::open();
    let (serving, stop) = start_on(&bench, &Listen { connections: 8, ..listen() });
    let address = serving.address();
    let held = occupy(address, 8).await;
    assert_eq!(exchange(address, &close("/livez")).await, "", "there was no room");
    tokio::time::sleep(listen().header + Duration::from_millis(300)).await;
    let answer = exchange(address, &close("/livez")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "their time is over: {answer}");
    drop(held);
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_does_not_read_is_given_up_and_stops_nobody() {
    let bench = Bench::open();
    let (serving, stop) = start_on(&bench, &Listen { connections: 2, header: Duration::from_secs(30), ..listen() });
    let address = serving.address();
    let mut slow = TcpStream::connect(address).await.unwrap();
    // Questions by the thousand, until their answers fill every buffer on the way and nothing moves.
    let question = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let asked = async { while slow.write_all(question.as_bytes()).await.is_ok() {} };
    let gone = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert!(gone.is_ok(), "a connection that takes nothing is still held");
    let answer = exchange(address, &close("/livez")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test]
async fn metrics_answer_on_their_own_address_and_then_only_there() {
    let bench = Bench::open();
    let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (serving, stop) = start_on(&bench, &Listen { admin, ..listen() });
    let (public, admin) = (serving.address(), serving.admin_address());
    assert_ne!(public, admin);
    for (address, path, status) in [
        (public, "/livez", "200"),
        (public, "/metrics", "404"),
        (public, "/v1/users/ann/journey", "401"),
        (admin, "/livez", "200"),
        (admin, "/metrics", "200"),
        (admin, "/v1/users/ann/journey", "404"),
    ] {
        let answer = exchange(address, &close(path)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{address} {path}: {answer}");
    }
    stop.cancel();
    serving.ended().await.unwrap();
}
