//! Puts writes into an order: judges each against the tree and the writes in flight, gives it its zxid, and remembers who waits.
//!
//! Invariants: the sequencer's lock is taken before the tree's; `next_offset` is the log's end plus everything queued; whoever
//! waits is answered in the order of submission; a refusal is answered only once everything it was judged against is
//! applied (reference 3.39). While the node does not lead, nothing is queued and nobody waits.
use crate::ensemble::ReadView;
use crate::outcome::{Completion, OpResult, Outcome, Refusal};
use crate::records;
use log::Batch;
use std::collections::VecDeque;
use tree::{AuthId, Change, Context, Options, Pending, Planned, Request, SessionId, Stat, Tree, Txn, Zxid};

/// The order of writes of a leader.
pub(crate) struct Sequencer {
    pending: Pending,
    /// The leader's epoch; `None` while the node does not lead or has not yet applied its log.
    epoch: Option<i32>,
    next_offset: i64,
    queue: Vec<Batch>,
    waiting: VecDeque<Waiting>,
}

/// A request on its way: with a transaction if it has one, and in any case with someone who waits for the answer.
pub(crate) struct Waiting {
    /// The answer may be given once everything below this offset is applied.
    pub(crate) position: i64,
    pub(crate) work: Work,
    pub(crate) done: Completion,
}

/// What a waiting request stands for.
pub(crate) enum Work {
    /// A logged transaction and which change answers which operation.
    Txn(Txn, Vec<Planned>),
    /// Nothing to log: a refusal, a multi of checks only, or a sync.
    Answer(Result<Vec<OpResult>, Refusal>),
}

/// Who asks for a write, and when.
pub(crate) struct Asker<'a> {
    pub(crate) session: Option<SessionId>,
    pub(crate) auth: &'a [AuthId],
    pub(crate) time_ms: i64,
    pub(crate) options: &'a Options,
}

