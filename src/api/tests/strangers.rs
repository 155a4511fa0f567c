//! Floods of strangers on real sockets: those with a key do not notice.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::sockets::{close, exchange, exchange_on, listen, occupy, start_on};
use super::{Bench, request};
use crate::access::control::memory::MemoryControl;
use crate::access::token::{Fresh, Token};
use crate::access::{NewKey, Role};
use crate::api::{Limits, Listen, Rate, Rates};

fn journey(authorization: &str) -> String {
    format!("GET /v1/users/ann/journey HTTP/1.1\r\nhost: x\r\n{authorization}\r\n")
}

/// Strangers of every kind: no key, none at all, and one that could be.
fn strange() -> [String; 3] {
    let unknown = Fresh::draw().unwrap();
    ["", "authorization: Bearer x\r\n", &format!("authorization: Bearer {}\r\n", unknown.text())].map(journey)
}

/// Asks without end, on connections of their own, until it is dropped.
fn flood(address: SocketAddr) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for request in strange().into_iter().cycle().take(9) {
        flood.spawn(async move {
            loop {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut answer = [0; 1 << 12];
                while stream.write_all(request.as_bytes()).await.is_ok() && stream.read(&mut answer).await.is_ok() {}
            }
        });
    }
    flood
}

/// Asks with a key, again and again while strangers do: each time the answer is there, and at once.
async fn unharmed(address: SocketAddr, key: &str, times: usize) {
    let request = journey(&format!("authorization: Bearer {key}\r\nconnection: close\r\n"));
    for _ in 0..times {
        let began = Instant::now();
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether strangers are told to come back: any one of them may find a turn that has just become free.
async fn is_refused_in_the_flood(address: SocketAddr) -> bool {
    for _ in 0..50 {
        let late = exchange(address, &journey("connection: close\r\n")).await;
        if late.starts_with("HTTP/1.1 429") && late.contains("\r\nretry-after: 1\r\n") {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_takes_nothing_from_those_with_a_key() {
    let all = Rate::per_second(1, 20);
    let rates =
        Rates { all, strangers: Rate::per_second(50, 50), bad_keys: Rate::per_minute(1_000), ..Rates::default() };
    let bench = Bench::with(Limits { concurrency: 1, rates, ..Limits::default() }, true);
    let (serving, stop) = start_on(&bench, &listen());
    let (address, key) = (serving.address(), bench.key(Role::Analyst));
    let flood = flood(address);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_refused_in_the_flood(address).await, "there is a flood");
    unharmed(address, &key, 20).await;
    drop(flood);
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_audit_log_is_away_strangers_wait_for_nothing_and_take_no_room_that_a_key_needs() {
    let many = Rate::per_second(1_000_000, 1_000_000);
    let rates = Rates { strangers: many, bad_keys: many, ..Rates::default() };
    let bench = Bench::with(Limits { concurrency: 1, rates, ..Limits::default() }, true);
    let (serving, stop) = start_on(&bench, &listen());
    let (address, key) = (serving.address(), bench.key(Role::Analyst));
    let revoked = bench.key(Role::Analyst);
    let id = Token::parse(&revoked).unwrap().id;
    bench.admin.revoke(id).unwrap();
    bench.audited.away(true);
    let flood = flood(address);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let refused = exchange(address, &journey("connection: close\r\n")).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"audit_unavailable\""), "no room: {refused}");
    assert!(began.elapsed() < Duration::from_millis(150), "and no wait for it: {:?}", began.elapsed());
    let shows = journey(&format!("authorization: Bearer {revoked}\r\nconnection: close\r\n"));
    let shown = exchange(address, &shows).await;
    assert!(shown.starts_with("HTTP/1.1 401"), "there is room for a key that leaked: {shown}");
    unharmed(address, &key, 20).await;
    drop(flood);
    bench.audited.away(false);
    stop.cancel();
    serving.ended().await.unwrap();
    let told = bench.audited.told();
    let denied = told.iter().filter(|entry| entry.starts_with("anonymous")).count();
    assert!(denied >= 256, "what was answered is kept: {denied}");
    assert!(told.iter().any(|entry| entry.starts_with(&format!("key:{id} authenticate"))), "and that a key leaked");
}

#[tokio::test]
async fn no_flood_of_strangers_hides_a_key_that_was_good_once_or_is_elsewhere() {
    let rates = Rates { strangers: Rate::per_minute(1), bad_keys: Rate::per_minute(2), ..Rates::default() };
    let bench = Bench::with(Limits { rates, ..Limits::default() }, true);
    let ask = async |key: Option<&str>| {
        let mut ask = request("GET", "/v1/users/ann/journey", key).body(Body::empty()).unwrap();
        ask.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1))));
        bench.send(ask).await.status.as_u16()
    };
    let make = |new: NewKey| bench.admin.create(new, 0).unwrap();
    let expired = make(NewKey { expires_at: Some(1), ..NewKey::of(Role::Analyst) });
    let elsewhere = make(NewKey { networks: vec!["10.0.0.0/8".parse().unwrap()], ..NewKey::of(Role::Analyst) });
    let revoked = make(NewKey::of(Role::Analyst));
    bench.admin.revoke(&revoked.id).unwrap();
    let unknown = Fresh::draw().unwrap();
    assert_eq!([ask(None).await, ask(None).await, ask(Some(unknown.text())).await], [401, 429, 429]);
    let shut = [(expired, "expired key"), (elsewhere, "key used from outside its networks"), (revoked, "revoked key")];
    for (made, why) in &shut {
        let key = Some(made.key.as_str());
        assert_eq!([ask(key).await, ask(key).await, ask(key).await], [401, 401, 429], "{why}");
    }
    let told = bench.audited.entries();
    for (made, why) in &shut {
        let of = told.iter().filter(|entry| entry["actor"] == format!("key:{}", made.id) && entry["reason"] == *why);
        assert_eq!(of.count(), 2, "{why}: {told:?}");
    }
    assert_eq!(told.len(), 7, "and of strangers one");
}

