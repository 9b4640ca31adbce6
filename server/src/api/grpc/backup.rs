//! BackupService: files streamed out and in. What each call asks of policies,
//! `core::token::Administer` says.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt};
use tenure_core::{
    state::ExpirationHolds,
    token::{Administer, authorize},
};
use tenure_proto::v1::{self, restore_snapshot_request::Part};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Services, convert::timestamp};
use crate::{
    backup::{self, File},
    error::Error,
    limits::RESTORE_IDLE_MS,
    pipeline::{Access, Call, Context, Manner, Planned, Scope},
};

#[tonic::async_trait]
impl v1::backup_service_server::BackupService for Services {
    type SaveSnapshotStream =
        Pin<Box<dyn Stream<Item = Result<v1::SaveSnapshotResponse, Status>> + Send>>;

    async fn save_snapshot(
        &self,
        request: Request<v1::SaveSnapshotRequest>,
    ) -> Result<Response<Self::SaveSnapshotStream>, Status> {
        self.pipeline.admit(&request)?;
        let context = Context::of(&request, Manner::default())?;
        let frames = backup::save(&self.pipeline, &context).await?;
        let answers = frames.map(|frame| frame.map(|data| v1::SaveSnapshotResponse { data }));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn restore_snapshot(
        &self,
        request: Request<Streaming<v1::RestoreSnapshotRequest>>,
    ) -> Result<Response<v1::RestoreSnapshotResponse>, Status> {
        let context = Context::of(&request, Manner::default())?;
        let (metadata, extensions, mut parts) = request.into_parts();
        let idle = Duration::from_millis(RESTORE_IDLE_MS);
        let first = timeout(idle, parts.message()).await;
        let first = first.map_err(|_| Error::deadline(crate::listen::Applied::No))??;
        // Who sends something else first learns so once it is known.
        let (options, file): (_, File) = match first.and_then(|first| first.part) {
            Some(Part::Options(options)) => (options, Box::pin(parts.map(data))),
            _ => {
                let refused = Err(Status::from(misplaced()));
                let file = Box::pin(futures_util::stream::iter([refused]));
                (v1::RestoreOptions::default(), file)
            }
        };
        let call = Request::from_parts(metadata, extensions, options);
        self.pipeline.admit(&call)?;
        let restored = backup::restore(&self.pipeline, options, &context, file).await?;
        Ok(Response::new(restored))
    }

    async fn resume_expiration(
        &self,
        request: Request<v1::ResumeExpirationRequest>,
    ) -> Result<Response<v1::ResumeExpirationResponse>, Status> {
        self.pipeline.call(request).await
    }
}

fn data(message: Result<v1::RestoreSnapshotRequest, Status>) -> Result<bytes::Bytes, Status> {
    match message?.part {
        Some(Part::Data(data)) => Ok(data),
        _ => Err(misplaced().into()),
    }
}

fn misplaced() -> Error {
    Error::invalid_argument("options come first, once, and then the bytes of the snapshot")
}

impl Call for v1::SaveSnapshotRequest {
    const METHOD: &'static str = "/tenure.v1.BackupService/SaveSnapshot";
    const ACCESS: Access = Access::Read;
    /// The file comes after it.
    type Answer = ();

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<()>, Error> {
        authorize(scope.context, scope.caller, Administer::SaveSnapshot)?;
        Ok(Planned::answer(()))
    }
}

impl Call for v1::RestoreOptions {
    const METHOD: &'static str = "/tenure.v1.BackupService/RestoreSnapshot";
    const ACCESS: Access = Access::Write;
    /// The file comes after it.
    type Answer = ();

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<()>, Error> {
        let action = match self.force {
            true => Administer::ForceRestoreSnapshot,
            false => Administer::RestoreSnapshot,
        };
        authorize(scope.context, scope.caller, action)?;
        Ok(Planned::answer(()))
    }
}

impl Call for v1::ResumeExpirationRequest {
    const METHOD: &'static str = "/tenure.v1.BackupService/ResumeExpiration";
    const ACCESS: Access = Access::Write;
    type Answer = v1::ResumeExpirationResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        authorize(scope.context, scope.caller, Administer::ResumeExpiration)?;
        let held = scope.context.view.get::<ExpirationHolds>(&())?;
        let held = held.ok_or_else(|| {
            let message = "the expiration manager is not held";
            Error::new(Code::FailedPrecondition, "NOT_HELD", message)
        })?;
        let mut planned = Planned::answer(v1::ResumeExpirationResponse {
            held_since: Some(timestamp(held.value)),
        });
        planned.txn.delete::<ExpirationHolds>(&());
        Ok(planned)
    }

    async fn act(
        &self,
        _pipeline: &crate::pipeline::Pipeline,
        _deadline: tokio::time::Instant,
        answer: Self::Answer,
    ) -> Result<Self::Answer, Error> {
        tracing::warn!("expiration goes on after a restore");
        Ok(answer)
    }
}
