//! The calls of `SecretsService`.

use tenure_proto::v1::{self, secrets_service_client::SecretsServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
};

fn service(channel: Channel) -> SecretsServiceClient<Channel> {
    SecretsServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// With a request id a call acts once, however often it is sent.
fn effect(request_id: &str) -> Effect {
    match request_id {
        "" => Effect::Once,
        _ => Effect::Repeatable,
    }
}

impl Client {
    /// Reads a path. `data` holds parameters, a JSON object, for engines that take some; else
    /// it is empty. See [`v1::ReadResponse::deleted`].
    pub async fn read(&self, path: &str, data: &[u8]) -> Result<v1::ReadResponse, Error> {
        let request = v1::ReadRequest {
            path: path.to_owned(),
            data: data.to_vec(),
        };
        ask!(self, Repeatable, read(request)).await
    }

    /// Writes a path. With a `request_id` the call is sent again even where the first one may
    /// have been carried out; without, only where it was not.
    pub async fn write(&self, request: v1::WriteRequest) -> Result<v1::WriteResponse, Error> {
        let effect = effect(&request.request_id);
        self.call(
            Scope::Cluster,
            effect,
            request,
            |channel, request| async move { service(channel).write(request).await },
        )
        .await
    }

    /// Changes what a path holds by a JSON merge patch; sent again as [`Client::write`] is.
    pub async fn patch(&self, request: v1::PatchRequest) -> Result<v1::PatchResponse, Error> {
        let effect = effect(&request.request_id);
        self.call(
            Scope::Cluster,
            effect,
            request,
            |channel, request| async move { service(channel).patch(request).await },
        )
        .await
    }

    /// A page of the names under a path, not sorted. `page_size` 0: the server's default. The
    /// first page has the empty `page_token`, the next one what the page before named.
    pub async fn list(
        &self,
        path: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<v1::ListResponse, Error> {
        let request = v1::ListRequest {
            path: path.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        ask!(self, Repeatable, list(request)).await
    }

    /// Deletes a path. It is not sent again where it may have been carried out: what somebody
    /// wrote in between would go with it.
    pub async fn delete(&self, path: &str) -> Result<v1::DeleteResponse, Error> {
        let request = v1::DeleteRequest {
            path: path.to_owned(),
        };
        ask!(self, Once, delete(request)).await
    }
}
