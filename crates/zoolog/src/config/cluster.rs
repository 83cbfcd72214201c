//! This node's place among others: what `server.N`, `controller.quorum.voters`, `controller.quorum.bootstrap.servers` and `--join` say
//! together.
//!
//! Invariants: the ways of saying it agree or are refused; a node that has a line of its own listens where that line says; a node
//! without others is alone, whatever its own line says.
use super::NODE_ID_MAX;
use super::address::is_unspecified;
use super::members::Role;
use super::zoo::ZooSettings;
use controller::config::{BrokerConfig, ConfigValue, Listener};
use ensemble::ConfiguredVoter;
use peers::Address;
use std::collections::BTreeMap;

/// The names of a listener that is opened for the other nodes only; the second one if the first is in use.
const PEER_LISTENERS: [&str; 2] = ["CONTROLLER", "PEERS"];
/// The host for a node whose others are all on the same machine.
const LOCAL_HOST: &str = "localhost";

/// Who the others are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    /// The voters that a new cluster begins with, this node among them if it votes. Empty on a node that is alone or joins a
    /// cluster.
    pub(crate) voters: Vec<ConfiguredVoter>,
    /// Whom to ask for the cluster.
    pub(crate) bootstrap: Vec<Address>,
    /// Where the others reach this node, if a line says so. The host may stand for every address of the machine.
    pub(crate) own: Option<Address>,
    /// Whether this node becomes a voter by itself once it has caught up.
    pub(crate) auto_join: bool,
    /// Who belongs to the ensemble, in ZooKeeper's form; `None` on a node that is alone.
    pub(crate) membership: Option<String>,
    /// How many nodes the configuration names, this one included.
    pub(crate) size: usize,
    is_alone: bool,
}

impl Cluster {
    /// Whether there are no others.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// The others, for a message about them.
    pub(crate) fn others(&self) -> String {
        let voters = self.voters.iter().map(|voter| format!("{}@{}", voter.id, voter.address));
        let all: Vec<String> = voters.chain(self.bootstrap.iter().map(ToString::to_string)).collect();
        all.join(", ")
    }

    /// The host under which this node is known to clients that are not told one: its own line's, or this machine's loopback if the
    /// others are there, too.
    pub(crate) fn host(&self) -> Option<&str> {
        if let Some(own) = &self.own {
            return Some(own.host.as_str()).filter(|host| !is_unspecified(host));
        }
        let others = || self.bootstrap.iter().chain(self.voters.iter().map(|voter| &voter.address));
        (!self.is_alone && others().all(|address| is_loopback(&address.host))).then_some(LOCAL_HOST)
    }
}

/// What a configuration says, as far as it is about other nodes.
pub(super) struct Said<'a> {
    pub(super) zoo: &'a ZooSettings,
    pub(super) broker: &'a BrokerConfig,
    /// This node's number, if something gives it.
    pub(super) id: Option<i32>,
    /// `--join`
    pub(super) join: &'a [Address],
    /// The port for ZooKeeper clients.
    pub(super) client_port: u16,
}

/// What follows from it.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) cluster: Cluster,
    /// Kafka's settings that have to change, because this node listens where its line says.
    pub(super) listener: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
}

/// A node that a line names.
#[derive(Clone, Debug)]
struct Named {
    address: Address,
    votes: bool,
}

