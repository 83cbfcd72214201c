//! Who the others are, as users write it.
use crate::config::{NodeConfig, load};
use base::SystemDisk;
use peers::Address;

/// Settings on the command line, then the nodes of `--join`.
fn resolve(pairs: &[(&str, &str)], join: &[&str]) -> Result<NodeConfig, Vec<String>> {
    let overrides: Vec<_> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let join: Vec<Address> =
        join.iter().map(|address| crate::config::parse_address(address).expect("an address")).collect();
    load(&SystemDisk, &[], &overrides, &join)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn resolved(pairs: &[(&str, &str)]) -> NodeConfig {
    resolve(pairs, &[]).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn refused(pairs: &[(&str, &str)]) -> String {
    let errors = resolve(pairs, &[]).expect_err("it is refused");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

fn voters(config: &NodeConfig) -> Vec<String> {
    config.cluster.voters.iter().map(|voter| format!("{}@{}", voter.id, voter.address)).collect()
}

fn listeners(config: &NodeConfig) -> Vec<String> {
    config.broker.listeners.iter().map(ToString::to_string).collect()
}

const THREE: [(&str, &str); 3] =
    [("server.1", "a:2888:3888"), ("server.2", "b:2888:3888"), ("server.3", "[::1]:2888:3888")];
const VOTERS: (&str, &str) = ("controller.quorum.voters", "1@a:9093,2@b:9093,3@c:9093");

#[test]
fn without_others_a_node_is_alone() {
    let own_ways: [&[(&str, &str)]; 5] = [
        &[],
        &[("server.7", "a:2888:3888")],
        &[("node.id", "1"), ("controller.quorum.voters", "1@localhost:9093")],
        // The file that Kafka comes with.
        &[
            ("node.id", "1"),
            ("process.roles", "broker,controller"),
            ("controller.quorum.bootstrap.servers", "localhost:9093"),
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("controller.listener.names", "CONTROLLER"),
        ],
        &[
            ("node.id", "1"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9092"),
            ("listeners", "PLAINTEXT://localhost:9092"),
        ],
    ];
    for pairs in own_ways {
        let config = resolved(pairs);
        assert!(config.cluster.is_alone(), "{pairs:?}");
        assert!(config.cluster.voters.is_empty() && config.cluster.bootstrap.is_empty(), "{pairs:?}");
        assert!(
            config.cluster.membership.is_none() && !listeners(&config).iter().any(|l| l.contains("2888"))
        );
    }
}

#[test]
fn server_lines_make_a_cluster() {
    let config = resolved(&[&THREE[..], &[("node.id", "2")]].concat());
    assert!(!config.cluster.is_alone() && config.cluster.bootstrap.is_empty());
    assert_eq!(voters(&config), ["1@a:2888", "2@b:2888", "3@[::1]:2888"]);
    assert!(config.cluster.auto_join, "a voter that lost its disk comes back as one");
    assert_eq!(config.cluster.host(), Some("b"));
    assert_eq!(
        config.cluster.membership.as_deref(),
        Some(
            "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
             server.3=[::1]:2888:3888:participant\nversion=0"
        )
    );
    let quorum = config.quorum(Some("id".to_owned()), config.cluster.own.clone());
    assert_eq!((quorum.voters.len(), quorum.election_timeout_ms, quorum.fetch_timeout_ms), (3, 1_000, 2_000));
    assert_eq!(quorum.advertised.map(|address| address.to_string()).as_deref(), Some("b:2888"));
}

#[test]
fn voters_in_kafkas_words_make_the_same_cluster() {
    let config = resolved(&[VOTERS, ("node.id", "3"), ("controller.quorum.fetch.timeout.ms", "700")]);
    assert_eq!(voters(&config), ["1@a:9093", "2@b:9093", "3@c:9093"]);
    assert_eq!(listeners(&config), ["PLAINTEXT://:9092", "CONTROLLER://c:9093"]);
    assert_eq!(config.quorum(None, None).fetch_timeout_ms, 700);
    assert_eq!(config.quorum(None, None).fetch_max_bytes, 1 << 20, "Kafka's default");
    let sizes = [
        ("controller.quorum.fetch.max.bytes", "5000"),
        ("controller.quorum.fetch.snapshot.max.bytes", "6000"),
    ];
    let small = resolved(&[VOTERS, ("node.id", "3"), sizes[0], sizes[1]]).quorum(None, None);
    assert_eq!((small.fetch_max_bytes, small.fetch_snapshot_max_bytes), (5_000, 6_000));
    let membership = config.cluster.membership.expect("a cluster has one");
    assert!(membership.starts_with("server.1=a:9093:9093:participant\n"), "{membership}");
    let off = resolved(&[VOTERS, ("node.id", "3"), ("controller.quorum.auto.join.enable", "false")]);
    assert!(!off.cluster.auto_join);
}

#[test]
fn a_node_listens_where_its_line_says() {
    let own = |more: &[(&str, &str)]| {
        let config = resolved(&[&THREE[..], &[("node.id", "1")], more].concat());
        let names = config.broker.controller_listener_names.clone();
        let advertised: Vec<String> =
            config.broker.advertised_listeners.iter().map(ToString::to_string).collect();
        (listeners(&config), names, advertised)
    };
    let strings = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let clients = strings(&["PLAINTEXT://:9092"]);
    assert_eq!(
        own(&[]),
        (strings(&["PLAINTEXT://:9092", "CONTROLLER://a:2888"]), strings(&["CONTROLLER"]), clients.clone())
    );
    assert_eq!(own(&[("quorumListenOnAllIPs", "true")]).0[1], "CONTROLLER://:2888");
    let (all, names, advertised) = own(&[("listeners", "PLAINTEXT://:2888")]);
    assert_eq!((all, names.len()), (strings(&["PLAINTEXT://:2888"]), 0));
    assert_eq!(advertised, strings(&["PLAINTEXT://:2888"]));
    let mapped = own(&[
        ("listeners", "CONTROLLER://:9092"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT"),
        ("inter.broker.listener.name", "CONTROLLER"),
    ]);
    assert_eq!(mapped.0, strings(&["CONTROLLER://:9092", "PEERS://a:2888"]));
    assert_eq!(mapped.1, strings(&["PEERS"]));
    let named = own(&[("controller.listener.names", "QUORUM")]);
    assert_eq!((&named.0[1][..], named.1), ("QUORUM://a:2888", strings(&["QUORUM"])));
}

#[test]
fn a_forwarded_port_is_warned_about() {
    let pairs = [
        VOTERS,
        ("node.id", "1"),
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:19093"),
        ("controller.listener.names", "CONTROLLER"),
    ];
    let config = resolved(&pairs);
    assert_eq!(listeners(&config).len(), 2);
    assert!(
        config.warnings.iter().any(|warning| warning.to_string().contains("a:9093")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn the_own_line_may_stand_for_every_address() {
    let config = resolved(&[("server.1", "0.0.0.0:2888:3888"), THREE[1], ("node.id", "1")]);
    assert_eq!((listeners(&config)[1].as_str(), config.cluster.host()), ("CONTROLLER://:2888", None));
}

#[test]
fn a_cluster_on_one_machine_is_reached_there() {
    let own = ("listeners", "PLAINTEXT://:9095");
    let joined = resolve(&[("node.id", "4"), own], &["localhost:9092"]).expect("it joins");
    assert_eq!(joined.cluster.host(), Some("localhost"));
    let far = resolve(&[("node.id", "4")], &["zk1:9092"]).expect("it joins");
    assert_eq!(far.cluster.host(), None);
}

#[test]
fn observers_have_lines_too() {
    let with_observer = [&THREE[..], &[("server.4", "d:2888:3888:observer"), ("node.id", "4")]].concat();
    let config = resolved(&with_observer);
    assert_eq!(voters(&config), ["1@a:2888", "2@b:2888", "3@[::1]:2888"]);
    assert_eq!(config.cluster.bootstrap.len(), 3);
    assert!(!config.cluster.auto_join);
    assert_eq!(listeners(&config)[1], "CONTROLLER://d:2888");
    let without_line = resolved(&[&THREE[..], &[("node.id", "9"), ("peerType", "observer")]].concat());
    assert_eq!((voters(&without_line).len(), listeners(&without_line).len()), (3, 1));
    let broker = resolved(&[VOTERS, ("node.id", "9"), ("process.roles", "broker")]);
    assert_eq!((voters(&broker).len(), broker.cluster.bootstrap.len()), (3, 3));
}

#[test]
fn a_node_that_joins_asks_everyone_it_knows() {
    let config = resolve(&[("node.id", "4")], &["a:9092", "b:9092", "a:9092"]).expect("it joins");
    assert!(voters(&config).is_empty() && !config.cluster.auto_join && !config.cluster.is_alone());
    assert_eq!(config.cluster.bootstrap.len(), 2);
    let config = resolve(&[&THREE[..], &[("node.id", "2")]].concat(), &["a:2888"]).expect("it joins");
    assert!(voters(&config).is_empty() && config.cluster.auto_join);
    let asked: Vec<String> = config.cluster.bootstrap.iter().map(ToString::to_string).collect();
    assert_eq!(asked, ["a:2888", "[::1]:2888"]);
    let bootstrap = resolved(&[
        ("node.id", "4"),
        ("controller.quorum.bootstrap.servers", "a:9093,b:9093"),
        ("controller.quorum.auto.join.enable", "true"),
    ]);
    assert!(bootstrap.cluster.bootstrap.len() == 2 && bootstrap.cluster.auto_join);
    let nameless = resolve(&[], &["a:9092"]).expect_err("it has no number");
    assert!(nameless[0].contains("set node.id"), "{nameless:?}");
    let itself = resolve(&[("node.id", "4")], &["localhost:9092"]).expect_err("it is this node");
    assert!(itself[0].contains("--join names this node itself"), "{itself:?}");
}

#[test]
fn a_node_must_know_which_one_it_is() {
    let nameless = refused(&THREE);
    assert!(nameless.contains("server.1, server.2, server.3") && nameless.contains("myid"), "{nameless}");
    let with_dir = refused(&[&THREE[..], &[("dataDir", "/nowhere/d")]].concat());
    assert!(with_dir.contains("/nowhere/d/myid"), "{with_dir}");
    let voters = refused(&[VOTERS]);
    assert!(voters.contains("1@a:9093") && voters.contains("node.id"), "{voters}");
    let stranger = refused(&[&THREE[..], &[("node.id", "5")]].concat());
    assert!(stranger.contains("number 5") && stranger.contains("peerType=observer"), "{stranger}");
    let only = refused(&[THREE[0], ("node.id", "5")]);
    assert!(only.contains("number 5"), "{only}");
    let role = refused(&[VOTERS, ("node.id", "9"), ("process.roles", "controller,broker")]);
    assert!(role.contains("not among controller.quorum.voters"), "{role}");
    let role = refused(&[VOTERS, ("node.id", "1"), ("process.roles", "broker")]);
    assert!(role.contains("process.roles is broker"), "{role}");
}

#[test]
fn lines_must_make_sense_together() {
    let same = refused(&[THREE[0], ("server.2", "a:2888:3889"), ("node.id", "1")]);
    assert!(same.contains("1 and 2 have the same address, a:2888"), "{same}");
    let port = refused(&[&THREE[..], &[("node.id", "1"), ("clientPort", "2888")]].concat());
    assert!(port.contains("a:2888") && port.contains("clientPort"), "{port}");
    let observers =
        refused(&[("server.1", "a:1:2:observer"), ("server.2", "b:1:2:observer"), ("node.id", "1")]);
    assert!(observers.contains("somebody has to vote"), "{observers}");
    let both = refused(&[&THREE[..], &[VOTERS, ("node.id", "1")]].concat());
    assert!(both.contains("different voters"), "{both}");
    let agreeing = ("controller.quorum.voters", "1@a:2888,2@b:2888,3@[::1]:2888");
    resolved(&[&THREE[..], &[agreeing, ("node.id", "1")]].concat());
    let large = refused(&[("controller.quorum.voters", "1@a:1,300@b:1"), ("node.id", "1")]);
    assert!(large.contains("300"), "{large}");
    let twice = refused(&[("controller.quorum.voters", "1@a:1,1@b:1"), ("node.id", "1")]);
    assert!(twice.contains("node 1 twice"), "{twice}");
}
