//! `conf`, `dirs` and `envi`: what the server was started with and where it runs.
use super::text::put;
use crate::door::{Door, VERSION};
use base::{Disk, OpenMode};
use std::path::Path;
use std::sync::Arc;

/// How many levels of subfolders sizes are added up for.
const FOLDER_DEPTH_MAX: usize = 2;
/// The most that is read of a file that the kernel makes up.
const KERNEL_FILE_BYTES_MAX: usize = 4096;
/// The only algorithm that a ZooKeeper has had since 3.6; a tool that asks expects its number.
const ELECTION_ALGORITHM: u8 = 3;
/// What Java shows for a property that isn't set. Properties of a Java machine are kept for scripts that look for them.
const NOT_AVAILABLE: &str = "<NA>";

/// `conf`.
pub(super) async fn configuration(door: &Arc<Door>) -> String {
    let size = data_bytes(door).await;
    let config = &door.config;
    let backlog = config.client_port_listen_backlog.map_or(-1, i64::from);
    let mut text = String::new();
    put!(text, "clientPort={}\nsecureClientPort=-1\n", door.local_port());
    let ensemble = door.ensemble.config();
    let folder = ensemble.dir.display();
    put!(text, "dataDir={folder}\ndataDirSize={size}\n");
    put!(text, "dataLogDir={folder}\ndataLogSize={size}\n");
    put!(text, "tickTime={}\nmaxClientCnxns={}\n", ensemble.tick_ms, config.max_client_cnxns);
    put!(text, "minSessionTimeout={}\n", ensemble.session_timeout_min_ms);
    put!(text, "maxSessionTimeout={}\n", ensemble.session_timeout_max_ms);
    put!(text, "clientPortListenBacklog={backlog}\nserverId={}\n", ensemble.node_id);
    if let Some(quorum) = &config.quorum {
        put!(text, "initLimit={}\nsyncLimit={}\n", quorum.init_limit, quorum.sync_limit);
        put!(text, "electionAlg={ELECTION_ALGORITHM}\nelectionPort={}\n", quorum.election_port);
        put!(text, "quorumPort={}\npeerType={}\n", quorum.quorum_port, u8::from(quorum.is_observer));
        put!(text, "membership: \n{}", quorum.membership);
    }
    text
}

/// `dirs`.
pub(super) async fn folders(door: &Arc<Door>) -> String {
    let size = data_bytes(door).await;
    format!("datadir_size: {size}\nlogdir_size: {size}\n")
}

/// `envi`.
pub(super) fn environment(door: &Door) -> String {
    let disk = door.world.disk.as_ref();
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| NOT_AVAILABLE.to_owned());
    let here =
        std::env::current_dir().map_or_else(|_| NOT_AVAILABLE.to_owned(), |path| path.display().to_string());
    let kernel = |path: &str| kernel_file(disk, path).unwrap_or_else(|| NOT_AVAILABLE.to_owned());
    let mut text = String::from("Environment:\n");
    put!(text, "zookeeper.version={VERSION}\n");
    put!(text, "host.name={}\n", kernel("/proc/sys/kernel/hostname"));
    for property in ["version", "vendor", "home", "class.path", "library.path"] {
        put!(text, "java.{property}={NOT_AVAILABLE}\n");
    }
    put!(text, "java.io.tmpdir={}\njava.compiler={NOT_AVAILABLE}\n", std::env::temp_dir().display());
    put!(text, "os.name={}\nos.arch={}\n", os_name(), os_architecture());
    put!(text, "os.version={}\n", kernel("/proc/sys/kernel/osrelease"));
    put!(text, "user.name={}\nuser.home={}\nuser.dir={here}\n", variable("USER"), variable("HOME"));
    text
}

/// A short text that the kernel offers as a file; its length is not known before it is read.
pub(super) fn kernel_file(disk: &dyn Disk, path: &str) -> Option<String> {
    let file = disk.open(Path::new(path), OpenMode::Read).ok()?;
    let mut content = vec![0; KERNEL_FILE_BYTES_MAX];
    let length = file.read_at(&mut content, 0).ok()?;
    content.truncate(length);
    Some(String::from_utf8_lossy(&content).trim().to_owned())
}

/// The operating system's name as Java spells it.
fn os_name() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    }
}

/// The processor's name as Java spells it.
fn os_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

/// The size of the data folder, where snapshots and log are together.
async fn data_bytes(door: &Arc<Door>) -> u64 {
    let door = door.clone();
    let size = tokio::task::spawn_blocking(move || {
        folder_size(door.world.disk.as_ref(), &door.ensemble.config().dir, FOLDER_DEPTH_MAX)
    });
    size.await.unwrap_or_default()
}

/// Adds up the files of a folder. One that vanishes meanwhile counts as empty.
fn folder_size(disk: &dyn Disk, folder: &Path, depth: usize) -> u64 {
    let Ok(entries) = disk.read_dir(folder) else { return 0 };
    let sizes = entries.iter().map(|entry| match (entry.is_dir, depth) {
        (true, 0) => 0,
        (true, depth) => folder_size(disk, &entry.path, depth - 1),
        (false, _) => disk.open(&entry.path, OpenMode::Read).and_then(|file| file.length()).unwrap_or(0),
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SystemDisk;

    #[test]
    fn folder_sizes_include_files_of_subfolders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("sub")).expect("a subfolder");
        std::fs::write(folder.path().join("a"), [0; 10]).expect("a file");
        std::fs::write(folder.path().join("sub/b"), [0; 100]).expect("a file");
        assert_eq!(folder_size(&SystemDisk, folder.path(), FOLDER_DEPTH_MAX), 110);
        assert_eq!(folder_size(&SystemDisk, folder.path(), 0), 10);
        assert_eq!(folder_size(&SystemDisk, &folder.path().join("nothing"), FOLDER_DEPTH_MAX), 0);
    }
}
