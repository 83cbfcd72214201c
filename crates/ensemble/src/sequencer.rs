//! Puts writes into an order: judges each against the tree and the writes in flight, gives it its zxid, and remembers who waits.
//! On a node that doesn't lead it keeps what the leader is asked instead.
//!
//! Invariants: the sequencer's lock is taken before the tree's; `next_offset` is the log's end plus everything queued; whoever
//! waits is answered in the order of submission; a refusal is answered only once everything it was judged against is
//! applied (reference 3.39). While the node does not lead, nothing is queued.
use crate::asks::{Origin, Verdict};
use crate::ensemble::ReadView;
use crate::forwards::Forwards;
use crate::outcome::{Completion, OpResult, Outcome, Refusal};
use crate::records::{self, EncodeMemory};
use log::Batch;
use std::collections::{HashMap, VecDeque};
use tree::{AuthId, Change, Context, Options, Pending, Planned, Request, SessionId, Stat, Tree, Txn, Zxid};

/// How many runs of other nodes are remembered; each takes a few bytes, and nodes rarely restart while one leads.
const ORIGINS_MAX: usize = 10_000;

/// For how many transactions at most the queue has room before they come.
const QUEUE_ROOM_MAX: usize = 1_024;

/// The order of writes of a leader.
pub(crate) struct Sequencer {
    pending: Pending,
    /// The leader's epoch; `None` while the node does not lead or has not yet applied its log.
    epoch: Option<i32>,
    next_offset: i64,
    queue: Vec<Batch>,
    /// Memory for encoding.
    encoding: EncodeMemory,
    waiting: VecDeque<Waiting>,
    /// The number of the last ask of every run of another node, since this node leads.
    seen: HashMap<(i32, i64), i64>,
    /// What this node asks the leader while it follows.
    pub(crate) forwards: Forwards,
}

/// A request on its way: with a transaction if it has one, and in any case with someone who waits for the answer.
pub(crate) struct Waiting {
    /// The answer may be given once everything below this offset is applied.
    pub(crate) position: i64,
    pub(crate) work: Work,
    /// `None` for a request of another node, which knows by itself when its transaction is applied.
    pub(crate) done: Option<Completion>,
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

/// What the tree says to a request.
enum Judged {
    Txn(i32, Txn, Vec<Planned>),
    Answer(Result<Vec<OpResult>, Refusal>),
}

impl Sequencer {
    pub(crate) fn new() -> Sequencer {
        Sequencer {
            pending: Pending::default(),
            epoch: None,
            next_offset: 0,
            queue: Vec::new(),
            encoding: EncodeMemory::default(),
            waiting: VecDeque::new(),
            seen: HashMap::new(),
            forwards: Forwards::new(),
        }
    }

    /// The epoch in which this node leads and takes writes.
    pub(crate) fn epoch(&self) -> Option<i32> {
        self.epoch
    }

    /// The offset of the next transaction: the end of everything that was sequenced.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// How many requests wait for their answer.
    pub(crate) fn outstanding(&self) -> usize {
        self.waiting.len() + self.forwards.len()
    }

    /// Begins to take writes, the first of which goes to `next_offset`. The tree must hold everything below it.
    pub(crate) fn activate(&mut self, epoch: i32, next_offset: i64) {
        self.pending = Pending::default();
        self.epoch = Some(epoch);
        self.next_offset = next_offset;
        self.seen.clear();
    }

    /// Takes no more writes and hands out everyone who waits: their outcome is unknown.
    pub(crate) fn deactivate(&mut self) -> Vec<Completion> {
        self.epoch = None;
        self.pending = Pending::default();
        self.queue.clear();
        self.waiting.drain(..).filter_map(|waiting| waiting.done).collect()
    }