/// Who knows a key's id and not its secret is a stranger, who can neither use its turns up nor speak in its name.
#[tokio::test]
async fn an_id_with_a_wrong_secret_is_a_strangers() {
    let control = Arc::new(MemoryControl::default());
    let rates = Rates { strangers: Rate::per_minute(1), ..Rates::default() };
    let bench = Bench::over(Limits { rates, ..Limits::default() }, true, control.clone());
    bench.key(Role::Analyst);
    let forged = Fresh::draw().unwrap();
    let mut record = control.0.lock().unwrap()[0].clone();
    record.key = format!("key/{}", forged.id()).into_bytes(); // an id of which another's secret is right
    bench.state.keys.apply(&record);
    let ask = || request("GET", "/v1/users/ann/journey", Some(forged.text())).body(Body::empty()).unwrap();
    assert_eq!([bench.send(ask()).await.status.as_u16(), bench.send(ask()).await.status.as_u16()], [401, 429]);
    let told = bench.audited.entries();
    let reason = format!("wrong secret: key {}", forged.id());
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["actor"], &told[0]["reason"]), (&"anonymous".into(), &reason.as_str().into()));
}

/// A connection from another address of this machine.
async fn from_elsewhere(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_one_address_shut_no_other_out() {
    let bench = Bench::open();
    let most = Listen { connections: 9, connections_per_address: 4, header: Duration::from_secs(30), ..listen() };
    let (serving, stop) = start_on(&bench, &most);
    let address = serving.address();
    let mut held = occupy(address, 4).await;
    assert_eq!(exchange(address, &close("/livez")).await, "", "one too many");
    let counted = exchange_on(from_elsewhere(address).await, &close("/metrics")).await;
    assert!(counted.contains("\ntributary_connections_refused_total 1\n"), "{counted}");
    held.extend(occupy(address, 20).await);
    let other = exchange_on(from_elsewhere(address).await, &close("/livez")).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let again = exchange(address, &close("/livez")).await;
    assert!(again.starts_with("HTTP/1.1 200"), "places are given back: {again}");
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_all_connections_are_its_own_but_for_those_of_administration() {
    let bench = Bench::behind(1);
    let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let most =
        Listen { connections: 9, connections_per_address: 2, header: Duration::from_secs(30), admin, ..listen() };
    let (serving, stop) = start_on(&bench, &most);
    let _held = [occupy(serving.address(), 5).await, occupy(serving.admin_address(), 2).await];
    let public = exchange(serving.address(), &close("/livez")).await;
    assert!(public.starts_with("HTTP/1.1 200"), "{public}");
    assert_eq!(exchange(serving.admin_address(), &close("/livez")).await, "");
    stop.cancel();
    serving.ended().await.unwrap();
}

/// As many bodies that never end as there are places, all of one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_asks_slowly_leaves_places_to_others() {
    let bench = Bench::with(Limits { concurrency: 8, ..Limits::default() }, true);
    let (serving, stop) = start_on(&bench, &listen());
    let (address, slow, other) = (serving.address(), bench.key(Role::Ingestor), bench.key(Role::Analyst));
    let head = format!(
        "POST /v1/touchpoints HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {slow}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let beyond = exchange(address, &head.replace("host: x", "host: x\r\nconnection: close")).await;
    assert!(beyond.starts_with("HTTP/1.1 429"), "{beyond}");
    unharmed(address, &other, 5).await;
    drop(held);
    stop.cancel();
    serving.ended().await.unwrap();
}
