//! One server process: reads what the runner wants, listens, says where, serves until it is ended.

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tertulia::api::{
    connect::{Connect, ConnectOptions},
    grpc_rules::GrpcRulesLayer,
    grpc_web::GrpcWebLayer,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{codec::CompressionEncoding, service::Routes, transport::Server};
use tower::ServiceBuilder;

use crate::{
    metadata::SendTrailersLayer,
    proto::{
        DESCRIPTORS, ServerCompatRequest, ServerCompatResponse, conformance_service_server::ConformanceServiceServer,
    },
    service::Suite,
};

/// When the runner sets no limit.
const DEFAULT_LIMIT: usize = 16 * 1024 * 1024;

/// Serves one request of the runner.
pub(crate) async fn run() -> anyhow::Result<()> {
    let wanted = read_request().context("read the runner's request")?;
    let limit = match usize::try_from(wanted.message_receive_limit)? {
        0 => DEFAULT_LIMIT,
        limit => limit,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let port = listener.local_addr()?.port();
    write_response(&ServerCompatResponse { host: "127.0.0.1".into(), port: port.into(), pem_cert: Vec::new() })?;
    Server::builder()
        .accept_http1(true)
        .add_routes(Routes::from(app(limit)?))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .context("serve")
}

/// The same stack as the product's: services, gRPC-Web, Connect.
fn app(limit: usize) -> anyhow::Result<axum::Router> {
    let service = ConformanceServiceServer::new(Suite)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let service = ServiceBuilder::new().layer(SendTrailersLayer).service(service);
    let pool = DescriptorPool::decode(DESCRIPTORS).context("decode the descriptors")?;
    let inner = Routes::new(service).into_axum_router().layer(GrpcRulesLayer::new(&pool, limit)).layer(GrpcWebLayer);
    // Even the smallest message is compressed, so that the suite sees compressed responses.
    let options = ConnectOptions { max_request_bytes: limit, compress_min_bytes: 0, strict_json: false };
    Ok(axum::Router::new().fallback_service(Connect::new(inner, pool, options)))
}

fn read_request() -> anyhow::Result<ServerCompatRequest> {
    let mut stdin = std::io::stdin().lock();
    let mut length = [0; 4];
    stdin.read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stdin.read_exact(&mut message)?;
    Ok(ServerCompatRequest::decode(message.as_slice())?)
}

fn write_response(response: &ServerCompatResponse) -> anyhow::Result<()> {
    let message = response.encode_to_vec();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    stdout.write_all(&message)?;
    stdout.flush().context("answer the runner")
}
