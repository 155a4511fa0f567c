//! A TCP proxy before a broker, whose connections can be cut and held up: what a network does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// A proxy on a port of its own. It ends with the process.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    target: OnceLock<String>,
    held: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens, and refuses until it knows its target.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::<Line>::default();
        let shared = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                shared.connect(client);
            }
        });
        Self { address, line }
    }

    /// `host:port` of the proxy.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where to pass connections on to.
    pub fn pass_on_to(&self, target: &str) {
        self.line.target.set(target.to_owned()).unwrap();
    }

    /// Breaks every connection that there is.
    pub fn cut(&self) {
        for stream in self.line.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Passes nothing on for a while.
    pub fn hold(&self, time: Duration) {
        self.line.held.store(true, Ordering::Relaxed);
        thread::sleep(time);
        self.line.held.store(false, Ordering::Relaxed);
    }
}

impl Line {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Some(server) = self.target.get().and_then(|target| TcpStream::connect(target).ok()) else {
            return;
        };
        for stream in [&client, &server] {
            drop(stream.set_nodelay(true));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (Ok(from), Ok(to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone()) else {
                return;
            };
            open.push(kept);
            let line = Arc::clone(self);
            thread::spawn(move || line.pass(from, to));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.held.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }
}
