//! The calls of `TokenService`.

use std::time::Duration;

use tenure_proto::v1::{self, token_service_client::TokenServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
    secret::Secret,
};

fn service(channel: Channel) -> TokenServiceClient<Channel> {
    TokenServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// A duration as the contract has it.
pub(crate) fn wire(duration: Duration) -> Result<prost_types::Duration, Error> {
    prost_types::Duration::try_from(duration)
        .map_err(|_| Error::config("a duration is longer than the contract can say"))
}

fn granted(auth: Option<v1::Auth>) -> Result<v1::Auth, Error> {
    auth.ok_or_else(|| Error::protocol("the server's answer holds no token"))
}

fn found(token: Option<v1::TokenInfo>) -> Result<v1::TokenInfo, Error> {
    token.ok_or_else(|| Error::protocol("the server's answer holds no token"))
}

impl Client {
    /// Makes a token. With a `request_id` the call is sent again even where the first one
    /// may have been carried out; without, only where it was not.
    pub async fn create_token(&self, request: v1::CreateTokenRequest) -> Result<v1::Auth, Error> {
        let effect = if request.request_id.is_empty() {
            Effect::Once
        } else {
            Effect::Repeatable
        };
        let answer = self
            .call(
                Scope::Cluster,
                effect,
                request,
                |channel, request| async move { service(channel).create_token(request).await },
            )
            .await?;
        granted(answer.auth)
    }

    /// Shows a token, by the token.
    pub async fn lookup_token(&self, token: &Secret) -> Result<v1::TokenInfo, Error> {
        let request = v1::LookupTokenRequest {
            token: token.expose().to_owned(),
        };
        let answer = ask!(self, Repeatable, lookup_token(request)).await?;
        found(answer.token)
    }

    /// Shows the client's own token.
    pub async fn lookup_self(&self) -> Result<v1::TokenInfo, Error> {
        let request = v1::LookupSelfRequest {};
        let answer = ask!(self, Repeatable, lookup_self(request)).await?;
        found(answer.token)
    }

    /// Shows a token by its accessor, without its id.
    pub async fn lookup_accessor(&self, accessor: &str) -> Result<v1::TokenInfo, Error> {
        let request = v1::LookupAccessorRequest {
            accessor: accessor.to_owned(),
        };
        let answer = ask!(self, Repeatable, lookup_accessor(request)).await?;
        found(answer.token)
    }

    /// Extends a token's life: to `increment` from now where the server allows it, to its
    /// creation TTL without.
    pub async fn renew_token(
        &self,
        token: &Secret,
        increment: Option<Duration>,
    ) -> Result<v1::Auth, Error> {
        let request = v1::RenewTokenRequest {
            token: token.expose().to_owned(),
            increment: increment.map(wire).transpose()?,
        };
        let answer = ask!(self, Once, renew_token(request)).await?;
        granted(answer.auth)
    }

    /// Extends the life of the client's own token.
    pub async fn renew_self(&self, increment: Option<Duration>) -> Result<v1::Auth, Error> {
        let request = v1::RenewSelfRequest {
            increment: increment.map(wire).transpose()?,
        };
        let answer = ask!(self, Once, renew_self(request)).await?;
        granted(answer.auth)
    }

    /// Extends a token's life by its accessor; the answer doesn't hold the token.
    pub async fn renew_accessor(
        &self,
        accessor: &str,
        increment: Option<Duration>,
    ) -> Result<v1::Auth, Error> {
        let request = v1::RenewAccessorRequest {
            accessor: accessor.to_owned(),
            increment: increment.map(wire).transpose()?,
        };
        let answer = ask!(self, Once, renew_accessor(request)).await?;
        granted(answer.auth)
    }

    /// Ends a token and its descendants. No error when there is no such token.
    pub async fn revoke_token(&self, token: &Secret) -> Result<(), Error> {
        let request = v1::RevokeTokenRequest {
            token: token.expose().to_owned(),
        };
        ask!(self, Once, revoke_token(request)).await?;
        Ok(())
    }

    /// Ends the client's own token and its descendants.
    pub async fn revoke_self(&self) -> Result<(), Error> {
        let request = v1::RevokeSelfRequest {};
        // A second one would be refused: the token that it carries is gone.
        ask!(self, Once, revoke_self(request)).await?;
        Ok(())
    }

    /// Ends a token; its children become orphans and live on.
    pub async fn revoke_orphan(&self, token: &Secret) -> Result<(), Error> {
        let request = v1::RevokeOrphanRequest {
            token: token.expose().to_owned(),
        };
        ask!(self, Once, revoke_orphan(request)).await?;
        Ok(())
    }

    /// Ends the token of an accessor and its descendants. Answers with the server's
    /// warnings: there is one when no such token was found.
    pub async fn revoke_accessor(&self, accessor: &str) -> Result<Vec<String>, Error> {
        let request = v1::RevokeAccessorRequest {
            accessor: accessor.to_owned(),
        };
        let answer = ask!(self, Once, revoke_accessor(request)).await?;
        Ok(answer.warnings)
    }

    /// A page of the cluster's tokens. `page_size` 0: the server's default. The first page
    /// has the empty `page_token`, the next one what the page before named.
    pub async fn list_accessors(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<v1::ListAccessorsResponse, Error> {
        let request = v1::ListAccessorsRequest {
            page_size,
            page_token: page_token.to_owned(),
            ..v1::ListAccessorsRequest::default()
        };
        ask!(self, Repeatable, list_accessors(request)).await
    }
}
