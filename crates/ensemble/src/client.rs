//! The embedded form of the first seam: a ZooKeeper client of this process's own ensemble, with a session of its own.
//!
//! Invariant: its session lives as long as the client is held and the node serves; sessions that an earlier run of this node left behind
//! are ended before a new one opens, so that its ephemerals never stand in the way of their own successor.
use crate::coordinator::{Answer, Coordinator, CoordinatorError, Write, Written};
use crate::ensemble::{ConnectError, Ensemble, Session};
use crate::outcome::{Completion, OpResult, Outcome, Refusal};
use crate::subscriber::{Closed, Subscriber, WatchEvent};
use crate::watches::WatchKind;
use bytes::Bytes;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tree::{AclList, AuthId, Create, Op, Request, SessionId, Stat, TreeError, Zxid};

/// A client of the ensemble in the same process.
pub struct EmbeddedClient {
    ensemble: Ensemble,
    session: Session,
    inbox: Arc<Inbox>,
    /// The server acts with all rights: what it writes is Kafka's metadata.
    auth: [AuthId; 1],
    keep_alive: tokio::task::JoinHandle<()>,
}

/// Where the client's watch events go.
struct Inbox {
    receivers: Mutex<Vec<(Arc<str>, mpsc::UnboundedSender<WatchEvent>)>>,
    closed: watch::Sender<bool>,
    identities: Arc<[AuthId]>,
}

impl Subscriber for Inbox {
    fn identities(&self) -> Arc<[AuthId]> {
        self.identities.clone()
    }

    fn event(&self, event: &WatchEvent) {
        // The receivers are the controller's and the broker's; they keep up with the log or the node is lost anyway.
        let mut receivers = self.receivers.lock();
        receivers
            .retain(|(root, sender)| !is_within(&event.path, root) || sender.send(event.clone()).is_ok());
    }

    fn closed(&self, _reason: Closed) {
        self.receivers.lock().clear();
        self.closed.send_replace(true);
    }
}

/// Whether `path` is `root` or below it.
fn is_within(path: &str, root: &str) -> bool {
    match path.strip_prefix(root) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || root == "/",
        None => false,
    }
}

impl EmbeddedClient {
    /// Ends what an earlier run of this node left behind and opens a session.
    pub async fn connect(ensemble: &Ensemble, timeout_ms: i32) -> Result<EmbeddedClient, ConnectError> {
        let number = ensemble.next_own_session();
        if number == 1 {
            end_earlier_sessions(ensemble).await?;
        }
        let identities: Arc<[AuthId]> = Arc::from([AuthId::superuser()]);
        let inbox =
            Arc::new(Inbox { receivers: Mutex::default(), closed: watch::Sender::new(false), identities });
        let id = ensemble.own_session_id(number);
        let connected = ensemble.open_as(id, timeout_ms, inbox.clone()).await?;
        let keep_alive = tokio::spawn(keep_alive(id, ensemble.clone(), timeout_ms));
        Ok(EmbeddedClient {
            ensemble: ensemble.clone(),
            session: connected.session,
            inbox,
            auth: [AuthId::superuser()],
            keep_alive,
        })
    }

    /// Ends the session; its ephemerals are gone when this returns.
    pub async fn close(&self) {
        let (send, closed) = oneshot::channel::<Outcome>();
        self.session.close(Box::new(move |outcome, _| {
            let _ = send.send(outcome);
        }));
        // A node that serves no more answers at once; its sessions end by their timeout.
        let _ = closed.await;
    }

    async fn submit(
        &self,
        ops: Vec<Op>,
        paths: Vec<String>,
    ) -> Result<(Zxid, Vec<Written>), CoordinatorError> {
        let (send, answer) = oneshot::channel::<Outcome>();
        let done: Completion = Box::new(move |outcome, _| {
            let _ = send.send(outcome);
        });
        self.session.submit(&self.auth, Request::Multi(ops), done);
        let outcome = answer.await.map_err(|_| CoordinatorError::ConnectionLost)?;
        match outcome.result {
            Ok(results) => Ok((outcome.zxid, results.into_iter().map(written).collect())),
            Err(Refusal::Tree(refused)) if refused.error == TreeError::SessionExpired => {
                Err(CoordinatorError::SessionExpired)
            }
            Err(Refusal::Tree(refused)) => Err(CoordinatorError::Refused {
                path: paths.into_iter().nth(refused.index).unwrap_or_default(),
                index: refused.index,
                error: refused.error,
            }),
            Err(Refusal::SessionMoved) => Err(CoordinatorError::SessionExpired),
            Err(Refusal::NotServing) => Err(CoordinatorError::ConnectionLost),
        }
    }
}