impl Said<'_> {
    /// Works out the node's place, or says everything that is wrong.
    pub(super) fn resolve(&self) -> Result<Resolved, Vec<String>> {
        let mut errors = Vec::new();
        let named = self.named(&mut errors);
        self.check_addresses(&named, &mut errors);
        self.check_number(&named, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let own = self.id.and_then(|id| named.get(&id).cloned());
        let is_named_voter = own.as_ref().is_some_and(|own| own.votes);
        let all_voters: Vec<ConfiguredVoter> = named
            .iter()
            .filter(|(_, node)| node.votes)
            .map(|(id, node)| ConfiguredVoter { id: *id, address: node.address.clone() })
            .collect();
        let bootstrap = self.bootstrap(&all_voters, is_named_voter);
        let has_others = named.keys().any(|id| Some(*id) != self.id);
        if !self.join.is_empty() && bootstrap.is_empty() {
            return Err(vec!["--join names this node itself; name a node of the cluster to join".to_owned()]);
        }
        let is_alone = !has_others && bootstrap.is_empty();
        let voters = if is_alone || !self.join.is_empty() { Vec::new() } else { all_voters };
        let own = own.map(|own| own.address).filter(|_| !is_alone);
        let mut resolved = Resolved {
            cluster: Cluster {
                voters,
                bootstrap,
                own,
                auto_join: self.auto_join(is_named_voter),
                membership: (named.len() > 1).then(|| self.membership(&named)),
                size: named.keys().filter(|id| Some(**id) != self.id).count() + 1,
                is_alone,
            },
            listener: Vec::new(),
            warnings: self.peer_type_warning(is_named_voter),
        };
        self.add_listener(&mut resolved).map_err(|error| vec![error])?;
        Ok(resolved)
    }

    /// The nodes that lines name, by number.
    fn named(&self, errors: &mut Vec<String>) -> BTreeMap<i32, Named> {
        let mut voters = BTreeMap::new();
        for voter in &self.broker.quorum_voters {
            let address = Address { host: voter.host.clone(), port: voter.port };
            if voter.id > NODE_ID_MAX {
                errors.push(format!(
                    "controller.quorum.voters names node {}, but a node's number is 0 to {NODE_ID_MAX}",
                    voter.id
                ));
            }
            if voters.insert(voter.id, Named { address, votes: true }).is_some() {
                errors.push(format!("controller.quorum.voters names node {} twice", voter.id));
            }
        }
        if self.zoo.members.is_empty() {
            return voters;
        }
        let members: BTreeMap<i32, Named> = self
            .zoo
            .members
            .iter()
            .map(|(id, member)| {
                let votes = member.role == Role::Participant;
                (*id, Named { address: member.address.clone(), votes })
            })
            .collect();
        if !members.values().any(|member| member.votes) {
            errors.push(format!("{} only observe, but somebody has to vote", self.all_members()));
        }
        let voting = |nodes: &BTreeMap<i32, Named>| -> Vec<(i32, Address)> {
            nodes
                .iter()
                .filter(|(_, node)| node.votes)
                .map(|(id, node)| (*id, node.address.clone()))
                .collect()
        };
        if !voters.is_empty() && voting(&voters) != voting(&members) {
            errors.push(format!(
                "controller.quorum.voters and {} name different voters; make them the same, or keep one of the two",
                self.all_members()
            ));
        }
        members
    }

    fn check_addresses(&self, named: &BTreeMap<i32, Named>, errors: &mut Vec<String>) {
        let mut known: BTreeMap<&Address, i32> = BTreeMap::new();
        for (id, node) in named.iter().filter(|(_, node)| !is_unspecified(&node.address.host)) {
            if let Some(other) = known.insert(&node.address, *id) {
                errors.push(format!("the nodes {other} and {id} have the same address, {}", node.address));
            }
        }
    }

    /// This node must have a number, and its line if lines name everyone.
    fn check_number(&self, named: &BTreeMap<i32, Named>, errors: &mut Vec<String>) {
        let Some(id) = self.id else {
            if named.len() > 1 {
                let file = match &self.zoo.data_dir {
                    Some(dir) => format!("write its number into {}", dir.join(super::MYID_FILE).display()),
                    None => "set dataDir and write its number into the file myid there".to_owned(),
                };
                errors.push(format!(
                    "{} are configured, but nothing says which of them this node is; {file}, or set node.id",
                    self.all_named()
                ));
            } else if !self.join.is_empty() {
                errors.push(
                    "a node that joins a cluster needs a number that no other node there has; set node.id"
                        .to_owned(),
                );
            }
            return;
        };
        let own = named.get(&id);
        let roles = self.broker.file_value("process.roles").unwrap_or_default();
        let has_role = |role: &str| roles.split(',').any(|given| given.trim() == role);
        if own.is_some_and(|own| own.votes) && !roles.is_empty() && !has_role("controller") {
            errors.push(format!(
                "node {id} is a voter, but process.roles is {roles}; add controller to it, or take the node out of the voters"
            ));
        }
        if own.is_some() || named.is_empty() || !self.join.is_empty() {
            return;
        }
        // A broker of Kafka that is no voter isn't named anywhere; a server of ZooKeeper has its line.
        if has_role("controller") && !self.broker.quorum_voters.is_empty() {
            errors.push(format!(
                "process.roles contains controller, but node {id} is not among controller.quorum.voters, {}; add it there, or \
                 leave controller out",
                self.broker.file_value("controller.quorum.voters").unwrap_or_default()
            ));
        } else if !self.zoo.members.is_empty() && !self.zoo.is_observer {
            errors.push(format!(
                "this node is number {id}, but only {} are configured; add the line server.{id}, correct the number, or set \
                 peerType=observer if the node is to follow without a vote",
                self.all_members()
            ));
        }
    }

    /// Whom to ask for the cluster, without this node.
    fn bootstrap(&self, voters: &[ConfiguredVoter], is_named_voter: bool) -> Vec<Address> {
        let servers = match self.broker.value("controller.quorum.bootstrap.servers") {
            Some(ConfigValue::List(servers)) => servers,
            _ => Vec::new(),
        };
        let mut all: Vec<Address> = self.join.to_vec();
        all.extend(servers.iter().filter_map(|server| super::address::parse(server)));
        if !self.join.is_empty() || !is_named_voter {
            all.extend(
                voters.iter().filter(|voter| Some(voter.id) != self.id).map(|voter| voter.address.clone()),
            );
        }
        let mut bootstrap: Vec<Address> = Vec::new();
        for address in all {
            if !bootstrap.contains(&address) && !self.is_own(&address) {
                bootstrap.push(address);
            }
        }
        bootstrap
    }

    /// Whether this node listens at an address, as far as the configuration and the machine's name tell.
    fn is_own(&self, address: &Address) -> bool {
        let broker = self.broker;
        let matches = |listener: &Listener| {
            let host = listener.host.as_deref().filter(|host| !is_unspecified(host));
            listener.port == address.port
                && match host {
                    Some(host) => host == address.host || (is_loopback(host) && is_loopback(&address.host)),
                    None => is_loopback(&address.host) || crate::machine::is_own_name(&address.host),
                }
        };
        broker.listeners.iter().chain(&broker.advertised_listeners).any(matches)
    }

    fn auto_join(&self, is_named_voter: bool) -> bool {
        const KEY: &str = "controller.quorum.auto.join.enable";
        match (self.broker.file_value(KEY), self.broker.value(KEY)) {
            (Some(_), Some(ConfigValue::Boolean(enabled))) => enabled,
            // A voter that lost its disk comes back as one.
            _ => is_named_voter,
        }
    }

    fn peer_type_warning(&self, is_named_voter: bool) -> Vec<String> {
        let contradicts = self.zoo.is_observer && is_named_voter;
        let warning = "peerType is observer, but this node's line says participant; the line counts";
        contradicts.then(|| warning.to_owned()).into_iter().collect()
    }

    /// Lets the node listen where its line says, unless it does.
    fn add_listener(&self, resolved: &mut Resolved) -> Result<(), String> {
        let Some(own) = &resolved.cluster.own else { return Ok(()) };
        if own.port == self.client_port {
            return Err(format!(
                "{own} is where the other nodes reach this one, but ZooKeeper clients have the same port (clientPort); change one \
                 of the two"
            ));
        }
        let broker = self.broker;
        if broker.listeners.iter().any(|listener| listener.port == own.port) {
            return Ok(());
        }
        let for_peers = |listener: &&Listener| broker.controller_listener_names.contains(&listener.name);
        if let Some(listener) = broker.listeners.iter().find(for_peers) {
            resolved.warnings.push(format!(
                "the other nodes are told to reach this one at {own}, but it listens for them on {listener}; something has to \
                 forward that port"
            ));
            return Ok(());
        }
        let is_free = |name: &&str| !broker.listeners.iter().any(|listener| listener.name == **name);
        let given = broker.controller_listener_names.first().map(String::as_str);
        let Some(name) = given.into_iter().chain(PEER_LISTENERS).find(is_free) else { return Ok(()) };
        // As ZooKeeper does it, only the named address is listened on (quorumListenOnAllIPs).
        let host = Some(own.host.clone()).filter(|host| !self.zoo.listens_on_all && !is_unspecified(host));
        let protocol = controller::config::SecurityProtocol::Plaintext;
        let added = Listener { name: name.to_owned(), protocol, host, port: own.port };
        let listeners: Vec<String> =
            broker.listeners.iter().chain([&added]).map(ToString::to_string).collect();
        let set = |key: &str, value: String| (key.to_owned(), value);
        resolved.listener.push(set("listeners", listeners.join(",")));
        if given.is_none() {
            resolved.listener.push(set("controller.listener.names", name.to_owned()));
        }
        const MAP: &str = "listener.security.protocol.map";
        if let Some(map) = broker.file_value(MAP).filter(|_| broker.listener_protocol(name).is_none()) {
            resolved.listener.push(set(MAP, format!("{map},{name}:{protocol}")));
        }
        Ok(())
    }

    /// The text of `/zookeeper/config`: `QuorumMaj.toString` of a configuration that was never changed.
    fn membership(&self, named: &BTreeMap<i32, Named>) -> String {
        let mut text = String::new();
        for (id, node) in named {
            let line = match self.zoo.members.get(id) {
                Some(member) => member.to_string(),
                None => format!("{}:{}:{}", node.address, node.address.port, Role::Participant),
            };
            text += &format!("server.{id}={line}\n");
        }
        text + "version=0"
    }

    fn all_members(&self) -> String {
        let all: Vec<String> = self.zoo.members.keys().map(|id| format!("server.{id}")).collect();
        all.join(", ")
    }

    fn all_named(&self) -> String {
        if !self.zoo.members.is_empty() {
            return self.all_members();
        }
        let voters = self.broker.quorum_voters.iter();
        let all: Vec<String> =
            voters.map(|voter| format!("{}@{}:{}", voter.id, voter.host, voter.port)).collect();
        format!("the voters {}", all.join(", "))
    }
}

fn is_loopback(host: &str) -> bool {
    host == LOCAL_HOST || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests;