    /// Judges a request and queues its transaction. What can be answered at once (nothing is in flight) is handed back.
    pub(crate) fn submit(
        &mut self,
        tree: &Tree,
        asker: &Asker<'_>,
        request: &Request,
        done: Completion,
    ) -> Submitted {
        match self.judge(tree, asker, request) {
            Judged::Answer(result) => self.answer_later(result, done),
            Judged::Txn(epoch, txn, plan) => match self.queue_txn(epoch, txn, plan, Some(done), None) {
                Ok(()) => Submitted::Queued,
                // Requests are bounded by the doors far below the 2 GiB of a batch; only the end of a session with tens of
                // millions of ephemerals gets here, and the changes prepared for it can't be taken back.
                Err(reason) => Submitted::Fatal(reason),
            },
        }
    }

    /// Judges a request of another node and queues its transaction. The verdict may be told at once: that node waits for what it
    /// rests on. An error means that the node must stop.
    pub(crate) fn submit_forwarded(
        &mut self,
        tree: &Tree,
        asker: &Asker<'_>,
        request: &Request,
        origin: Origin,
    ) -> Result<Verdict, String> {
        match self.judge(tree, asker, request) {
            Judged::Answer(result) => Ok(Verdict::Answer { position: self.next_offset, result }),
            Judged::Txn(epoch, txn, plan) => {
                let verdict = Verdict::Sequenced { zxid: txn.zxid, plan: plan.clone() };
                self.queue_txn(epoch, txn, plan, None, Some(origin))?;
                Ok(verdict)
            }
        }
    }

    /// Notes that an ask of another node was taken up; false if it was before.
    pub(crate) fn is_first_sight(&mut self, origin: Origin) -> bool {
        if self.seen.len() >= ORIGINS_MAX {
            self.seen.clear();
        }
        let last = self.seen.entry((origin.node, origin.incarnation)).or_insert(0);
        let is_new = origin.number > *last;
        *last = origin.number.max(*last);
        is_new
    }

    fn judge(&mut self, tree: &Tree, asker: &Asker<'_>, request: &Request) -> Judged {
        let Some(epoch) = self.epoch else {
            return Judged::Answer(Err(Refusal::NotServing));
        };
        let context = Context {
            session: asker.session,
            auth: asker.auth,
            time_ms: asker.time_ms,
            zxid: Zxid(self.next_offset),
            options: asker.options,
        };
        match tree::prepare(tree, &mut self.pending, &context, request) {
            Err(refused) => Judged::Answer(Err(Refusal::Tree(refused))),
            Ok(prepared) if prepared.txn.changes.is_empty() => {
                Judged::Answer(Ok(results_of(&prepared.plan, &prepared.txn, &[])))
            }
            Ok(prepared) => Judged::Txn(epoch, prepared.txn, prepared.plan),
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
        self.queue_txn(epoch, txn, Vec::new(), Some(done), None)
    }

    fn queue_txn(
        &mut self,
        epoch: i32,
        txn: Txn,
        plan: Vec<Planned>,
        done: Option<Completion>,
        origin: Option<Origin>,
    ) -> Result<(), String> {
        let batch = records::encode_txn(&txn, epoch, origin, &mut self.encoding)
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
        self.waiting.push_back(Waiting { position, work: Work::Answer(result), done: Some(done) });
        Submitted::Queued
    }

    /// Takes everything queued for the log, with the epoch that it was queued in.
    pub(crate) fn take_queue(&mut self) -> Option<(i32, Vec<Batch>)> {
        match self.epoch {
            Some(epoch) if !self.queue.is_empty() => {
                // As many as this time are likely to come while these are written.
                let next = Vec::with_capacity(self.queue.len().min(QUEUE_ROOM_MAX));
                Some((epoch, std::mem::replace(&mut self.queue, next)))
            }
            _ => None,
        }
    }

    /// The quorum put records of its own behind everything that was taken from the queue.
    pub(crate) fn skip_to(&mut self, next_offset: i64) {
        if self.epoch.is_some() {
            self.next_offset = next_offset;
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

    /// Whether a session is open, or about to be, in the order of writes.
    pub(crate) fn session_open(&self, tree: &Tree, id: SessionId) -> bool {
        self.pending.session_open(tree, id)
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
