//! Many MD5s at once.
//!
//! One MD5 is a chain of steps that wait for each other, and no machine makes it fast. Several are
//! as many chains: each takes one lane of the machine's vectors, and a step is one instruction for
//! all of them. A stream is worth a state and whole blocks here; padding is [`Hasher`](super::Hasher)'s.
//!
//! This is the one file with `unsafe` code: vectors made of plain numbers and back, and calls of
//! functions that need what the machine was asked for before.
#![allow(unsafe_code)]

use super::single;

/// What MD5 knows between two blocks.
pub type State = [u32; 4];

/// As much as MD5 takes in at a time.
pub type Block = [u8; 64];

/// The state before the first block.
pub const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// A stream: where it stands, and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The state before the next block.
    pub state: State,
    /// The blocks that are still to be taken in.
    pub blocks: &'a [Block],
}

/// A way to compress several streams at once that this machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes(Kind);

// Made by `Lanes::all` alone, which asks the machine first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
    OneByOne,
}

impl Lanes {
    /// The fastest way that this machine knows.
    pub fn fastest() -> Lanes {
        // Vectors that no compiler optimised are slower than one stream after the other.
        let vectors = Self::all().next().filter(|_| !cfg!(debug_assertions));
        vectors.unwrap_or(Lanes(Kind::OneByOne))
    }