impl Sequencer {
    pub(crate) fn new() -> Sequencer {
        Sequencer {
            pending: Pending::default(),
            epoch: None,
            next_offset: 0,
            queue: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The epoch in which this node leads and takes writes.
    pub(crate) fn epoch(&self) -> Option<i32> {
        self.epoch
    }

    /// How many requests wait for their answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// Begins to take writes, the first of which goes to `next_offset`. The tree must hold everything below it.
    pub(crate) fn activate(&mut self, epoch: i32, next_offset: i64) {
        self.pending = Pending::default();
        self.epoch = Some(epoch);
        self.next_offset = next_offset;
    }

    /// Takes no more writes and hands out everyone who waits: their outcome is unknown.
    pub(crate) fn deactivate(&mut self) -> VecDeque<Waiting> {
        self.epoch = None;
        self.pending = Pending::default();
        self.queue.clear();
        std::mem::take(&mut self.waiting)
    }

    /// Judges a request and queues its transaction. What can be answered at once (nothing is in flight) is handed back.
    pub(crate) fn submit(
        &mut self,
        tree: &Tree,
        asker: &Asker<'_>,
        request: Request,
        done: Completion,
    ) -> Submitted {
        let Some(epoch) = self.epoch else {
            return Submitted::Now(Err(Refusal::NotServing), done);
        };
        let context = Context {
            session: asker.session,
            auth: asker.auth,
            time_ms: asker.time_ms,
            zxid: Zxid(self.next_offset),
            options: asker.options,
        };
        let prepared = match tree::prepare(tree, &mut self.pending, &context, &request) {
            Ok(prepared) => prepared,
            Err(refused) => return self.answer_later(Err(Refusal::Tree(refused)), done),
        };
        if prepared.txn.changes.is_empty() {
            return self.answer_later(Ok(results_of(&prepared.plan, &prepared.txn, &[])), done);
        }
        match self.queue_txn(epoch, prepared.txn, prepared.plan, done) {
            Ok(()) => Submitted::Queued,
            // Requests are bounded by the doors far below the 2 GiB of a batch; only the end of a session with tens of
            // millions of ephemerals gets here, and the changes prepared for it can't be taken back.
            Err(reason) => Submitted::Fatal(reason),
        }
    }

    /// Queues changes that need no judgement: those that a new tree begins with.
    pub(crate) fn submit_resolved(
        &mut self,
        changes: Vec<Change>,
        time_ms: i64,
        done: Completion,
    ) -> Result<(), String> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let txn = Txn { zxid: Zxid(self.next_offset), time_ms, session: None, changes };
        self.queue_txn(epoch, txn, Vec::new(), done)
    }

    fn queue_txn(
        &mut self,
        epoch: i32,
        txn: Txn,
        plan: Vec<Planned>,
        done: Completion,
    ) -> Result<(), String> {
        let batch = records::encode_txn(&txn, epoch)
            .map_err(|error| format!("transaction {} can't be encoded: {error}", txn.zxid))?;
        self.next_offset = batch.header().next_offset();
        self.queue.push(batch);
        self.waiting.push_back(Waiting { position: self.next_offset, work: Work::Txn(txn, plan), done });
        Ok(())
    }

    /// Answers once everything in flight at this moment is applied.
    pub(crate) fn answer_later(
        &mut self,
        result: Result<Vec<OpResult>, Refusal>,
        done: Completion,
    ) -> Submitted {
        if self.waiting.is_empty() {
            return Submitted::Now(result, done);
        }
        let position = self.next_offset;
        self.waiting.push_back(Waiting { position, work: Work::Answer(result), done });
        Submitted::Queued
    }

    /// Takes everything queued for the log, with the epoch that it was queued in.
    pub(crate) fn take_queue(&mut self) -> Option<(i32, Vec<Batch>)> {
        match self.epoch {
            Some(epoch) if !self.queue.is_empty() => Some((epoch, std::mem::take(&mut self.queue))),
            _ => None,
        }
    }

    /// The zxid of the transaction that waits first in line, if the next to be answered is one.
    pub(crate) fn next_txn(&self) -> Option<Zxid> {
        self.waiting.iter().find_map(|waiting| match &waiting.work {
            Work::Txn(txn, _) => Some(txn.zxid),
            Work::Answer(_) => None,
        })
    }

    /// Takes the next in line if it can be answered or applied now: the tree ends at `applied_end`, `committed` is the high watermark.
    pub(crate) fn pop_ready(&mut self, applied_end: i64, committed: i64) -> Option<Waiting> {
        let ready = match self.waiting.front()? {
            Waiting { work: Work::Txn(txn, _), position, .. } => {
                txn.zxid.0 == applied_end && *position <= committed
            }
            Waiting { work: Work::Answer(_), position, .. } => *position <= applied_end,
        };
        if ready { self.waiting.pop_front() } else { None }
    }

    /// Forgets the overlay of everything up to this transaction, because the tree has it.
    pub(crate) fn applied_through(&mut self, zxid: Zxid) {
        self.pending.applied_through(zxid);
    }
}

/// What became of a submitted request.
pub(crate) enum Submitted {
    /// It waits; the writer may have something to do.
    Queued,
    /// Its answer, to be given at once.
    Now(Result<Vec<OpResult>, Refusal>, Completion),
    /// The node must stop.
    Fatal(String),
}

/// The results per operation, from the changes of the transaction and the stats that applying them gave.
pub(crate) fn results_of(plan: &[Planned], txn: &Txn, stats: &[Option<Stat>]) -> Vec<OpResult> {
    let stat = |index: usize| stats.get(index).copied().flatten().unwrap_or_default();
    plan.iter()
        .map(|planned| match *planned {
            Planned::Create(index) => {
                let path = txn.changes.get(index).and_then(|change| change.path());
                OpResult::Created(path.cloned().unwrap_or_else(|| "".into()), stat(index))
            }
            Planned::SetData(index) => OpResult::Set(stat(index)),
            Planned::SetAcl(index) => OpResult::AclSet(stat(index)),
            Planned::Delete(_) => OpResult::Deleted,
            Planned::Check => OpResult::Checked,
        })
        .collect()
}

/// Gives an answer.
pub(crate) fn complete(done: Completion, view: &ReadView<'_>, result: Result<Vec<OpResult>, Refusal>) {
    done(Outcome { zxid: view.last_zxid(), result }, view);
}
