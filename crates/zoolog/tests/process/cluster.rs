//! Several nodes as processes: how they find each other, who is let in, what outlives the loss of one.
use crate::server::{Home, Server, binary, exists, run};
use crate::wire::{Session, four_letter_word};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

/// How often a test looks for something before it gives up on it.
const LOOKS_MAX: u32 = 3_000;
/// The pause between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A port that the nodes of a test can be told before they start.
fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row. They are below those that a system hands out by itself, and no other test gets them.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("a small number");
    loop {
        let first = FIRST + (start + NEXT.fetch_add(count, Ordering::Relaxed)) % COUNT;
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}

/// Waits until `look` finds something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(LOOK);
    }
    panic!("{what} did not happen");
}

/// Three nodes that know each other by the lines of a zoo.cfg.
struct Three {
    home: Home,
    ports: Vec<u16>,
}

impl Three {
    fn new() -> Three {
        Three { home: Home::new(), ports: (0..3).map(|_| free_port()).collect() }
    }

    /// `serve` with a zoo.cfg and a myid, as ZooKeeper wants them.
    fn command(&self, id: usize, settings: &[&str]) -> Command {
        let data = format!("{id}");
        self.home.write(&format!("{data}/myid"), &format!("{id}\n"));
        let mut zoo = format!(
            "tickTime=500\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n\
             4lw.commands.whitelist=*\n",
            self.home.path(&data).display()
        );
        for (index, port) in self.ports.iter().enumerate() {
            zoo += &format!("server.{}=127.0.0.1:{port}:{}\n", index + 1, port + 1);
        }
        let zoo = self.home.write(&format!("zoo{id}.cfg"), &zoo);
        let mut command = self.home.command();
        command.arg("serve").arg(zoo).args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
        for setting in settings {
            command.args(["--override", setting]);
        }
        command
    }

    fn start(&self) -> Vec<Server> {
        let starting: Vec<Server> = (1..=3).map(|id| Server::spawn(self.command(id, &[]))).collect();
        starting.into_iter().map(Server::ready).collect()
    }

    /// `serve --join` with the number of the node that joins.
    fn join(&self, id: i32, settings: &[&str]) -> Command {
        let data = format!("log.dirs={}", self.home.path(&format!("joined-{id}")).display());
        let mut command = self.home.command();
        let known = format!("127.0.0.1:{},127.0.0.1:{}", self.ports[0], self.ports[1]);
        command.args(["serve", "--join", &known]);
        let id = format!("node.id={id}");
        let defaults =
            [&id, "clientPort=0", "clientPortAddress=127.0.0.1", "listeners=PLAINTEXT://127.0.0.1:0", &data];
        for setting in defaults.iter().chain(settings) {
            command.args(["--override", setting]);
        }
        command
    }
}

/// What `srvr` calls a node.
fn mode(address: SocketAddr) -> String {
    let srvr = four_letter_word(address, "srvr");
    let mode = srvr.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.unwrap_or(srvr.trim()).to_owned()
}

fn modes(servers: &[Server]) -> Vec<String> {
    let mut modes: Vec<String> = servers.iter().map(|server| mode(server.zookeeper())).collect();
    modes.sort();
    modes
}

fn leader(servers: &[Server]) -> Option<usize> {
    servers.iter().position(|server| mode(server.zookeeper()) == "leader")
}

fn cluster_id(folder: &Path) -> String {
    let meta = std::fs::read_to_string(folder.join("meta.properties")).expect("meta.properties");
    meta.lines().find_map(|line| line.strip_prefix("cluster.id=")).expect("a cluster id").to_owned()
}

fn text(data: Option<Vec<u8>>) -> String {
    String::from_utf8(data.expect("the znode is there")).expect("text")
}

fn stop_all(servers: Vec<Server>) {
    for server in &servers {
        server.signal(libc::SIGTERM);
    }
    for server in servers {
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    }
}