    /// Every way that this machine knows, the fastest first.
    pub fn all() -> impl Iterator<Item = Lanes> {
        // The standard library asks the machine once and remembers.
        [
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx512f").then_some(Kind::Avx512),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx2").then_some(Kind::Avx2),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            std::arch::is_aarch64_feature_detected!("neon").then_some(Kind::Neon),
            Some(Kind::OneByOne),
        ]
        .into_iter()
        .flatten()
        .map(Lanes)
    }

    /// How many streams it compresses at once.
    pub fn width(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 16,
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon => 8,
            Kind::OneByOne => 1,
        }
    }

    /// Takes in all blocks of all streams, however many there are and however long each is. The
    /// longest begin; where a stream ends, the next one takes its lane.
    pub fn compress(self, streams: &mut [Stream<'_>]) {
        let mut waiting: Vec<&mut Stream<'_>> = streams.iter_mut().collect();
        waiting.sort_by_key(|stream| stream.blocks.len());
        let mut running = Vec::with_capacity(self.width());
        loop {
            running.retain(|stream: &&mut Stream<'_>| !stream.blocks.is_empty());
            while running.len() < self.width()
                && let Some(longest) = waiting.pop()
            {
                running.push(longest);
            }
            match running.as_mut_slice() {
                [] => return,
                [alone] => {
                    single::compress(&mut alone.state, alone.blocks);
                    alone.blocks = &[];
                }
                several => self.compress_shortest(several),
            }
        }
    }

    /// Takes in as many blocks of each of these streams, one lane each, as the shortest has.
    fn compress_shortest(self, streams: &mut [&mut Stream<'_>]) {
        match self.0 {
            // SAFETY: the machine was asked whether it has what is called.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => abreast(streams, |s, b| unsafe { avx512::compress::<1>(s, b) }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 if streams.len() <= 8 => {
                abreast(streams, |s, b| unsafe { avx2::compress::<1>(s, b) });
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => abreast(streams, |s, b| unsafe { avx2::compress::<2>(s, b) }),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon if streams.len() <= 4 => {
                abreast(streams, |s, b| unsafe { neon::compress::<1>(s, b) });
            }
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon => abreast(streams, |s, b| unsafe { neon::compress::<2>(s, b) }),
            Kind::OneByOne => {
                for stream in streams {
                    single::compress(&mut stream.state, stream.blocks);
                    stream.blocks = &[];
                }
            }
        }
    }
}

/// Lays streams out in `N` times `LANES` lanes. Lanes to spare do the work of the first, for nothing.
fn abreast<const LANES: usize, const N: usize>(
    streams: &mut [&mut Stream<'_>],
    compress: impl Fn(&mut [[State; LANES]; N], &[[&[Block]; LANES]; N]),
) {
    let shortest = streams.iter().map(|stream| stream.blocks.len()).min();
    let (Some(first), Some(shortest)) = (streams.first(), shortest) else {
        return;
    };
    let mut states = [[first.state; LANES]; N];
    let mut blocks = [[first.blocks.split_at(shortest).0; LANES]; N];
    let lanes = states.as_flattened_mut().iter_mut();
    for ((state, blocks), stream) in lanes.zip(blocks.as_flattened_mut()).zip(&mut *streams) {
        *state = stream.state;
        (*blocks, stream.blocks) = stream.blocks.split_at(shortest);
    }
    compress(&mut states, &blocks);
    for (stream, state) in streams.iter_mut().zip(states.as_flattened()) {
        stream.state = *state;
    }
}

/// The constants of the 64 steps (RFC 1321, 3.4).
#[rustfmt::skip]
const TABLE: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// MD5 in `N` vectors of `$lanes` words, one word of each stream. Of the machine it takes what is
/// listed, and beside the list a function `columns`.
macro_rules! md5_in_vectors {
    (
        $feature:literal, $lanes:literal lanes of $vector:ty;
        rotate<$left:ident, $right:ident>($rotated:ident) = $rotate:expr;
        repeat($word:ident) = $repeat:expr;
        $($name:ident($($argument:ident),*) = $result:expr;)*
    ) => {
        #[target_feature(enable = $feature)]
        pub(super) fn compress<const N: usize>(
            states: &mut [[State; $lanes]; N],
            streams: &[[&[Block]; $lanes]; N],
        ) {
            let part = |part: usize| {
                states.map(|states| {
                    // SAFETY: as many bytes on both sides, of which any will do.
                    unsafe { transmute::<[u32; $lanes], $vector>(states.map(|state| state[part])) }
                })
            };
            let (mut a, mut b, mut c, mut d) = (part(0), part(1), part(2), part(3));
            for block in 0..streams[0][0].len() {
                let mut w = [[repeat(0); N]; 16];
                for n in 0..N {
                    for (word, column) in w.iter_mut().zip(columns(&streams[n], block)) {
                        word[n] = column;
                    }
                }
                let before = (a, b, c, d);
                round!(f w a b c d, 0 => 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15, 7 12 17 22);
                round!(g w a b c d, 16 => 1 6 11 0 5 10 15 4 9 14 3 8 13 2 7 12, 5 9 14 20);
                round!(h w a b c d, 32 => 5 8 11 14 1 4 7 10 13 0 3 6 9 12 15 2, 4 11 16 23);
                round!(i w a b c d, 48 => 0 7 14 5 12 3 10 1 8 15 6 13 4 11 2 9, 6 10 15 21);
                (a, b) = (add(a, before.0), add(b, before.1));
                (c, d) = (add(c, before.2), add(d, before.3));
            }
            for n in 0..N {
                // SAFETY: as many bytes on both sides, of which any will do.
                let parts = [a[n], b[n], c[n], d[n]]
                    .map(|part| unsafe { transmute::<$vector, [u32; $lanes]>(part) });
                for (lane, state) in states[n].iter_mut().enumerate() {
                    *state = parts.map(|part| part[lane]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn repeat($word: u32) -> $vector {
            $repeat
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn rotate<const $left: i32, const $right: i32, const N: usize>(
            mut vectors: [$vector; N],
        ) -> [$vector; N] {
            for vector in &mut vectors {
                let $rotated = *vector;
                *vector = $rotate;
            }
            vectors
        }

        $(
            #[inline]
            #[target_feature(enable = $feature)]
            fn $name<const N: usize>($($argument: [$vector; N]),*) -> [$vector; N] {
                let mut result = [repeat(0); N];
                for n in 0..N {
                    $(let $argument = $argument[n];)*
                    result[n] = $result;
                }
                result
            }
        )*
    };
}

/// Sixteen steps, four at a time, in which the parts of the state take turns.
macro_rules! round {
    ($f:ident $w:ident $a:ident $b:ident $c:ident $d:ident, $n:expr =>, $($shift:literal)*) => {};
    (
        $f:ident $w:ident $a:ident $b:ident $c:ident $d:ident,
        $n:expr => $w0:literal $w1:literal $w2:literal $w3:literal $($more:literal)*,
        $s0:literal $s1:literal $s2:literal $s3:literal
    ) => {
        step!($f $a $b $c $d, $w[$w0], TABLE[$n], $s0);
        step!($f $d $a $b $c, $w[$w1], TABLE[$n + 1], $s1);
        step!($f $c $d $a $b, $w[$w2], TABLE[$n + 2], $s2);
        step!($f $b $c $d $a, $w[$w3], TABLE[$n + 3], $s3);
        round!($f $w $a $b $c $d, $n + 4 => $($more)*, $s0 $s1 $s2 $s3);
    };
}

/// `$b` was computed last: what does not need it comes first.
macro_rules! step {
    ($f:ident $a:ident $b:ident $c:ident $d:ident, $word:expr, $constant:expr, $shift:literal) => {
        let sum = add($a, add($word, [repeat($constant); N]));
        $a = add(
            $b,
            rotate::<$shift, { 32 - $shift }, N>(add(sum, $f($b, $c, $d))),
        );
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::{Block, State, TABLE};

    // The number in a function is its table: bit `4b + 2c + d` is its value.
    md5_in_vectors! {
        "avx512f", 16 lanes of __m512i;
        rotate<LEFT, RIGHT>(x) = _mm512_rol_epi32::<LEFT>(x);
        repeat(word) = _mm512_set1_epi32(word.cast_signed());
        add(x, y) = _mm512_add_epi32(x, y);
        f(b, c, d) = _mm512_ternarylogic_epi32::<0b1100_1010>(b, c, d);
        g(b, c, d) = _mm512_ternarylogic_epi32::<0b1110_0100>(b, c, d);
        h(b, c, d) = _mm512_ternarylogic_epi32::<0b1001_0110>(b, c, d);
        i(b, c, d) = _mm512_ternarylogic_epi32::<0b0011_1001>(b, c, d);
    }

    /// The blocks are the rows of a table of 16 by 16 words, and its columns are wanted: words of two
    /// rows change places first, then pairs of words, then quarters of rows.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn columns(streams: &[&[Block]; 16], block: usize) -> [__m512i; 16] {
        let mut rows = [repeat(0); 16];
        for (row, stream) in rows.iter_mut().zip(streams) {
            // SAFETY: as many bytes on both sides, of which any will do.
            *row = unsafe { transmute::<Block, __m512i>(stream[block]) };
        }
        let mut pairs = rows;
        for n in [0, 2, 4, 6, 8, 10, 12, 14] {
            pairs[n] = _mm512_unpacklo_epi32(rows[n], rows[n + 1]);
            pairs[n + 1] = _mm512_unpackhi_epi32(rows[n], rows[n + 1]);
        }
        let mut fours = pairs;
        for n in [0, 4, 8, 12] {
            fours[n] = _mm512_unpacklo_epi64(pairs[n], pairs[n + 2]);
            fours[n + 1] = _mm512_unpackhi_epi64(pairs[n], pairs[n + 2]);
            fours[n + 2] = _mm512_unpacklo_epi64(pairs[n + 1], pairs[n + 3]);
            fours[n + 3] = _mm512_unpackhi_epi64(pairs[n + 1], pairs[n + 3]);
        }
        let mut columns = fours;
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        for n in [0, 1, 2, 3] {
            let even = _mm512_shuffle_i32x4::<EVEN>(fours[n], fours[n + 4]);
            let odd = _mm512_shuffle_i32x4::<ODD>(fours[n], fours[n + 4]);
            let even_below = _mm512_shuffle_i32x4::<EVEN>(fours[n + 8], fours[n + 12]);
            let odd_below = _mm512_shuffle_i32x4::<ODD>(fours[n + 8], fours[n + 12]);
            columns[n] = _mm512_shuffle_i32x4::<EVEN>(even, even_below);
            columns[n + 4] = _mm512_shuffle_i32x4::<EVEN>(odd, odd_below);
            columns[n + 8] = _mm512_shuffle_i32x4::<ODD>(even, even_below);
            columns[n + 12] = _mm512_shuffle_i32x4::<ODD>(odd, odd_below);
        }
        columns
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _mm256_and_si256 as and, _mm256_andnot_si256 as and_not, _mm256_or_si256 as or,
        _mm256_xor_si256 as xor, *,
    };
    use std::mem::transmute;

    use super::{Block, State, TABLE};

    md5_in_vectors! {
        "avx2", 8 lanes of __m256i;
        rotate<LEFT, RIGHT>(x) = or(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x));
        repeat(word) = _mm256_set1_epi32(word.cast_signed());
        add(x, y) = _mm256_add_epi32(x, y);
        f(b, c, d) = xor(d, and(b, xor(c, d)));
        g(b, c, d) = or(and_not(d, c), and(d, b));
        h(b, c, d) = xor(b, xor(c, d));
        i(b, c, d) = xor(c, or(b, xor(d, repeat(u32::MAX))));
    }

    /// Each half of the blocks is a table of 8 by 8 words, of which the columns are wanted.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn columns(streams: &[&[Block]; 8], block: usize) -> [__m256i; 16] {
        let mut rows = [repeat(0); 16];
        for (n, stream) in streams.iter().enumerate() {
            // SAFETY: as many bytes on both sides, of which any will do.
            [rows[n], rows[n + 8]] = unsafe { transmute::<Block, [__m256i; 2]>(stream[block]) };
        }
        let mut fours = rows;
        for n in [0, 4, 8, 12] {
            let low = _mm256_unpacklo_epi32(rows[n], rows[n + 1]);
            let high = _mm256_unpackhi_epi32(rows[n], rows[n + 1]);
            let low_below = _mm256_unpacklo_epi32(rows[n + 2], rows[n + 3]);
            let high_below = _mm256_unpackhi_epi32(rows[n + 2], rows[n + 3]);
            fours[n] = _mm256_unpacklo_epi64(low, low_below);
            fours[n + 1] = _mm256_unpackhi_epi64(low, low_below);
            fours[n + 2] = _mm256_unpacklo_epi64(high, high_below);
            fours[n + 3] = _mm256_unpackhi_epi64(high, high_below);
        }
        let mut columns = fours;
        for n in [0, 1, 2, 3, 8, 9, 10, 11] {
            columns[n] = _mm256_permute2x128_si256::<0x20>(fours[n], fours[n + 4]);
            columns[n + 4] = _mm256_permute2x128_si256::<0x31>(fours[n], fours[n + 4]);
        }
        columns
    }
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon {
    use std::arch::aarch64::*;
    use std::mem::transmute;

    use super::{Block, State, TABLE};

    md5_in_vectors! {
        "neon", 4 lanes of uint32x4_t;
        rotate<LEFT, RIGHT>(x) = vsriq_n_u32::<RIGHT>(vshlq_n_u32::<LEFT>(x), x);
        repeat(word) = vdupq_n_u32(word);
        add(x, y) = vaddq_u32(x, y);
        f(b, c, d) = vbslq_u32(b, c, d);
        g(b, c, d) = vbslq_u32(d, b, c);
        h(b, c, d) = veorq_u32(b, veorq_u32(c, d));
        i(b, c, d) = veorq_u32(c, vornq_u32(b, d));
    }

    /// Each quarter of the blocks is a table of 4 by 4 words, of which the columns are wanted.
    #[inline]
    #[target_feature(enable = "neon")]
    fn columns(streams: &[&[Block]; 4], block: usize) -> [uint32x4_t; 16] {
        let rows = streams.map(|stream| {
            // SAFETY: as many bytes on both sides, of which any will do.
            unsafe { transmute::<Block, [uint32x4_t; 4]>(stream[block]) }
        });
        let mut columns = [repeat(0); 16];
        for n in [0, 1, 2, 3] {
            let [first, second, third, fourth] = rows.map(|row| row[n]);
            let even = vreinterpretq_u64_u32(vtrn1q_u32(first, second));
            let odd = vreinterpretq_u64_u32(vtrn2q_u32(first, second));
            let even_below = vreinterpretq_u64_u32(vtrn1q_u32(third, fourth));
            let odd_below = vreinterpretq_u64_u32(vtrn2q_u32(third, fourth));
            columns[4 * n] = vreinterpretq_u32_u64(vtrn1q_u64(even, even_below));
            columns[4 * n + 1] = vreinterpretq_u32_u64(vtrn1q_u64(odd, odd_below));
            columns[4 * n + 2] = vreinterpretq_u32_u64(vtrn2q_u64(even, even_below));
            columns[4 * n + 3] = vreinterpretq_u32_u64(vtrn2q_u64(odd, odd_below));
        }
        columns
    }
}
