//! gRPC below the SDK: any method, any bytes, any metadata.

use prost::bytes::{Buf, BufMut, Bytes};
use tenure_tests::server_cluster::{Outcome, ServerCluster};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::text;

#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A channel to one node of a cluster, over TLS.
pub fn channel(cluster: &ServerCluster, index: usize) -> Outcome<Channel> {
    let ca = Certificate::from_pem(cluster.authority.pem());
    let endpoint = Endpoint::from_shared(cluster.node(index)?.url()).map_err(text)?;
    let endpoint = endpoint
        .tls_config(ClientTlsConfig::new().ca_certificate(ca))
        .map_err(text)?;
    Ok(endpoint.connect_lazy())
}

/// Calls a method with the bytes of a message; `token` goes into the metadata if there is one.
pub async fn call(
    channel: &Channel,
    path: &str,
    message: impl Into<Bytes>,
    token: Option<&str>,
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let mut request = Request::new(message.into());
    request.set_timeout(std::time::Duration::from_secs(10));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| Status::internal("the test's token is no header"))?;
        request.metadata_mut().insert("authorization", value);
    }
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(format!("connect: {error}")))?;
    let path = http::uri::PathAndQuery::try_from(path).map_err(|_| Status::internal("path"))?;
    if path.as_str().ends_with("/Watch") {
        // It goes on: its first message is its answer.
        let mut stream = client
            .server_streaming(request, path, Plain)
            .await?
            .into_inner();
        let first = stream.message().await?;
        return first.ok_or_else(|| Status::internal("the stream is empty"));
    }
    Ok(client.unary(request, path, Plain).await?.into_inner())
}

/// The reason of a refusal, and whether it may have been applied: every refusal of ours says
/// both, in an `ErrorInfo` of our domain.
pub fn details(status: &Status) -> Outcome<(String, String)> {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .ok_or_else(|| format!("no ErrorInfo: {status:?}"))?;
    if info.domain != "tenure" {
        return Err(format!(
            "ErrorInfo of the domain {:?}: {status:?}",
            info.domain
        ));
    }
    let applied = info.metadata.get("applied").cloned().unwrap_or_default();
    Ok((info.reason.clone(), applied))
}

/// Every method of the public services, as reflection names them: `/package.Service/Method`.
pub fn methods() -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(tenure_proto::v1::FILE_DESCRIPTOR_SET);
    let pool = pool.expect("our descriptors");
    let services = pool.services();
    services
        .filter(|service| service.full_name().starts_with("tenure.v1."))
        .flat_map(|service| {
            let name = service.full_name().to_owned();
            let methods: Vec<_> = service.methods().collect();
            methods
                .into_iter()
                .map(move |method| format!("/{name}/{}", method.name()))
        })
        .collect()
}
