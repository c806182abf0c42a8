//! One MD5 after the other.

use super::lanes::{Block, State};

/// Takes in all blocks, each of which has to wait for the one before it. In assembler where there
/// is any: a quarter faster than what compilers make of it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    for block in blocks {
        fast_md5::transform(state, block);
    }
}

/// Takes in all blocks, each of which has to wait for the one before it.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    md5::block_api::compress(state, blocks);
}
