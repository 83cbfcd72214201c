//! What a node prints, where it listens, what it remembers.
use crate::server::{Home, exists, run};
use crate::wire::{Session, api_versions, four_letter_word};

#[test]
fn the_version_and_the_help_say_what_there_is() {
    let home = Home::new();
    let with = |argument: &[&str]| {
        let mut command = home.command();
        command.args(argument);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        ended.stdout.join("\n")
    };
    assert_eq!(with(&["--version"]), concat!("zoolog ", env!("CARGO_PKG_VERSION")));
    let help = with(&["--help"]);
    assert!(help.contains("serve") && help.contains("2181") && help.contains("zoolog-data"), "{help}");
    let help = with(&["serve", "--help"]);
    for word in
        ["zoo.cfg", "server.properties", "--override", "clientPort", "log.dirs", "Administrator's Guide"]
    {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
}

#[test]
fn port_0_takes_free_ports_and_prints_them() {
    let home = Home::new();
    let server = home.start(&[]);
    assert_ne!((server.zookeeper().port(), server.kafka().port()), (0, 0));
    assert_eq!(server.all_said_after("data in "), [home.path("data").display().to_string()]);
    assert_eq!(server.all_said_after("try: ").len(), 3);
    assert!(server.all_said_after("try: ")[0].contains(&server.zookeeper().to_string()));
    assert_eq!(server.said().last().map(String::as_str), Some("ready"));
    assert!(four_letter_word(server.zookeeper(), "srvr").contains("Mode: standalone"));
    let (error, apis) = api_versions(server.kafka());
    assert!(error == 0 && apis > 20, "{error} {apis}");
    server.stop();
}

#[test]
fn without_a_folder_the_data_is_where_the_process_was_started() {
    let home = Home::new();
    let mut command = home.command();
    command.arg("serve");
    for setting in ["clientPort=0", "listeners=PLAINTEXT://127.0.0.1:0"] {
        command.args(["--override", setting]);
    }
    let server = crate::server::Server::start(command);
    assert!(exists(&home.path("zoolog-data"), "__znodes-0"));
    server.stop();
}

#[test]
fn a_restart_remembers_everything() {
    let home = Home::new();
    let server = home.start(&[]);
    assert_eq!(Session::open(server.zookeeper()).create("/kept", b"value"), 0);
    server.stop();
    let server = home.start(&[]);
    assert_eq!(Session::open(server.zookeeper()).get("/kept").as_deref(), Some(&b"value"[..]));
    server.stop();
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let home = Home::new();
    for round in 0..3 {
        let server = home.start(&[]);
        let mut session = Session::open(server.zookeeper());
        for earlier in 0..round {
            assert!(
                session.get(&format!("/round-{earlier}")).is_some(),
                "round {earlier} is lost in {round}"
            );
        }
        assert_eq!(session.create(&format!("/round-{round}"), b"value"), 0);
        assert!(!exists(&home.path("data"), ".kafka_cleanshutdown"));
        server.end(libc::SIGKILL);
        assert!(!exists(&home.path("data"), ".kafka_cleanshutdown"));
    }
}

#[test]
fn the_cluster_keeps_its_id_in_the_tree_and_in_every_folder() {
    let home = Home::new();
    let (one, two, znodes) = (home.path("one"), home.path("two"), home.path("znodes"));
    let dirs = format!("log.dirs={},{}", one.display(), two.display());
    let data = format!("dataDir={}", znodes.display());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let server = home.start(&[&dirs, &data]);
        let payload = Session::open(server.zookeeper()).get("/cluster/id").expect("the cluster has an id");
        let payload = String::from_utf8(payload).expect("text");
        server.stop();
        for dir in [&one, &two, &znodes] {
            let meta = std::fs::read_to_string(dir.join("meta.properties")).expect("meta.properties");
            let id =
                meta.lines().find_map(|line| line.strip_prefix("cluster.id=")).expect("an id").to_owned();
            assert!(payload.contains(&format!("\"{id}\"")), "{payload} {meta}");
            assert!(meta.contains("directory.id=") && meta.contains("node.id=0"), "{meta}");
            ids.push(id);
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert!(exists(&znodes, "__znodes-0") && !exists(&one, "__znodes-0"));
}
