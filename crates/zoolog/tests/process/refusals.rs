//! Everything that a node refuses to start with: one clear line and an exit code that is not 0.
use crate::server::{Home, run};
use std::net::TcpListener;

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let home = Home::new();
    run(home.serve(&[&format!("clientPort={port}")]))
        .assert_refused(1, &["ZooKeeper clients", &format!("127.0.0.1:{port}"), "in use", "clientPort"]);
    run(home.serve(&[&format!("listeners=PLAINTEXT://127.0.0.1:{port}")]))
        .assert_refused(1, &[&format!("127.0.0.1:{port}"), "in use", "listeners"]);
}

#[test]
fn a_data_folder_in_use() {
    let home = Home::new();
    let server = home.start(&[]);
    let data = home.path("data").display().to_string();
    run(home.serve(&[])).assert_refused(1, &[&data, "in use by another process"]);
    // Each of several folders counts.
    let other = home.path("other").display().to_string();
    run(home.serve(&[&format!("log.dirs={other},{data}")])).assert_refused(1, &[&data, "in use"]);
    run(home.serve(&[&format!("log.dirs={other}"), &format!("dataDir={data}")]))
        .assert_refused(1, &[&data, "in use"]);
    server.stop();
}

#[test]
fn a_data_folder_that_cannot_be_written() {
    let home = Home::new();
    let file = home.write("file", "");
    let below = file.join("data").display().to_string();
    run(home.serve(&[&format!("log.dirs={below}")])).assert_refused(1, &[&below, "Not a directory"]);
    if std::path::Path::new("/proc/1").exists() {
        run(home.serve(&["log.dirs=/proc/zoolog"])).assert_refused(1, &["/proc/zoolog"]);
    }
}

#[test]
fn a_data_folder_of_another_node_or_cluster() {
    let home = Home::new();
    home.start(&["node.id=3"]).stop();
    run(home.serve(&["node.id=4"])).assert_refused(1, &["belongs to node 3, this is node 4"]);
    let other = Home::new();
    other.start(&[]).stop();
    let both = format!("log.dirs={},{}", home.path("data").display(), other.path("data").display());
    run(home.serve(&["node.id=3", &both])).assert_refused(1, &["meta.properties", "belongs to"]);
}

#[test]
fn a_folder_with_data_that_are_not_ours() {
    let home = Home::new();
    home.write("zk/version-2/snapshot.0", "");
    let apache = home.path("zk").display().to_string();
    run(home.serve(&[&format!("dataDir={apache}")])).assert_refused(1, &[&apache, "Apache ZooKeeper"]);
    home.write("kafka/orders-0/00000000000000000000.log", "");
    let kafka = home.path("kafka").display().to_string();
    run(home.serve(&[&format!("log.dirs={kafka}")])).assert_refused(1, &[&kafka, "orders-0"]);
}

#[test]
fn bad_values_are_all_listed_with_their_places() {
    let home = Home::new();
    let zoo = home.write("zoo.cfg", "clientPort=0\ntickTime=often\n");
    let kafka = home.write("server.properties", "listeners=PLAINTEXT://127.0.0.1:0\nnum.partitions=many\n");
    let mut command = home.command();
    command.arg("serve").args([&zoo, &kafka]).args(["--override", "enforceQuota=perhaps"]);
    let ended = run(command);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let reasons = ended.reasons();
    assert_eq!(reasons.len(), 3, "{ended:#?}");
    assert!(
        reasons[0]
            .starts_with(&format!("{}:2: Invalid value often for configuration tickTime", zoo.display()))
    );
    assert!(
        reasons[1]
            .starts_with("--override: Invalid value perhaps for configuration enforceQuota: true or false")
    );
    assert!(
        reasons[2].starts_with(&format!(
            "{}:2: Invalid value many for configuration num.partitions",
            kafka.display()
        ))
    );
}

#[test]
fn a_configuration_file_that_is_missing() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["serve", "nowhere.cfg"]);
    run(command).assert_refused(1, &["nowhere.cfg cannot be read", "No such file"]);
}

#[test]
fn a_wrong_command_line() {
    let home = Home::new();
    for arguments in [
        &["start"][..],
        &["serve", "--overide", "a=b"],
        &["serve", "--override", "a"],
        &["--log-level", "x=y=z"],
    ] {
        let mut command = home.command();
        command.args(arguments);
        let ended = run(command);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?} {ended:#?}");
        assert!(!ended.stderr.is_empty());
    }
}
