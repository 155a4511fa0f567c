//! Administration of a running instance: a Unix socket in its data folder, one JSON object a line each way.
//!
//! Whoever owns the folder may ask: the socket is made 0600, and each caller's user is compared with the socket's owner
//! (or root), because a mode is set only after a socket exists.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Acting, Admin, Created, Error, Listed, NewKey, Rotation, now_ms};
use crate::audit::{self, Action, Audit, Caller, Draft};
use crate::core::Millis;

const FILE: &str = "tributary.sock";
/// Longest request.
const MAX_LINE: u64 = 4096;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a caller waits for the answer: longer than any change waits for the audit log, which is half of
/// `limits.request_timeout` (five minutes at most), or a key could be made whose secret nobody hears.
const ANSWER: Duration = Duration::from_secs(180);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Make a key.
    Create(NewKey),
    /// List all keys.
    List,
    /// Make a successor of a key.
    Rotate {
        /// The key's id.
        id: String,
        /// How.
        rotation: Rotation,
    },
    /// Revoke a key.
    Revoke {
        /// Its id.
        id: String,
    },
    /// Send the rows as they come, a line each, until the caller goes away.
    Tail {
        /// Whether to begin with the oldest rows that are still there.
        beginning: bool,
    },
    /// Send the entries of the audit log, a line each.
    Audit {
        /// Whether those to come too, until the caller goes away.
        #[serde(default)]
        follow: bool,
    },
}

/// What a running instance answers from.
#[derive(Clone)]
pub struct Backend {
    /// Administration of keys.
    pub admin: Admin,
    /// Where it is told who changed what.
    pub audit: Audit,
    /// The embedded log's output, where that is the log.
    pub rows: Option<Arc<dyn Rows>>,
    /// The embedded log's audit topic, where that is the log.
    pub entries: Option<Arc<dyn Rows>>,
}

/// The rows of the embedded log, as the socket sends them.
pub trait Rows: Send + Sync {
    /// Where reading begins: one position a partition, and what else belongs to it.
    fn start(&self, beginning: bool, follow: bool) -> Vec<i64>;

    /// Appends the rows from `next` on, a line of JSON each, and moves `next`; waits a moment where there are none.
    fn read(&self, next: &mut [i64], lines: &mut Vec<u8>) -> Result<(), Error>;
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The key that was made.
    Created(Created),
    /// The successor that was made, and from when on the old key opens nothing.
    Rotated(Created, Option<Millis>),
    /// All keys.
    Keys(Vec<Listed>),
    /// It is revoked.
    Revoked(String),
    /// It was refused, and why.
    Error(String),
}

/// The socket of a data folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Whether an instance runs on the folder.
pub fn answers(folder: &Path) -> bool {
    StdStream::connect(path(folder)).is_ok()
}

/// A bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Server {
    /// Binds the socket of `folder`, taking the place of one that a crashed instance left. Needs a tokio runtime.
    pub fn bind(folder: &Path) -> Result<Self, Error> {
        let path = path(folder);
        if answers(folder) {
            return Err(Error::Taken(path.display().to_string()));
        }
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(&path, e)),
            _ => {}
        }
        let bind = || {
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok((listener, fs::metadata(&path)?.uid()))
        };
        let (listener, owner) = bind().map_err(|e| Error::file(&path, e))?;
        Ok(Self { listener, path, owner })
    }

    /// Answers until `stop` is cancelled, and then what was asked before: a change that has begun is told to its caller.
    pub async fn serve(self, backend: Backend, stop: CancellationToken) {
        let callers = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await; // out of file handles, say
                continue;
            };
            let peer = stream.peer_cred().map(|peer| peer.uid()).ok();
            let Some(uid) = peer.filter(|uid| *uid == self.owner || *uid == 0) else {
                tracing::warn!("a process of another user was refused at the administration socket");
                refused(&backend.audit, peer);
                continue;
            };
            let (backend, stop) = (backend.clone(), stop.clone());
            callers.spawn(async move {
                if serve_one(stream, backend, uid, &stop).await.is_err() {
                    tracing::debug!("a caller of the administration socket went away");
                }
            });
        }
        callers.close();
        callers.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the administration socket was gone already");
        }
    }
}

/// Tells of a user who may not ask. The socket waits for nobody, so this goes on by itself.
fn refused(audit: &Audit, peer: Option<u32>) {
    let caller = peer.map_or_else(Caller::anonymous, Caller::local);
    let draft = Draft::new(caller, Action::Authenticate, "administration socket", audit::Outcome::Denied);
    let audit = audit.clone();
    tokio::spawn(async move { drop(audit.decision(draft.because("another user's process")).await) });
}

