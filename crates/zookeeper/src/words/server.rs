//! `srvr`, `stat`, `cons` and the two resets.
use super::text::{java_address, java_double, put};
use crate::connection::{Connection, Snapshot};
use crate::door::{Door, Role, VERSION};
use std::sync::atomic::Ordering::Relaxed;

/// Read and write interest as Java's selection keys number them.
const INTEREST_READ: u8 = 1;
const INTEREST_WRITE: u8 = 4;

/// `srvr`.
pub(super) async fn server(door: &Door) -> String {
    let mut text = version_line();
    put_numbers(&mut text, door, door.role().await);
    text
}

/// `stat`.
pub(super) async fn statistics(door: &Door) -> String {
    let role = door.role().await;
    let mut text = version_line();
    text.push_str("Clients:\n");
    for connection in door.connections() {
        put_connection(&mut text, door, &connection, true);
        text.push('\n');
    }
    text.push('\n');
    put_numbers(&mut text, door, role);
    text
}

/// `cons`.
pub(super) fn connections(door: &Door) -> String {
    let mut text = String::new();
    for connection in door.connections() {
        put_connection(&mut text, door, &connection, false);
        text.push('\n');
    }
    text.push('\n');
    text
}

/// `crst`.
pub(super) fn reset_connections(door: &Door) -> String {
    for connection in door.connections() {
        connection.reset_stats();
    }
    String::from("Connection stats reset.\n")
}

/// `srst`.
pub(super) fn reset(door: &Door) -> String {
    door.stats.reset();
    String::from("Server stats reset.\n")
}

fn version_line() -> String {
    format!("Zookeeper version: {VERSION}\n")
}

fn put_numbers(text: &mut String, door: &Door, role: Role) {
    let stats = &door.stats;
    let status = door.ensemble.status();
    put!(
        text,
        "Latency min/avg/max: {}/{}/{}\n",
        stats.latency.min(),
        java_double(stats.latency.average()),
        stats.latency.max()
    );
    put!(text, "Received: {}\nSent: {}\n", stats.received.load(Relaxed), stats.sent.load(Relaxed));
    put!(text, "Connections: {}\nOutstanding: {}\n", door.connection_count(), door.outstanding());
    put!(text, "Zxid: {}\nMode: {}\n", status.last_zxid, role.name());
    put!(text, "Node count: {}\n", status.znodes);
}

fn put_connection(text: &mut String, door: &Door, connection: &Connection, brief: bool) {
    let Snapshot { stats, session, outstanding, throttled, unwritten, word } = connection.snapshot();
    let interest = match (word, throttled, unwritten > 0) {
        (true, ..) => 0,
        (false, throttled, writing) => {
            (if throttled { 0 } else { INTEREST_READ }) | (if writing { INTEREST_WRITE } else { 0 })
        }
    };
    put!(
        text,
        " {}[{interest:x}](queued={outstanding},recved={},sent={}",
        java_address(connection.remote()),
        stats.received,
        stats.sent
    );
    if !brief && let Some(session) = session {
        put!(
            text,
            ",sid=0x{:x},lop={},est={},to={}",
            session.id.0,
            stats.last_operation(),
            connection.established_wall_ms(),
            session.timeout_ms
        );
        if stats.last_cxid >= 0 {
            put!(text, ",lcxid=0x{:x}", stats.last_cxid);
        }
        let last_response =
            if stats.last_response_ms == 0 { 0 } else { door.to_wall_ms(stats.last_response_ms) };
        put!(
            text,
            ",lzxid=0x{:x},lresp={last_response},llat={},minlat={},avglat={},maxlat={}",
            stats.last_zxid,
            stats.last_latency,
            stats.min_latency(),
            stats.average_latency(),
            stats.max_latency
        );
    }
    text.push(')');
}
