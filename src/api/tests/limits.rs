//! Room and time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;

use super::{Bench, answer, request};
use crate::access::token::Token;
use crate::access::{Identity, Role};
use crate::api::limits::READS;
use crate::api::{Code, Limits, Rate, Rates};

#[tokio::test]
async fn beyond_the_room_there_is_is_shed_and_probes_are_not() {
    let bench = Bench::with(Limits { concurrency: 0, ..Limits::default() }, true);
    let got = bench.get(Role::Analyst, "/v1/users/ann/journey").await;
    assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded));
    assert_eq!(got.header("retry-after"), "1");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(bench.get(Role::Viewer, path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn room_is_given_back() {
    let bench = Bench::with(Limits { concurrency: 1, ..Limits::default() }, true);
    for _ in 0..3 {
        assert_eq!(bench.get(Role::Analyst, "/v1/users/ann/journey").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let bench = Bench::with(Limits { request: Duration::from_millis(40), ..Limits::default() }, true);
    *bench.log.delay.lock().unwrap() = Duration::from_millis(400);
    let event = r#"{"event_id":"e1","user_id":"ann","occurred_at":1767225600000}"#;
    let got = bench.post("/v1/touchpoints", "application/json", event).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::Timeout));
}

fn rates(rates: Rates) -> Bench {
    Bench::with(Limits { rates, ..Limits::default() }, true)
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up() {
    let bench = rates(Rates { key: Rate::per_second(1, 3), all: Rate::per_second(1, 4), ..Rates::default() });
    let key = bench.key(Role::Analyst);
    let ask = || request("GET", "/v1/users/ann/journey", Some(&key)).body(Body::empty()).unwrap();
    for left in ["\"key\";r=2;t=1", "\"key\";r=1;t=2", "\"key\";r=0;t=3"] {
        let got = bench.send(ask()).await;
        assert_eq!((got.status, got.header("ratelimit")), (StatusCode::NOT_FOUND, left));
        assert_eq!(got.header("ratelimit-policy"), "\"key\";q=3;w=3");
    }
    let got = bench.send(ask()).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::TOO_MANY_REQUESTS, Code::RateLimited));
    assert_eq!((got.header("retry-after"), got.header("ratelimit")), ("1", "\"key\";r=0;t=1"));
    // What is refused takes no turn of everybody's.
    assert_eq!(bench.get(Role::Analyst, "/v1/users/ann/journey").await.status, StatusCode::NOT_FOUND, "another key");
}

#[tokio::test]
async fn everybody_together_has_a_limit_that_probes_do_not_count_against() {
    let bench = rates(Rates { all: Rate::per_second(1, 2), ..Rates::default() });
    for status in [StatusCode::NOT_FOUND, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(bench.get(Role::Analyst, "/v1/users/ann/journey").await.status, status);
        assert_eq!(bench.get(Role::Analyst, "/livez").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn bad_keys_of_one_address_are_turned_away_and_good_ones_are_not() {
    let bench = rates(Rates { bad_keys: Rate::per_minute(2), ..Rates::default() });
    let good = bench.key(Role::Analyst);
    let from = |address: [u8; 4], key: &str| {
        let mut ask = request("GET", "/v1/users/ann/journey", Some(key)).body(Body::empty()).unwrap();
        ask.extensions_mut().insert(ConnectInfo(SocketAddr::from((address, 1))));
        ask
    };
    let (here, there) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    for status in [StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(bench.send(from(here, "trb_live_x")).await.status, status);
    }
    assert_eq!(bench.send(from(there, "trb_live_x")).await.status, StatusCode::UNAUTHORIZED, "another address");
    assert_eq!(bench.send(from(here, &good)).await.status, StatusCode::NOT_FOUND, "a good key");
}

#[tokio::test]
async fn what_is_not_there_costs_a_turn() {
    let bench = rates(Rates { bad_keys: Rate::per_minute(3), key: Rate::per_minute(2), ..Rates::default() });
    let good = bench.key(Role::Analyst);
    let ask = async |method: &str, path: &str, last: u8, key: Option<&str>| {
        let mut ask = request(method, path, key).body(Body::empty()).unwrap();
        ask.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, last], 1))));
        bench.send(ask).await
    };
    assert_eq!(ask("GET", "/v2/nowhere", 1, None).await.problem().code, Code::RouteNotFound);
    assert_eq!(ask("DELETE", "/v1/keys", 1, Some("trb_live_x")).await.problem().code, Code::MethodNotAllowed);
    let probe = ask("POST", "/livez", 1, None).await;
    assert_eq!((probe.problem().code, probe.header("allow")), (Code::MethodNotAllowed, "GET,HEAD"));
    for (method, path) in
        [("GET", "/v2/nowhere"), ("PUT", "/v1/keys"), ("POST", "/livez"), ("GET", "/v1/users/ann/journey")]
    {
        let refused = ask(method, path, 1, None).await;
        assert_eq!((refused.status, refused.problem().code), (StatusCode::TOO_MANY_REQUESTS, Code::RateLimited));
        assert_eq!(refused.header("retry-after"), "20", "{method} {path}");
    }
    assert_eq!(ask("GET", "/livez", 1, None).await.status, StatusCode::OK, "a probe");
    assert_eq!(ask("GET", "/v2/nowhere", 2, None).await.status, StatusCode::NOT_FOUND, "another address");
    for status in [StatusCode::NOT_FOUND, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(ask("GET", "/v2/nowhere", 1, Some(&good)).await.status, status, "a good key has turns of its own");
    }
    assert_eq!(ask("GET", "/v2/nowhere", 1, Some(&good)).await.header("ratelimit"), "\"key\";r=0;t=30");
    let shut = bench.key(Role::Analyst);
    bench.admin.revoke(Token::parse(&shut).unwrap().id).unwrap();
    for status in [StatusCode::NOT_FOUND; 3].into_iter().chain([StatusCode::TOO_MANY_REQUESTS]) {
        assert_eq!(ask("GET", "/v2/nowhere", 3, Some(&shut)).await.status, status, "as a stranger's");
    }
    let shown = ask("GET", "/v1/users/ann/journey", 3, Some(&shut)).await.status;
    assert_eq!(shown, StatusCode::UNAUTHORIZED, "what leaves no entry has spent none of the turns that do");
    assert_eq!(bench.audited.told().len(), 1, "of all this");
}

