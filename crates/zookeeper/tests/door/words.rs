//! Four-letter words over a socket.
use crate::harness::{add, ask, exists, get_children, node, node_with};
use std::collections::BTreeMap;

#[tokio::test]
async fn zk_3_23_a_word_is_answered_on_the_client_port_and_the_connection_ends() {
    let node = node().await;
    assert_eq!(ask(node.address, b"ruok").await, "imok");
    // What nc and telnet send after the word does no harm.
    assert_eq!(ask(node.address, b"ruok\r\n").await, "imok");
    assert_eq!(ask(node.address, b"isro").await, "rw");
    assert_eq!(ask(node.address, b"gtmk").await, "306");
    assert_eq!(ask(node.address, b"stmk\0\0\0\0\0\0\x01\x32").await, "306");
    assert_eq!(ask(node.address, b"crst").await, "Connection stats reset.\n");
    assert_eq!(ask(node.address, b"srst").await, "Server stats reset.\n");
    assert_eq!(ask(node.address, b"hash").await, "");
    node.stop().await;
}

#[tokio::test]
async fn words_that_are_not_allowed_say_so() {
    let node = node_with(|config, _| config.four_letter_words = zookeeper::Whitelist::parse("ruok")).await;
    assert_eq!(ask(node.address, b"ruok").await, "imok");
    assert_eq!(
        ask(node.address, b"mntr").await,
        "mntr is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(
        ask(node.address, b"stmk").await,
        "stmk is not executed because it is not in the whitelist.\n"
    );
    assert!(ask(node.address, b"srvr").await.starts_with("Zookeeper version: 3.9.5-"));
    node.stop().await;
}

#[tokio::test]
async fn srvr_and_stat_have_their_lines_in_order() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/a", 0).await;
    let srvr = ask(node.address, b"srvr").await;
    let keys: Vec<&str> = srvr.lines().filter_map(|line| line.split(':').next()).collect();
    let expected = [
        "Zookeeper version",
        "Latency min/avg/max",
        "Received",
        "Sent",
        "Connections",
        "Outstanding",
        "Zxid",
        "Mode",
        "Node count",
    ];
    assert_eq!(keys, expected);
    assert!(srvr.contains("Mode: standalone\nNode count: 5\n"), "{srvr}");
    assert!(srvr.contains("Connections: 2\n"), "{srvr}");
    let stat = ask(node.address, b"stat").await;
    let local = client.stream.local_addr().expect("an address");
    assert!(stat.contains(&format!("Clients:\n /{local}[1](queued=0,recved=2,sent=2)\n")), "{stat}");
    assert!(stat.contains("[0](queued=0,recved=1,sent=0)\n\nLatency min/avg/max: "), "{stat}");
    node.stop().await;
}

#[tokio::test]
async fn mntr_has_the_keys_that_users_scrape() {
    let node = node().await;
    let mut client = node.client().await;
    client.create("/a", 0).await;
    client.create("/e", 1).await;
    client.call(exists("/a", true)).await.expect_ok();
    let text = ask(node.address, b"mntr").await;
    let metrics: BTreeMap<&str, &str> =
        text.lines().map(|line| line.split_once('\t').expect("a key and a value")).collect();
    assert!(metrics["zk_version"].starts_with("3.9.5-zoolog-"));
    for (key, value) in [
        ("zk_server_state", "standalone"),
        ("zk_num_alive_connections", "2"),
        ("zk_znode_count", "6"),
        ("zk_watch_count", "1"),
        ("zk_ephemerals_count", "1"),
        ("zk_outstanding_requests", "0"),
        ("zk_global_sessions", "1"),
        ("zk_op_count_create", "2"),
        ("zk_cnt_updatelatency", "2"),
        ("zk_cnt_readlatency", "1"),
    ] {
        assert_eq!(metrics[key], value, "{key}");
    }
    for key in [
        "zk_avg_latency",
        "zk_min_latency",
        "zk_max_latency",
        "zk_packets_received",
        "zk_packets_sent",
        "zk_approximate_data_size",
        "zk_open_file_descriptor_count",
        "zk_max_file_descriptor_count",
        "zk_p99_readlatency",
        "zk_uptime",
    ] {
        assert!(metrics[key].parse::<f64>().is_ok(), "{key}");
    }
    assert_ne!(metrics["zk_open_file_descriptor_count"], "0");
    ask(node.address, b"srst").await;
    assert!(ask(node.address, b"mntr").await.contains("zk_op_count_create\t0\n"));
    node.stop().await;
}

