//! Dedicated threads for loops that block on the disk (a log's writer, its cleaner).
//!
//! The loop is written as a future, so that a simulator can run the very same code as a task of its one thread.
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// How dedicated loops are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// An operating-system thread each; the loop may block it.
    Threads,
    /// A task each on the current runtime, for simulation in one thread.
    Tasks,
}

/// A running worker; dropping it detaches the worker.
#[derive(Debug)]
pub enum Worker {
    /// An operating-system thread.
    Thread(std::thread::JoinHandle<()>),
    /// A task.
    Task(JoinHandle<()>),
}

impl Workers {
    /// Runs `work` to its end on a worker of its own. `name` is what operators see in thread listings.
    ///
    /// Must be called inside a tokio runtime: the loop may use that runtime's timers.
    pub fn spawn<F>(self, name: &str, work: F) -> io::Result<Worker>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self {
            Workers::Tasks => Ok(Worker::Task(tokio::spawn(work))),
            Workers::Threads => {
                let runtime = tokio::runtime::Handle::current();
                std::thread::Builder::new()
                    .name(name.to_owned())
                    .spawn(move || runtime.block_on(work))
                    .map(Worker::Thread)
            }
        }
    }
}

/// Work that may block, under way or done. Dropping it leaves the work going.
#[derive(Debug)]
pub enum Blocking<R> {
    /// On a thread of the runtime's pool.
    Thread(JoinHandle<R>),
    /// Done on the caller's thread; empty once it was taken.
    Done(Option<R>),
}

impl Workers {
    /// Does `work`, which may block: beside the runtime's tasks, or at once in a simulation. It is under way when this returns.
    ///
    /// Must be called inside a tokio runtime. A panic of the work is an error of the future.
    pub fn blocking<F, R>(self, work: F) -> Blocking<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        match self {
            Workers::Threads => Blocking::Thread(tokio::task::spawn_blocking(work)),
            Workers::Tasks => Blocking::Done(Some(work())),
        }
    }

    /// Gives memory that was freed back to the system. The allocator keeps what a busy time leaves between what lives on, and would not
    /// look at it again. It takes locks that every allocation needs, so that it is for a quiet moment and may block. A simulated node
    /// has no process of its own, and nothing is done.
    pub fn give_memory_back(self) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        if self == Workers::Threads {
            // SAFETY: it takes no pointer and touches only pages that the allocator holds and nobody else.
            unsafe { libc::malloc_trim(0) };
        }
    }
}

impl<R: Unpin> Future for Blocking<R> {
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        match self.get_mut() {
            Blocking::Thread(thread) => Pin::new(thread).poll(context).map_err(io::Error::other),
            Blocking::Done(result) => {
                Poll::Ready(Ok(result.take().expect("a future is not polled after it was ready")))
            }
        }
    }
}

impl Worker {
    /// Waits until the worker has ended. A panic of the worker is returned as an error with its name.
    pub async fn join(self) -> io::Result<()> {
        match self {
            Worker::Task(task) => task.await.map_err(io::Error::other),
            Worker::Thread(thread) => {
                let name = thread.thread().name().unwrap_or("worker").to_owned();
                tokio::task::spawn_blocking(move || thread.join())
                    .await
                    .map_err(io::Error::other)?
                    .map_err(|_| io::Error::other(format!("thread {name} panicked")))
            }
        }
    }
}
