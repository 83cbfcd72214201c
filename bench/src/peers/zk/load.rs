//! The load: many connections of one thread that keep requests on their way, in a closed loop (a window each) or an open one (a schedule
//! that does not wait for answers), and check every answer: its number, its error and its length.
//!
//! Latency counts from when a request was to be sent: in an open loop that is the schedule's time, whenever it really left.
use super::link::{Link, Readiness};
use super::script::Script;
use super::session::Session;
use anyhow::{Context as _, Result, bail, ensure};
use base::SystemClock;
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// An open loop sends what is due in so many microseconds at once: arrivals come in groups, and each has the group's time.
const GROUP_US: u64 = 250;
/// A server that answers nothing for so long won't.
const PATIENCE_US: u64 = 30_000_000;
/// The longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 60_000_000;
/// xids go round, and stay positive.
const XIDS: u64 = 1 << 30;

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many unanswered on each connection.
    Window(usize),
    /// So many per second over all connections.
    Rate(f64),
}

/// When no more requests are sent; those on their way are waited for.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// After a time.
    After(Duration),
    /// After so many on each connection.
    Counts(Vec<u64>),
}

/// What a load was answered.
pub(super) struct Outcome {
    pub(super) operations: u64,
    /// From the first request to the last answer.
    pub(super) elapsed_us: u64,
    pub(super) latency_us: Histogram<u64>,
    /// Requests by connection.
    pub(super) counts: Vec<u64>,
}

/// One connection of a load.
struct Lane {
    link: Link,
    /// Since the session began; they number the requests on the wire.
    xids_sent: u64,
    xids_answered: u64,
    /// Of this load.
    sent: u64,
    /// Of every request on its way: the time from which its latency counts, and the length of its answer.
    waiting: VecDeque<(u64, usize)>,
}

impl Lane {
    fn send(&mut self, script: &Script, connection: usize, time_us: u64) {
        self.xids_sent += 1;
        let answer = script.put(connection, self.sent, xid(self.xids_sent), self.link.output());
        self.sent += 1;
        self.waiting.push_back((time_us, answer));
    }

    /// Takes what has arrived; how many answers it was.
    fn receive(&mut self, now_us: u64, latency_us: &mut Histogram<u64>) -> Result<u64> {
        let before = self.xids_answered;
        let (answered, waiting) = (&mut self.xids_answered, &mut self.waiting);
        self.link.receive(|frame| {
            let (time_us, length) = waiting.pop_front().context("an answer that nobody asked for")?;
            *answered += 1;
            check(frame, xid(*answered), length)?;
            latency_us.saturating_record(now_us.saturating_sub(time_us).max(1));
            Ok(())
        })?;
        Ok(self.xids_answered - before)
    }
}

fn xid(number: u64) -> i32 {
    (number % XIDS) as i32 + 1
}

/// An answer must be to that request, without an error, and of that length.
fn check(frame: &[u8], expected: i32, length: usize) -> Result<()> {
    let (xid, error) = header(frame)?;
    ensure!(xid == expected, "an answer to {xid} instead of {expected}");
    ensure!(error == 0, "a request is refused with {error}");
    ensure!(frame.len() == length, "an answer has {} bytes instead of {length}", frame.len());
    Ok(())
}

/// The header of an answer is the xid, the zxid and the error; this is its first part and its last.
pub(super) fn header(frame: &[u8]) -> Result<(i32, i32)> {
    let word =
        |at: usize| frame.get(at..at + 4).and_then(|word| word.try_into().ok()).map(i32::from_be_bytes);
    Ok((word(0).context("an xid")?, word(12).context("an error")?))
}

/// Connections with a session each, round and round over the nodes.
pub(super) struct Load<'a> {
    clock: &'a SystemClock,
    readiness: Readiness,
    lanes: Vec<Lane>,
    latency_us: Histogram<u64>,
}

