use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::conversation::{Conversation, blocking, refused};
use crate::access::Action;
use crate::digest::{Block, BlockSize};
use crate::net::NetError;
use crate::protocol::limits::MAX_PAGE_ITEMS;
use crate::protocol::message::{ServerBody, WireBlock};
use crate::protocol::{ErrorCode, Failure, WireDigest};
use crate::store::{Signed, Signing};
use crate::types::{Digest, FileRef};

/// How long to wait before trying again while others are hashing.
const PAUSE: Duration = Duration::from_millis(50);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Signature`, in as many messages as it takes: what one hop reads is sent before the
    /// next one begins.
    pub(super) async fn sign(
        &mut self,
        number: u32,
        id: WireDigest,
        average: u32,
    ) -> Result<(), NetError> {
        let mut signing = match self.begin_signing(number, id, average).await? {
            Ok(signing) => signing,
            Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
        };
        loop {
            let hop = self.outbox.alive_during(number, sign_some(signing));
            let (then, signed) = match hop.await? {
                Ok(done) => done,
                Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
            };
            signing = then;
            let Some(blocks) = signed else {
                let end = ServerBody::Signature {
                    blocks: Vec::new(),
                    last: true,
                };
                return self.outbox.answer(number, end).await;
            };
            for page in blocks.chunks(MAX_PAGE_ITEMS) {
                let blocks = page.iter().map(wire_block).collect();
                let page = ServerBody::Signature {
                    blocks,
                    last: false,
                };
                self.outbox.queue(number, page).await?;
            }
            self.outbox.writer.flush().await?;
        }
    }

    async fn begin_signing(
        &mut self,
        number: u32,
        id: WireDigest,
        average: u32,
    ) -> Result<Result<Signing, Failure>, NetError> {
        let (store, session) = (self.context.store.clone(), self.session.session());
        let open = blocking(move || {
            session.allow(Action::Read)?;
            let size = BlockSize::new(average).ok_or_else(|| {
                let message = "blocks are a power of two large, from 64 KiB to 4 MiB";
                Failure::new(ErrorCode::Usage, message)
            })?;
            let file = FileRef::from(Digest::try_from(id)?);
            Ok(store.sign(&file, size)?)
        });
        self.outbox.alive_during(number, open).await
    }
}

/// The next blocks; none when there are no more.
async fn sign_some(mut signing: Signing) -> Result<(Signing, Option<Vec<Block>>), Failure> {
    loop {
        let signed;
        (signing, signed) = blocking(move || {
            let signed = signing.read_on()?;
            Ok((signing, signed))
        })
        .await?;
        match signed {
            Signed::Blocks(blocks) => return Ok((signing, Some(blocks))),
            Signed::Busy => sleep(PAUSE).await,
            Signed::End => return Ok((signing, None)),
        }
    }
}

fn wire_block(block: &Block) -> WireBlock {
    WireBlock {
        length: block.length,
        hash: block.hash,
    }
}
