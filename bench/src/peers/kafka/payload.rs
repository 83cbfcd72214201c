//! The records that are produced: semi-random events such as services log them, and the batch that is made of them once.
use anyhow::Result;
use base::Clock;
use log::{Batch, BatchBuilder, Codec, Compression};
use std::fmt::Write as _;

/// What Kafka's producer fills a batch up to (`batch.size`), as bytes on the wire.
pub(super) const BATCH_BYTES: usize = 16 << 10;
/// Offered sizes of a record's value.
pub(super) const SMALL: usize = 100;
pub(super) const LARGE: usize = 1024;
/// The framing of a record around its value, about.
const RECORD_OVERHEAD: usize = 12;
const EVENTS: [&str; 8] =
    ["view", "click", "purchase", "refund", "login", "logout", "search", "recommendation"];
const PLACES: [&str; 8] =
    ["berlin", "nairobi", "quito", "osaka", "tallinn", "halifax", "adelaide", "montevideo"];

/// Which records, how compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) record_bytes: usize,
    pub(super) codec: Codec,
}

/// A batch that is sent again and again.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) batch: Batch,
    pub(super) records: usize,
}

impl Template {
    /// A batch with so many records.
    pub(super) fn with_records(clock: &dyn Clock, payload: Payload, records: usize) -> Result<Template> {
        let compression = Compression { codec: payload.codec, level: None };
        let mut builder = BatchBuilder::new(0).compression(compression);
        let mut random = Random::new();
        let now = clock.wall_ms();
        for _ in 0..records {
            builder.append(now, None, Some(&value(&mut random, payload.record_bytes)), &[])?;
        }
        Ok(Template { batch: builder.build()?, records })
    }

    /// A batch of about `batch_bytes` on the wire.
    pub(super) fn with_bytes(clock: &dyn Clock, payload: Payload, batch_bytes: usize) -> Result<Template> {
        let plain = (batch_bytes / (payload.record_bytes + RECORD_OVERHEAD)).max(1);
        let trial = Template::with_records(clock, payload, plain)?;
        let scaled = plain * batch_bytes / trial.batch.size().max(1);
        Template::with_records(clock, payload, scaled.max(1))
    }
}

/// One event of exactly `bytes`: field names and words that repeat, numbers and ids that don't.
fn value(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut text = String::with_capacity(bytes + 128);
    while text.len() < bytes {
        let event = EVENTS[random.below(EVENTS.len())];
        let place = PLACES[random.below(PLACES.len())];
        let (id, user, cents) = (random.next(), random.below(1_000_000), random.below(100_000));
        let _infallible = write!(
            text,
            "{{\"id\":\"{id:016x}\",\"user\":{user},\"event\":\"{event}\",\"place\":\"{place}\",\"cents\":{cents}}}"
        );
    }
    text.truncate(bytes);
    text.into_bytes()
}

/// Numbers that look random and are the same in every run, so that both servers get the same bytes.
struct Random(u64);

impl Random {
    fn new() -> Random {
        Random(0x9e37_79b9_7f4a_7c15)
    }

    /// Marsaglia's xorshift with the multiplier of xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SystemClock;

    #[test]
    fn records_have_their_size_and_batches_about_theirs() {
        let clock = SystemClock::new();
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            for record_bytes in [SMALL, LARGE] {
                let payload = Payload { record_bytes, codec };
                let template = Template::with_bytes(&clock, payload, BATCH_BYTES).expect("records fit");
                let size = template.batch.size();
                assert!((BATCH_BYTES * 3 / 4..=BATCH_BYTES * 5 / 4).contains(&size), "{payload:?}: {size}");
                assert!(template.batch.crc_is_valid());
                assert_eq!(template.batch.header().record_count as usize, template.records);
                let ratio = template.records as f64 * record_bytes as f64 / size as f64;
                assert_eq!(codec != Codec::None, ratio > 1.3, "{payload:?} shrinks {ratio:.1} times");
                assert!(ratio < 6.0, "{payload:?} shrinks {ratio:.1} times: that is no realistic payload");
            }
        }
    }
}
