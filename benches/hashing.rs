//! MD5: one stream, several at once in every way that this machine knows, and small files.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fileshare::digest::Hasher;
use fileshare::digest::lanes::{Block, Lanes, START, Stream};
use md5::{Digest as _, Md5};

/// So much of each stream: with 16 of them, what the second cache of a core holds.
const STREAM_BYTES: usize = 64 * 1024;

fn one_stream(criterion: &mut Criterion) {
    let bytes = vec![7; STREAM_BYTES];
    let mut group = criterion.benchmark_group("one stream");
    group.throughput(Throughput::Bytes(STREAM_BYTES as u64));
    group.bench_function("md-5", |bencher| {
        bencher.iter(|| Md5::digest(black_box(&bytes)));
    });
    group.bench_function("ours", |bencher| {
        bencher.iter(|| Hasher::digest_of(black_box(&bytes)));
    });
    group.finish();
}

fn several_streams(criterion: &mut Criterion) {
    let blocks: Vec<Block> = vec![[7; 64]; 16 * STREAM_BYTES / 64];
    for lanes in Lanes::all() {
        let mut group = criterion.benchmark_group(format!("{lanes:?}"));
        for number in [1, 2, 4, 8, 16] {
            group.throughput(Throughput::Bytes((number * STREAM_BYTES) as u64));
            group.bench_function(BenchmarkId::new("streams", number), |bencher| {
                bencher.iter(|| {
                    let mut streams: Vec<Stream<'_>> = blocks
                        .chunks(STREAM_BYTES / 64)
                        .take(number)
                        .map(|blocks| Stream {
                            state: START,
                            blocks,
                        })
                        .collect();
                    lanes.compress(black_box(&mut streams));
                    streams.iter().map(|stream| stream.state[0]).max()
                });
            });
        }
        group.finish();
    }
}

fn small_files(criterion: &mut Criterion) {
    let files = vec![vec![7; 4096]; 16];
    let mut group = criterion.benchmark_group("files of 4 KiB");
    group.throughput(Throughput::Bytes(16 * 4096));
    group.bench_function("one by one", |bencher| {
        bencher.iter(|| {
            for file in &files {
                black_box(Hasher::digest_of(black_box(file)));
            }
        });
    });
    group.bench_function("16 at once", |bencher| {
        bencher.iter(|| {
            let mut hashers = vec![Hasher::new(); files.len()];
            let pieces = files.iter().map(Vec::as_slice);
            let mut updates: Vec<_> = hashers.iter_mut().zip(black_box(pieces)).collect();
            Hasher::update_all(&mut updates);
            for hasher in hashers {
                black_box(hasher.finish());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, one_stream, several_streams, small_files);
criterion_main!(benches);
