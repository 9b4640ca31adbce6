//! Reflection: a client that knows only an address finds the API and uses it.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tenure_tests::server_cluster::{Outcome, ServerOptions};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::{ensure, raw, run, start, text};

const TOKENS: &str = "/tenure.v1.TokenService/";

/// A client without our descriptors: it asks reflection, builds messages from what it is
/// told, makes a token and looks it up.
#[test]
fn a_generic_client_uses_reflection() {
    run(
        "reflection::a_generic_client_uses_reflection",
        async |scenario| {
            let cluster = start(scenario, ServerOptions::new(1)?).await?;
            let channel = raw::channel(&cluster, 0)?;
            let services = reflect(&channel, MessageRequest::ListServices(String::new())).await?;
            let Some(MessageResponse::ListServicesResponse(list)) = services.message_response
            else {
                return Err("no list of services".into());
            };
            let names: Vec<String> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect();
            for name in [
                "TokenService",
                "LeaseService",
                "SealService",
                "ClusterService",
                "KeyService",
            ] {
                ensure(names.contains(&format!("tenure.v1.{name}")), || {
                    format!("{names:?}")
                })?;
            }
            ensure(names.contains(&"grpc.health.v1.Health".to_owned()), || {
                format!("{names:?}")
            })?;

            let mut pool = DescriptorPool::new();
            learn(&channel, &mut pool, "tenure.v1.TokenService").await?;
            let service = pool
                .get_service_by_name("tenure.v1.TokenService")
                .ok_or("no service")?;
            let method = |name: &str| {
                let found = service.methods().find(|method| method.name() == name);
                found.ok_or_else(|| format!("no method {name}"))
            };
            let create = method("CreateToken")?;
            let mut message = DynamicMessage::new(create.input());
            message.set_field_by_name("display_name", Value::String("generic".into()));
            message.set_field_by_name(
                "policies",
                Value::List(vec![Value::String("default".into())]),
            );
            let root = cluster.root();
            let path = format!("{TOKENS}CreateToken");
            let answer = raw::call(
                &channel,
                &path,
                message.encode_to_vec(),
                Some(root.expose()),
            )
            .await;
            let made =
                DynamicMessage::decode(create.output(), answer.map_err(text)?).map_err(text)?;
            let auth = made.get_field_by_name("auth").ok_or("no auth")?;
            let auth = auth.as_message().ok_or("auth is no message")?;
            let token = auth
                .get_field_by_name("client_token")
                .ok_or("no client_token")?;
            let token = token.as_str().ok_or("client_token is no text")?.to_owned();

            let lookup = method("LookupSelf")?;
            let path = format!("{TOKENS}LookupSelf");
            let answer = raw::call(&channel, &path, Vec::new(), Some(&token))
                .await
                .map_err(text)?;
            let found = DynamicMessage::decode(lookup.output(), answer).map_err(text)?;
            let info = found.get_field_by_name("token").ok_or("no token")?;
            let info = info.as_message().ok_or("token is no message")?;
            let name = info
                .get_field_by_name("display_name")
                .ok_or("no display_name")?;
            ensure(name.as_str() == Some("token-generic"), || {
                format!("{name:?}")
            })
        },
    );
}

async fn reflect(
    channel: &tonic::transport::Channel,
    request: MessageRequest,
) -> Outcome<ServerReflectionResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let next = answers
        .map_err(text)?
        .into_inner()
        .message()
        .await
        .map_err(text)?;
    next.ok_or_else(|| "reflection says nothing".to_owned())
}

/// Asks for the file of a symbol and for all that it imports.
async fn learn(
    channel: &tonic::transport::Channel,
    pool: &mut DescriptorPool,
    symbol: &str,
) -> Outcome<()> {
    let mut wanted = vec![MessageRequest::FileContainingSymbol(symbol.to_owned())];
    let mut files: Vec<prost_types::FileDescriptorProto> = Vec::new();
    while let Some(request) = wanted.pop() {
        let answer = reflect(channel, request).await?;
        let Some(MessageResponse::FileDescriptorResponse(found)) = answer.message_response else {
            return Err(format!("reflection doesn't know {symbol}: {answer:?}"));
        };
        for bytes in found.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(bytes.as_slice()).map_err(text)?;
            if files.iter().any(|known| known.name == file.name) {
                continue;
            }
            wanted.extend(
                file.dependency
                    .iter()
                    .cloned()
                    .map(MessageRequest::FileByFilename),
            );
            files.push(file);
        }
    }
    let set = prost_types::FileDescriptorSet { file: files };
    pool.add_file_descriptor_set(set).map_err(text)
}
