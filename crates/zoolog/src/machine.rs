//! What the process asks of the machine itself: its name, and more open files.
use std::ffi::{CStr, CString};
use std::{io, ptr};

/// The longest host name that systems have, and its end mark.
const HOST_NAME_BYTES_MAX: usize = 256;

/// The name under which other machines know this one: what its host name resolves to, in full (as Java's canonical host name).
///
/// # Errors
/// The machine's own name does not resolve.
pub(crate) fn canonical_host_name() -> io::Result<String> {
    let name = host_name()?;
    // SAFETY: an all-zero addrinfo is what hints begin with: every pointer null, every number 0.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_flags = libc::AI_CANONNAME;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: the name ends with a NUL, the hints and the result pointer live through the call.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut found) };
    if code != 0 {
        let shown = name.to_string_lossy();
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the host name {shown} does not resolve"),
        ));
    }
    // SAFETY: after a success the list has at least one entry, and its canonical name is null or ends with a NUL.
    let canonical = unsafe {
        let first = (*found).ai_canonname;
        if first.is_null() { None } else { Some(CStr::from_ptr(first).to_string_lossy().into_owned()) }
    };
    // SAFETY: the list is from getaddrinfo and nothing points into it any more.
    unsafe { libc::freeaddrinfo(found) };
    Ok(canonical.unwrap_or_else(|| name.to_string_lossy().into_owned()))
}

/// Whether a name is this machine's own, in its short or its full form.
pub(crate) fn is_own_name(name: &str) -> bool {
    let short = host_name().ok().and_then(|own| own.into_string().ok());
    let is_same = |own: &str| own.eq_ignore_ascii_case(name);
    short.is_some_and(|own| is_same(&own)) || canonical_host_name().is_ok_and(|own| is_same(&own))
}

fn host_name() -> io::Result<CString> {
    let mut buffer = [0_u8; HOST_NAME_BYTES_MAX];
    // SAFETY: the buffer is writable for its whole length.
    if unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let length = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    CString::new(&buffer[..length]).map_err(io::Error::other)
}

/// Lets the process open as many files as the machine's administrator allows: each connection and each segment takes one. Returns
/// the limit.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is writable and of the type that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the struct is initialized.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Lets a process that is about to be started get SIGTERM when this one ends in whatever way.
pub(crate) fn end_with_parent(command: &mut tokio::process::Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is safe to call between fork and exec, and touches nothing but the new process itself.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_name_is_text_or_an_error_with_the_name() {
        match canonical_host_name() {
            Ok(name) => assert!(!name.is_empty()),
            Err(error) => assert!(error.to_string().contains("does not resolve"), "{error}"),
        }
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let limit = raise_open_files().expect("the limit can be set");
        assert!(limit > 0);
        assert_eq!(raise_open_files().expect("again"), limit);
    }
}
