//! Addresses of nodes as files and the command line write them: `host:port`, `[IPv6 address]:port`.
use peers::Address;

/// Reads `host:port`; an IPv6 address stands in brackets. `None` if it is something else, or the port is 0.
pub(crate) fn parse(text: &str) -> Option<Address> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Address { host: parse_host(host)?, port })
}

/// Reads a host: a name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn parse_host(text: &str) -> Option<String> {
    let host = match text.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':'))?,
        None if text.contains(':') => return None,
        None => text,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
    (!host.is_empty() && host.chars().all(is_host)).then(|| host.to_owned())
}

/// Whether a host stands for every address of the machine.
pub(crate) fn is_unspecified(host: &str) -> bool {
    host.parse().is_ok_and(|address: std::net::IpAddr| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let parsed = |text: &str| parse(text).map(|address| (address.host, address.port));
        assert_eq!(parsed("zk1.example:9092"), Some(("zk1.example".to_owned(), 9092)));
        assert_eq!(parsed(" [fe80::1%eth0]:1 "), Some(("fe80::1%eth0".to_owned(), 1)));
        for bad in ["", "host", "host:", ":9092", "host:0", "host:65536", "::1:9092", "[host]:1", "a b:1"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_address_of_every_interface() {
        assert!(is_unspecified("0.0.0.0") && is_unspecified("::"));
        assert!(!is_unspecified("127.0.0.1") && !is_unspecified("localhost"));
    }
}
