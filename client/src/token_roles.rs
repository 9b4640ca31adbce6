//! The calls of `TokenService` that are about roles, lifetimes and all tokens.

use tenure_proto::v1::{
    self, lease_service_client::LeaseServiceClient, token_service_client::TokenServiceClient,
};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
};

fn service(channel: Channel) -> TokenServiceClient<Channel> {
    TokenServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// A call that is made as it is.
macro_rules! call {
    ($client:expr, $effect:ident, $request:expr, $method:ident) => {
        $client
            .call(
                Scope::Cluster,
                Effect::$effect,
                $request,
                |channel, request| async move { service(channel).$method(request).await },
            )
            .await
    };
}

impl Client {
    /// Writes a token role. What the request leaves out stays as it is.
    pub async fn write_token_role(&self, request: v1::WriteTokenRoleRequest) -> Result<(), Error> {
        // Twice is as good as once, unless somebody else writes in between.
        call!(self, Once, request, write_token_role).map(drop)
    }

    /// Shows a token role.
    pub async fn read_token_role(&self, name: &str) -> Result<v1::TokenRole, Error> {
        let name = name.to_owned();
        let request = v1::ReadTokenRoleRequest { name };
        let answer = call!(self, Repeatable, request, read_token_role)?;
        let role = answer.role;
        role.ok_or_else(|| Error::protocol("the server's answer holds no role"))
    }

    /// Deletes a token role. One that doesn't exist is no error.
    pub async fn delete_token_role(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let request = v1::DeleteTokenRoleRequest { name };
        call!(self, Once, request, delete_token_role).map(drop)
    }

    /// The names of all token roles, sorted.
    pub async fn list_token_roles(&self) -> Result<Vec<String>, Error> {
        let (mut names, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListTokenRolesRequest {
                page_size: 0,
                page_token,
            };
            let page = call!(self, Repeatable, request, list_token_roles)?;
            names.extend(page.names);
            if page.next_page_token.is_empty() {
                names.sort();
                return Ok(names);
            }
            page_token = page.next_page_token;
        }
    }

    /// A page of those of the cluster's tokens that the request names. A page may be empty before
    /// the last one.
    pub async fn list_tokens(
        &self,
        request: v1::ListAccessorsRequest,
    ) -> Result<v1::ListAccessorsResponse, Error> {
        call!(self, Repeatable, request, list_accessors)
    }

    /// Changes how long tokens live that are made or renewed from now on. What the request leaves
    /// out stays as it is.
    pub async fn tune_tokens(&self, request: v1::TuneTokensRequest) -> Result<(), Error> {
        call!(self, Once, request, tune_tokens).map(drop)
    }

    /// How long tokens live.
    pub async fn token_tuning(&self) -> Result<v1::GetTokenTuningResponse, Error> {
        let request = v1::GetTokenTuningRequest {};
        call!(self, Repeatable, request, get_token_tuning)
    }

    /// What there is to tidy up of tokens, in words.
    pub async fn tidy_tokens(&self) -> Result<Vec<String>, Error> {
        let request = v1::TidyTokensRequest {};
        Ok(call!(self, Repeatable, request, tidy_tokens)?.warnings)
    }

    /// What there is to tidy up of leases, in words.
    pub async fn tidy_leases(&self) -> Result<Vec<String>, Error> {
        let request = v1::TidyLeasesRequest {};
        let answer = self
            .call(
                Scope::Cluster,
                Effect::Repeatable,
                request,
                |channel, request| async move {
                    let service = LeaseServiceClient::new(channel);
                    let mut service = service.max_decoding_message_size(ANSWER_BYTES_MAX);
                    service.tidy_leases(request).await
                },
            )
            .await?;
        Ok(answer.warnings)
    }
}
