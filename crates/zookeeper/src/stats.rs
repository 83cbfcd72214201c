//! What the door counts: per connection for `cons` and `stat`, per server for `srvr` and `mntr`.
//!
//! Invariants: counting never blocks a request; latencies are milliseconds from the arrival of a request's frame to the encoding
//! of its reply, as Apache measures them.
use crate::opcode::{is_write, short_name};
use crate::summary::{Histogram, Summary};
use jute::OpCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Namespaces (first path elements) that refusals by quota are counted for; more share one line.
const NAMESPACES_MAX: usize = 1000;

/// What a reply tells the statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// The operation; `None` for one that the server doesn't know.
    pub(crate) operation: Option<OpCode>,
    /// The request's xid.
    pub(crate) xid: i32,
    /// The reply's zxid.
    pub(crate) zxid: i64,
    /// Monotonic milliseconds at which the request arrived.
    pub(crate) arrived_ms: u64,
    /// Monotonic milliseconds of the reply.
    pub(crate) now_ms: u64,
}

/// One connection's numbers, under its outbox's mutex.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionStats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    last_operation: Option<OpCode>,
    /// -1 before the first.
    pub(crate) last_cxid: i32,
    pub(crate) last_zxid: i64,
    pub(crate) last_response_ms: u64,
    pub(crate) last_latency: u32,
    pub(crate) max_latency: u32,
    min_latency: u32,
    count: u64,
    total_latency: u64,
}

impl Default for ConnectionStats {
    fn default() -> Self {
        ConnectionStats {
            received: 0,
            sent: 0,
            last_operation: None,
            last_cxid: -1,
            last_zxid: -1,
            last_response_ms: 0,
            last_latency: 0,
            max_latency: 0,
            min_latency: u32::MAX,
            count: 0,
            total_latency: 0,
        }
    }
}

impl ConnectionStats {
    /// Notes a reply. Special xids don't replace the client's last real operation.
    pub(crate) fn answered(&mut self, answered: &Answered) {
        if answered.xid >= 0 {
            self.last_cxid = answered.xid;
        }
        // Nobody waits for 49 days.
        let latency = u32::try_from(answered.now_ms.saturating_sub(answered.arrived_ms)).unwrap_or(u32::MAX);
        self.last_zxid = answered.zxid;
        self.last_operation = answered.operation;
        self.last_response_ms = answered.now_ms;
        self.last_latency = latency;
        self.min_latency = self.min_latency.min(latency);
        self.max_latency = self.max_latency.max(latency);
        self.count += 1;
        self.total_latency += u64::from(latency);
    }

    /// The short name of the last operation, `NA` before the first.
    pub(crate) fn last_operation(&self) -> &'static str {
        self.last_operation.map_or("NA", short_name)
    }

    /// The shortest latency, 0 if nothing was answered.
    pub(crate) fn min_latency(&self) -> u32 {
        if self.count == 0 { 0 } else { self.min_latency }
    }

    /// The mean latency, rounded down.
    pub(crate) fn average_latency(&self) -> u64 {
        self.total_latency.checked_div(self.count).unwrap_or(0)
    }
}

/// The door's numbers since its start or the last `srst`.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) latency: Summary,
    pub(crate) read_latency: Histogram,
    pub(crate) update_latency: Histogram,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    pub(crate) watch_bytes: AtomicU64,
    pub(crate) connection_requests: AtomicU64,
    pub(crate) connections_revalidated: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    pub(crate) connections_dropped: AtomicU64,
    pub(crate) sessionless_expired: AtomicU64,
    pub(crate) auth_failed: AtomicU64,
    pub(crate) response_size: ResponseSize,
    operations: OperationCounts,
    quota_refusals: Mutex<BTreeMap<String, u64>>,
}

/// The size of the last, smallest and largest reply (`BufferStats`); -1 before the first.
#[derive(Debug)]
pub(crate) struct ResponseSize(Mutex<Option<(u64, u64, u64)>>);

impl Default for ResponseSize {
    fn default() -> Self {
        ResponseSize(Mutex::new(None))
    }
}

impl ResponseSize {
    /// Notes a reply's size.
    pub(crate) fn note(&self, size: u64) {
        let mut sizes = self.0.lock();
        let (_, min, max) = sizes.unwrap_or((size, size, size));
        *sizes = Some((size, min.min(size), max.max(size)));
    }