#[tokio::test]
async fn cons_shows_a_connections_session_and_last_operation() {
    let node = node().await;
    let mut client = node.client().await;
    let zxid = client.stat("/").await.czxid;
    let made = client.create("/a", 0).await;
    let zxid = client.stat(&made).await.czxid.max(zxid);
    let local = client.stream.local_addr().expect("an address");
    let text = ask(node.address, b"cons").await;
    let start =
        format!(" /{local}[1](queued=0,recved=4,sent=4,sid=0x{:x},lop=EXIS,est=", client.session.session_id);
    assert!(text.starts_with(&start), "{text}");
    assert!(text.contains(&format!(",to=10000,lcxid=0x3,lzxid=0x{zxid:x},lresp=")), "{text}");
    assert!(text.contains(",minlat=0,avglat=") && text.ends_with(")\n\n"), "{text}");
    ask(node.address, b"crst").await;
    assert!(ask(node.address, b"cons").await.contains("recved=0,sent=0,"));
    node.stop().await;
}

#[tokio::test]
async fn conf_dirs_and_envi_tell_where_it_runs() {
    let node = node().await;
    let conf = ask(node.address, b"conf").await;
    let keys: Vec<&str> = conf.lines().filter_map(|line| line.split('=').next()).collect();
    let expected = [
        "clientPort",
        "secureClientPort",
        "dataDir",
        "dataDirSize",
        "dataLogDir",
        "dataLogSize",
        "tickTime",
        "maxClientCnxns",
        "minSessionTimeout",
        "maxSessionTimeout",
        "clientPortListenBacklog",
        "serverId",
    ];
    assert_eq!(keys, expected);
    assert!(conf.starts_with(&format!("clientPort={}\n", node.address.port())));
    let dirs = ask(node.address, b"dirs").await;
    assert!(dirs.starts_with("datadir_size: ") && !dirs.starts_with("datadir_size: 0\n"), "{dirs}");
    let envi = ask(node.address, b"envi").await;
    assert!(envi.starts_with("Environment:\nzookeeper.version=3.9.5-zoolog-"), "{envi}");
    for key in ["host.name", "java.version", "os.name", "os.version", "user.dir"] {
        assert!(envi.contains(&format!("\n{key}=")), "{envi}");
    }
    node.stop().await;
}

#[tokio::test]
async fn dump_and_the_watch_words_show_sessions_ephemerals_and_watches() {
    let node = node().await;
    let mut client = node.client().await;
    let session = format!("0x{:x}", client.session.session_id);
    client.create("/e", 1).await;
    client.call(exists("/e", true)).await.expect_ok();
    client.call(get_children("/", true)).await.expect_ok();
    client.call(add("/", 1)).await.expect_ok();
    let dump = ask(node.address, b"dump").await;
    assert!(dump.starts_with("SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at "), "{dump}");
    assert!(
        dump.contains(&format!("\nephemeral nodes dump:\nSessions with Ephemerals (1):\n{session}:\n\t/e\n")),
        "{dump}"
    );
    let local = client.stream.local_addr().expect("an address");
    assert!(dump.contains(&format!("\tip: /{local} sessionId: {session}\n")), "{dump}");
    assert_eq!(ask(node.address, b"wchs").await, "1 connections watching 2 paths\nTotal watches:3\n");
    let by_session = ask(node.address, b"wchc").await;
    assert!(by_session.starts_with(&format!("{session}\n\t/")), "{by_session}");
    let by_path = ask(node.address, b"wchp").await;
    assert!(by_path.contains(&format!("/e\n\t{session}\n")), "{by_path}");
    node.stop().await;
}