#[tokio::test]
async fn limits_are_replaced_while_the_service_runs() {
    let bench = rates(Rates { key: Rate::per_second(1, 1), ..Rates::default() });
    let (key, router) = (bench.key(Role::Analyst), bench.router());
    let ask = async || {
        let ask = request("GET", "/v1/users/ann/journey", Some(&key)).body(Body::empty()).unwrap();
        answer(router.clone(), ask).await.status
    };
    assert_eq!([ask().await, ask().await], [StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS]);
    bench.state.limit(Limits { concurrency: 7, ..bench.state.bounds().limits });
    assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS, "the same rates, the same buckets");
    let slower = Rates { key: Rate::per_minute(1), ..Rates::default() };
    bench.state.limit(Limits { rates: slower, ..Limits::default() });
    assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS, "what was spent is spent");
    bench.state.limit(Limits::default());
    ask().await; // takes the new rate; whether a turn has come back already is a matter of milliseconds
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask().await, StatusCode::NOT_FOUND, "and comes back sooner");
}

#[tokio::test]
async fn slow_reads_of_one_key_leave_places_for_those_of_others() {
    let bench = Bench::open();
    let who = |id: &str| Identity { key_id: id.into(), role: Role::Viewer, rate: None };
    let [greedy, other] = ["greedy", "other"].map(who);
    let throttle = bench.state.bounds().throttle.clone();
    let seats = [&greedy, &other].map(|who| throttle.key(&who.key_id, None, 99).unwrap());
    let far = Instant::now() + Duration::from_secs(600);
    let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for _ in 0..40 {
        let (state, who, running, done) =
            (bench.state.clone(), greedy.clone(), Arc::clone(&running), Arc::clone(&done));
        tokio::spawn(async move {
            let read = move |_: &_| {
                running.fetch_add(1, Ordering::SeqCst);
                while !done.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            };
            state.read(&who, far, read).await
        });
    }
    while running.load(Ordering::SeqCst) < READS / 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answered = tokio::time::timeout(Duration::from_secs(10), bench.state.read(&other, far, |_| Ok(7))).await;
    let ran = running.load(Ordering::SeqCst);
    done.store(true, Ordering::SeqCst);
    assert_eq!((answered.unwrap().unwrap(), ran), (7, READS / 2));
    drop(seats);
}

#[tokio::test]
async fn a_head_beyond_any_honest_one_is_refused() {
    let bench = Bench::open();
    let long = format!("/v1/users/{}/journey", "a".repeat(9_000));
    let got = bench.get(Role::Analyst, &long).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::URI_TOO_LONG, Code::UriTooLong));
    let many = (0..70).fold(request("GET", "/livez", None), |ask, n| ask.header(format!("x-{n}"), "1"));
    let large = request("GET", "/livez", None).header("x-large", "a".repeat(17_000));
    for ask in [many, large] {
        let got = bench.send(ask.body(Body::empty()).unwrap()).await;
        let wanted = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Code::HeadTooLarge);
        assert_eq!((got.status, got.problem().code), wanted);
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name_alone() {
    let bench = Bench::for_pages_of(&["https://dashboard.example"]);
    let ask = |method: &str, origin: &str| {
        let ask = request(method, "/v1/reports/channels", None).header("origin", origin);
        ask.header("access-control-request-method", "GET").body(Body::empty()).unwrap()
    };
    let own = bench.send(ask("OPTIONS", "https://dashboard.example")).await;
    assert_eq!((own.status, own.header("access-control-allow-origin")), (StatusCode::OK, "https://dashboard.example"));
    assert_eq!(own.header("access-control-allow-credentials"), "");
    let answered = bench.send(ask("GET", "https://dashboard.example")).await;
    assert_eq!(answered.header("access-control-allow-origin"), "https://dashboard.example");
    for method in ["OPTIONS", "GET"] {
        let strange = bench.send(ask(method, "https://evil.example")).await;
        assert_eq!(strange.header("access-control-allow-origin"), "", "{method}");
    }
}
