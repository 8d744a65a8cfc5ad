//! The server under test of `run.sh`: the conformance suite's service behind the same stack as the product's.

#[cfg(has_suite)]
mod metadata;
#[cfg(has_suite)]
mod server;
#[cfg(has_suite)]
mod service;

/// The suite's messages and service.
#[cfg(has_suite)]
#[allow(clippy::all, dead_code, missing_docs, unreachable_pub, unused_qualifications)]
mod proto {
    tonic::include_proto!("connectrpc.conformance.v1");

    pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

#[cfg(has_suite)]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    server::run().await
}

#[cfg(not(has_suite))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("built without the conformance suite; run tools/conformance/run.sh")
}
