//! KeyService. What each call asks of policies, `core::token::Administer` says; a listener may take
//! those of a quorum from callers without a token, too.

use tenure_core::{
    barrier::shamir::Share,
    seal::{
        WriteRotationConfig, delete_shares_backup, key_status, rotate, rotation_config,
        shares_backup, write_rotation_config,
    },
    token::{Administer, Shares, Step, authorize},
    types::{Secret, TokenId, Ttl},
};
use tenure_proto::v1;

use super::{
    Services,
    convert::{duration, timestamp, ttl},
};
use crate::{
    error::Error,
    pipeline::{Access, Asker, Call, Opening, Pipeline, Planned, Scope},
    seal::{GenerateRootStatus, ProofStatus, RekeyPlan, RekeyStatus},
};

serve! {
    v1::key_service_server::KeyService:
    rotate: RotateRequest -> RotateResponse,
    get_key_status: GetKeyStatusRequest -> GetKeyStatusResponse,
    get_rotation_config: GetRotationConfigRequest -> GetRotationConfigResponse,
    write_rotation_config: WriteRotationConfigRequest -> WriteRotationConfigResponse,
    start_rekey: StartRekeyRequest -> StartRekeyResponse,
    get_rekey: GetRekeyRequest -> GetRekeyResponse,
    update_rekey: UpdateRekeyRequest -> UpdateRekeyResponse,
    cancel_rekey: CancelRekeyRequest -> CancelRekeyResponse,
    get_rekey_verification: GetRekeyVerificationRequest -> GetRekeyVerificationResponse,
    verify_rekey: VerifyRekeyRequest -> VerifyRekeyResponse,
    reset_rekey_verification: ResetRekeyVerificationRequest -> ResetRekeyVerificationResponse,
    get_rekey_backup: GetRekeyBackupRequest -> GetRekeyBackupResponse,
    delete_rekey_backup: DeleteRekeyBackupRequest -> DeleteRekeyBackupResponse,
    start_generate_root: StartGenerateRootRequest -> StartGenerateRootResponse,
    get_generate_root: GetGenerateRootRequest -> GetGenerateRootResponse,
    update_generate_root: UpdateGenerateRootRequest -> UpdateGenerateRootResponse,
    cancel_generate_root: CancelGenerateRootRequest -> CancelGenerateRootResponse,
}

impl Call for v1::RotateRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/Rotate";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RotateResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, Administer::Rotate)?;
        Ok(Planned {
            txn: rotate(&permit, &mut scope.random())?,
            answer: v1::RotateResponse {},
        })
    }
}

impl Call for v1::GetKeyStatusRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/GetKeyStatus";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetKeyStatusResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, Administer::ShowKeyStatus)?;
        let status = key_status(&permit)?;
        Ok(Planned::answer(v1::GetKeyStatusResponse {
            term: status.term,
            install_time: Some(timestamp(status.created)),
            operations: status.operations,
        }))
    }
}

impl Call for v1::GetRotationConfigRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/GetRotationConfig";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetRotationConfigResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, Administer::ShowRotationConfig)?;
        let config = rotation_config(&permit)?;
        Ok(Planned::answer(v1::GetRotationConfigResponse {
            enabled: config.enabled,
            max_operations: config.max_operations,
            interval: config.interval.map(duration),
        }))
    }
}

impl Call for v1::WriteRotationConfigRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/WriteRotationConfig";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteRotationConfigResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let interval = ttl("interval", self.interval.as_ref())?;
        let action = WriteRotationConfig {
            enabled: self.enabled,
            max_operations: self.max_operations,
            // A zero that was given says something else than nothing.
            interval: self.interval.map(|_| interval.asked().unwrap_or(Ttl::ZERO)),
        };
        let permit = authorize(scope.context, scope.caller, action)?;
        Ok(Planned {
            txn: write_rotation_config(&permit, &mut scope.random())?,
            answer: v1::WriteRotationConfigResponse {},
        })
    }
}

impl Call for v1::GetRekeyBackupRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/GetRekeyBackup";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetRekeyBackupResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let of = target(self.target)?;
        let action = Administer::Rekey(of, Step::ShowBackup);
        let permit = authorize(scope.context, scope.caller, action)?;
        let kept = shares_backup(&permit, of)?;
        let shares = kept.shares.into_iter().map(|share| v1::EncryptedShare {
            pgp_fingerprint: share.fingerprint,
            message: share.message,
        });
        Ok(Planned::answer(v1::GetRekeyBackupResponse {
            nonce: kept.nonce,
            shares: shares.collect(),
        }))
    }
}

