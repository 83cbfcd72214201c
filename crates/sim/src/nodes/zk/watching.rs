//! The law of watches: each fires once, for the first change after it was set, before any answer that shows that change or a later one.
use super::client::{Life, Seen};
use super::ledger::Ledger;
use super::{Body, Deed};
use tree::EventKind;

/// A watch that has not fired.
struct Watch<'a> {
    path: &'a str,
    of_children: bool,
    set_at: i64,
}

impl Watch<'_> {
    /// The first transaction that fires it.
    fn fires_at(&self, ledger: &Ledger) -> Option<i64> {
        let own = ledger.changes(self.path, self.set_at, i64::MAX);
        match self.of_children {
            false => own.min(),
            true => {
                let ends = own.filter(|at| ledger.at(self.path, *at).is_none());
                ends.chain(ledger.child_changes(self.path, self.set_at)).min()
            }
        }
    }
}

/// Judges what a session was told of its watches.
pub(super) fn judge(life: &Life, ledger: &Ledger) -> Result<(), String> {
    let mut watches: Vec<Watch<'_>> = Vec::new();
    let mut last = 0;
    let of = |what: String| Err(format!("client {} (session 0x{:x}): {what}", life.client, life.id));
    for seen in &life.seen {
        match seen {
            Seen::Attached { .. } | Seen::Lost { .. } => watches.clear(),
            Seen::Answered { index, .. } => {
                let asked = &life.asked[*index];
                let Some((zxid, body)) = &asked.answer else { continue };
                let late = watches.iter().find(|watch| watch.fires_at(ledger).is_some_and(|at| at <= *zxid));
                if let Some(watch) = late {
                    return of(format!(
                        "the watch on {} set at zxid {} should have fired at {:?}, but the answer to {:?} came first, at {zxid}",
                        watch.path,
                        watch.set_at,
                        watch.fires_at(ledger),
                        asked.deed
                    ));
                }
                last = last.max(*zxid);
                let set = match (&asked.deed, body) {
                    (Deed::Get { path, watch: true }, Body::Node(Some(_))) => Some((path, false)),
                    (Deed::Exists { path, watch: true }, _) => Some((path, false)),
                    (Deed::Children { path, watch: true }, Body::Children(Some(_))) => Some((path, true)),
                    _ => None,
                };
                if let Some((path, of_children)) = set {
                    // Setting a watch again leaves it as it is; the earlier place is as good as the later one.
                    if !watches.iter().any(|watch| watch.path == path && watch.of_children == of_children) {
                        watches.push(Watch { path, of_children, set_at: *zxid });
                    }
                }
            }
            Seen::Event(event) => {
                let Some(zxid) = event.zxid.map(|zxid| zxid.0) else { continue };
                if zxid < last {
                    return of(format!("{event:?} came after zxid {last} was shown"));
                }
                last = zxid;
                let before = watches.len();
                watches.retain(|watch| {
                    watch.path != &*event.path
                        || watch.fires_at(ledger) != Some(zxid)
                        || !fits(watch, event.kind)
                });
                if watches.len() == before {
                    return of(format!("{event:?} came, but no watch waits for it"));
                }
                let exists = ledger.at(&event.path, zxid).is_some();
                if exists != (event.kind != EventKind::Deleted) {
                    return of(format!("{event:?} came, but the znode's existence at that zxid is {exists}"));
                }
            }
        }
    }
    Ok(())
}

fn fits(watch: &Watch<'_>, kind: EventKind) -> bool {
    match kind {
        EventKind::Created | EventKind::DataChanged => !watch.of_children,
        EventKind::ChildrenChanged => watch.of_children,
        EventKind::Deleted => true,
    }
}
