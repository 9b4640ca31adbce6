//! A server in this process that does what its script says. Used by the tests of the
//! client and of the command line.

#![allow(dead_code, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tenure_proto::v1::{
    self, cluster_service_server::ClusterServiceServer, lease_service_server::LeaseServiceServer,
    seal_service_server::SealServiceServer, token_service_server::TokenServiceServer,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};
use tonic_types::{ErrorDetails, StatusExt};

/// The token that the fake server knows as root.
pub const ROOT: &str = "hvs.fake-root-canary";
/// The share that opens the fake server.
pub const SHARE: [u8; 33] = [7; 33];

/// A stream of the fake server.
pub type Scripted<M> = tokio_stream::wrappers::ReceiverStream<Result<M, Status>>;

/// Every lease of a message, renewed for a minute.
fn renewed(message: &v1::KeepAliveRequest) -> v1::KeepAliveResponse {
    let results = message.renewals.iter().map(|renewal| v1::LeaseRenewed {
        lease_id: renewal.lease_id.clone(),
        lease_duration: seconds(60),
        ..Default::default()
    });
    v1::KeepAliveResponse {
        results: results.collect(),
    }
}

/// What happens to the next call, before the canned behaviour.
pub enum Step {
    /// It is refused.
    Fail(Status),
    /// It takes so long.
    Delay(Duration),
}