impl Call for v1::DeleteRekeyBackupRequest {
    const METHOD: &'static str = "/tenure.v1.KeyService/DeleteRekeyBackup";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeleteRekeyBackupResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let of = target(self.target)?;
        let action = Administer::Rekey(of, Step::DeleteBackup);
        let permit = authorize(scope.context, scope.caller, action)?;
        Ok(Planned {
            txn: delete_shares_backup(&permit, of)?,
            answer: v1::DeleteRekeyBackupResponse {},
        })
    }
}

fn target(number: i32) -> Result<Shares, Error> {
    match v1::RekeyTarget::try_from(number) {
        Ok(v1::RekeyTarget::Unspecified | v1::RekeyTarget::Root) => Ok(Shares::Root),
        Ok(v1::RekeyTarget::Recovery) => Ok(Shares::Recovery),
        Err(_) => Err(Error::invalid_argument("target: not a known one")),
    }
}

fn count(field: &str, number: u32) -> Result<u8, Error> {
    u8::try_from(number).map_err(|_| Error::invalid_argument(format!("{field}: at most 255")))
}

/// Some share: which length it must have, the attempt knows.
fn share(bytes: &[u8]) -> Share {
    Secret::new(bytes.to_vec())
}

fn rekey_status(status: RekeyStatus) -> Option<v1::RekeyStatus> {
    Some(v1::RekeyStatus {
        started: status.started,
        nonce: status.nonce,
        shares: status.shares.into(),
        threshold: status.threshold.into(),
        progress: status.progress.into(),
        required: status.required.into(),
        verification_required: status.verify,
        verification_nonce: status.proof_nonce,
        pgp_fingerprints: status.fingerprints,
        backup: status.backup,
    })
}

fn proof_status(status: ProofStatus) -> Option<v1::RekeyVerificationStatus> {
    Some(v1::RekeyVerificationStatus {
        started: status.started,
        nonce: status.nonce,
        shares: status.shares.into(),
        threshold: status.threshold.into(),
        progress: status.progress.into(),
    })
}

fn root_status(status: GenerateRootStatus) -> Option<v1::GenerateRootStatus> {
    Some(v1::GenerateRootStatus {
        started: status.started,
        nonce: status.nonce,
        progress: status.progress.into(),
        required: status.required.into(),
        otp_length: u32::try_from(TokenId::ISSUED_CHARS).unwrap_or(u32::MAX),
        pgp_fingerprint: status.fingerprint,
    })
}

/// A call of a quorum: permitted by the policies of a token or by the listener, then acted on by
/// the active node.
macro_rules! of_quorum {
    (
        $request:ident -> $answer:ident, $method:literal, $opening:ident, $is_rationed:literal,
        |$ask:ident| $action:expr, |$call:ident, $pipeline:ident, $asker:ident| $act:expr
    ) => {
        impl Call for v1::$request {
            const METHOD: &'static str = concat!("/tenure.v1.KeyService/", $method);
            const ACCESS: Access = Access::Write;
            const OPENING: Option<Opening> = Some(Opening::$opening);
            const IS_RATIONED: bool = $is_rationed;
            type Answer = v1::$answer;

            fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
                let $ask = self;
                authorize(scope.context, scope.caller, $action)?;
                Ok(Planned::answer(v1::$answer::default()))
            }

            async fn act_for(
                &self,
                $pipeline: &Pipeline,
                $asker: &Asker<'_>,
                _answer: Self::Answer,
            ) -> Result<Self::Answer, Error> {
                let $call = self;
                $act
            }
        }
    };
}

of_quorum!(
    StartRekeyRequest -> StartRekeyResponse, "StartRekey", Rekey, true,
    |call| Administer::Rekey(target(call.target)?, Step::Start),
    |call, pipeline, asker| {
        let plan = RekeyPlan {
            shares: count("shares", call.shares)?,
            threshold: count("threshold", call.threshold)?,
            verify: call.require_verification,
            pgp_keys: call.pgp_keys.clone(),
            backup: call.backup,
        };
        let status = pipeline.start_rekey(target(call.target)?, plan, asker).await?;
        Ok(v1::StartRekeyResponse { status: rekey_status(status) })
    }
);

of_quorum!(
    GetRekeyRequest -> GetRekeyResponse, "GetRekey", Rekey, false,
    |call| Administer::Rekey(target(call.target)?, Step::Show),
    |call, pipeline, asker| {
        let status = pipeline.rekey_status(target(call.target)?, asker).await?;
        Ok(v1::GetRekeyResponse { status: rekey_status(status) })
    }
);

