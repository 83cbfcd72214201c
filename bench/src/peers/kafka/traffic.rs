//! One thread that serves all connections of a run: producers, and consumers whose next fetch goes out as soon as one is answered.
use super::consumer::Consumer;
use super::link::Link;
use super::producer::Producer;
use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::Duration;

/// What happens while connections are served.
pub(super) trait Watch {
    /// A producer's request, which was sent with time `at`, is acknowledged.
    fn acknowledged(&mut self, at: u64);
    /// A consumer got the batch at `offset` of a partition.
    fn consumed(&mut self, partition: usize, offset: i64);
}

/// All connections of a run.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) producers: Vec<Producer>,
    pub(super) consumers: Vec<Consumer>,
    /// Which connections are ready: first the producers', then the consumers'.
    ready: Vec<PollFlags>,
}

impl Traffic {
    /// Connections that are not used yet.
    pub(super) fn new(producers: Vec<Producer>, consumers: Vec<Consumer>) -> Traffic {
        Traffic { producers, consumers, ready: Vec::new() }
    }

    /// Sends each consumer's first fetch.
    pub(super) fn consume(&mut self) -> Result<()> {
        self.consumers.iter_mut().try_for_each(Consumer::fetch)
    }

    /// Waits at most `wait` until something can be read or written, and does that.
    pub(super) fn turn(&mut self, wait: Duration, watch: &mut impl Watch) -> Result<()> {
        if !self.poll(wait)? {
            return Ok(());
        }
        let (producers, consumers) = self.ready.split_at(self.producers.len());
        for (producer, ready) in self.producers.iter_mut().zip(producers) {
            if ready.intersects(PollFlags::OUT) {
                producer.flush()?;
            }
            if is_readable(*ready) {
                producer.receive(|at| watch.acknowledged(at))?;
            }
        }
        for (consumer, ready) in self.consumers.iter_mut().zip(consumers) {
            if ready.intersects(PollFlags::OUT) {
                consumer.flush()?;
            }
            if is_readable(*ready) && consumer.receive(|partition, at| watch.consumed(partition, at))? {
                consumer.fetch()?;
            }
        }
        Ok(())
    }

    /// Whether anything is ready.
    fn poll(&mut self, wait: Duration) -> Result<bool> {
        let links = self.producers.iter().map(|producer| &producer.link);
        let links = links.chain(self.consumers.iter().map(|consumer| &consumer.link));
        let mut waiting: Vec<PollFd<'_>> = links.map(interest).collect();
        let wait = Timespec::try_from(wait)?;
        let count = match poll(&mut waiting, Some(&wait)) {
            Err(Errno::INTR) => 0,
            counted => counted?,
        };
        self.ready.clear();
        self.ready.extend(waiting.iter().map(PollFd::revents));
        Ok(count > 0)
    }

    /// Records that the servers have acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.producers.iter().map(|producer| producer.acknowledged).sum()
    }

    /// Records that have arrived.
    pub(super) fn consumed(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.records).sum()
    }

    /// Records that all producers have written to each partition.
    pub(super) fn written(&self, partitions: usize) -> Vec<u64> {
        let mut written = vec![0; partitions];
        for producer in &self.producers {
            producer.count_written(&mut written);
        }
        written
    }

    /// Bytes of batches that the servers have acknowledged.
    pub(super) fn bytes(&self) -> u64 {
        self.producers.iter().map(|producer| producer.bytes).sum()
    }
}

fn interest(link: &Link) -> PollFd<'_> {
    let flags = if link.full { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    PollFd::from_borrowed_fd(link.as_fd(), flags)
}

/// Whether reading yields something, be it the error or the end of the connection.
fn is_readable(ready: PollFlags) -> bool {
    ready.intersects(PollFlags::IN | PollFlags::ERR | PollFlags::HUP)
}
