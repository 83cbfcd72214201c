//! A zoolog process that a test owns.
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long a process may take for anything before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn binary() -> &'static OsStr {
    OsStr::new(env!("CARGO_BIN_EXE_zoolog"))
}

/// A folder with whatever a node needs.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        Home(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// `serve` with free ports on the loopback address and the data in `data`; `settings` are further overrides.
    pub(crate) fn serve(&self, settings: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("serve");
        let data = format!("log.dirs={}", self.path("data").display());
        let defaults =
            ["clientPort=0", "clientPortAddress=127.0.0.1", "listeners=PLAINTEXT://127.0.0.1:0", &data];
        for setting in defaults.iter().chain(settings) {
            command.args(["--override", setting]);
        }
        command
    }

    /// The binary without arguments, in this folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path()).env_remove("RUST_LOG");
        command
    }

    /// Starts a node with free ports.
    pub(crate) fn start(&self, settings: &[&str]) -> Server {
        Server::start(self.serve(settings))
    }
}

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Ended {
    /// The lines that say why the process ended.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        self.stderr.iter().filter_map(|line| line.strip_prefix("zoolog: ")).collect()
    }

    /// Asserts that the process gave up with one reason that contains all of `parts`.
    pub(crate) fn assert_failed_with(&self, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(1), "{self:#?}");
        let reasons = self.reasons();
        assert_eq!(reasons.len(), 1, "one line says why: {self:#?}");
        for part in parts {
            assert!(reasons[0].contains(part), "{part:?} is not in {reasons:?}");
        }
    }

    /// Asserts that the process never served and ended with this code and one reason that contains all of `parts`.
    pub(crate) fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        let reasons = self.reasons();
        assert_eq!(reasons.len(), 1, "one line says why: {self:#?}");
        for part in parts {
            assert!(reasons[0].contains(part), "{part:?} is not in {reasons:?}");
        }
        assert!(!self.stdout.iter().any(|line| line == "ready"), "{self:#?}");
    }
}

/// A running process.
pub(crate) struct Server {
    pid: libc::pid_t,
    said: Vec<String>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    ended: Receiver<ExitStatus>,
    is_over: bool,
}

impl Server {
    /// Starts a process without waiting for anything.
    pub(crate) fn spawn(mut command: Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let pid = libc::pid_t::try_from(child.id()).expect("a process id");
        let stdout = lines(child.stdout.take().expect("a pipe"));
        let stderr = lines(child.stderr.take().expect("a pipe"));
        let (send, ended) = channel();
        // The thread ends with the process.
        thread::spawn(move || send.send(child.wait().expect("the process can be waited for")));
        Server { pid, said: Vec::new(), stdout, stderr, ended, is_over: false }
    }

    /// Starts a process and waits for its line `ready`.
    pub(crate) fn start(command: Command) -> Server {
        Server::spawn(command).ready()
    }

    /// Waits for the line `ready`.
    pub(crate) fn ready(mut self) -> Server {
        loop {
            match self.stdout.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the node did not become ready: {:#?}", self.end(libc::SIGKILL));
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the node did not start: {:#?}", self.wait()),
            }
            if self.said.last().is_some_and(|line| line == "ready") {
                return self;
            }
        }
    }

    /// What it printed up to `ready`.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }

    /// What follows `prefix` in the lines up to `ready`, each time.
    pub(crate) fn all_said_after(&self, prefix: &str) -> Vec<&str> {
        self.said.iter().filter_map(|line| line.strip_prefix(prefix)).collect()
    }

    /// Where ZooKeeper clients connect.
    pub(crate) fn zookeeper(&self) -> SocketAddr {
        self.all_said_after("zookeeper listening on ")[0].parse().expect("an address")
    }

    /// Where Kafka clients connect.
    pub(crate) fn kafka(&self) -> SocketAddr {
        self.all_said_after("kafka listening on ")[0].parse().expect("an address")
    }

    /// Waits until the process says something on its standard error; false if it ends first.
    pub(crate) fn wait_to_say(&self, text: &str) -> bool {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process was started by this value and was not waited for yet, so the id is still its own.
        let sent = unsafe { libc::kill(self.pid, signal) };
        assert_eq!(sent, 0, "the process takes a signal");
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(mut self) -> Ended {
        let status = self.ended.recv_timeout(PATIENCE);
        if status.is_err() {
            self.signal(libc::SIGKILL);
        }
        self.is_over = true;
        let mut stdout = std::mem::take(&mut self.said);
        stdout.extend(self.stdout.iter());
        let stderr: Vec<String> = self.stderr.iter().collect();
        let status = status.unwrap_or_else(|_| panic!("the process did not end: {stdout:#?} {stderr:#?}"));
        Ended { status, stdout, stderr }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(self, signal: libc::c_int) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// A clean stop.
    pub(crate) fn stop(self) {
        let ended = self.end(libc::SIGTERM);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_over && self.ended.try_recv().is_err() {
            self.signal(libc::SIGKILL);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Ended {
    Server::spawn(command).wait()
}

/// Whether a file exists.
pub(crate) fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}