impl<'a> Load<'a> {
    pub(super) fn open(clock: &'a SystemClock, nodes: &[SocketAddr], connections: usize) -> Result<Load<'a>> {
        let readiness = Readiness::new()?;
        let mut lanes = Vec::with_capacity(connections);
        for (number, address) in nodes.iter().cycle().take(connections).enumerate() {
            let link = Link::new(Session::open(*address)?.into_stream())?;
            readiness.add(number, &link)?;
            let waiting = VecDeque::new();
            lanes.push(Lane { link, xids_sent: 0, xids_answered: 0, sent: 0, waiting });
        }
        Ok(Load { clock, readiness, lanes, latency_us: histogram()? })
    }

    /// Runs one script to its end.
    pub(super) fn run(&mut self, script: &Script, pace: Pace, end: &End) -> Result<Outcome> {
        self.latency_us.reset();
        self.lanes.iter_mut().for_each(|lane| lane.sent = 0);
        let begun = crate::now_us(self.clock);
        let last = match pace {
            Pace::Window(window) => self.closed(script, window, end, begun)?,
            Pace::Rate(rate) => self.open_loop(script, rate, end, begun)?,
        };
        let counts: Vec<u64> = self.lanes.iter().map(|lane| lane.sent).collect();
        Ok(Outcome {
            operations: counts.iter().sum(),
            elapsed_us: (last - begun).max(1),
            latency_us: self.latency_us.clone(),
            counts,
        })
    }

    /// Keeps every window full until the end; the time of the last answer.
    fn closed(&mut self, script: &Script, window: usize, end: &End, begun: u64) -> Result<u64> {
        let mut last = begun;
        let mut now = begun;
        for number in 0..self.lanes.len() {
            self.fill(number, script, window, end, begun, now)?;
        }
        while self.lanes.iter().any(|lane| !lane.waiting.is_empty()) {
            let ready: Vec<usize> = self.readiness.wait(PATIENCE_US)?.collect();
            ensure!(!ready.is_empty(), "no answers any more");
            for number in ready {
                now = crate::now_us(self.clock);
                if self.lanes[number].receive(now, &mut self.latency_us)? > 0 {
                    last = now;
                }
                self.fill(number, script, window, end, begun, now)?;
            }
        }
        Ok(last)
    }

    fn fill(
        &mut self,
        number: usize,
        script: &Script,
        window: usize,
        end: &End,
        begun: u64,
        now: u64,
    ) -> Result<()> {
        let lane = &mut self.lanes[number];
        let most = match end {
            End::After(length) if now - begun >= length.as_micros() as u64 => lane.sent,
            End::After(_) => u64::MAX,
            End::Counts(counts) => counts[number],
        };
        while lane.waiting.len() < window && lane.sent < most {
            lane.send(script, number, now);
        }
        lane.link.flush(number, &self.readiness)
    }

    /// Sends what is due, whatever is answered, until the end; the time of the last answer.
    fn open_loop(&mut self, script: &Script, rate: f64, end: &End, begun: u64) -> Result<u64> {
        let End::After(length) = end else { bail!("an open loop ends after a time") };
        let groups = length.as_micros() as u64 / GROUP_US;
        let (mut group, mut sent) = (0, 0);
        let mut last = begun;
        while group < groups || self.lanes.iter().any(|lane| !lane.waiting.is_empty()) {
            let mut now = crate::now_us(self.clock);
            while group < groups && begun + group * GROUP_US <= now {
                let time = begun + group * GROUP_US;
                group += 1;
                let due = ((group * GROUP_US) as f64 * rate / 1e6) as u64;
                for request in sent..due {
                    let number = (request % self.lanes.len() as u64) as usize;
                    self.lanes[number].send(script, number, time);
                }
                sent = due;
            }
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                lane.link.flush(number, &self.readiness)?;
            }
            now = crate::now_us(self.clock);
            ensure!(now - last < PATIENCE_US, "no answers any more");
            let wake = if group < groups { begun + group * GROUP_US } else { now + PATIENCE_US };
            let ready: Vec<usize> = self.readiness.wait(wake.saturating_sub(now))?.collect();
            for number in ready {
                now = crate::now_us(self.clock);
                if self.lanes[number].receive(now, &mut self.latency_us)? > 0 {
                    last = now;
                }
                self.lanes[number].link.flush(number, &self.readiness)?;
            }
        }
        Ok(last)
    }
}

/// An empty histogram of latencies with three digits.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("a histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_number_the_length_and_no_error() {
        let answer = |xid: i32, error: i32, more: usize| {
            let mut frame = xid.to_be_bytes().to_vec();
            frame.extend(9_i64.to_be_bytes());
            frame.extend(error.to_be_bytes());
            frame.resize(frame.len() + more, 0);
            frame
        };
        assert!(check(&answer(3, 0, 4), 3, 20).is_ok());
        assert!(check(&answer(4, 0, 4), 3, 20).is_err(), "another request's");
        assert!(check(&answer(3, -101, 0), 3, 20).is_err(), "an error");
        assert!(check(&answer(3, 0, 5), 3, 20).is_err(), "longer");
        assert!(check(&[0; 15], 0, 15).is_err(), "no header");
    }

    #[test]
    fn numbers_of_requests_stay_positive() {
        assert!(xid(XIDS - 1) > 0 && xid(XIDS) == 1);
    }
}
