//! The lines `server.N` of a zoo.cfg: who belongs to the ensemble, and where.
//!
//! Invariant: a [`Member`] writes itself as `QuorumPeer.QuorumServer` does, which is the form of `/zookeeper/config`.
use super::address::parse_host;
use peers::Address;
use std::fmt;

/// What a line may look like.
const FORM: &str = "host:port:electionPort[:participant|:observer][;[clientAddress:]clientPort], with several hosts separated by |";

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It votes.
    Participant,
    /// It follows.
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Participant => "participant",
            Role::Observer => "observer",
        })
    }
}

/// One `server.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Where it listens for the other nodes, in the Kafka protocol: the host and the first port. Of several hosts the first one
    /// is used.
    pub(crate) address: Address,
    /// The second port. Nothing listens there: elections go over the first one.
    pub(crate) election_port: u16,
    /// Whether it votes.
    pub(crate) role: Role,
    /// The host for clients that the line may end with.
    pub(crate) client_host: Option<String>,
    /// The port for clients that the line may end with.
    pub(crate) client_port: Option<u16>,
    /// Whether the line names further hosts.
    pub(crate) has_alternatives: bool,
}

impl Member {
    /// Reads the value of a line. The error says what is allowed.
    pub(super) fn parse(text: &str) -> Result<Member, String> {
        let form = || FORM.to_owned();
        let mut parts = text.split(';').map(str::trim);
        let servers = parts.next().unwrap_or_default();
        let client = parts.next().filter(|part| !part.is_empty());
        if parts.next().is_some_and(|secure| !secure.is_empty()) {
            return Err(format!("{FORM}; TLS is not available yet, so there can be no port for it"));
        }
        let mut hosts = servers.split('|').map(parse_server);
        let (address, election_port, role) = hosts.next().flatten().ok_or_else(form)?;
        let alternatives: Vec<_> = hosts.collect::<Option<_>>().ok_or_else(form)?;
        let (client_host, client_port) = match client {
            Some(client) => parse_client(client).ok_or_else(form)?,
            None => (None, None),
        };
        let has_alternatives = !alternatives.is_empty();
        Ok(Member { address, election_port, role, client_host, client_port, has_alternatives })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.address, self.election_port, self.role)?;
        let Some(port) = self.client_port else { return Ok(()) };
        let host = self.client_host.clone().unwrap_or_else(|| "0.0.0.0".to_owned());
        write!(f, ";{}", Address { host, port })
    }
}

/// Reads `host:port:electionPort[:role]`.
fn parse_server(text: &str) -> Option<(Address, u16, Role)> {
    let (address, role) = match text.trim().rsplit_once(':') {
        Some((address, last)) if last.parse::<u16>().is_err() => (address, parse_role(last)?),
        _ => (text.trim(), Role::Participant),
    };
    let (rest, election_port) = address.rsplit_once(':')?;
    let (host, port) = rest.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((Address { host: parse_host(host)?, port }, election_port.parse().ok()?, role))
}

fn parse_role(text: &str) -> Option<Role> {
    match text.trim().to_ascii_lowercase().as_str() {
        "participant" => Some(Role::Participant),
        "observer" => Some(Role::Observer),
        _ => None,
    }
}

/// Reads `[host:]port`.
fn parse_client(text: &str) -> Option<(Option<String>, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(parse_host(host)?), port),
        None => (None, text),
    };
    Some((host, Some(port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Member {
        Member::parse(text).unwrap_or_else(|allowed| panic!("{text}: {allowed}"))
    }

    #[test]
    fn a_line_has_a_host_and_two_ports() {
        let plain = member("zk1.example:2888:3888");
        assert_eq!((plain.address.to_string().as_str(), plain.election_port), ("zk1.example:2888", 3888));
        assert_eq!((plain.role, plain.client_port), (Role::Participant, None));
        assert_eq!(member("[::1]:2888:3888:OBSERVER").role, Role::Observer);
        assert_eq!(member("[::1]:2888:3888").address.host, "::1");
    }

    #[test]
    fn a_line_may_end_with_where_clients_connect() {
        let with_host = member("h:1:2:participant;127.0.0.1:2191");
        assert_eq!(
            (with_host.client_host.as_deref(), with_host.client_port),
            (Some("127.0.0.1"), Some(2191))
        );
        let port_only = member("h:1:2;2191;");
        assert_eq!((port_only.client_host, port_only.client_port), (None, Some(2191)));
        assert_eq!(member("h:1:2;[::1]:5").client_host.as_deref(), Some("::1"));
    }

    #[test]
    fn of_several_hosts_the_first_is_used() {
        let several = member("a:1:2|b:3:4");
        assert_eq!((several.address.to_string().as_str(), several.has_alternatives), ("a:1", true));
    }

    #[test]
    fn a_member_writes_itself_in_zookeepers_form() {
        assert_eq!(member("h:1:2").to_string(), "h:1:2:participant");
        assert_eq!(member("h:1:2:observer;5").to_string(), "h:1:2:observer;0.0.0.0:5");
        assert_eq!(member("[::1]:1:2;[::]:5").to_string(), "[::1]:1:2:participant;[::]:5");
    }

    #[test]
    fn what_is_no_line_says_what_one_is() {
        for bad in [
            "",
            "h",
            "h:1",
            "h:1:x:participant",
            "h:1:2:voter",
            ":1:2",
            "h:0:2",
            "h:1:2|b",
            "h:1:2;x",
            "::1:1:2",
        ] {
            let refused = Member::parse(bad).expect_err(bad);
            assert!(refused.contains("host:port:electionPort"), "{bad}: {refused}");
        }
        assert!(Member::parse("h:1:2;5;6").expect_err("secure").contains("TLS"));
    }
}
