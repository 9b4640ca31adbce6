//! SealService. Init, status and unseal are what a sealed node answers; Seal asks policies.

use tenure_core::{
    token::{Administer, authorize},
    types::Secret,
};
use tenure_proto::v1;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use super::{Services, convert::timestamp};
use crate::{
    error::Error,
    pipeline::{Access, Call, Pipeline, Planned, Scope},
    seal::{self, InitPlan},
};

/// Longer than any share.
const SHARE_BYTES_MAX: usize = 64;

#[tonic::async_trait]
impl v1::seal_service_server::SealService for Services {
    async fn init(
        &self,
        request: Request<v1::InitRequest>,
    ) -> Result<Response<v1::InitResponse>, Status> {
        let call = request.into_inner();
        // A task of its own: what was begun is finished when the caller goes.
        let sealer = self.sealer.clone();
        let plan = InitPlan {
            shares: call.secret_shares,
            threshold: call.secret_threshold,
            recovery_shares: call.recovery_shares,
            recovery_threshold: call.recovery_threshold,
            pgp_keys: call.pgp_keys,
            recovery_pgp_keys: call.recovery_pgp_keys,
            root_token_pgp_key: call.root_token_pgp_key,
        };
        let made = tokio::spawn(async move { sealer.init(plan).await });
        let made = made
            .await
            .map_err(|_| Error::internal("init broke off"))??;
        let shares: Vec<Vec<u8>> = made.shares.iter().map(|s| s.expose().clone()).collect();
        let root_token = made.root_token.expose().clone();
        let mut answer = v1::InitResponse {
            root_token,
            ..v1::InitResponse::default()
        };
        if made.recovery {
            answer.recovery_shares = shares;
        } else {
            answer.shares = shares;
        }
        Ok(Response::new(answer))
    }

    async fn get_seal_status(
        &self,
        _request: Request<v1::GetSealStatusRequest>,
    ) -> Result<Response<v1::GetSealStatusResponse>, Status> {
        let status = Some(wire(self.sealer.status()?));
        Ok(Response::new(v1::GetSealStatusResponse { status }))
    }

    async fn unseal(
        &self,
        request: Request<v1::UnsealRequest>,
    ) -> Result<Response<v1::UnsealResponse>, Status> {
        let remote = request.remote_addr();
        let call = request.into_inner();
        let share = Secret::new(call.share);
        if share.expose().len() > SHARE_BYTES_MAX {
            return Err(Error::invalid_argument("share: too long to be one").into());
        }
        // Nobody has to show a token here: shares are rationed, as is throwing them away, and few wait
        // at a time. What changes nothing uses up nothing.
        if self.sealer.takes_shares() {
            let remote = remote.map_or_else(String::new, |address| address.to_string());
            self.pipeline.share_rate.spend(&remote, false)?;
        }
        let turn = self.sealer.turn().ok_or_else(|| {
            Error::new(
                Code::ResourceExhausted,
                "BUSY",
                "others are unsealing this node",
            )
        })?;
        let sealer = self.sealer.clone();
        let opened = tokio::spawn(async move {
            let _turn = turn;
            if call.reset {
                sealer.reset().await
            } else {
                sealer.unseal(share).await
            }
        });
        let status = opened
            .await
            .map_err(|_| Error::internal("unsealing broke off"))??;
        Ok(Response::new(v1::UnsealResponse {
            status: Some(wire(status)),
        }))
    }

    async fn seal(
        &self,
        request: Request<v1::SealRequest>,
    ) -> Result<Response<v1::SealResponse>, Status> {
        self.pipeline.call(request).await
    }
}

impl Call for v1::SealRequest {
    const METHOD: &'static str = "/tenure.v1.SealService/Seal";
    const ACCESS: Access = Access::Here;
    type Answer = v1::SealResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        authorize(scope.context, scope.caller, Administer::Seal)?;
        Ok(Planned::answer(v1::SealResponse {}))
    }

    async fn act(
        &self,
        pipeline: &Pipeline,
        _deadline: Instant,
        answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        let (node, keys) = (pipeline.node.clone(), pipeline.keys.clone());
        let sealed = tokio::spawn(async move { seal::seal(&node, &keys).await });
        sealed
            .await
            .map_err(|_| Error::internal("sealing broke off"))?;
        Ok(answer)
    }
}

fn wire(status: seal::Status) -> v1::SealStatus {
    v1::SealStatus {
        r#type: status.provider.unwrap_or("shamir").to_owned(),
        recovery_seal: status.provider.is_some(),
        initialized: status.initialized,
        sealed: status.sealed,
        shares: status.shares.into(),
        threshold: status.threshold.into(),
        progress: status.progress.into(),
        nonce: status.nonce,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_name: status.cluster_name,
        cluster_id: status.cluster_id,
        storage_type: "raft".to_owned(),
        ha: status.ha.map(|ha| v1::HaStatus {
            active: ha.active,
            active_since: ha.active_since.map(timestamp),
            leader_address: ha.leader_address,
            leader_cluster_address: ha.leader_cluster_address,
            committed_index: ha.committed_index,
            applied_index: ha.applied_index,
            expiration_held: ha.expiration_held,
        }),
    }
}