    /// Last, smallest and largest.
    pub(crate) fn last_min_max(&self) -> (i64, i64, i64) {
        match *self.0.lock() {
            Some((last, min, max)) => (last as i64, min as i64, max as i64),
            None => (-1, -1, -1),
        }
    }

    fn reset(&self) {
        *self.0.lock() = None;
    }
}

#[derive(Debug)]
struct OperationCounts(Box<[AtomicU64]>);

impl Default for OperationCounts {
    fn default() -> Self {
        OperationCounts(OpCode::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl ServerStats {
    /// Notes a reply.
    pub(crate) fn answered(&self, answered: &Answered) {
        let latency = answered.now_ms.saturating_sub(answered.arrived_ms);
        self.latency.add(latency);
        let Some(operation) = answered.operation else { return };
        if is_write(operation) {
            self.update_latency.add(latency);
        } else {
            self.read_latency.add(latency);
        }
        let index = OpCode::ALL.iter().position(|other| *other == operation);
        if let Some(count) = index.and_then(|index| self.operations.0.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Notes that a quota refused a write below `path` (reference 3.44).
    pub(crate) fn quota_refused(&self, path: &str) {
        let namespace = path.split('/').find(|element| !element.is_empty()).unwrap_or_default();
        let mut refusals = self.quota_refusals.lock();
        if let Some(count) = refusals.get_mut(namespace) {
            *count += 1;
        } else if refusals.len() < NAMESPACES_MAX {
            refusals.insert(namespace.to_owned(), 1);
        }
    }

    /// Refusals by quota per namespace.
    pub(crate) fn quota_refusals(&self) -> BTreeMap<String, u64> {
        self.quota_refusals.lock().clone()
    }

    /// How many replies there were per operation.
    pub(crate) fn operation_counts(&self) -> impl Iterator<Item = (OpCode, u64)> {
        OpCode::ALL.iter().zip(&self.operations.0).map(|(operation, count)| (*operation, count.load(Relaxed)))
    }

    /// Forgets everything (`srst`).
    pub(crate) fn reset(&self) {
        self.latency.reset();
        self.read_latency.reset();
        self.update_latency.reset();
        self.response_size.reset();
        for counter in self.operations.0.iter().chain([
            &self.received,
            &self.sent,
            &self.bytes_received,
            &self.response_bytes,
            &self.watch_bytes,
            &self.connection_requests,
            &self.connections_revalidated,
            &self.connections_rejected,
            &self.connections_dropped,
            &self.sessionless_expired,
        ]) {
            counter.store(0, Relaxed);
        }
        self.quota_refusals.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(xid: i32, latency: u64) -> Answered {
        Answered { operation: Some(OpCode::GetData), xid, zxid: 7, arrived_ms: 100, now_ms: 100 + latency }
    }

    #[test]
    fn special_xids_do_not_replace_the_last_cxid() {
        let mut stats = ConnectionStats::default();
        stats.answered(&answered(5, 2));
        stats.answered(&answered(-2, 4));
        assert_eq!((stats.last_cxid, stats.last_zxid, stats.last_operation()), (5, 7, "GETD"));
        assert_eq!((stats.min_latency(), stats.average_latency(), stats.max_latency), (2, 3, 4));
    }

    #[test]
    fn zk_3_44_quota_refusals_are_counted_per_first_path_element() {
        let stats = ServerStats::default();
        stats.quota_refused("/a/b");
        stats.quota_refused("/a");
        stats.quota_refused("/c");
        let counts: Vec<_> = stats.quota_refusals().into_iter().collect();
        assert_eq!(counts, [("a".to_owned(), 2), ("c".to_owned(), 1)]);
        for other in 0..2 * NAMESPACES_MAX {
            stats.quota_refused(&format!("/{other}"));
        }
        assert_eq!(stats.quota_refusals().len(), NAMESPACES_MAX);
    }

    #[test]
    fn response_sizes_are_minus_one_before_the_first() {
        let sizes = ResponseSize::default();
        assert_eq!(sizes.last_min_max(), (-1, -1, -1));
        sizes.note(20);
        sizes.note(16);
        assert_eq!(sizes.last_min_max(), (16, 16, 20));
    }
}