#[test]
fn three_zoo_cfgs_make_an_ensemble_without_a_format_step() {
    let three = Three::new();
    let servers = three.start();
    assert_eq!(modes(&servers), ["follower", "follower", "leader"]);
    let mut first = Session::open(servers[0].zookeeper());
    assert_eq!(first.create("/shared", b"value"), 0);
    for server in &servers {
        let mut session = Session::open(server.zookeeper());
        session.sync();
        assert_eq!(text(session.get("/shared")), "value");
        for id in 1..=3 {
            assert!(session.get(&format!("/brokers/ids/{id}")).is_some(), "broker {id} is known");
        }
    }
    let folders: Vec<String> = (1..=3).map(|id| cluster_id(&three.home.path(&id.to_string()))).collect();
    assert!(folders.iter().all(|id| *id == folders[0]), "{folders:?}");
    assert!(text(first.get("/cluster/id")).contains(&folders[0]));
    let config = until("the list of servers", || {
        let mut session = Session::open(servers[1].zookeeper());
        session.get("/zookeeper/config").filter(|config| !config.is_empty())
    });
    let config = String::from_utf8(config).expect("text");
    let lines: Vec<&str> = config.lines().collect();
    assert_eq!(lines[1], format!("server.2=127.0.0.1:{}:{}:participant", three.ports[1], three.ports[1] + 1));
    assert_eq!((lines.len(), lines[3]), (4, "version=0"));
    stop_all(servers);
    // Whoever comes back remembers, and so does a majority alone.
    let two: Vec<Server> = [1, 3].map(|id| Server::spawn(three.command(id, &[]))).into_iter().collect();
    let two: Vec<Server> = two.into_iter().map(Server::ready).collect();
    assert_eq!(text(Session::open(two[0].zookeeper()).get("/shared")), "value");
    stop_all(two);
}

#[test]
fn words_tell_who_leads_and_who_follows() {
    let three = Three::new();
    let servers = three.start();
    let at = leader(&servers).expect("somebody leads");
    let mntr = until("both followers are up to date", || {
        let mntr = four_letter_word(servers[at].zookeeper(), "mntr");
        mntr.contains("zk_synced_followers\t2\n").then_some(mntr)
    });
    for line in [
        "zk_server_state\tleader",
        "zk_peer_state\tleading - broadcast",
        "zk_quorum_size\t3",
        "zk_followers\t2",
    ] {
        assert!(mntr.lines().any(|found| found == line), "{line} is missing in {mntr}");
    }
    let follower = &servers[(at + 1) % 3];
    let mntr = four_letter_word(follower.zookeeper(), "mntr");
    assert!(mntr.contains("zk_server_state\tfollower\n"), "{mntr}");
    assert!(mntr.contains("zk_peer_state\tfollowing - broadcast\n") && !mntr.contains("synced_followers"));
    let conf = four_letter_word(follower.zookeeper(), "conf");
    let port = three.ports[(at + 1) % 3];
    assert!(conf.contains(&format!("quorumPort={port}\npeerType=0\nmembership: \nserver.1=")), "{conf}");
    stop_all(servers);
}

#[test]
fn a_node_without_a_majority_serves_nobody() {
    let three = Three::new();
    let mut servers = three.start();
    let last = servers.remove(leader(&servers).expect("somebody leads"));
    for server in servers {
        server.end(libc::SIGKILL);
    }
    until("the node stops serving", || (mode(last.zookeeper()).starts_with("This ZooKeeper")).then_some(()));
    assert_eq!(four_letter_word(last.zookeeper(), "ruok"), "imok");
    assert_eq!(four_letter_word(last.zookeeper(), "isro"), "null");
    last.end(libc::SIGTERM);
}

#[test]
fn the_leader_may_stop_or_die() {
    let three = Three::new();
    let mut servers = three.start();
    for (round, signal) in [libc::SIGTERM, libc::SIGKILL].into_iter().enumerate() {
        let at = until("a leader", || leader(&servers));
        let id = at + 1;
        let gone = servers.remove(at);
        gone.end(signal);
        until("another leader", || leader(&servers));
        let path = format!("/round-{round}");
        let written = until("a write", || {
            let mut session = Session::try_open(servers[0].zookeeper())?;
            session.send_create(&path, b"x");
            session.try_receive()
        });
        // The answer to an earlier attempt may have been lost with the leader.
        assert!(written == 0 || written == -110, "{written}");
        servers.insert(at, Server::start(three.command(id, &[])));
        let mut session = Session::open(servers[at].zookeeper());
        session.sync();
        assert_eq!(text(session.get(&path)), "x");
    }
    stop_all(servers);
}

