//! Random histories of a log against a list of records.
use crate::common::{Bench, NOW, batch_at, contents};
use log::{Log, LogConfig, LogOptions, Origin, TailBudget, TopicPartition};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// As a leader: this many records in a batch.
    Append(usize),
    /// As a follower: batches of these sizes, each behind a gap.
    Copy(Vec<(i64, usize)>),
    /// Take back to this share of the log.
    Truncate(u8),
    /// Delete records up to this share of the log.
    Delete(u8),
    StartOver(i64),
    Roll,
    Flush,
    /// Closed properly or not.
    Reopen(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6usize).prop_map(Step::Append),
        3 => prop::collection::vec((0..3i64, 1..4usize), 1..8).prop_map(Step::Copy),
        2 => any::<u8>().prop_map(Step::Truncate),
        1 => any::<u8>().prop_map(Step::Delete),
        1 => (0..5_000_000_000i64).prop_map(Step::StartOver),
        1 => Just(Step::Roll),
        1 => Just(Step::Flush),
        2 => any::<bool>().prop_map(Step::Reopen),
    ]
}

struct Kept {
    base: i64,
    epoch: i32,
    values: Vec<String>,
}

impl Kept {
    fn end(&self) -> i64 {
        self.base + self.values.len() as i64
    }
}

/// What the log must hold: batches of records, by base offset.
#[derive(Default)]
struct Model {
    batches: Vec<Kept>,
    start: i64,
    end: i64,
    serial: usize,
    epoch: i32,
}

impl Model {
    fn values(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                self.serial += 1;
                format!("value {}", self.serial)
            })
            .collect()
    }

    fn push(&mut self, base: i64, values: Vec<String>) {
        self.end = base + values.len() as i64;
        self.batches.push(Kept { base, epoch: self.epoch, values });
    }

    fn truncate(&mut self, offset: i64) {
        if offset <= self.start {
            return self.start_over(offset.min(self.start));
        }
        let before = self.end;
        self.batches.retain(|batch| batch.end() <= offset);
        if offset < before {
            // A gap in front of what was removed goes too.
            self.end = self.batches.last().map_or(self.start, Kept::end);
        }
    }

    fn start_over(&mut self, offset: i64) {
        self.batches.clear();
        (self.start, self.end) = (offset, offset);
    }

    /// (offset, value, epoch) of all records.
    fn records(&self) -> Vec<(i64, String, i32)> {
        let of = |batch: &Kept| {
            let epoch = batch.epoch;
            (batch.base..)
                .zip(batch.values.clone())
                .map(move |(offset, value)| (offset, value, epoch))
                .collect()
        };
        let all = self.batches.iter().flat_map(|batch| -> Vec<_> { of(batch) });
        all.filter(|(offset, ..)| *offset >= self.start).collect()
    }
}

/// The same of a log.
fn records(log: &Log) -> Vec<(i64, String, i32)> {
    let found = contents(log, log.log_start_offset()).into_iter();
    found.map(|(offset, value)| (offset, value, log.epoch_at(offset).unwrap_or(-1))).collect()
}

fn open(bench: &Bench, clean: bool, start: i64, recovery_point: i64) -> Log {
    Log::open(LogOptions {
        world: bench.world.clone(),
        dir: bench.log_path(),
        partition: TopicPartition::new("events", 0),
        config: bench.config.clone(),
        clean_shutdown: clean,
        recovery_point,
        log_start_offset: start,
        high_watermark: start,
        tail: bench.tail.clone(),
    })
    .expect("the log opens")
}

fn apply(bench: &Bench, mut log: Log, model: &mut Model, step: &Step) -> Log {
    model.epoch += 1;
    let batch = |values: &[String]| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        batch_at(NOW, &values)
    };
    match step {
        Step::Append(count) => {
            let values = model.values(*count);
            let info = log.append(batch(&values), model.epoch, Origin::Client).expect("append");
            assert_eq!(info.first_offset, model.end);
            model.push(info.first_offset, values);
        }
        Step::Copy(parts) => {
            let mut group = Vec::new();
            for (gap, count) in parts {
                let values = model.values(*count);
                let mut batch = batch(&values);
                batch.set_base_offset(model.end + gap);
                batch.set_leader_epoch(model.epoch);
                group.push(batch);
                model.push(model.end + gap, values);
            }
            log.append_with_offsets(&group).expect("append");
        }
        Step::Truncate(share) => {
            let offset = model.start + (model.end - model.start) * i64::from(*share) / 255;
            log.truncate_to(offset).expect("truncate");
            model.truncate(offset);
            // Where nothing is left, the end may be anywhere from the start to the first gap; take the log's word.
            model.end = log.log_end_offset();
        }
        Step::Delete(share) => {
            let offset = model.start + (model.end - model.start) * i64::from(*share) / 255;
            log.advance_high_watermark(model.end);
            log.delete_records_before(offset).expect("delete");
            model.start = model.start.max(offset);
        }
        Step::StartOver(offset) => {
            log.truncate_fully_and_start_at(*offset).expect("start over");
            model.start_over(*offset);
        }
        Step::Roll => log.roll().expect("roll"),
        Step::Flush => drop(log.flush().expect("flush")),
        Step::Reopen(clean) => {
            let (start, flushed) = (log.log_start_offset(), log.flushed_offset());
            if *clean {
                log.close().expect("close");
            }
            drop(log);
            log = open(bench, *clean, start, flushed);
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_log_holds_what_was_put_into_it(
        steps in prop::collection::vec(step(), 1..40),
        segment_bytes in 150..2000u64,
        tail_bytes in prop::sample::select(&[0u64, 1000, 1 << 20][..]),
    ) {
        let base = Bench::new();
        let bench = Bench {
            config: LogConfig { segment_bytes, ..base.config.clone() },
            tail: TailBudget::new(tail_bytes, tail_bytes),
            ..base
        };
        let mut log = open(&bench, false, 0, 0);
        let mut model = Model::default();
        for step in &steps {
            log = apply(&bench, log, &mut model, step);
            prop_assert_eq!(log.log_end_offset(), model.end, "after {:?}", step);
            prop_assert_eq!(log.log_start_offset(), model.start, "after {:?}", step);
            prop_assert!(log.flushed_offset() <= model.end && log.high_watermark() <= model.end);
            prop_assert_eq!(records(&log), model.records(), "after {:?}", step);
        }
    }
}
