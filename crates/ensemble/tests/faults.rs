//! A disk that fails, and files that are damaged: the node stops loudly and never shows less than it acknowledged.
use base::disk::Entry;
use base::{Disk, File, OpenMode, World};
use ensemble::{Coordinator, CoordinatorError, EmbeddedClient, EnsembleConfig, RunningEnsemble, Write};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tree::CreateMode;

/// The machine's disk, which can be told to fail every flush.
struct FailingDisk {
    fail_sync: Arc<AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn File>,
    fail_sync: Arc<AtomicBool>,
}

impl File for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buffer, offset)
    }
    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_all_vectored_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("planted: the flush failed"));
        }
        self.file.sync_data()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = base::SystemDisk.open(path, mode)?;
        Ok(Arc::new(FailingFile { file, fail_sync: self.fail_sync.clone() }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        base::SystemDisk.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        base::SystemDisk.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        base::SystemDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        base::SystemDisk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        base::SystemDisk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        base::SystemDisk.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> bool {
        base::SystemDisk.exists(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        base::SystemDisk.modified_ms(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        base::SystemDisk.lock(path)
    }
}

fn config(dir: &Path) -> EnsembleConfig {
    let mut config = EnsembleConfig::new(dir.to_owned(), 1, uuid::Uuid::from_u128(7));
    config.snapshot_every = 40;
    config
}

fn create(path: &str) -> Write {
    Write::Create { path: path.to_owned(), data: None, mode: CreateMode::Persistent, acl: None }
}

/// A node that serves, with a client.
async fn serving(config: &EnsembleConfig) -> (RunningEnsemble, EmbeddedClient) {
    let node = RunningEnsemble::start(World::system(), config.clone(), None).unwrap();
    node.ensemble().serving().await.unwrap();
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    (node, client)
}

/// The same with so many znodes, `/n0` and so on.
async fn filled(config: &EnsembleConfig, znodes: usize) -> RunningEnsemble {
    let (node, client) = serving(config).await;
    for i in 0..znodes {
        client.multi(vec![create(&format!("/n{i}"))]).await.unwrap();
    }
    node
}

/// Changes a letter of a znode's name in the first segment of the log of a node that is down.
fn damage(dir: &Path, path: &str) {
    let segment = dir.join("__znodes-0").join("00000000000000000000.log");
    let mut content = std::fs::read(&segment).unwrap();
    let name = content.windows(path.len()).position(|bytes| bytes == path.as_bytes()).unwrap();
    content[name + 1] = b'm';
    std::fs::write(&segment, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_stops_the_node_and_acknowledges_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let fail_sync = Arc::new(AtomicBool::new(false));
    let disk = Arc::new(FailingDisk { fail_sync: fail_sync.clone() });
    let world = World { disk, ..World::system() };
    let node = RunningEnsemble::start(world, config(dir.path()), None).unwrap();
    node.ensemble().serving().await.unwrap();
    let client = EmbeddedClient::connect(node.ensemble(), 10_000).await.unwrap();
    client.multi(vec![create("/kept")]).await.unwrap();
    fail_sync.store(true, Ordering::SeqCst);
    let lost = client.multi(vec![create("/lost")]).await;
    assert_eq!(lost, Err(CoordinatorError::ConnectionLost));
    let reason = node.ensemble().failure().borrow().clone().expect("the node says why it stops");
    assert!(reason.contains("planted"), "{reason}");
    fail_sync.store(false, Ordering::SeqCst);
    let still = client.multi(vec![create("/after")]).await;
    assert_eq!(still, Err(CoordinatorError::ConnectionLost), "a flush is never tried again");
    node.stop().await.unwrap();
    let (node, client) = serving(&config(dir.path())).await;
    assert!(client.get("/kept").await.unwrap().is_some());
    assert!(client.get("/after").await.unwrap().is_none());
    node.stop().await.unwrap();
}

/// The snapshots of a node that is down, oldest first.
fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(dir.join("__znodes-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        folder.filter(|path| path.extension().is_some_and(|ending| ending == "checkpoint")).collect();
    found.sort();
    found
}

/// Changes a bit in the middle.
fn flip(path: &Path) {
    let mut content = std::fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_set_aside_and_the_log_tells_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    for damaged in [1, usize::MAX] {
        let node = filled(&config(dir.path()), 150).await;
        node.abandon().await;
        let found = snapshots(dir.path());
        assert!(found.len() > 1, "{found:?}");
        let damaged: Vec<_> = found.iter().rev().take(damaged).collect();
        damaged.iter().for_each(|path| flip(path));
        let (node, client) = serving(&config(dir.path())).await;
        for i in 0..150 {
            assert!(client.get(&format!("/n{i}")).await.unwrap().is_some(), "/n{i}");
        }
        for path in damaged {
            assert!(!path.exists() && path.with_extension("checkpoint.damaged").exists(), "{path:?}");
        }
        for i in 0..150 {
            client.multi(vec![Write::Delete { path: format!("/n{i}"), version: -1 }]).await.unwrap();
        }
        node.stop().await.unwrap();
    }
}

/// Without the part of the log that only the snapshots hold, nothing would be right.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_snapshot_a_log_that_begins_later_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = EnsembleConfig { segment_bytes: 4 << 10, ..config(dir.path()) };
    let node = filled(&config, 300).await;
    node.stop().await.unwrap();
    snapshots(dir.path()).iter().for_each(|path| flip(path));
    for _ in 0..2 {
        let refused = RunningEnsemble::start(World::system(), config.clone(), None).err();
        let text = refused.expect("it does not start").to_string();
        assert!(text.contains("__znodes starts at offset") && text.contains("is missing"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.snapshot_every = u64::MAX >> 1;
    let node = filled(&config, 50).await;
    node.abandon().await;
    let segment = dir.path().join("__znodes-0").join("00000000000000000000.log");
    let mut content = std::fs::read(&segment).unwrap();
    content.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 1, 0, 7, 7]);
    std::fs::write(&segment, content).unwrap();
    let (node, client) = serving(&config).await;
    for i in 0..50 {
        assert!(client.get(&format!("/n{i}")).await.unwrap().is_some(), "/n{i}");
    }
    client.multi(vec![create("/more")]).await.unwrap();
    node.stop().await.unwrap();
}

/// A bit that is lost after a clean stop must not become a state that nobody wrote, and what was acknowledged is missed.
#[tokio::test(flavor = "multi_thread")]
async fn damage_after_a_clean_stop_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.snapshot_every = u64::MAX >> 1;
    let node = filled(&config, 50).await;
    node.stop().await.unwrap();
    damage(dir.path(), "/n20");
    let refused = RunningEnsemble::start(World::system(), config, None).err().expect("it is the only voter");
    assert!(refused.to_string().contains("lost"), "{refused}");
}

/// What is behind a snapshot is lost with what is before it, if the log is cut before: the node must know, however old its note is.
#[tokio::test(flavor = "multi_thread")]
async fn damage_below_the_newest_snapshot_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let node = filled(&config, 100).await;
    node.abandon().await;
    assert!(!snapshots(dir.path()).is_empty(), "a snapshot covers the damage");
    damage(dir.path(), "/n5");
    let refused = RunningEnsemble::start(World::system(), config, None).err().expect("it is the only voter");
    assert!(refused.to_string().contains("lost"), "{refused}");
}
