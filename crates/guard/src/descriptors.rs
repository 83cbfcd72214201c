//! How many files and sockets the process may have open: the watchers' connections need more than many systems allow at first.
use anyhow::{Result, ensure};
use std::io;

/// Asks the system for so many descriptors.
pub(crate) fn need(count: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that lives through the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    ensure!(known == 0, "the limit of open files can't be read: {}", io::Error::last_os_error());
    if limit.rlim_cur >= count {
        return Ok(());
    }
    let hard = limit.rlim_max;
    ensure!(hard >= count, "{count} open files are needed and {hard} allowed (ulimit -Hn); allow more");
    limit.rlim_cur = count;
    // SAFETY: as above.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    ensure!(raised == 0, "the limit of open files can't be raised: {}", io::Error::last_os_error());
    Ok(())
}
