//! Configuration files as they reach the running node.
use crate::server::{Home, Server};
use crate::wire::{Session, four_letter_word};

fn conf(server: &Server) -> Vec<(String, String)> {
    let answer = four_letter_word(server.zookeeper(), "conf");
    answer
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn value<'a>(conf: &'a [(String, String)], key: &str) -> &'a str {
    conf.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
}

#[test]
fn both_files_in_either_order_make_one_node() {
    let home = Home::new();
    let data = home.path("data");
    let zoo = home.write(
        "zoo.cfg",
        &format!(
            "tickTime=1500\nclientPort=0\nclientPortAddress=127.0.0.1\ndataDir={}\n4lw.commands.whitelist=*\n",
            data.display()
        ),
    );
    home.write("data/myid", "7\n");
    let kafka = home
        .write("server.properties", "listeners=PLAINTEXT://127.0.0.1:0\nauto.create.topics.enable=false\n");
    for files in [[&zoo, &kafka], [&kafka, &zoo]] {
        let mut command = home.command();
        command.arg("serve").args(files).args(["--override", "maxSessionTimeout=20000"]);
        let server = Server::start(command);
        let conf = conf(&server);
        assert_eq!((value(&conf, "tickTime"), value(&conf, "maxSessionTimeout")), ("1500", "20000"));
        let mut session = Session::open(server.zookeeper());
        let registration = session.get("/brokers/ids/7").expect("the broker has the number of myid");
        let registration = String::from_utf8(registration).expect("text");
        assert!(
            registration.contains(&format!("PLAINTEXT://127.0.0.1:{}", server.kafka().port())),
            "{registration}"
        );
        server.stop();
    }
}

#[test]
fn overrides_win_over_files_and_later_files_over_earlier_ones() {
    let home = Home::new();
    let first = home.write("first", "tickTime=1000\nminSessionTimeout=100\nmaxSessionTimeout=5000\n");
    let second = home.write("second", "tickTime=1100\nminSessionTimeout=200\n");
    let mut command = home.serve(&["tickTime=1200", "4lw.commands.whitelist=conf"]);
    command.args([&first, &second]);
    let server = Server::start(command);
    let conf = conf(&server);
    assert_eq!(value(&conf, "tickTime"), "1200");
    assert_eq!((value(&conf, "minSessionTimeout"), value(&conf, "maxSessionTimeout")), ("200", "5000"));
    server.stop();
}

#[test]
fn unknown_keys_are_warned_about_and_do_not_hinder() {
    let home = Home::new();
    let zoo = home.write("zoo.cfg", "tickTime=1000\nno.such.key=1\n");
    let mut command = home.serve(&[]);
    command.arg(&zoo);
    let ended = Server::start(command).end(libc::SIGTERM);
    let about: Vec<&String> = ended.stderr.iter().filter(|line| line.contains("no.such.key")).collect();
    assert_eq!(about.len(), 1, "{ended:#?}");
    assert!(about[0].contains("WARN") && about[0].contains("zoo.cfg:2"), "{about:?}");
}
