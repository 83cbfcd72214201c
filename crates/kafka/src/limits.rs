//! How many connections there may be: in all, from one address, and per second.
//!
//! Invariants: a connection counts from before its first byte is read until its [`Entry`] is dropped. Beyond the limit of its address it
//! is refused; beyond the limit of the door it waits, and with it everybody behind it in the kernel's queue, as in Kafka.
use controller::config::BrokerConfig;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The window over which `max.connection.creation.rate` is counted.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The limits of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `max.connections`
    total: usize,
    /// `max.connections.per.ip`
    per_address: usize,
    /// `max.connections.per.ip.overrides`, names resolved.
    overrides: HashMap<IpAddr, usize>,
    /// `max.connection.creation.rate`
    per_second: u32,
}

impl Limits {
    /// The limits that a configuration sets. Host names among the overrides are looked up.
    pub(crate) async fn resolve(config: &BrokerConfig) -> Limits {
        let count = |limit: i32| usize::try_from(limit).unwrap_or(0);
        let mut overrides = HashMap::new();
        for (host, limit) in &config.max_connections_per_ip_overrides {
            match tokio::net::lookup_host((host.as_str(), 0)).await {
                Ok(found) => overrides.extend(found.map(|at| (at.ip().to_canonical(), count(*limit)))),
                Err(error) => {
                    tracing::warn!(host, %error, "max.connections.per.ip.overrides names an unknown host; it has no effect");
                }
            }
        }
        Limits {
            total: count(config.network.max_connections),
            per_address: count(config.network.max_connections_per_ip),
            overrides,
            per_second: config.network.max_connection_creation_rate.unsigned_abs(),
        }
    }

    fn of_address(&self, address: IpAddr) -> usize {
        self.overrides.get(&address).copied().unwrap_or(self.per_address)
    }
}

/// Why a connection cannot be served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The address has as many as it may have.
    Address,
    /// The door has as many as it may have.
    Door,
}

/// The connections that there are.
#[derive(Debug, Default)]
pub(crate) struct Register {
    counts: Mutex<Counts>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    per_address: HashMap<IpAddr, usize>,
}

/// One connection in the register; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Entry {
    register: Arc<Register>,
    address: IpAddr,
}

impl Register {
    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.counts.lock().total
    }

    /// Enters a connection if the limits allow it.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Entry, Full> {
        let mut counts = self.counts.lock();
        let from_here = counts.per_address.get(&address).copied().unwrap_or(0);
        if from_here >= limits.of_address(address) {
            return Err(Full::Address);
        }
        if counts.total >= limits.total {
            return Err(Full::Door);
        }
        counts.total += 1;
        counts.per_address.insert(address, from_here + 1);
        Ok(Entry { register: self.clone(), address })
    }

    /// Waits until fewer than `count` connections are left.
    pub(crate) async fn below(&self, count: usize) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Registered before looking, so that nobody leaves unseen in between.
            left.as_mut().enable();
            if self.count() < count {
                return;
            }
            left.await;
        }
    }

    /// Waits until the door has room for one more under the limits of the moment.
    pub(crate) async fn room(&self, limits: &Limits) {
        self.below(limits.total).await;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut counts = self.register.counts.lock();
        counts.total -= 1;
        if let Some(count) = counts.per_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.per_address.remove(&self.address);
            }
        }
        drop(counts);
        self.register.left.notify_waiters();
    }
}

/// Spreads new connections over time (`max.connection.creation.rate`).
#[derive(Debug, Default)]
pub(crate) struct Pace {
    window_start_ms: u64,
    accepted: u32,
}

impl Pace {
    /// Counts one connection; how long to wait before it is served.
    pub(crate) fn count(&mut self, limits: &Limits, now_ms: u64) -> Duration {
        let elapsed = Duration::from_millis(now_ms.saturating_sub(self.window_start_ms));
        if elapsed >= RATE_WINDOW {
            *self = Pace { window_start_ms: now_ms, accepted: 0 };
        }
        self.accepted = self.accepted.saturating_add(1);
        if self.accepted <= limits.per_second { Duration::ZERO } else { RATE_WINDOW.saturating_sub(elapsed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_address: usize) -> Limits {
        Limits { total, per_address, overrides: HashMap::new(), per_second: u32::MAX }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn limits_of_door_and_address() {
        let register = Arc::new(Register::default());
        let first = register.enter(ip(1), &limits(2, 1)).expect("room");
        assert_eq!(register.enter(ip(1), &limits(2, 1)).err(), Some(Full::Address));
        let _second = register.enter(ip(2), &limits(2, 1)).expect("room");
        assert_eq!(register.enter(ip(3), &limits(2, 1)).err(), Some(Full::Door));
        drop(first);
        assert!(register.enter(ip(1), &limits(2, 1)).is_ok());
        assert_eq!(register.counts.lock().per_address.len(), 1);
    }

    #[test]
    fn overrides_win_over_the_limit_of_all_addresses() {
        let register = Arc::new(Register::default());
        let mut limits = limits(10, 0);
        assert_eq!(register.enter(ip(1), &limits).err(), Some(Full::Address));
        limits.overrides.insert(ip(1), 1);
        let _only = register.enter(ip(1), &limits).expect("overridden");
        assert_eq!(register.enter(ip(1), &limits).err(), Some(Full::Address));
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_a_leaver() {
        let register = Arc::new(Register::default());
        let only = register.enter(ip(1), &limits(1, 1)).expect("room");
        let waiting = register.clone();
        let waiter = tokio::spawn(async move { waiting.room(&limits(1, 1)).await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(only);
        waiter.await.expect("room");
    }

    #[test]
    fn beyond_the_rate_a_connection_waits_for_the_next_window() {
        let mut limits = limits(10, 10);
        limits.per_second = 2;
        let mut pace = Pace::default();
        assert_eq!(pace.count(&limits, 5_000), Duration::ZERO);
        assert_eq!(pace.count(&limits, 5_100), Duration::ZERO);
        assert_eq!(pace.count(&limits, 5_400), Duration::from_millis(600));
        assert_eq!(pace.count(&limits, 6_000), Duration::ZERO);
    }
}
