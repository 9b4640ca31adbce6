//! The gRPC services, one file each, and the dispatch of calls that a standby passed on.

/// The pages of a plain list, for `Call`: which is the next one, and how its rows come to those before.
macro_rules! pages_of {
    ($rows:ident) => {
        fn next_page(&self, answer: &Self::Answer) -> Option<Self> {
            let page_token = answer.next_page_token.clone();
            (!page_token.is_empty()).then(|| Self {
                page_token,
                ..self.clone()
            })
        }

        fn append(answer: &mut Self::Answer, page: Self::Answer) -> usize {
            answer.$rows.extend(page.$rows);
            answer.next_page_token = page.next_page_token;
            answer.$rows.len()
        }
    };
}

/// A service each of whose methods hands its message to the pipeline.
macro_rules! serve {
    ($service:path: $($method:ident: $request:ident -> $response:ident),* $(,)? $(; $($streams:tt)*)?) => {
        #[tonic::async_trait]
        impl $service for Services {
            $($($streams)*)?

            $(async fn $method(
                &self,
                request: tonic::Request<v1::$request>,
            ) -> Result<tonic::Response<v1::$response>, tonic::Status> {
                self.pipeline.call(request).await
            })*
        }
    };
}

mod backup;
mod cluster;
pub use cluster::join_error;
pub use streams::event_on_wire;
mod convert;
pub use convert::timestamp;
mod key;
mod lease;
pub use lease::child;
mod mount;
mod policy;
mod quota;
mod seal;
mod secrets;
mod streams;
mod token;
mod token_care;
mod token_role;

use std::sync::Arc;

use bytes::Bytes;
use tenure_proto::v1;
use tonic::{Status, service::Routes};

use crate::{
    api::calls::calls,
    error::Error,
    limits::REQUEST_BYTES_CEILING,
    pipeline::{Access, Call, Context, Pipeline},
    seal::Sealer,
};

/// What the services stand on.
#[derive(Clone)]
pub struct Services {
    /// Everything that needs a token.
    pub pipeline: Arc<Pipeline>,
    /// What a sealed node answers.
    pub sealer: Arc<Sealer>,
}

impl Services {
    /// The public services, with reflection.
    ///
    /// # Errors
    /// The descriptor set can't be read.
    pub fn routes(&self) -> Result<Routes, tonic_reflection::server::Error> {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        use v1::{
            cluster_service_server::ClusterServiceServer, key_service_server::KeyServiceServer,
            lease_service_server::LeaseServiceServer, mount_service_server::MountServiceServer,
            policy_service_server::PolicyServiceServer, quota_service_server::QuotaServiceServer,
            seal_service_server::SealServiceServer, secrets_service_server::SecretsServiceServer,
            token_service_server::TokenServiceServer,
        };
        let tokens =
            TokenServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let leases =
            LeaseServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let policies =
            PolicyServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let quotas =
            QuotaServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let secrets = SecretsServiceServer::new(self.clone())
            .max_decoding_message_size(REQUEST_BYTES_CEILING);
        let mounts =
            MountServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let seal =
            SealServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        let cluster = ClusterServiceServer::new(self.clone())
            .max_decoding_message_size(REQUEST_BYTES_CEILING);
        let backup = v1::backup_service_server::BackupServiceServer::new(self.clone())
            .max_decoding_message_size(REQUEST_BYTES_CEILING);
        let keys =
            KeyServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_BYTES_CEILING);
        Ok(Routes::new(tokens)
            .add_service(leases)
            .add_service(policies)
            .add_service(quotas)
            .add_service(secrets)
            .add_service(mounts)
            .add_service(seal)
            .add_service(cluster)
            .add_service(backup)
            .add_service(keys)
            .add_service(reflection))
    }
}

/// Dispatches a forwarded call by its method. What is about one node is never passed on.
macro_rules! forwardable {
    ($($call:ty),* $(,)?) => {
        impl Pipeline {
            /// Serves a call that a standby passed on.
            ///
            /// # Errors
            /// Unknown methods are refused; else as [`Pipeline::call`].
            pub async fn call_by_name(
                &self,
                method: &str,
                body: Bytes,
                context: Context,
            ) -> Result<Bytes, Status> {
                $(if method == <$call as Call>::METHOD && <$call as Call>::ACCESS != Access::Here {
                    return self.call_encoded::<$call>(body, &context).await;
                })*
                Err(Error::invalid_argument("no call of this name is forwarded").into())
            }
        }
    };
}

calls!(forwardable);
