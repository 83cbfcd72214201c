//! `mntr`: metrics as lines of `zk_<key>\t<value>`.
//!
//! Invariant: a key of ZooKeeper's is printed only if its value is measured here; nothing is made up for the sake of a full list.
use super::environment::kernel_file;
use super::text::{java_double, put};
use crate::door::{Door, Role, VERSION};
use crate::opcode::metric_name;
use crate::summary::{Histogram, Summary};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// `mntr`.
pub(super) async fn metrics(door: &Arc<Door>) -> String {
    let descriptors = {
        let door = door.clone();
        tokio::task::spawn_blocking(move || file_descriptors(&door)).await.unwrap_or_default()
    };
    let mut text = String::new();
    let role = door.role().await;
    put!(text, "zk_version\t{VERSION}\nzk_server_state\t{}\n", role.name());
    put_ensemble(&mut text, role);
    put_gauges(&mut text, door, descriptors);
    put_counters(&mut text, door);
    put_histogram(&mut text, "readlatency", &door.stats.read_latency);
    put_histogram(&mut text, "updatelatency", &door.stats.update_latency);
    text
}

/// What a member of an ensemble knows of it (`QuorumZooKeeperServer`, `LeaderZooKeeperServer`); `zk_followers` is of 3.4.
fn put_ensemble(text: &mut String, role: Role) {
    let state = match role {
        Role::Standalone => return,
        Role::Leader(_) => "leading - broadcast",
        Role::Follower => "following - broadcast",
        Role::Observer => "observing - broadcast",
    };
    put_line(text, "peer_state", state);
    let Role::Leader(census) = role else { return };
    put_line(text, "quorum_size", census.voters);
    put_line(text, "learners", census.followers + census.observers);
    put_line(text, "followers", census.followers);
    put_line(text, "synced_followers", census.synced_followers);
    put_line(text, "synced_observers", census.synced_observers);
}

fn put_gauges(text: &mut String, door: &Door, (open, max): (u64, u64)) {
    let stats = &door.stats;
    let status = door.ensemble.status();
    let (last_size, min_size, max_size) = stats.response_size.last_min_max();
    put_line(text, "avg_latency", java_double(stats.latency.average()));
    put_line(text, "max_latency", stats.latency.max());
    put_line(text, "min_latency", stats.latency.min());
    put_line(text, "packets_received", stats.received.load(Relaxed));
    put_line(text, "packets_sent", stats.sent.load(Relaxed));
    put_line(text, "num_alive_connections", door.connection_count());
    put_line(text, "outstanding_requests", door.outstanding());
    put_line(text, "uptime", door.uptime_ms());
    put_line(text, "znode_count", status.znodes);
    put_line(text, "watch_count", status.watches);
    put_line(text, "ephemerals_count", status.ephemerals);
    put_line(text, "approximate_data_size", status.data_bytes);
    put_line(text, "global_sessions", status.sessions);
    put_line(text, "local_sessions", 0);
    put_line(text, "open_file_descriptor_count", open);
    put_line(text, "max_file_descriptor_count", max);
    put_line(text, "last_client_response_size", last_size);
    put_line(text, "max_client_response_size", max_size);
    put_line(text, "min_client_response_size", min_size);
    put_line(text, "auth_failed_count", stats.auth_failed.load(Relaxed));
}

fn put_counters(text: &mut String, door: &Door) {
    let stats = &door.stats;
    put_line(text, "bytes_received_count", stats.bytes_received.load(Relaxed));
    put_line(text, "response_bytes", stats.response_bytes.load(Relaxed));
    put_line(text, "watch_bytes", stats.watch_bytes.load(Relaxed));
    put_line(text, "connection_request_count", stats.connection_requests.load(Relaxed));
    put_line(text, "connection_revalidate_count", stats.connections_revalidated.load(Relaxed));
    put_line(text, "connection_rejected", stats.connections_rejected.load(Relaxed));
    put_line(text, "connection_drop_count", stats.connections_dropped.load(Relaxed));
    put_line(text, "sessionless_connections_expired", stats.sessionless_expired.load(Relaxed));
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (operation, count) in stats.operation_counts() {
        if let Some(name) = metric_name(operation) {
            *counts.entry(name).or_default() += count;
        }
    }
    put_line(text, "op_count_total", counts.values().sum::<u64>());
    for (name, count) in counts {
        put_line(text, &format!("op_count_{name}"), count);
    }
    for (namespace, count) in stats.quota_refusals() {
        put_line(text, &format!("{namespace}_quota_exceeded_error_per_namespace"), count);
    }
}

fn put_histogram(text: &mut String, name: &str, histogram: &Histogram) {
    for (percentile, per_mille) in [("p50", 500), ("p95", 950), ("p99", 990), ("p999", 999)] {
        put_line(text, &format!("{percentile}_{name}"), histogram.percentile(per_mille));
    }
    put_summary(text, name, histogram.summary());
}

fn put_summary(text: &mut String, name: &str, summary: &Summary) {
    put_line(text, &format!("avg_{name}"), java_double(summary.average()));
    put_line(text, &format!("min_{name}"), summary.min());
    put_line(text, &format!("max_{name}"), summary.max());
    put_line(text, &format!("cnt_{name}"), summary.count());
    put_line(text, &format!("sum_{name}"), summary.sum());
}

fn put_line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    put!(text, "zk_{key}\t{value}\n");
}

/// How many file descriptors the process has open, and how many it may have.
fn file_descriptors(door: &Door) -> (u64, u64) {
    let disk = door.world.disk.as_ref();
    let open = disk.read_dir(Path::new("/proc/self/fd")).map_or(0, |entries| entries.len() as u64);
    let limits = kernel_file(disk, "/proc/self/limits").unwrap_or_default();
    let max = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|soft| soft.parse().ok())
        .unwrap_or(0);
    (open, max)
}