async fn serve_one(stream: UnixStream, backend: Backend, uid: u32, stop: &CancellationToken) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(read.take(MAX_LINE));
    let asked = tokio::time::timeout(PATIENCE, reader.read_line(&mut line));
    let Some(asked) = stop.run_until_cancelled(asked).await else { return Ok(()) };
    asked??;
    let reply = match serde_json::from_str::<Request>(&line) {
        Err(error) => Reply::Error(format!("not understood: {error}")),
        Ok(Request::Tail { beginning }) => match backend.rows {
            Some(rows) => return until(stop, send(rows, beginning, true, reader, write)).await,
            None => Reply::Error("rows are on Kafka; `tributary tail` reads them there".into()),
        },
        Ok(Request::Audit { follow }) => match backend.entries {
            Some(entries) => return until(stop, send(entries, true, follow, reader, write)).await,
            None => Reply::Error("the audit log is on Kafka; `tributary audit` reads it there".into()),
        },
        Ok(request) => tokio::task::spawn_blocking(move || perform(&backend, Caller::local(uid), request))
            .await
            .unwrap_or_else(|_| Reply::Error("it panicked; the log says more".into())),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    tokio::time::timeout(PATIENCE, write.write_all(&text)).await??;
    write.shutdown().await
}

/// As far as it comes until the process stops.
async fn until(stop: &CancellationToken, sent: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    stop.run_until_cancelled(sent).await.unwrap_or(Ok(()))
}

/// Sends rows until the caller goes away, who has nothing more to say, or until there are none and none are waited for.
async fn send(
    rows: Arc<dyn Rows>,
    beginning: bool,
    follow: bool,
    mut reader: impl AsyncReadExt + Unpin,
    mut write: OwnedWriteHalf,
) -> std::io::Result<()> {
    let sending = async {
        let mut next = rows.start(beginning, follow);
        loop {
            let (rows, mut at) = (Arc::clone(&rows), next);
            // One that reads slowly waits for itself alone.
            let read = tokio::task::spawn_blocking(move || {
                let mut lines = Vec::new();
                rows.read(&mut at, &mut lines).map(|()| (at, lines))
            });
            let lines;
            (next, lines) = read.await.map_err(std::io::Error::other)?.map_err(std::io::Error::other)?;
            if lines.is_empty() && !follow {
                return write.shutdown().await;
            }
            write.write_all(&lines).await?;
        }
    };
    let gone = async { reader.read_u8().await.map_or_else(|_| (), |_| ()) };
    tokio::select! {
        () = gone => Ok(()),
        sent = sending => sent,
    }
}

fn perform(backend: &Backend, caller: Caller, request: Request) -> Reply {
    let admin = backend.admin.acting(&backend.audit, caller);
    let done = match request {
        Request::Create(new) => admin.create(new, now_ms()).map(Reply::Created),
        Request::Rotate { id, rotation } => rotate(&admin, &id, rotation),
        Request::List => Ok(Reply::Keys(backend.admin.list(now_ms()))),
        Request::Revoke { id } => admin.revoke(&id).map(|()| Reply::Revoked(id)),
        Request::Tail { .. } | Request::Audit { .. } => Err(Error::Asked("rows are sent, not answered".into())), // served before
    };
    done.unwrap_or_else(|error| Reply::Error(error.to_string()))
}

fn rotate(admin: &Acting<'_>, id: &str, rotation: Rotation) -> Result<Reply, Error> {
    let now = now_ms();
    let made = admin.rotate(id, rotation, now)?;
    Ok(Reply::Rotated(made, admin.keys().get(id, now)?.expires_at))
}