#[test]
fn a_voter_with_an_emptied_disk_comes_back_as_one() {
    let three = Three::new();
    let mut servers = three.start();
    assert_eq!(Session::open(servers[0].zookeeper()).create("/kept", b"value"), 0);
    let at = (leader(&servers).expect("somebody leads") + 1) % 3;
    servers.remove(at).end(libc::SIGKILL);
    std::fs::remove_dir_all(three.home.path(&(at + 1).to_string())).expect("the folder is removed");
    servers.insert(at, Server::start(three.command(at + 1, &[])));
    let mut session = Session::open(servers[at].zookeeper());
    session.sync();
    assert_eq!(text(session.get("/kept")), "value");
    until("it votes again", || (mode(servers[at].zookeeper()) == "follower").then_some(()));
    stop_all(servers);
}

#[test]
fn voters_in_kafkas_words_share_the_port_of_clients() {
    let home = Home::new();
    let ports = [free_port(), free_port()];
    let voters: Vec<String> =
        ports.iter().enumerate().map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1)).collect();
    let servers: Vec<Server> = ports
        .iter()
        .enumerate()
        .map(|(index, port)| {
            let id = index + 1;
            let file = home.write(
                &format!("server{id}.properties"),
                &format!(
                    "node.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{port}\ncontroller.quorum.voters={}\nlog.dirs={}\n",
                    voters.join(","),
                    home.path(&format!("data{id}")).display()
                ),
            );
            let mut command = home.command();
            command.arg("serve").arg(file);
            command.args(["--override", "clientPort=0", "--override", "clientPortAddress=127.0.0.1"]);
            Server::spawn(command)
        })
        .collect();
    let servers: Vec<Server> = servers.into_iter().map(Server::ready).collect();
    assert_eq!(modes(&servers), ["follower", "leader"]);
    assert!(servers[0].all_said_after("nodes listening on ").is_empty(), "{:?}", servers[0].said());
    stop_all(servers);
}

#[test]
fn a_node_joins_without_a_vote() {
    let three = Three::new();
    let servers = three.start();
    assert_eq!(Session::open(servers[0].zookeeper()).create("/before", b"1"), 0);
    let joined = Server::start(three.join(4, &[]));
    assert_eq!(mode(joined.zookeeper()), "observer");
    let mut session = Session::open(joined.zookeeper());
    assert_eq!(text(session.get("/before")), "1");
    assert_eq!(session.create("/through-the-observer", b"2"), 0);
    let mut other = Session::open(servers[1].zookeeper());
    other.sync();
    assert_eq!(text(other.get("/through-the-observer")), "2");
    assert!(other.get("/brokers/ids/4").is_some(), "it is a broker as well");
    assert_eq!(cluster_id(&three.home.path("joined-4")), cluster_id(&three.home.path("1")));
    // It comes back without being told where the others are.
    joined.stop();
    let joined = Server::start(three.join(4, &[]));
    assert_eq!(mode(joined.zookeeper()), "observer");
    joined.stop();
    stop_all(servers);
}

#[test]
fn a_node_joins_with_a_vote_if_it_is_told_to() {
    let three = Three::new();
    let servers = three.start();
    let joined = Server::start(three.join(4, &["controller.quorum.auto.join.enable=true"]));
    until("it gets a vote", || (mode(joined.zookeeper()) == "follower").then_some(()));
    joined.stop();
    stop_all(servers);
}

#[test]
fn a_further_server_line_makes_a_further_voter() {
    let mut three = Three::new();
    let servers = three.start();
    assert_eq!(Session::open(servers[0].zookeeper()).create("/before", b"1"), 0);
    three.ports.push(free_port());
    let fourth = Server::start(three.command(4, &[]));
    assert_eq!(text(Session::open(fourth.zookeeper()).get("/before")), "1");
    let at = leader(&servers).expect("somebody leads");
    until("it gets a vote", || {
        four_letter_word(servers[at].zookeeper(), "mntr").contains("zk_quorum_size\t4\n").then_some(())
    });
    fourth.stop();
    stop_all(servers);
}

