//! Who waits for news of a source of records: long polls, and produce requests that wait for their replicas.
//!
//! One [`Waiter`] registers at any number of sources. News of a source takes its waiters out of its list and tells each which of
//! its sources it was and how many bytes are new, so that a waiter looks again only where something happened, and registers
//! there again before it does. Nothing polls. Invariant: news after a [`Mark`] was taken is never lost, because registering
//! with an old mark wakes at once.
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// How far a source's news had come when somebody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    version: u64,
    bytes: u64,
}

/// The waiters of one source.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts the news.
    version: u64,
    /// Counts the bytes that have become visible.
    bytes: u64,
    /// By the waiter's number, so that those who came first are woken first.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    waiter: Arc<Waiter>,
    index: usize,
    bytes: u64,
    /// Whether it was left a hint already.
    hinted: bool,
}

/// What woke a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Which of the waiter's sources.
    pub(crate) index: usize,
    /// How many bytes became visible since the mark.
    pub(crate) bytes: u64,
    /// Whether it must be looked at whatever the bytes: an error, a deletion, a moved start.
    pub(crate) urgent: bool,
    /// How far the news had come by then; to register with for what follows.
    pub(crate) mark: Mark,
}

/// Something that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    id: u64,
    notify: Notify,
    woken: Mutex<Vec<Woken>>,
}

impl Waiter {
    /// A waiter that is registered nowhere.
    pub(crate) fn new() -> Arc<Waiter> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Arc::new(Waiter { id, notify: Notify::new(), woken: Mutex::new(Vec::new()) })
    }

    /// Waits until a source has news; each source is reported once per registration.
    pub(crate) async fn woken(&self) -> Vec<Woken> {
        loop {
            let woken = std::mem::take(&mut *self.woken.lock());
            if !woken.is_empty() {
                return woken;
            }
            self.notify.notified().await;
        }
    }

    /// The sources that had news or left a hint since this was asked last, without waiting.
    pub(crate) fn woken_by_now(&self) -> Vec<Woken> {
        std::mem::take(&mut *self.woken.lock())
    }

    fn wake(&self, woken: Woken) {
        self.woken.lock().push(woken);
        self.notify.notify_one();
    }
}

impl Waiters {
    /// How far the news has come; to be taken before looking.
    pub(crate) fn mark(&self) -> Mark {
        let inner = self.inner.lock();
        Mark { version: inner.version, bytes: inner.bytes }
    }

    /// Registers a waiter's source for the next news after `since`; what came already wakes it at once.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>, index: usize, since: Mark) {
        let mut inner = self.inner.lock();
        if inner.version != since.version {
            let bytes = inner.bytes - since.bytes;
            let mark = Mark { version: inner.version, bytes: inner.bytes };
            drop(inner);
            // Whether that news was urgent is not known any more, so it counts as such if it brought no bytes.
            waiter.wake(Woken { index, bytes, urgent: bytes == 0, mark });
            return;
        }
        inner
            .waiting
            .insert(waiter.id, Waiting { waiter: waiter.clone(), index, bytes: since.bytes, hinted: false });
    }

    /// Forgets a waiter.
    pub(crate) fn deregister(&self, waiter: &Waiter) {
        self.inner.lock().waiting.remove(&waiter.id);
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    /// Tells everybody that `bytes` more can be read.
    pub(crate) fn grown(&self, bytes: u64) {
        self.news(bytes, false);
    }

    /// Tells everybody to look again at once.
    pub(crate) fn changed(&self) {
        self.news(0, true);
    }

    /// Leaves a hint to whoever waits: nobody is woken, but who wakes or comes again looks here, too.
    pub(crate) fn hinted(&self) {
        let mut inner = self.inner.lock();
        inner.version += 1;
        let mark = Mark { version: inner.version, bytes: inner.bytes };
        for Waiting { waiter, index, bytes, hinted } in inner.waiting.values_mut() {
            if !std::mem::replace(hinted, true) {
                let woken = Woken { index: *index, bytes: mark.bytes - *bytes, urgent: false, mark };
                waiter.woken.lock().push(woken);
            }
        }
    }

    fn news(&self, bytes: u64, urgent: bool) {
        let mut inner = self.inner.lock();
        inner.version += 1;
        inner.bytes += bytes;
        let mark = Mark { version: inner.version, bytes: inner.bytes };
        if inner.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        for (_, Waiting { waiter, index, bytes, .. }) in waiting {
            waiter.wake(Woken { index, bytes: mark.bytes - bytes, urgent, mark });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_sources_with_news_are_reported() {
        let sources: Vec<Waiters> = (0..2_000).map(|_| Waiters::default()).collect();
        let waiter = Waiter::new();
        for (index, source) in sources.iter().enumerate() {
            source.register(&waiter, index, source.mark());
        }
        sources[7].grown(10);
        sources[1_999].changed();
        let woken = waiter.woken().await;
        assert_eq!(woken.len(), 2);
        assert_eq!((woken[0].index, woken[0].bytes, woken[0].urgent), (7, 10, false));
        assert_eq!((woken[1].index, woken[1].bytes, woken[1].urgent), (1_999, 0, true));
    }

    #[tokio::test]
    async fn news_between_the_look_and_the_registration_is_not_lost() {
        let source = Waiters::default();
        let mark = source.mark();
        source.grown(5);
        source.grown(6);
        let waiter = Waiter::new();
        source.register(&waiter, 3, mark);
        let woken = waiter.woken().await;
        assert_eq!(woken, [Woken { index: 3, bytes: 11, urgent: false, mark: source.mark() }]);
    }

    #[tokio::test]
    async fn a_hint_wakes_nobody_and_is_found_later() {
        let source = Waiters::default();
        let waiter = Waiter::new();
        source.register(&waiter, 4, source.mark());
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), waiter.woken());
        let hint = async {
            source.hinted();
            source.hinted();
        };
        let (waited, ()) = tokio::join!(waiting, hint);
        assert!(waited.is_err(), "nobody is woken");
        assert_eq!(waiter.woken_by_now().len(), 1, "hints don't pile up");
        source.grown(3);
        let woken = waiter.woken().await;
        assert_eq!((woken.len(), woken[0].bytes), (1, 3), "the registration still holds");
    }

    #[tokio::test]
    async fn a_registration_is_for_one_news_and_can_be_taken_back() {
        let source = Waiters::default();
        let waiter = Waiter::new();
        source.register(&waiter, 0, source.mark());
        source.grown(1);
        source.grown(1);
        assert_eq!(waiter.woken().await.len(), 1);
        source.register(&waiter, 0, source.mark());
        source.deregister(&waiter);
        source.grown(1);
        assert!(source.inner.lock().waiting.is_empty());
        assert!(waiter.woken.lock().is_empty());
    }
}