/// Asks the instance that runs on `folder`, for the command line. Blocks.
pub fn ask(folder: &Path, request: &Request) -> Result<Reply, Error> {
    let path = path(folder);
    let not_running = |source| Error::NotRunning { path: path.display().to_string(), source };
    let mut stream = StdStream::connect(&path).map_err(not_running)?;
    let mut exchange = || -> std::io::Result<Reply> {
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut line = String::new();
        BufReader::new((&stream).take(64 << 20)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    match exchange().map_err(|e| Error::file(&path, e))? {
        Reply::Error(reason) => Err(Error::Refused(reason)),
        reply => Ok(reply),
    }
}

/// What the instance that runs on `folder` sends when it is asked this, as it comes. Blocks.
pub fn stream(folder: &Path, request: &Request) -> Result<BufReader<StdStream>, Error> {
    let path = path(folder);
    let mut stream =
        StdStream::connect(&path).map_err(|source| Error::NotRunning { path: path.display().to_string(), source })?;
    let mut ask = || -> std::io::Result<()> {
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text)
    };
    ask().map_err(|e| Error::file(&path, e))?;
    Ok(BufReader::new(stream))
}

/// Copies the rows of the instance that runs on `folder` to `out`, until either end goes away. Blocks.
pub fn tail_rows(folder: &Path, beginning: bool, out: &mut impl Write) -> Result<(), Error> {
    let mut lines = stream(folder, &Request::Tail { beginning })?;
    let mut copy = || -> std::io::Result<()> {
        loop {
            let available = lines.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            out.write_all(available)?;
            out.flush()?;
            let length = available.len();
            lines.consume(length);
        }
    };
    copy().map_err(|e| Error::file(&path(folder), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::control::memory::MemoryControl;
    use crate::access::{KeyState, Keys, Pepper, Peppers, Role};
    use crate::audit::log::memory::Audited;

    fn backend(audited: &Audited) -> Backend {
        let keys = Arc::new(Keys::new(Peppers::new(Pepper::new(&[7; 32]), Vec::new())));
        let admin = Admin::new(keys, Arc::new(MemoryControl::default()));
        Backend { admin, audit: audited.audit.clone(), rows: None, entries: None }
    }

    async fn asked(folder: &Path, request: Request) -> Result<Reply, Error> {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || ask(&folder, &request)).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keys_are_made_listed_and_revoked_through_it() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::bind(folder.path()).unwrap();
        assert_eq!(fs::metadata(path(folder.path())).unwrap().permissions().mode() & 0o777, 0o600);
        let stop = CancellationToken::new();
        let audited = Audited::start();
        let task = tokio::spawn(server.serve(backend(&audited), stop.clone()));
        let create = Request::Create(NewKey { note: "dashboard".into(), ..NewKey::of(Role::Viewer) });
        let Reply::Created(made) = asked(folder.path(), create).await.unwrap() else { panic!("not made") };
        let rotate = Request::Rotate { id: made.id.clone(), rotation: Rotation::default() };
        let Reply::Rotated(next, until) = asked(folder.path(), rotate).await.unwrap() else { panic!("not rotated") };
        assert!(next.id != made.id && next.role == Role::Viewer && until.is_some_and(|until| until > now_ms()));
        let Reply::Revoked(id) = asked(folder.path(), Request::Revoke { id: made.id.clone() }).await.unwrap() else {
            panic!("not revoked")
        };
        let Reply::Keys(keys) = asked(folder.path(), Request::List).await.unwrap() else { panic!("no list") };
        let states: Vec<_> = keys.iter().map(|key| (key.id.as_str(), key.state, key.note.as_str())).collect();
        assert_eq!(id, made.id);
        assert!(states.contains(&(&made.id, KeyState::Revoked, "dashboard")), "{states:?}");
        assert!(states.contains(&(&next.id, KeyState::Open, "dashboard")), "{states:?}");
        let bad = Request::Create(NewKey { note: "a\nb".into(), ..NewKey::of(Role::Viewer) });
        assert!(asked(folder.path(), bad).await.unwrap_err().to_string().starts_with("note: "));
        let unknown = asked(folder.path(), Request::Revoke { id: "nobody".into() }).await.unwrap_err();
        assert!(unknown.to_string().contains("tributary keys list"), "{unknown}");
        assert!(matches!(Server::bind(folder.path()), Err(Error::Taken(_))));
        stop.cancel();
        task.await.unwrap();
        assert!(!path(folder.path()).exists());
        let local = format!("local:{}", fs::metadata(folder.path()).unwrap().uid());
        let told = |action: &str, object: &str, outcome: &str| format!("{local} {action} {object} {outcome}");
        let expected = [
            told("key.create", &id, "allowed"),
            told("key.create", &id, "done"),
            told("key.rotate", &format!("{id} by {}", next.id), "allowed"),
            told("key.rotate", &format!("{id} by {}", next.id), "done"),
            told("key.revoke", &id, "allowed"),
            told("key.revoke", &id, "done"),
            told("key.revoke", "nobody", "allowed"),
            told("key.revoke", "nobody", "failed"),
        ];
        let (mut all, never_made) = (audited.told(), [6, 6]);
        let refused = never_made.map(|at| all.remove(at).rsplit_once(' ').unwrap().1.to_owned());
        assert_eq!((all, refused), (expected.to_vec(), ["allowed".to_owned(), "failed".to_owned()]));
        assert!(matches!(asked(folder.path(), Request::List).await, Err(Error::NotRunning { .. })));
    }

    #[tokio::test]
    async fn a_socket_that_a_crash_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(path(folder.path())).unwrap());
        assert!(path(folder.path()).exists());
        Server::bind(folder.path()).unwrap();
    }
}