impl Drop for EmbeddedClient {
    fn drop(&mut self) {
        self.keep_alive.abort();
        // Its ephemerals must not stand in the way of the next client's; a session that was closed before stays closed.
        self.session.close(Box::new(|_, _| {}));
    }
}

async fn end_earlier_sessions(ensemble: &Ensemble) -> Result<(), ConnectError> {
    let earlier: Vec<SessionId> = ensemble.read(|view| {
        view.tree().sessions().map(|(id, _)| id).filter(|id| ensemble.is_own_session(*id)).collect()
    });
    for id in earlier {
        ensemble.close_session(id).await.map_err(|_| ConnectError::NotServing)?;
    }
    Ok(())
}

async fn keep_alive(id: SessionId, ensemble: Ensemble, timeout_ms: i32) {
    let mut interval = tokio::time::interval(Duration::from_millis((timeout_ms.max(3) / 3) as u64));
    loop {
        interval.tick().await;
        let core = &ensemble.core;
        core.sessions.lock().touch(id, core.world.clock.monotonic_ms());
    }
}

fn op_of(write: Write) -> (Op, String) {
    match write {
        Write::Create { path, data, mode, acl } => {
            let create = Create {
                path: Arc::from(path.as_str()),
                data,
                acl: acl.unwrap_or_else(AclList::open),
                mode,
                ttl_ms: None,
            };
            (Op::Create(create), path)
        }
        Write::Set { path, data, version } => {
            (Op::SetData { path: Arc::from(path.as_str()), data, version }, path)
        }
        Write::Delete { path, version } => (Op::Delete { path: Arc::from(path.as_str()), version }, path),
        Write::Check { path, version } => (Op::Check { path: Arc::from(path.as_str()), version }, path),
    }
}

fn written(result: OpResult) -> Written {
    match result {
        OpResult::Created(path, stat) => Written::Created(path, stat),
        OpResult::Set(stat) | OpResult::AclSet(stat) => Written::Set(stat),
        OpResult::Deleted => Written::Deleted,
        OpResult::Checked => Written::Checked,
    }
}

impl Coordinator for EmbeddedClient {
    fn session(&self) -> SessionId {
        self.session.id()
    }

    fn multi(&self, writes: Vec<Write>) -> Answer<'_, (Zxid, Vec<Written>)> {
        let (ops, paths) = writes.into_iter().map(op_of).unzip();
        Box::pin(self.submit(ops, paths))
    }

    fn get<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Option<Bytes>, Stat)>> {
        let found = self.ensemble.read(|view| {
            let node = view.tree().get(path)?;
            Some((node.data().map(Bytes::copy_from_slice), node.stat()))
        });
        Box::pin(std::future::ready(Ok(found)))
    }

    fn children<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<String>>> {
        let names = self.ensemble.read(|view| {
            let node = view.tree().get(path)?;
            let mut names: Vec<String> = node.children().map(str::to_owned).collect();
            names.sort_unstable();
            Some(names)
        });
        Box::pin(std::future::ready(Ok(names)))
    }

    fn watch<'a>(&'a self, path: &'a str) -> Answer<'a, mpsc::UnboundedReceiver<WatchEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inbox.receivers.lock().push((Arc::from(path), sender));
        self.ensemble.read(|view| view.watch(self.session.watcher(), path, WatchKind::Recursive));
        Box::pin(std::future::ready(Ok(receiver)))
    }

    fn sync(&self) -> Answer<'_, ()> {
        let (send, answer) = oneshot::channel::<Outcome>();
        self.session.sync(Box::new(move |outcome, _| {
            let _ = send.send(outcome);
        }));
        Box::pin(async move {
            let outcome = answer.await.map_err(|_| CoordinatorError::ConnectionLost)?;
            outcome.result.map(|_| ()).map_err(|_| CoordinatorError::ConnectionLost)
        })
    }

    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut closed = self.inbox.closed.subscribe();
        Box::pin(async move {
            // The sender lives in `self.inbox`, so waiting can't fail.
            let _ = closed.wait_for(|closed| *closed).await;
        })
    }
}