#[test]
fn the_port_for_other_nodes_may_be_in_use() {
    let three = Three::new();
    let _taken = TcpListener::bind(("127.0.0.1", three.ports[0])).expect("a free port");
    let address = format!("127.0.0.1:{}", three.ports[0]);
    run(three.command(1, &[])).assert_refused(1, &["for the other nodes", &address, "quorumListenOnAllIPs"]);
}

#[test]
fn a_node_that_was_alone_can_be_joined() {
    let home = Home::new();
    let (port, first) = (free_port(), Home::new());
    let alone = first.start(&[&format!("listeners=PLAINTEXT://127.0.0.1:{port}"), "node.id=1"]);
    assert_eq!(mode(alone.zookeeper()), "standalone");
    assert_eq!(Session::open(alone.zookeeper()).create("/before", b"1"), 0);
    let mut command = home.serve(&["node.id=2"]);
    command.args(["--join", &format!("127.0.0.1:{port}")]);
    let joined = Server::start(command);
    assert_eq!((mode(alone.zookeeper()).as_str(), mode(joined.zookeeper()).as_str()), ("leader", "observer"));
    assert_eq!(text(Session::open(joined.zookeeper()).get("/before")), "1");
    joined.stop();
    alone.stop();
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let three = Three::new();
    let servers = three.start();
    let data = format!("log.dirs={}", three.home.path("joined-5").display());
    three.home.start(&["node.id=5", &data]).stop();
    let other = cluster_id(&three.home.path("joined-5"));
    let ended = run(three.join(5, &[]));
    ended.assert_refused(1, &["cluster", &other]);
    stop_all(servers);
}

#[test]
fn a_voter_of_an_earlier_cluster_is_refused() {
    let three = Three::new();
    stop_all(three.start());
    let other = cluster_id(&three.home.path("3"));
    for id in ["1", "2"] {
        std::fs::remove_dir_all(three.home.path(id)).expect("the folder is removed");
    }
    let two: Vec<Server> = [1, 2].map(|id| Server::spawn(three.command(id, &[]))).into_iter().collect();
    let two: Vec<Server> = two.into_iter().map(Server::ready).collect();
    run(three.command(3, &[])).assert_refused(1, &["cluster", &other]);
    stop_all(two);
}

#[test]
fn a_number_that_is_taken_is_refused() {
    let three = Three::new();
    let servers = three.start();
    let ended = run(three.join(2, &[]));
    ended.assert_refused(1, &["2", "taken"]);
    let joined = Server::start(three.join(4, &[]));
    let folder = format!("log.dirs={}", three.home.path("other").display());
    let ended = run(three.join(4, &[&folder]));
    ended.assert_refused(1, &["4", "taken"]);
    assert_eq!(mode(joined.zookeeper()), "observer", "the one that was there first serves on");
    joined.stop();
    stop_all(servers);
}

#[test]
fn one_command_starts_three_nodes_and_stops_them() {
    let home = Home::new();
    let mut command = Command::new(binary());
    command.current_dir(home.path("")).env_remove("RUST_LOG").arg("dev");
    let (zookeeper, kafka) = (free_ports(3), free_ports(3));
    command.args(["--zookeeper-port", &zookeeper.to_string(), "--kafka-port", &kafka.to_string()]);
    let cluster = Server::start(command);
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let mut session = Session::open(address(zookeeper));
    for id in 1..=3 {
        assert!(session.get(&format!("/brokers/ids/{id}")).is_some(), "node {id} is there");
        assert!(exists(&home.path("zoolog-data"), &format!("node{id}.properties")));
        assert!(exists(&home.path("zoolog-data"), &format!("node{id}/meta.properties")));
    }
    cluster.stop();
    assert!(TcpListener::bind(address(zookeeper + 1)).is_ok(), "no node outlives the command");
}