#[derive(Default)]
pub struct State {
    /// What the next watches show, one script each, and from where on they were asked for.
    pub watches: VecDeque<Vec<Result<v1::WatchResponse, Status>>>,
    /// The revisions that they were to begin with.
    pub watched_from: Vec<Option<u64>>,
    /// What the next messages of keep-alives are answered.
    pub renewals: VecDeque<Result<v1::KeepAliveResponse, Status>>,
    /// Names of the calls, in order.
    pub calls: Vec<String>,
    pub script: VecDeque<Step>,
    pub tokens: BTreeMap<String, v1::TokenInfo>,
    pub leases: BTreeMap<String, v1::LeaseInfo>,
    pub last_grant: Option<v1::GrantLeaseRequest>,
    pub last_prefix: Option<String>,
    pub last_create: Option<v1::CreateTokenRequest>,
    pub last_join: Option<v1::JoinRequest>,
    pub last_increment: Option<prost_types::Duration>,
    pub removed: Vec<v1::remove_peer_request::Peer>,
    pub initialized: bool,
    pub sealed: bool,
    pub progress: u32,
    made: u32,
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

/// A running fake server: stops when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub fake: Fake,
    task: Option<JoinHandle<()>>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the listener: nobody connects any more.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A refusal with our details.
pub fn refusal(code: Code, reason: &str, applied: Option<&str>) -> Status {
    let metadata: HashMap<String, String> = applied
        .map(|value| ("applied".to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let details = ErrorDetails::with_error_info(reason, "tenure", metadata);
    Status::with_error_details(code, format!("refused: {reason}"), details)
}

impl Fake {
    pub fn new() -> Self {
        let fake = Self::default();
        {
            let mut state = fake.state();
            state.initialized = true;
            state.tokens.insert(ROOT.into(), root_token());
        }
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub fn push(&self, step: Step) {
        self.state().script.push_back(step);
    }

    /// Serves in plain text on a free port of the loopback.
    pub async fn serve(&self) -> Running {
        self.serve_with(None).await
    }

    /// Serves with TLS.
    pub async fn serve_tls(&self, cert_pem: &str, key_pem: &str) -> Running {
        self.serve_with(Some(Identity::from_pem(cert_pem, key_pem)))
            .await
    }

    async fn serve_with(&self, identity: Option<Identity>) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status("tenure.ready", tonic_health::ServingStatus::Serving)
            .await;
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server
                .tls_config(ServerTlsConfig::new().identity(identity))
                .unwrap();
        }
        let router = server
            .add_service(TokenServiceServer::new(self.clone()))
            .add_service(LeaseServiceServer::new(self.clone()))
            .add_service(SealServiceServer::new(self.clone()))
            .add_service(ClusterServiceServer::new(self.clone()))
            .add_service(health_service);
        let task = tokio::spawn(async move {
            let _ = router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await;
        });
        Running {
            address,
            fake: self.clone(),
            task: Some(task),
        }
    }

    /// Notes the call and does what the script says.
    async fn enter(&self, name: &str) -> Result<(), Status> {
        let step = {
            let mut state = self.state();
            state.calls.push(name.to_owned());
            state.script.pop_front()
        };
        match step {
            Some(Step::Fail(status)) => Err(status),
            Some(Step::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let denied = || refusal(Code::Unauthenticated, "TOKEN_INVALID", Some("no"));
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(denied)?;
        if self.state().tokens.contains_key(token) {
            Ok(token.to_owned())
        } else {
            Err(denied())
        }
    }

    fn find(&self, token: &str) -> Result<v1::TokenInfo, Status> {
        let found = self.state().tokens.get(token).cloned();
        found.ok_or_else(|| refusal(Code::NotFound, "TOKEN_NOT_FOUND", Some("no")))
    }

    fn by_accessor(&self, accessor: &str) -> Result<v1::TokenInfo, Status> {
        let state = self.state();
        let found = state
            .tokens
            .values()
            .find(|token| token.accessor == accessor);
        let mut token = found
            .cloned()
            .ok_or_else(|| refusal(Code::NotFound, "ACCESSOR_NOT_FOUND", Some("no")))?;
        token.id.clear();
        Ok(token)
    }

    fn seal_status(&self) -> v1::SealStatus {
        let state = self.state();
        v1::SealStatus {
            r#type: "shamir".into(),
            initialized: state.initialized,
            sealed: state.sealed,
            shares: 5,
            threshold: 3,
            progress: state.progress,
            nonce: "a-nonce".into(),
            version: "0.1.0".into(),
            cluster_name: "fake".into(),
            cluster_id: "an-id".into(),
            storage_type: "raft".into(),
            recovery_seal: false,
            ha: Some(v1::HaStatus {
                active_since: None,
                active: !state.sealed,
                leader_address: "http://127.0.0.1:8200".into(),
                leader_cluster_address: "127.0.0.1:8201".into(),
                committed_index: 42,
                applied_index: 41,
            }),
        }
    }

    fn renewed(&self, token: &v1::TokenInfo, increment: Option<prost_types::Duration>) -> v1::Auth {
        self.state().last_increment = increment;
        v1::Auth {
            lease_duration: increment.or(token.creation_ttl),
            ..auth(token)
        }
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn root_token() -> v1::TokenInfo {
    v1::TokenInfo {
        id: ROOT.into(),
        accessor: "root-accessor".into(),
        r#type: v1::TokenType::Service as i32,
        policies: vec!["root".into()],
        path: "auth/token/root".into(),
        display_name: "root".into(),
        orphan: true,
        creation_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        issue_time: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 123_000_000,
        }),
        ..Default::default()
    }
}

fn auth(token: &v1::TokenInfo) -> v1::Auth {
    v1::Auth {
        client_token: token.id.clone(),
        accessor: token.accessor.clone(),
        policies: token.policies.clone(),
        meta: token.meta.clone(),
        lease_duration: token.ttl,
        renewable: token.renewable,
        orphan: token.orphan,
        num_uses: token.num_uses,
        r#type: token.r#type,
        warnings: Vec::new(),
    }
}

#[tonic::async_trait]
impl v1::token_service_server::TokenService for Fake {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        self.enter("create_token").await?;
        self.caller(&request)?;
        let request = request.into_inner();
        let mut state = self.state();
        state.made += 1;
        let token = v1::TokenInfo {
            id: request
                .id
                .clone()
                .unwrap_or_else(|| format!("hvs.fake-canary-{}", state.made)),
            accessor: format!("accessor-{}", state.made),
            r#type: v1::TokenType::Service as i32,
            policies: request.policies.clone(),
            path: "auth/token/create".into(),
            meta: request.meta.clone().into_iter().collect(),
            display_name: format!("token-{}", request.display_name),
            num_uses: request.num_uses,
            orphan: request.no_parent,
            renewable: request.renewable.unwrap_or(true),
            ttl: request.ttl.or(seconds(2_764_800)),
            creation_ttl: request.ttl.or(seconds(2_764_800)),
            explicit_max_ttl: request.explicit_max_ttl,
            period: request.period,
            ..root_token()
        };
        let mut auth = auth(&token);
        if request.policies.iter().any(|name| name == "unknown") {
            auth.warnings = vec!["Policy \"unknown\" does not exist".into()];
        }
        state.tokens.insert(token.id.clone(), token);
        state.last_create = Some(request);
        Ok(Response::new(v1::CreateTokenResponse { auth: Some(auth) }))
    }

    async fn lookup_token(
        &self,
        request: Request<v1::LookupTokenRequest>,
    ) -> Result<Response<v1::LookupTokenResponse>, Status> {
        self.enter("lookup_token").await?;
        self.caller(&request)?;
        let token = Some(self.find(&request.get_ref().token)?);
        Ok(Response::new(v1::LookupTokenResponse { token }))
    }

    async fn lookup_self(
        &self,
        request: Request<v1::LookupSelfRequest>,
    ) -> Result<Response<v1::LookupSelfResponse>, Status> {
        self.enter("lookup_self").await?;
        let token = Some(self.find(&self.caller(&request)?)?);
        let mut answer = Response::new(v1::LookupSelfResponse { token });
        answer
            .metadata_mut()
            .insert("x-request-id", "a-request-id".parse().unwrap());
        Ok(answer)
    }

    async fn lookup_accessor(
        &self,
        request: Request<v1::LookupAccessorRequest>,
    ) -> Result<Response<v1::LookupAccessorResponse>, Status> {
        self.enter("lookup_accessor").await?;
        self.caller(&request)?;
        let token = Some(self.by_accessor(&request.get_ref().accessor)?);
        Ok(Response::new(v1::LookupAccessorResponse { token }))
    }

    async fn renew_token(
        &self,
        request: Request<v1::RenewTokenRequest>,
    ) -> Result<Response<v1::RenewTokenResponse>, Status> {
        self.enter("renew_token").await?;
        self.caller(&request)?;
        let request = request.into_inner();
        let token = self.find(&request.token)?;
        let auth = Some(self.renewed(&token, request.increment));
        Ok(Response::new(v1::RenewTokenResponse { auth }))
    }

    async fn renew_self(
        &self,
        request: Request<v1::RenewSelfRequest>,
    ) -> Result<Response<v1::RenewSelfResponse>, Status> {
        self.enter("renew_self").await?;
        let token = self.find(&self.caller(&request)?)?;
        let auth = Some(self.renewed(&token, request.get_ref().increment));
        Ok(Response::new(v1::RenewSelfResponse { auth }))
    }

    async fn renew_accessor(
        &self,
        request: Request<v1::RenewAccessorRequest>,
    ) -> Result<Response<v1::RenewAccessorResponse>, Status> {
        self.enter("renew_accessor").await?;
        self.caller(&request)?;
        let request = request.into_inner();
        let token = self.by_accessor(&request.accessor)?;
        let auth = Some(self.renewed(&token, request.increment));
        Ok(Response::new(v1::RenewAccessorResponse { auth }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        self.enter("revoke_token").await?;
        self.caller(&request)?;
        self.state().tokens.remove(&request.get_ref().token);
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn revoke_self(
        &self,
        request: Request<v1::RevokeSelfRequest>,
    ) -> Result<Response<v1::RevokeSelfResponse>, Status> {
        self.enter("revoke_self").await?;
        let token = self.caller(&request)?;
        self.state().tokens.remove(&token);
        Ok(Response::new(v1::RevokeSelfResponse {}))
    }

    async fn revoke_orphan(
        &self,
        request: Request<v1::RevokeOrphanRequest>,
    ) -> Result<Response<v1::RevokeOrphanResponse>, Status> {
        self.enter("revoke_orphan").await?;
        self.caller(&request)?;
        self.state().tokens.remove(&request.get_ref().token);
        Ok(Response::new(v1::RevokeOrphanResponse {}))
    }

    async fn revoke_accessor(
        &self,
        request: Request<v1::RevokeAccessorRequest>,
    ) -> Result<Response<v1::RevokeAccessorResponse>, Status> {
        self.enter("revoke_accessor").await?;
        self.caller(&request)?;
        let accessor = &request.get_ref().accessor;
        let mut state = self.state();
        let before = state.tokens.len();
        state.tokens.retain(|_, token| token.accessor != *accessor);
        let warnings = if state.tokens.len() == before {
            vec!["No token found with this accessor".to_owned()]
        } else {
            Vec::new()
        };
        Ok(Response::new(v1::RevokeAccessorResponse { warnings }))
    }

    async fn list_accessors(
        &self,
        request: Request<v1::ListAccessorsRequest>,
    ) -> Result<Response<v1::ListAccessorsResponse>, Status> {
        self.enter("list_accessors").await?;
        self.caller(&request)?;
        let state = self.state();
        let tokens = state.tokens.values().map(|token| v1::TokenSummary {
            accessor: token.accessor.clone(),
            display_name: token.display_name.clone(),
            ..Default::default()
        });
        Ok(Response::new(v1::ListAccessorsResponse {
            tokens: tokens.collect(),
            next_page_token: String::new(),
        }))
    }
}

#[tonic::async_trait]
impl v1::seal_service_server::SealService for Fake {
    async fn init(
        &self,
        request: Request<v1::InitRequest>,
    ) -> Result<Response<v1::InitResponse>, Status> {
        self.enter("init").await?;
        let request = request.into_inner();
        let mut state = self.state();
        if state.initialized {
            return Err(refusal(
                Code::FailedPrecondition,
                "ALREADY_INITIALIZED",
                Some("no"),
            ));
        }
        state.initialized = true;
        state.sealed = true;
        Ok(Response::new(v1::InitResponse {
            shares: vec![SHARE.to_vec(); request.secret_shares as usize],
            root_token: ROOT.into(),
            recovery_shares: Vec::new(),
        }))
    }

    async fn get_seal_status(
        &self,
        _request: Request<v1::GetSealStatusRequest>,
    ) -> Result<Response<v1::GetSealStatusResponse>, Status> {
        self.enter("get_seal_status").await?;
        let status = Some(self.seal_status());
        Ok(Response::new(v1::GetSealStatusResponse { status }))
    }

    async fn unseal(
        &self,
        request: Request<v1::UnsealRequest>,
    ) -> Result<Response<v1::UnsealResponse>, Status> {
        self.enter("unseal").await?;
        let request = request.into_inner();
        {
            let mut state = self.state();
            if request.reset {
                state.progress = 0;
            } else if request.share == SHARE {
                state.progress += 1;
                if state.progress == 3 {
                    state.progress = 0;
                    state.sealed = false;
                }
            } else {
                return Err(refusal(Code::InvalidArgument, "BAD_SHARE", Some("no")));
            }
        }
        let status = Some(self.seal_status());
        Ok(Response::new(v1::UnsealResponse { status }))
    }

    async fn seal(
        &self,
        request: Request<v1::SealRequest>,
    ) -> Result<Response<v1::SealResponse>, Status> {
        self.enter("seal").await?;
        self.caller(&request)?;
        self.state().sealed = true;
        Ok(Response::new(v1::SealResponse {}))
    }
}

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for Fake {
    async fn get_cluster_status(
        &self,
        request: Request<v1::GetClusterStatusRequest>,
    ) -> Result<Response<v1::GetClusterStatusResponse>, Status> {
        self.enter("get_cluster_status").await?;
        self.caller(&request)?;
        let member = |node_id, leader| v1::Member {
            node_id,
            name: format!("node-{node_id}"),
            peer_address: format!("127.0.0.1:820{node_id}"),
            api_address: format!("https://127.0.0.1:82{node_id}0"),
            role: v1::MemberRole::Voter as i32,
            leader,
            active: leader,
            state: leader.then(|| v1::MemberState {
                sealed: false,
                applied_index: 41,
                clock_skew: None,
                version: "0.1.0".into(),
            }),
        };
        Ok(Response::new(v1::GetClusterStatusResponse {
            cluster_id: "an-id".into(),
            cluster_name: "fake".into(),
            members: vec![member(1, true), member(2, false)],
            term: 3,
            committed_index: 42,
            cluster_time: None,
        }))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        self.enter("create_join_token").await?;
        self.caller(&request)?;
        Ok(Response::new(v1::CreateJoinTokenResponse {
            join_token: "join-canary".into(),
            expire_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_900,
                nanos: 0,
            }),
        }))
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        self.enter("join").await?;
        let request = request.into_inner();
        let node_id = (!request.join_token.is_empty()).then_some(4);
        self.state().last_join = Some(request);
        Ok(Response::new(v1::JoinResponse { node_id }))
    }

    async fn remove_peer(
        &self,
        request: Request<v1::RemovePeerRequest>,
    ) -> Result<Response<v1::RemovePeerResponse>, Status> {
        self.enter("remove_peer").await?;
        self.caller(&request)?;
        self.state().removed.extend(request.into_inner().peer);
        Ok(Response::new(v1::RemovePeerResponse {}))
    }

    async fn get_metrics(
        &self,
        request: Request<v1::GetMetricsRequest>,
    ) -> Result<Response<v1::GetMetricsResponse>, Status> {
        self.enter("get_metrics").await?;
        self.caller(&request)?;
        Ok(Response::new(v1::GetMetricsResponse {
            text: "tenure_unsealed 1\n# EOF\n".to_owned(),
        }))
    }

    async fn step_down(
        &self,
        request: Request<v1::StepDownRequest>,
    ) -> Result<Response<v1::StepDownResponse>, Status> {
        self.enter("step_down").await?;
        self.caller(&request)?;
        Ok(Response::new(v1::StepDownResponse {}))
    }
}

#[tonic::async_trait]
impl v1::lease_service_server::LeaseService for Fake {
    type KeepAliveStream = Scripted<v1::KeepAliveResponse>;
    type WatchStream = Scripted<v1::WatchResponse>;

    async fn keep_alive(
        &self,
        request: Request<tonic::Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<Self::KeepAliveStream>, Status> {
        self.enter("keep_alive").await?;
        self.caller(&request)?;
        let mut messages = request.into_inner();
        let state = Arc::clone(&self.0);
        let (send, answers) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let next = state.lock().unwrap().renewals.pop_front();
                let answer = match next {
                    Some(answer) => answer,
                    None => Ok(renewed(&message)),
                };
                let ends = answer.is_err();
                if send.send(answer).await.is_err() || ends {
                    break;
                }
            }
        });
        Ok(Response::new(Scripted::new(answers)))
    }

    /// Plays the next script, and notes from where on it was asked for.
    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.enter("watch").await?;
        self.caller(&request)?;
        let script = {
            let mut state = self.state();
            let start = request.get_ref().start_revision;
            state.watched_from.push(start);
            state.watches.pop_front().unwrap_or_default()
        };
        let (send, messages) = tokio::sync::mpsc::channel(script.len().max(1));
        for step in script {
            let _ = send.try_send(step);
        }
        Ok(Response::new(Scripted::new(messages)))
    }

    async fn grant_lease(
        &self,
        request: Request<v1::GrantLeaseRequest>,
    ) -> Result<Response<v1::GrantLeaseResponse>, Status> {
        self.enter("grant_lease").await?;
        self.caller(&request)?;
        let request = request.into_inner();
        let mut state = self.state();
        state.made += 1;
        let lease = v1::LeaseInfo {
            lease_id: format!("{}/{:0>24}", request.path, state.made),
            payload: Some(request.payload.clone()),
            renewable: request.renewable.unwrap_or(true),
            ttl: request.ttl.or(seconds(2_764_800)),
            creation_ttl: request.ttl.or(seconds(2_764_800)),
            owner_accessor: "root-accessor".into(),
            owner_display_name: "root".into(),
            ..Default::default()
        };
        let answer = v1::GrantLeaseResponse {
            lease_id: lease.lease_id.clone(),
            lease_duration: lease.ttl,
            renewable: lease.renewable,
            ..Default::default()
        };
        state.leases.insert(lease.lease_id.clone(), lease);
        state.last_grant = Some(request);
        Ok(Response::new(answer))
    }

    async fn lookup_lease(
        &self,
        request: Request<v1::LookupLeaseRequest>,
    ) -> Result<Response<v1::LookupLeaseResponse>, Status> {
        self.enter("lookup_lease").await?;
        self.caller(&request)?;
        let lease = Some(self.lease(&request.get_ref().lease_id)?);
        Ok(Response::new(v1::LookupLeaseResponse { lease }))
    }

    async fn renew_lease(
        &self,
        request: Request<v1::RenewLeaseRequest>,
    ) -> Result<Response<v1::RenewLeaseResponse>, Status> {
        self.enter("renew_lease").await?;
        self.caller(&request)?;
        let request = request.into_inner();
        let lease = self.lease(&request.lease_id)?;
        self.state().last_increment = request.increment;
        Ok(Response::new(v1::RenewLeaseResponse {
            lease_id: lease.lease_id,
            lease_duration: request.increment.or(lease.creation_ttl),
            renewable: lease.renewable,
            ..Default::default()
        }))
    }

    async fn revoke_lease(
        &self,
        request: Request<v1::RevokeLeaseRequest>,
    ) -> Result<Response<v1::RevokeLeaseResponse>, Status> {
        self.enter("revoke_lease").await?;
        self.caller(&request)?;
        self.lease(&request.get_ref().lease_id)?;
        self.state().leases.remove(&request.get_ref().lease_id);
        Ok(Response::new(v1::RevokeLeaseResponse {}))
    }

    async fn revoke_prefix(
        &self,
        request: Request<v1::RevokePrefixRequest>,
    ) -> Result<Response<v1::RevokePrefixResponse>, Status> {
        self.enter("revoke_prefix").await?;
        self.caller(&request)?;
        let prefix = request.into_inner().prefix;
        let mut state = self.state();
        let under = format!("{prefix}/");
        state.leases.retain(|id, _| !id.starts_with(&under));
        state.last_prefix = Some(prefix);
        Ok(Response::new(v1::RevokePrefixResponse {}))
    }

    /// Two a page.
    async fn list_leases(
        &self,
        request: Request<v1::ListLeasesRequest>,
    ) -> Result<Response<v1::ListLeasesResponse>, Status> {
        self.enter("list_leases").await?;
        self.caller(&request)?;
        let (page, next_page_token) =
            self.page(&request.get_ref().prefix, &request.get_ref().page_token);
        let leases = page.into_iter().map(|lease| v1::LeaseSummary {
            lease_id: lease.lease_id,
            renewable: lease.renewable,
            ttl: lease.ttl,
            owner_accessor: lease.owner_accessor,
            owner_display_name: lease.owner_display_name,
            ..Default::default()
        });
        Ok(Response::new(v1::ListLeasesResponse {
            leases: leases.collect(),
            next_page_token,
            revision: 1,
        }))
    }

    async fn count_leases(
        &self,
        request: Request<v1::CountLeasesRequest>,
    ) -> Result<Response<v1::CountLeasesResponse>, Status> {
        self.enter("count_leases").await?;
        self.caller(&request)?;
        let (page, next_page_token) =
            self.page(&request.get_ref().prefix, &request.get_ref().page_token);
        Ok(Response::new(v1::CountLeasesResponse {
            count: page.len() as u64,
            next_page_token,
            groups: Vec::new(),
        }))
    }
}

impl Fake {
    fn lease(&self, id: &str) -> Result<v1::LeaseInfo, Status> {
        let found = self.state().leases.get(id).cloned();
        found.ok_or_else(|| refusal(Code::NotFound, "LEASE_NOT_FOUND", Some("no")))
    }

    fn page(&self, prefix: &str, after: &str) -> (Vec<v1::LeaseInfo>, String) {
        let state = self.state();
        let under = state
            .leases
            .values()
            .filter(|lease| lease.lease_id.starts_with(prefix) && lease.lease_id.as_str() > after);
        let mut page: Vec<_> = under.take(3).cloned().collect();
        let next = match page.len() {
            3 => page.get(1).map(|lease| lease.lease_id.clone()),
            _ => None,
        };
        page.truncate(2);
        (page, next.unwrap_or_default())
    }
}
