//! Tenure's calls, over one channel.

use std::time::{Duration, Instant};

use tenure_client::proto::{
    CreateTokenRequest, CreateTokenResponse, GrantLeaseRequest, LookupLeaseRequest,
    LookupSelfRequest, RenewSelfRequest, RevokePrefixRequest, RevokeTokenRequest, TokenType,
};
use tenure_proto::v1::{
    lease_service_client::LeaseServiceClient, token_service_client::TokenServiceClient,
};
use tenure_tests::server_cluster::Outcome;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    client::Calls,
    limits::{HOUR, PAYLOAD_BYTES},
    maker::{Made, Maker},
    system::MAKER,
};

fn bearer(token: &str) -> Outcome<MetadataValue<Ascii>> {
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "a token that is no header value".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request for a token of the benchmark.
pub fn request(ttl: Duration) -> CreateTokenRequest {
    CreateTokenRequest {
        policies: vec!["default".to_owned()],
        ttl: duration(ttl),
        ..CreateTokenRequest::default()
    }
}

/// A lease of the benchmark.
pub fn grant(ttl: Duration) -> GrantLeaseRequest {
    GrantLeaseRequest {
        path: "bench/service".to_owned(),
        payload: vec![7; PAYLOAD_BYTES],
        ttl: duration(ttl),
        ..GrantLeaseRequest::default()
    }
}

fn duration(of: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(of).ok()
}

fn with<T>(message: T, token: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", token.clone());
    request
}

fn failed(status: Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// A token, and the header that it goes in.
#[derive(Clone)]
pub struct Token {
    text: String,
    header: MetadataValue<Ascii>,
}

/// A client of one node.
pub struct Client {
    tokens: TokenServiceClient<Channel>,
    leases: LeaseServiceClient<Channel>,
    root: MetadataValue<Ascii>,
}

impl Client {
    /// A client that calls as root.
    pub(super) fn new(channel: &Channel, root: &str) -> Outcome<Self> {
        Ok(Self {
            tokens: TokenServiceClient::new(channel.clone()),
            leases: LeaseServiceClient::new(channel.clone()),
            root: bearer(root)?,
        })
    }

    /// Root makes a batch token that may put something on lease.
    ///
    /// # Errors
    /// It was refused.
    pub async fn batch(mut self, ttl: Duration) -> Outcome<Made<Token>> {
        let wish = CreateTokenRequest {
            policies: vec![MAKER.to_owned()],
            r#type: TokenType::Batch.into(),
            ..request(ttl)
        };
        let sent = Instant::now();
        let answer = self.tokens.create_token(with(wish, &self.root)).await;
        Ok(Made {
            thing: token_of(answer.map_err(failed)?.into_inner())?,
            due_from: sent + ttl,
            due_by: Instant::now() + ttl,
        })
    }
}

fn token_of(answer: CreateTokenResponse) -> Outcome<Token> {
    let auth = answer.auth.ok_or("an answer without a token")?;
    Ok(Token {
        header: bearer(&auth.client_token)?,
        text: auth.client_token,
    })
}

impl Calls for Client {
    type Token = Token;

    async fn create(&mut self) -> Outcome<Token> {
        let call = with(request(HOUR), &self.root);
        let answer = self.tokens.create_token(call).await.map_err(failed)?;
        token_of(answer.into_inner())
    }

    async fn create_child(&mut self, parent: Option<&Token>, ttl: Duration) -> Outcome<Token> {
        let mut wish = request(ttl);
        wish.policies.push(MAKER.to_owned());
        let caller = parent.map_or(&self.root, |parent| &parent.header);
        let answer = self.tokens.create_token(with(wish, caller)).await;
        token_of(answer.map_err(failed)?.into_inner())
    }

    async fn refuses(&mut self, token: &Token) -> Outcome<bool> {
        let call = with(LookupSelfRequest::default(), &token.header);
        match self.tokens.lookup_self(call).await {
            Ok(_) => Ok(false),
            Err(status) if status.code() == Code::Unauthenticated => Ok(true),
            Err(status) => Err(failed(status)),
        }
    }

    async fn lookup_self(&mut self, token: &Token) -> Outcome<()> {
        let call = with(LookupSelfRequest::default(), &token.header);
        let answer = self.tokens.lookup_self(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn renew_self(&mut self, token: &Token) -> Outcome<()> {
        let call = with(RenewSelfRequest::default(), &token.header);
        let answer = self.tokens.renew_self(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn revoke(&mut self, token: &Token) -> Outcome<()> {
        let token = token.text.clone();
        let call = with(RevokeTokenRequest { token }, &self.root);
        let answer = self.tokens.revoke_token(call).await;
        answer.map(drop).map_err(failed)
    }

    async fn grant(&mut self) -> Outcome<()> {
        let call = with(grant(HOUR), &self.root);
        let answer = self.leases.grant_lease(call).await;
        answer.map(drop).map_err(failed)
    }
}

/// Leases under one path.
pub struct Leases {
    client: Client,
    owner: MetadataValue<Ascii>,
    path: String,
}

impl Leases {
    /// One for each client; the leases are a token's, or root's.
    pub fn of(clients: Vec<Client>, owner: Option<&Token>, path: &str) -> Vec<Self> {
        let one = |client: Client| Self {
            owner: owner.map_or(&client.root, |owner| &owner.header).clone(),
            client,
            path: path.to_owned(),
        };
        clients.into_iter().map(one).collect()
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// It was refused.
    pub async fn revoke_all(&mut self) -> Outcome<()> {
        let request = RevokePrefixRequest {
            prefix: self.path.clone(),
            force: false,
        };
        let call = with(request, &self.client.root);
        let answer = self.client.leases.revoke_prefix(call).await;
        answer.map(drop).map_err(failed)
    }
}

impl Maker for Leases {
    type Thing = String;

    async fn make(&mut self, _number: usize, ttl: Duration) -> Outcome<String> {
        let wish = GrantLeaseRequest {
            path: self.path.clone(),
            ..grant(ttl)
        };
        let answer = self
            .client
            .leases
            .grant_lease(with(wish, &self.owner))
            .await;
        Ok(answer.map_err(failed)?.into_inner().lease_id)
    }

    async fn refuses(&mut self, id: &String) -> Outcome<bool> {
        let lease_id = id.clone();
        let call = with(LookupLeaseRequest { lease_id }, &self.client.root);
        match self.client.leases.lookup_lease(call).await {
            Ok(_) => Ok(false),
            Err(status) if status.code() == Code::NotFound => Ok(true),
            Err(status) => Err(failed(status)),
        }
    }
}
