//! A gRPC codec whose answers are encoded already.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstCodec;

/// An encoded answer.
#[derive(Debug)]
pub(super) struct RawReply(pub(super) Bytes);

/// Decodes `Req` with prost, writes answers as they are.
#[derive(Debug)]
pub(super) struct RawCodec<Req>(PhantomData<fn() -> Req>);

impl<Req> Default for RawCodec<Req> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Writes answers as they are.
#[derive(Debug, Default)]
pub(super) struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = RawReply;
    type Error = Status;

    fn encode(&mut self, RawReply(bytes): RawReply, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(bytes.len());
        out.put_slice(&bytes);
        Ok(())
    }
}

impl<Req: Message + Default + Send + 'static> Codec for RawCodec<Req> {
    type Encode = RawReply;
    type Decode = Req;
    type Encoder = RawEncoder;
    type Decoder = <ProstCodec<(), Req> as Codec>::Decoder;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<(), Req>::raw_decoder(BufferSettings::default())
    }
}
