//! The configuration as users write it.
use super::*;
use base::SystemDisk;
use std::fs;

/// A folder with configuration files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }
}

fn overrides(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn loaded(files: &[PathBuf], pairs: &[(&str, &str)]) -> NodeConfig {
    load(&SystemDisk, files, &overrides(pairs), &[]).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn errors(files: &[PathBuf], pairs: &[(&str, &str)]) -> Vec<String> {
    let errors = load(&SystemDisk, files, &overrides(pairs), &[]).expect_err("it is refused");
    errors.iter().map(ToString::to_string).collect()
}

fn warnings(config: &NodeConfig) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn without_anything_there_is_one_node_with_its_data_here() {
    let config = loaded(&[], &[]);
    assert_eq!(config.node_id, 0);
    assert_eq!(config.log_dirs, [PathBuf::from("./zoolog-data")]);
    assert_eq!(config.znodes_dir, PathBuf::from("./zoolog-data"));
    assert_eq!((config.zookeeper.client_port, config.broker.listeners[0].port), (2181, 9092));
    assert!(config.warnings.is_empty());
}

#[test]
fn both_files_in_either_order_mean_the_same() {
    let files = Files::new();
    let zoo = files.write("one", "clientPort=2191\ndataDir=/tmp/z\ntickTime=500\nmaxClientCnxns=7\n");
    let kafka = files
        .write("two", "listeners=PLAINTEXT://127.0.0.1:9192\nnum.partitions=3\nlog.dirs=/tmp/k1,/tmp/k2\n");
    for order in [[zoo.clone(), kafka.clone()], [kafka, zoo]] {
        let config = loaded(&order, &[]);
        assert_eq!((config.zookeeper.client_port, config.zookeeper.max_client_cnxns), (2191, 7));
        assert_eq!((config.broker.listeners[0].port, config.broker.topics.partitions), (9192, 3));
        assert_eq!(config.log_dirs, [PathBuf::from("/tmp/k1"), PathBuf::from("/tmp/k2")]);
        assert_eq!(config.znodes_dir, PathBuf::from("/tmp/z"));
        let ensemble = config.ensemble(uuid::Uuid::nil());
        assert_eq!((ensemble.tick_ms, ensemble.session_timeout_max_ms), (500, 10_000));
    }
}

#[test]
fn later_files_win_and_overrides_win_over_all() {
    let files = Files::new();
    let first = files.write("a", "clientPort=1\nnum.partitions=1\ntickTime=100\n");
    let second = files.write("b", "clientPort=2\nnum.partitions=2\n");
    let config = loaded(&[first, second], &[("num.partitions", "3"), ("num.partitions", "4")]);
    assert_eq!((config.zookeeper.client_port, config.broker.topics.partitions), (2, 4));
    assert_eq!(config.ensemble(uuid::Uuid::nil()).tick_ms, 100);
}

#[test]
fn each_folder_key_alone_is_enough() {
    let logs = loaded(&[], &[("log.dirs", "/a,/b")]);
    assert_eq!((logs.znodes_dir, logs.log_dirs.len()), (PathBuf::from("/a"), 2));
    let data = loaded(&[], &[("dataDir", "/nowhere/d")]);
    assert_eq!(
        (data.znodes_dir, data.log_dirs),
        (PathBuf::from("/nowhere/d"), vec![PathBuf::from("/nowhere/d")])
    );
    let metadata = loaded(&[], &[("log.dirs", "/a"), ("metadata.log.dir", "/m")]);
    assert_eq!(metadata.znodes_dir, PathBuf::from("/m"));
    let apart = loaded(&[], &[("dataDir", "/nowhere/d"), ("dataLogDir", "/fast")]);
    assert_eq!(
        (apart.znodes_dir, apart.log_dirs),
        (PathBuf::from("/fast"), vec![PathBuf::from("/nowhere/d")])
    );
    let refused = errors(&[], &[("dataDir", "/nowhere/d"), ("metadata.log.dir", "/m")]);
    assert!(refused[0].contains("dataDir is /nowhere/d and metadata.log.dir is /m"), "{refused:?}");
    let twice = errors(&[], &[("log.dirs", "/a,/a/.")]);
    assert!(twice[0].contains("twice"), "{twice:?}");
}

#[test]
fn every_mistake_is_listed_with_its_place() {
    let files = Files::new();
    let zoo = files.write("zoo.cfg", "# a comment\ntickTime=soon\nclientPort=70000\n");
    let kafka = files.write("server.properties", "\n\nnum.partitions=none\n");
    let found = errors(&[zoo.clone(), kafka.clone()], &[("enforceQuota", "maybe")]);
    assert_eq!(
        found,
        [
            format!(
                "{}:2: Invalid value soon for configuration tickTime: a whole number from 1 to 2147483647",
                zoo.display()
            ),
            format!(
                "{}:3: Invalid value 70000 for configuration clientPort: a whole number from 0 to 65535",
                zoo.display()
            ),
            "--override: Invalid value maybe for configuration enforceQuota: true or false".to_owned(),
            found[3].clone(),
        ]
    );
    assert!(found[3].starts_with(&format!("{}:3: Invalid value none for", kafka.display())), "{found:?}");
}

#[test]
fn unknown_keys_are_warned_about_once_each() {
    let files = Files::new();
    let zoo = files.write(
        "zoo.cfg",
        "clientPort=1\ntickTime=5\nnot.a.key=1\nadmin.serverPort=8080\nadmin.enableServer=false\n",
    );
    let kafka =
        files.write("server.properties", "num.partitions=1\nalso.no.key=2\nzookeeper.session.timeout.ms=5\n");
    let found = warnings(&loaded(&[zoo, kafka], &[("nor.this", "3")]));
    let about = |text: &str| found.iter().filter(|warning| warning.contains(text)).count();
    assert_eq!(
        (about("zoo.cfg:3: not.a.key is no"), about("server.properties:2: also.no.key is no")),
        (1, 1)
    );
    assert_eq!(
        (about("--override: nor.this is no"), about("zoo.cfg:4: admin.serverPort has no effect")),
        (1, 1)
    );
    assert_eq!(about("admin.enableServer"), 0);
    assert_eq!(about("not.a.key"), 1);
}

#[test]
fn a_key_that_occurs_twice_in_a_file_is_warned_about() {
    let files = Files::new();
    let zoo = files.write("zoo.cfg", "tickTime=5\ntickTime=6\n");
    let config = loaded(&[zoo], &[]);
    assert_eq!(config.ensemble(uuid::Uuid::nil()).tick_ms, 6);
    assert!(warnings(&config)[0].contains("zoo.cfg:1: tickTime is set again"));
}

#[test]
fn the_numbers_of_the_node_must_agree() {
    let files = Files::new();
    files.write("data/myid", "3\n");
    let data = files.path("data").display().to_string();
    assert_eq!(loaded(&[], &[("dataDir", &data)]).node_id, 3);
    assert_eq!(loaded(&[], &[("dataDir", &data), ("broker.id", "3")]).node_id, 3);
    assert_eq!(loaded(&[], &[("dataDir", &data), ("broker.id", "-1")]).node_id, 3);
    assert_eq!(loaded(&[], &[("server.5", "localhost:2888:3888")]).node_id, 5);
    let refused = errors(&[], &[("dataDir", &data), ("node.id", "0")]);
    assert!(refused[0].contains("0 (node.id in --override) and 3 ("), "{refused:?}");
    let both = errors(&[], &[("node.id", "1"), ("broker.id", "2")]);
    assert!(both[0].contains("must be the same number"), "{both:?}");
    let large = errors(&[], &[("node.id", "255")]);
    assert!(large[0].contains("0 to 254"), "{large:?}");
    files.write("data/myid", "three\n");
    let broken = errors(&[], &[("dataDir", &data)]);
    assert!(broken[0].contains("holds \"three\""), "{broken:?}");
}

#[test]
fn a_zookeeper_outside_is_refused() {
    let outside = errors(&[], &[("zookeeper.connect", "zk1:2181,zk2:2181/kafka")]);
    assert!(outside[0].contains("zookeeper.connect"), "{outside:?}");
    loaded(&[], &[("zookeeper.connect", "localhost:2181")]);
    let members = [("server.1", "zk1:2888:3888"), ("server.2", "zk2:2888:3888;2191"), ("node.id", "1")];
    let with = |connect| [&members[..], &[("zookeeper.connect", connect)]].concat();
    loaded(&[], &with("zk1:2181,zk2:2191"));
    let other = errors(&[], &with("zk1:2181,zk2:2181"));
    assert!(other[0].contains("outside of this cluster"), "{other:?}");
}

#[test]
fn session_timeouts_must_make_a_range() {
    let refused = errors(&[], &[("minSessionTimeout", "50000")]);
    assert!(refused[0].contains("more than maxSessionTimeout"), "{refused:?}");
}

#[test]
fn a_missing_file_is_named() {
    let files = Files::new();
    let refused = errors(&[files.path("zoo.cfg")], &[]);
    assert!(refused[0].contains("zoo.cfg cannot be read"), "{refused:?}");
}

#[test]
fn a_file_may_hold_the_keys_of_both() {
    let files = Files::new();
    let one = files.write("node", "clientPort=2191\nlisteners=PLAINTEXT://:9192\nzookeeper.snapCount=50\n");
    let config = loaded(&[one], &[]);
    assert_eq!((config.zookeeper.client_port, config.broker.listeners[0].port), (2191, 9192));
    assert_eq!(config.ensemble(uuid::Uuid::nil()).snapshot_every, 50);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
