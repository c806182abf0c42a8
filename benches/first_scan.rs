//! How long a folder takes, from opening it for the first time until every file has its id.
//!
//! The files are written below the system's folder for temporary files: `TMPDIR` says where, and it
//! takes 5 GiB. They are in the system's memory when they are read.

use std::hint::black_box;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fileshare::store::{Store, StoreOptions};

fn first_scans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first scan");
    group.sample_size(10).warm_up_time(Duration::from_millis(1));
    for (label, files, size) in [
        ("10000 x 4 KiB", 10_000, 4 << 10),
        ("1000 x 1 MiB", 1_000, 1 << 20),
        ("4 x 1 GiB", 4, 1 << 30),
    ] {
        let root = tempfile::tempdir().unwrap();
        for number in 0..files {
            write(root.path(), number, size);
        }
        group.throughput(Throughput::Bytes(files * size));
        group.bench_function(label, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| scan(root.path(), files)).sum())
        });
    }
    group.finish();
}

/// A file of bytes like no other's, old enough to be hashed once and for all.
fn write(root: &Path, number: u64, size: u64) {
    let mut bytes = vec![0; size as usize];
    let mut state = number + 1;
    for eight in bytes.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        eight.copy_from_slice(&state.to_le_bytes());
    }
    let folder = root.join(format!("folder {}", number / 100));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("file {number}"));
    std::fs::write(&path, bytes).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(hour_ago).unwrap();
}

fn scan(root: &Path, files: u64) -> Duration {
    let state = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(root);
    options.state_dir = Some(state.path().to_owned());
    let began = Instant::now();
    let store = Store::open(options).unwrap();
    loop {
        let facts = store.facts().unwrap();
        if facts.files == files && facts.unhashed_files == 0 {
            break;
        }
        sleep(Duration::from_millis(2));
    }
    let took = began.elapsed();
    store.close();
    black_box(took)
}

criterion_group!(benches, first_scans);
criterion_main!(benches);