of_quorum!(
    UpdateRekeyRequest -> UpdateRekeyResponse, "UpdateRekey", Rekey, true,
    |call| Administer::Rekey(target(call.target)?, Step::Update),
    |call, pipeline, asker| {
        let of = target(call.target)?;
        let made = pipeline.update_rekey(of, share(&call.share), &call.nonce, asker).await?;
        let shares = made.shares.iter().flatten().map(|share| share.expose().clone());
        Ok(v1::UpdateRekeyResponse {
            complete: made.shares.is_some(),
            shares: shares.collect(),
            in_doubt: made.in_doubt,
            status: rekey_status(made.status),
        })
    }
);

of_quorum!(
    CancelRekeyRequest -> CancelRekeyResponse, "CancelRekey", Rekey, false,
    |call| Administer::Rekey(target(call.target)?, Step::Cancel),
    |call, pipeline, asker| {
        pipeline.cancel_rekey(target(call.target)?, &call.nonce, asker)?;
        Ok(v1::CancelRekeyResponse {})
    }
);

of_quorum!(
    GetRekeyVerificationRequest -> GetRekeyVerificationResponse, "GetRekeyVerification", Rekey,
    false,
    |call| Administer::Rekey(target(call.target)?, Step::ShowProof),
    |call, pipeline, asker| {
        let status = proof_status(pipeline.rekey_proof(target(call.target)?, asker));
        Ok(v1::GetRekeyVerificationResponse { status })
    }
);

of_quorum!(
    VerifyRekeyRequest -> VerifyRekeyResponse, "VerifyRekey", Rekey, true,
    |call| Administer::Rekey(target(call.target)?, Step::Prove),
    |call, pipeline, _asker| {
        let of = target(call.target)?;
        let (status, complete) =
            pipeline.prove_rekey(of, share(&call.share), &call.nonce).await?;
        Ok(v1::VerifyRekeyResponse { status: proof_status(status), complete })
    }
);

of_quorum!(
    ResetRekeyVerificationRequest -> ResetRekeyVerificationResponse, "ResetRekeyVerification",
    Rekey, false,
    |call| Administer::Rekey(target(call.target)?, Step::ResetProof),
    |call, pipeline, asker| {
        let status = pipeline.reset_rekey_proof(target(call.target)?, &call.nonce, asker)?;
        Ok(v1::ResetRekeyVerificationResponse { status: proof_status(status) })
    }
);

of_quorum!(
    StartGenerateRootRequest -> StartGenerateRootResponse, "StartGenerateRoot", GenerateRoot,
    true,
    |_call| Administer::GenerateRoot(Step::Start),
    |call, pipeline, asker| {
        let otp = Secret::new(call.otp.clone());
        let key = call.pgp_key.clone();
        let (status, otp) = pipeline.start_generate_root(otp, key, asker).await?;
        Ok(v1::StartGenerateRootResponse {
            status: root_status(status),
            otp: otp.map_or_else(String::new, |otp| otp.expose().clone()),
        })
    }
);

of_quorum!(
    GetGenerateRootRequest -> GetGenerateRootResponse, "GetGenerateRoot", GenerateRoot, false,
    |_call| Administer::GenerateRoot(Step::Show),
    |_call, pipeline, asker| {
        let status = pipeline.generate_root_status(asker).await?;
        Ok(v1::GetGenerateRootResponse { status: root_status(status) })
    }
);

of_quorum!(
    UpdateGenerateRootRequest -> UpdateGenerateRootResponse, "UpdateGenerateRoot", GenerateRoot,
    true,
    |_call| Administer::GenerateRoot(Step::Update),
    |call, pipeline, asker| {
        let made = pipeline.update_generate_root(share(&call.share), &call.nonce, asker).await?;
        Ok(v1::UpdateGenerateRootResponse {
            complete: made.encoded.is_some(),
            encoded_token: made.encoded.map_or_else(String::new, |token| token.expose().clone()),
            status: root_status(made.status),
        })
    }
);

of_quorum!(
    CancelGenerateRootRequest -> CancelGenerateRootResponse, "CancelGenerateRoot", GenerateRoot,
    false,
    |_call| Administer::GenerateRoot(Step::Cancel),
    |call, pipeline, asker| {
        pipeline.cancel_generate_root(&call.nonce, asker)?;
        Ok(v1::CancelGenerateRootResponse {})
    }
);
