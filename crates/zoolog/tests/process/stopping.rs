//! How a node ends: by a signal, by two, by a disk that fails.
use crate::server::{Home, Server, exists};
use crate::wire::Session;
use std::process::Command;

#[test]
fn each_signal_of_a_service_manager_is_a_clean_stop() {
    let home = Home::new();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let server = home.start(&[]);
        assert!(!exists(&home.path("data"), ".kafka_cleanshutdown"));
        let ended = server.end(signal);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        assert!(exists(&home.path("data"), ".kafka_cleanshutdown"), "{ended:#?}");
    }
}

#[test]
fn clients_do_not_hold_up_a_stop() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut idle: Vec<Session> = (0..5).map(|_| Session::open(server.zookeeper())).collect();
    let _kafka = std::net::TcpStream::connect(server.kafka()).expect("the port is open");
    assert_eq!(idle[0].create("/a", b""), 0);
    server.stop();
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let home = Home::new();
    let server = home.start(&[]);
    // A client that asks for much and reads nothing is waited for in a clean stop.
    let mut session = Session::open(server.zookeeper());
    assert_eq!(session.create("/large", &vec![1; 900_000]), 0);
    for _ in 0..64 {
        session.send_get("/large");
    }
    server.signal(libc::SIGTERM);
    let stopping = server.wait_to_say("a second signal ends it at once");
    assert!(stopping, "the node says that it stops");
    let ended = server.end(libc::SIGTERM);
    assert_eq!(ended.status.code(), Some(128 + libc::SIGTERM), "{ended:#?}");
    drop(session);
    let server = home.start(&[]);
    assert!(Session::open(server.zookeeper()).get("/large").is_some());
    server.stop();
}

/// The command under a shell that limits how long a file may become, as a full disk does for the node.
fn with_file_limit(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_remove("RUST_LOG");
    shell
}

#[test]
fn a_disk_that_fails_under_the_znode_log_stops_the_node_loudly() {
    let home = Home::new();
    // The blocks of ulimit have 512 or 1024 bytes; either way the znodes below do not fit.
    let server = Server::start(with_file_limit(&home.serve(&[]), 512));
    let mut session = Session::open(server.zookeeper());
    let mut acknowledged = 0;
    for number in 0..64 {
        session.send_create(&format!("/n{number}"), &vec![7; 64 << 10]);
        match session.try_receive() {
            Some(0) => acknowledged += 1,
            _ => break,
        }
    }
    let ended = server.wait();
    ended.assert_failed_with(&["the node had to stop", "__znodes"]);
    assert!(acknowledged < 64 && !exists(&home.path("data"), ".kafka_cleanshutdown"));
    // With room on the disk everything that was acknowledged is there.
    let server = home.start(&[]);
    let mut session = Session::open(server.zookeeper());
    for number in 0..acknowledged {
        assert_eq!(session.get(&format!("/n{number}")).map(|data| data.len()), Some(64 << 10));
    }
    server.stop();
}

#[test]
fn a_full_disk_at_the_start_is_one_clear_line() {
    let home = Home::new();
    let ended = crate::server::run(with_file_limit(&home.serve(&[]), 0));
    ended.assert_refused(1, &["meta.properties", "failed"]);
}
