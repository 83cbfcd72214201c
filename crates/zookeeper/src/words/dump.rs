//! `dump`, `wchs`, `wchp` and `wchc`: sessions, their ephemerals and their watches.
use super::text::{java_address, java_date, put};
use crate::door::Door;
use ensemble::WatcherId;
use std::collections::BTreeMap;
use tree::SessionId;

/// `dump`.
pub(super) fn sessions(door: &Door) -> String {
    let mut text = String::from("SessionTracker dump:\n");
    let by_expiry = door.ensemble.sessions_by_expiry();
    let sessions: usize = by_expiry.iter().map(|(_, ids)| ids.len()).sum();
    put!(text, "Session Sets ({})/({sessions}):\n", by_expiry.len());
    for (at_ms, ids) in &by_expiry {
        put!(text, "{} expire at {}:\n", ids.len(), java_date(door.to_wall_ms(*at_ms)));
        for id in ids {
            put!(text, "\t{id}\n");
        }
    }
    text.push_str("ephemeral nodes dump:\n");
    put_ephemerals(&mut text, door);
    text.push_str("Connections dump:\n");
    put_connections(&mut text, door);
    text
}

fn put_ephemerals(text: &mut String, door: &Door) {
    let owners = door.ensemble.read(|view| {
        let tree = view.tree();
        let owners = tree.sessions().filter(|(_, session)| session.ephemeral_count() > 0);
        owners.map(|(id, _)| (id, tree.ephemerals(id, ""))).collect::<BTreeMap<_, _>>()
    });
    put!(text, "Sessions with Ephemerals ({}):\n", owners.len());
    for (id, paths) in &owners {
        put!(text, "{id}:\n");
        for path in paths {
            put!(text, "\t{path}\n");
        }
    }
}

fn put_connections(text: &mut String, door: &Door) {
    let connections = door.connections();
    put!(text, "Connections Sets ({0})/({0}):\n", connections.len());
    for connection in connections {
        let session = connection.snapshot().session.map_or(SessionId(0), |session| session.id);
        let expires = java_date(door.to_wall_ms(connection.expires_ms()));
        let remote = java_address(connection.remote());
        put!(text, "1 expire at {expires}:\n\tip: {remote} sessionId: {session}\n");
    }
}

/// `wchs`.
pub(super) fn watches_summary(door: &Door) -> String {
    let (paths, watchers, watches) = door.ensemble.with_watches(|watches| {
        let (paths, watchers) = watches.summary();
        (paths, watchers, watches.len())
    });
    format!("{watchers} connections watching {paths} paths\nTotal watches:{watches}\n")
}

/// `wchp`.
pub(super) fn watches_by_path(door: &Door) -> String {
    let sessions = sessions_by_watcher(door);
    let mut text = String::new();
    door.ensemble.with_watches(|watches| {
        for (path, watchers) in watches.paths() {
            put!(text, "{path}\n");
            for watcher in watchers {
                put!(text, "\t{}\n", session_of(&sessions, watcher));
            }
        }
    });
    text.push('\n');
    text
}

/// `wchc`.
pub(super) fn watches_by_session(door: &Door) -> String {
    let sessions = sessions_by_watcher(door);
    let mut by_watcher: BTreeMap<WatcherId, Vec<String>> = BTreeMap::new();
    door.ensemble.with_watches(|watches| {
        for (path, watchers) in watches.paths() {
            for watcher in watchers {
                by_watcher.entry(watcher).or_default().push(path.to_owned());
            }
        }
    });
    let mut text = String::new();
    for (watcher, paths) in by_watcher {
        put!(text, "{}\n", session_of(&sessions, watcher));
        for path in paths {
            put!(text, "\t{path}\n");
        }
    }
    text.push('\n');
    text
}

fn sessions_by_watcher(door: &Door) -> BTreeMap<WatcherId, SessionId> {
    let sessions = door.connections().into_iter().filter_map(|connection| connection.snapshot().session);
    sessions.map(|session| (session.watcher, session.id)).collect()
}

/// The session of a watcher; the server's own clients have no connection here and show as 0x0.
fn session_of(sessions: &BTreeMap<WatcherId, SessionId>, watcher: WatcherId) -> SessionId {
    sessions.get(&watcher).copied().unwrap_or_default()
}
