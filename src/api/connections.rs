//! Connections: so many at one time, so many of one address, and none held by who does not read what it asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

use super::limits::network;
use crate::telemetry::{Metrics, events};

/// Takes connections while there is room, and gives up those that take nothing for too long. One too many is closed at once:
/// before its first byte is read, there is nothing to answer.
#[derive(Clone)]
pub(super) struct Door {
    room: Arc<Semaphore>,
    addresses: Addresses,
    patience: Duration,
    metrics: Arc<Metrics>,
}

impl Door {
    /// Room for so many connections, and so many of one address; one that takes nothing of its answer for `patience` is given
    /// up.
    pub(super) fn new(room: usize, of_one_address: usize, patience: Duration, metrics: Arc<Metrics>) -> Self {
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        Self { room, addresses: Addresses::new(of_one_address), patience, metrics }
    }

    /// Where what is refused is counted.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// A place for a connection from there, or which setting allows no more.
    fn place(&self, from: IpAddr) -> Result<Place, &'static str> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| "sidecar.connections")?;
        let of_address = self.addresses.take(from).ok_or("sidecar.connections_per_address")?;
        Ok(Place { _of_address: of_address, _room: room })
    }

    fn take(&self, stream: TcpStream) -> io::Result<Connection> {
        let from = stream.peer_addr()?.ip();
        let place = self.place(from).map_err(|limit| {
            events::ConnectionRefused { from, limit }.emit(&self.metrics);
            io::Error::other(TooMany)
        })?;
        stream.set_nodelay(true)?;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience));
        Ok(Connection { stream: Box::pin(stream), _place: place })
    }
}

/// A connection was closed for want of a place, and that was told.
#[derive(Debug, thiserror::Error)]
#[error("too many connections")]
pub(super) struct TooMany;

/// A connection's place among all, and among those of its address.
struct Place {
    _of_address: Taken,
    _room: OwnedSemaphorePermit,
}

/// How many connections each address has. Only those that have any are in it, so it never holds more than there are
/// connections, however many addresses come by.
#[derive(Clone)]
struct Addresses {
    most: usize,
    open: Arc<Mutex<HashMap<u128, usize>>>,
}

impl Addresses {
    fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u128, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection more from there, unless it has as many as it may.
    fn take(&self, from: IpAddr) -> Option<Taken> {
        let of = network(from);
        match self.open().entry(of) {
            Entry::Occupied(known) if *known.get() >= self.most => return None,
            Entry::Occupied(mut known) => *known.get_mut() += 1,
            Entry::Vacant(new) => {
                new.insert(1);
            }
        }
        Some(Taken { addresses: self.clone(), of })
    }
}

/// Counted as a connection of that address until it is dropped.
struct Taken {
    addresses: Addresses,
    of: u128,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Entry::Occupied(mut known) = self.addresses.open().entry(self.of) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Connection;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        std::future::ready(self.take(stream).map(|connection| (connection, service)))
    }
}

/// A connection, which keeps its place until it ends.
pub(super) struct Connection {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    _place: Place,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(room: usize, of_one_address: usize) -> Door {
        Door::new(room, of_one_address, Duration::ZERO, Arc::new(Metrics::new().unwrap()))
    }

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let door = door(10, 2);
        let from = |text: &str| door.place(text.parse().unwrap());
        let held = [from("192.0.2.1"), from("::ffff:192.0.2.1")];
        assert!(held.iter().all(Result::is_ok));
        assert!(from("192.0.2.1").is_err(), "however the socket writes it");
        assert!(from("192.0.2.2").is_ok());
        drop(held);
        assert!(from("192.0.2.1").is_ok());
        let network = [from("2001:db8::1"), from("2001:db8::2")];
        assert!(from("2001:db8::3").is_err() && from("2001:db8:0:1::1").is_ok(), "who has one has 2^64");
        drop(network);
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_there_are_connections() {
        let door = door(100, 2);
        let mut held = std::collections::VecDeque::new();
        for n in 0..1_000_000_u32 {
            held.extend(door.place(IpAddr::from(n.to_be_bytes())));
            if held.len() == 100 {
                assert!(door.place(IpAddr::from([255; 4])).is_err(), "beyond all of them");
                held.drain(..50);
            }
        }
        assert!(door.addresses.open().capacity() < 1_000, "{}", door.addresses.open().capacity());
        held.clear();
        assert!(door.addresses.open().is_empty());
    }
}
