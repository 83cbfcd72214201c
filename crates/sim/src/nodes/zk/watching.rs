//! The law of watches: each fires once, for the first change after it was set, before any answer that shows that change or a later one.
//!
//! On another connection the client sets its watches again. Then each fires at once, without a zxid, if what it waits for happened
//! meanwhile, and else waits on: neither is one lost that way, nor does one fire for nothing.
use super::client::{Asked, Life, Seen};
use super::ledger::Ledger;
use super::{Deed, Waits};
use ensemble::WatchEvent;
use tree::EventKind;

/// A watch that has not fired.
struct Watch {
    path: String,
    waits: Waits,
    set_at: i64,
    /// Whether it is set at a node: not after the connection was lost, until it is set again.
    is_set: bool,
}

impl Watch {
    /// The first transaction that fires it.
    fn fires_at(&self, ledger: &Ledger) -> Option<i64> {
        let own = ledger.changes(&self.path, self.set_at, i64::MAX);
        match self.waits {
            Waits::Data | Waits::Exist => own.min(),
            Waits::Child => {
                let ends = own.filter(|at| ledger.at(&self.path, *at).is_none());
                ends.chain(ledger.child_changes(&self.path, self.set_at)).min()
            }
        }
    }

    /// What it tells if it is set again at a zxid: nothing if what it waits for has not happened.
    fn catches_up(&self, ledger: &Ledger, zxid: i64) -> Option<EventKind> {
        let exists = ledger.at(&self.path, zxid).is_some();
        if self.waits == Waits::Exist {
            return exists.then_some(EventKind::Created);
        }
        self.fires_at(ledger).filter(|at| *at <= zxid)?;
        Some(match (exists, self.waits) {
            (false, _) => EventKind::Deleted,
            (true, Waits::Child) => EventKind::ChildrenChanged,
            (true, _) => EventKind::DataChanged,
        })
    }
}

/// Judges what a session was told of its watches.
pub(super) fn judge(life: &Life, ledger: &Ledger) -> Result<(), String> {
    let of = |what: String| format!("client {} (session 0x{:x}): {what}", life.client, life.id);
    let mut watching = Watching { ledger, watches: Vec::new(), caught_up: Vec::new(), last: 0 };
    for seen in &life.seen {
        match seen {
            Seen::Attached { .. } | Seen::Lost { .. } => watching.lose(),
            Seen::Answered { index, .. } => watching.answered(&life.asked[*index]).map_err(of)?,
            Seen::Event(event) => watching.fired(event).map_err(of)?,
        }
    }
    Ok(())
}

struct Watching<'a> {
    ledger: &'a Ledger,
    watches: Vec<Watch>,
    /// Watches that told what they had missed, with what that was, until the answer says as of when.
    caught_up: Vec<(Watch, EventKind)>,
    last: i64,
}

impl Watching<'_> {
    /// The connection is another one.
    fn lose(&mut self) {
        self.caught_up.clear();
        for watch in &mut self.watches {
            watch.is_set = false;
        }
    }

    fn answered(&mut self, asked: &Asked) -> Result<(), String> {
        let Some((zxid, _)) = asked.answer else { return Ok(()) };
        let ledger = self.ledger;
        if let Deed::SetWatches { .. } = asked.deed {
            self.set_again(zxid)?;
        }
        let is_late = |watch: &&Watch| watch.is_set && watch.fires_at(ledger).is_some_and(|at| at <= zxid);
        if let Some(watch) = self.watches.iter().find(is_late) {
            return Err(format!(
                "the watch on {} set at zxid {} should have fired at {:?}, but the answer to {:?} came first, at {zxid}",
                watch.path,
                watch.set_at,
                watch.fires_at(ledger),
                asked.deed
            ));
        }
        self.last = self.last.max(zxid);
        if let Some((path, waits)) = asked.sets() {
            let of_children = waits == Waits::Child;
            let is_same = |watch: &Watch| watch.path == path && (watch.waits == Waits::Child) == of_children;
            // Setting a watch again leaves it as it is; the earlier place is as good as the later one.
            if !self.watches.iter().any(is_same) {
                self.watches.push(Watch { path, waits, set_at: zxid, is_set: true });
            }
        }
        Ok(())
    }

    /// All watches were set again as of a zxid.
    fn set_again(&mut self, zxid: i64) -> Result<(), String> {
        for (watch, kind) in self.caught_up.drain(..) {
            let due = watch.catches_up(self.ledger, zxid);
            if due != Some(kind) {
                return Err(format!(
                    "the watch on {} set at zxid {} was set again at {zxid} and told {kind:?}, where {due:?} is due",
                    watch.path, watch.set_at
                ));
            }
        }
        for watch in self.watches.iter_mut().filter(|watch| !watch.is_set) {
            if let Some(due) = watch.catches_up(self.ledger, zxid) {
                return Err(format!(
                    "the watch on {} set at zxid {} was set again at {zxid} and lost what it had missed, {due:?}",
                    watch.path, watch.set_at
                ));
            }
            (watch.set_at, watch.is_set) = (zxid, true);
        }
        Ok(())
    }

    fn fired(&mut self, event: &WatchEvent) -> Result<(), String> {
        let Some(zxid) = event.zxid.map(|zxid| zxid.0) else { return self.caught_up(event) };
        if zxid < self.last {
            return Err(format!("{event:?} came after zxid {} was shown", self.last));
        }
        self.last = zxid;
        let before = self.watches.len();
        let ledger = self.ledger;
        self.watches.retain(|watch| {
            !watch.is_set
                || watch.path != *event.path
                || watch.fires_at(ledger) != Some(zxid)
                || !fits(watch, event.kind)
        });
        if self.watches.len() == before {
            return Err(format!("{event:?} came, but no watch waits for it"));
        }
        let exists = ledger.at(&event.path, zxid).is_some();
        if exists != (event.kind != EventKind::Deleted) {
            return Err(format!("{event:?} came, but the znode's existence at that zxid is {exists}"));
        }
        Ok(())
    }

    /// A watch that is being set again tells what it has missed. A client takes a deletion for the end of all its watches of the path.
    fn caught_up(&mut self, event: &WatchEvent) -> Result<(), String> {
        let waits = |watch: &Watch| !watch.is_set && watch.path == *event.path && fits(watch, event.kind);
        let (fired, rest): (Vec<Watch>, Vec<Watch>) =
            std::mem::take(&mut self.watches).into_iter().partition(waits);
        self.watches = rest;
        let is_second = self.caught_up.iter().any(|(watch, _)| watch.path == *event.path);
        if fired.is_empty() && !(is_second && event.kind == EventKind::Deleted) {
            return Err(format!("{event:?} came, but no watch waits for it"));
        }
        self.caught_up.extend(fired.into_iter().map(|watch| (watch, event.kind)));
        Ok(())
    }
}

fn fits(watch: &Watch, kind: EventKind) -> bool {
    match kind {
        EventKind::Created | EventKind::DataChanged => watch.waits != Waits::Child,
        EventKind::ChildrenChanged => watch.waits == Waits::Child,
        EventKind::Deleted => true,
    }
}
