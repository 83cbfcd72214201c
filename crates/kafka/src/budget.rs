//! Memory that requests and responses of all connections may take together.
//!
//! Invariants: a request of more than [`FREE_BYTES`] is read only after its share was granted, in the order of asking; what is granted
//! comes back when the share is dropped. Clients and nodes don't wait for each other's shares: a produce request that waits for its
//! replicas holds its own for as long as the replicas' fetches don't get on. Responses are counted, not refused: the more of them wait for slow readers, the less
//! the next fetch may bring.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A request up to this size needs no share.
const FREE_BYTES: usize = 16 << 10;
/// What requests may take together if `queued.max.request.bytes` sets no limit.
const REQUEST_BYTES_DEFAULT: usize = 256 << 20;
/// Bytes of responses on their way to clients from which on fetches get no more than [`FETCH_BYTES_MIN`].
const RESPONSE_BYTES_MAX: usize = 256 << 20;
/// One fetch gets this part of what is left, so that a few slow readers don't take it all.
const FETCH_SHARE: usize = 4;
/// What every fetch may bring, so that everyone gets on.
const FETCH_BYTES_MIN: usize = 64 << 10;

/// Whose requests take from the same memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purse {
    /// Requests that only clients send.
    Clients,
    /// Requests that other nodes send, though clients may send some of them too.
    Nodes,
}

/// The memory of one door.
#[derive(Debug)]
pub(crate) struct Budget {
    clients: Arc<Semaphore>,
    nodes: Arc<Semaphore>,
    request_bytes: u32,
    responses: AtomicUsize,
}

/// A request's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct RequestShare {
    _permit: Option<OwnedSemaphorePermit>,
}

/// A response that is counted; no longer when dropped.
#[derive(Debug)]
pub(crate) struct ResponseShare<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    /// A budget with `queued.max.request.bytes` for each purse (not positive: the default); one request may always be as large as
    /// `socket.request.max.bytes`.
    pub(crate) fn new(queued_max_request_bytes: i64, socket_request_max_bytes: usize) -> Budget {
        let configured = usize::try_from(queued_max_request_bytes).ok().filter(|bytes| *bytes > 0);
        let total = configured.unwrap_or(REQUEST_BYTES_DEFAULT).max(socket_request_max_bytes);
        let request_bytes = u32::try_from(total.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let purse = || Arc::new(Semaphore::new(request_bytes as usize));
        Budget { clients: purse(), nodes: purse(), request_bytes, responses: AtomicUsize::new(0) }
    }

    /// Whether a request of this size needs a share.
    pub(crate) fn is_charged(&self, size: usize) -> bool {
        size > FREE_BYTES
    }

    /// Waits for a request's share.
    pub(crate) async fn request(&self, purse: Purse, size: usize) -> RequestShare {
        // The semaphore is never closed, so the answer is always a permit.
        RequestShare { _permit: self.purse(purse).clone().acquire_many_owned(self.charge(size)).await.ok() }
    }

    /// A request's share, if it is there and nobody waits for it.
    pub(crate) fn request_at_once(&self, purse: Purse, size: usize) -> Option<RequestShare> {
        let permit = self.purse(purse).clone().try_acquire_many_owned(self.charge(size)).ok()?;
        Some(RequestShare { _permit: Some(permit) })
    }

    fn purse(&self, purse: Purse) -> &Arc<Semaphore> {
        match purse {
            Purse::Clients => &self.clients,
            Purse::Nodes => &self.nodes,
        }
    }

    /// What a request of this size takes.
    fn charge(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.request_bytes)
    }

    /// Counts a response of so many bytes.
    pub(crate) fn response(&self, bytes: usize) -> ResponseShare<'_> {
        self.responses.fetch_add(bytes, Relaxed);
        ResponseShare { budget: self, bytes }
    }

    /// How many bytes a fetch may bring now.
    pub(crate) fn fetch_bytes(&self) -> usize {
        let left = RESPONSE_BYTES_MAX.saturating_sub(self.responses.load(Relaxed));
        (left / FETCH_SHARE).max(FETCH_BYTES_MIN)
    }
}

impl ResponseShare<'_> {
    /// Notes that this many bytes are gone.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.responses.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for ResponseShare<'_> {
    fn drop(&mut self) {
        self.budget.responses.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_wait_for_their_turn_and_give_back() {
        let budget = Budget::new(100_000, 60_000);
        let first = budget.request(Purse::Clients, 60_000).await;
        let waiting = budget.request(Purse::Clients, 60_000);
        tokio::pin!(waiting);
        assert!(futures_poll(waiting.as_mut()).await.is_none(), "only 40000 are left");
        assert!(budget.request_at_once(Purse::Clients, 20_000).is_none(), "somebody waits for those");
        assert!(budget.request_at_once(Purse::Nodes, 40_000).is_some());
        let _other_purse = budget.request(Purse::Nodes, 60_000).await;
        drop(first);
        assert!(futures_poll(waiting.as_mut()).await.is_some());
        // One that is larger than everything is let in alone.
        let _all = budget.request(Purse::Clients, usize::MAX).await;
    }

    /// Polls a future once.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[test]
    fn slow_readers_make_fetches_smaller_but_never_nothing() {
        let budget = Budget::new(-1, 100 << 20);
        assert_eq!(budget.fetch_bytes(), RESPONSE_BYTES_MAX / FETCH_SHARE);
        let mut slow = budget.response(RESPONSE_BYTES_MAX);
        assert_eq!(budget.fetch_bytes(), FETCH_BYTES_MIN);
        slow.sent(RESPONSE_BYTES_MAX / 2);
        assert_eq!(budget.fetch_bytes(), RESPONSE_BYTES_MAX / 2 / FETCH_SHARE);
        drop(slow);
        assert_eq!(budget.responses.load(Relaxed), 0);
    }
}
