//! One server process under measurement: its processor time and memory from /proc, and how it ends.
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File, OpenOptions};
use std::ops::AddAssign;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The clock ticks of /proc are hundredths of a second on every Linux that has one.
const TICK: Duration = Duration::from_millis(10);

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Bytes resident now.
    pub(crate) rss: u64,
    /// The most bytes that were resident so far.
    pub(crate) rss_peak: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.cpu += other.cpu;
        self.rss += other.rss;
        self.rss_peak += other.rss_peak;
    }
}

/// A running process, ended when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it with its output at the end of a file.
    pub(crate) fn spawn(command: &mut Command, output: &Path) -> Result<Process> {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(output)
            .with_context(|| format!("opening {}", output.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Process { child })
    }

    /// Fails if the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("a server ended: {status}"),
            None => Ok(()),
        }
    }

    /// What the process has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let status = self.proc("status")?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("{key} in the status of a server"))
        };
        Ok(Usage { cpu: cpu(&self.proc("stat")?)?, rss: bytes("VmRSS:")?, rss_peak: bytes("VmHWM:")? })
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }

    /// Ends it as a power cut does, as far as a process can see that.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the measurement failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Processor time of this process, the load generator.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu(&fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?)
}

/// User and system time in a file `stat`.
fn cpu(stat: &str) -> Result<Duration> {
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th fields behind it.
    let (_, fields) = stat.rsplit_once(')').context("the fields of stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>().context("the times of stat")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_strange_name() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(cpu(stat).expect("times"), Duration::from_secs(2));
    }
}
