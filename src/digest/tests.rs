//! Every way to compute MD5, held against the crate that everybody uses.

use md5::{Digest as _, Md5};
use proptest::collection::vec;
use proptest::prelude::*;

use super::lanes::{Block, Lanes, State, Stream};
use super::*;

/// Streams of any states, and of lengths that end at different times.
fn streams() -> impl Strategy<Value = Vec<(State, Vec<Block>)>> {
    let block = any::<[[u8; 32]; 2]>().prop_map(|halves| {
        let mut block = [0; BLOCK_BYTES];
        fill(&mut block, halves.as_flattened());
        block
    });
    vec((any::<State>(), vec(block, 0..9)), 0..40)
}

proptest! {
    #[test]
    fn every_backend_compresses_as_md_5_does(streams in streams()) {
        for lanes in Lanes::all() {
            let mut compressed: Vec<Stream<'_>> = streams
                .iter()
                .map(|(state, blocks)| Stream { state: *state, blocks })
                .collect();
            lanes.compress(&mut compressed);
            for (stream, (state, blocks)) in compressed.iter().zip(&streams) {
                let mut expected = *state;
                md5::block_api::compress(&mut expected, blocks);
                prop_assert_eq!(stream.state, expected, "{:?}", lanes);
                prop_assert!(stream.blocks.is_empty());
            }
        }
    }

    #[test]
    fn pieces_of_any_length_give_the_digest_of_md_5(pieces in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let mut hasher = Hasher::new();
        let mut expected = Md5::new();
        for piece in &pieces {
            hasher.update(piece);
            expected.update(piece);
            prop_assert_eq!(hasher.clone().finish(), Digest::Md5(expected.clone().finalize().into()));
        }
    }

    #[test]
    fn hashers_fed_together_are_hashers_fed_one_by_one(
        rounds in vec(vec(vec(any::<u8>(), 0..300), 20), 0..4),
    ) {
        let mut together = vec![Hasher::new(); 20];
        let mut apart = together.clone();
        for pieces in &rounds {
            let mut updates: Vec<_> = together.iter_mut().zip(pieces.iter().map(Vec::as_slice)).collect();
            Hasher::update_all(&mut updates);
            for (hasher, piece) in apart.iter_mut().zip(pieces) {
                hasher.update(piece);
            }
        }
        for (together, apart) in together.into_iter().zip(apart) {
            prop_assert_eq!(together.finish(), apart.finish());
        }
    }
}

#[test]
fn every_length_around_a_block_is_padded_right() {
    let bytes: Vec<u8> = (0..300u32).map(|n| n as u8).collect();
    for length in 0..bytes.len() {
        let (bytes, _) = bytes.split_at(length);
        let expected = Digest::Md5(Md5::digest(bytes).into());
        assert_eq!(Hasher::digest_of(bytes), expected, "{length} bytes");
    }
}

#[test]
fn a_long_stream_among_short_ones_is_whole() {
    let long = vec![[7; BLOCK_BYTES]; 5000];
    for lanes in Lanes::all() {
        let mut streams = vec![
            Stream {
                state: START,
                blocks: long.split_at(3).0,
            };
            50
        ];
        streams.push(Stream {
            state: START,
            blocks: &long,
        });
        lanes.compress(&mut streams);
        for (stream, blocks) in streams.iter().zip([vec![3; 50], vec![5000]].concat()) {
            let mut expected = START;
            md5::block_api::compress(&mut expected, long.split_at(blocks).0);
            assert_eq!(stream.state, expected, "{lanes:?}");
        }
    }
}

#[test]
fn this_machine_is_used_as_far_as_it_is_known() {
    let widths: Vec<usize> = Lanes::all().map(Lanes::width).collect();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        assert_eq!(widths.first(), Some(&16));
    }
    assert_eq!(widths.last(), Some(&1));
    let fastest = if cfg!(debug_assertions) {
        widths.last()
    } else {
        widths.first()
    };
    assert_eq!(Some(&Lanes::fastest().width()), fastest);
}

#[test]
fn a_keyed_hash_depends_on_the_key_and_on_each_part() {
    let hash = keyed(b"key", &[b"ab", b"c"]);
    assert_eq!(hash, keyed(b"key", &[b"ab", b"c"]));
    assert_ne!(hash, keyed(b"other", &[b"ab", b"c"]));
    assert_ne!(hash, keyed(b"key", &[b"a", b"bc"]));
    assert_ne!(hash, keyed(b"key", &[b"ab", b"c", b""]));
}

#[test]
fn takes_as_much_of_a_reader_as_there_is() {
    let bytes = vec![7; READ_BYTES + 10];
    let mut hasher = Hasher::new();
    let mut reader = bytes.as_slice();
    assert_eq!(hasher.update_from(&mut reader, 4).unwrap(), 4);
    let rest = bytes.len() as u64 - 4;
    assert_eq!(hasher.update_from(&mut reader, u64::MAX).unwrap(), rest);
    assert_eq!(hasher.finish(), Hasher::digest_of(&bytes));
}

#[test]
fn agrees_with_rfc_1321() {
    for (text, digest) in [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (
            "abcdefghijklmnopqrstuvwxyz",
            "c3fcd3d76192e4007dfb496cca67e13b",
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
    ] {
        assert_eq!(Hasher::digest_of(text.as_bytes()).to_string(), digest);
    }
}

#[test]
fn pieces_give_the_digest_of_the_whole() {
    let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    let mut hasher = Hasher::default();
    bytes.chunks(77).for_each(|piece| hasher.update(piece));
    assert_eq!(hasher.finish(), Hasher::digest_of(&bytes));
}
