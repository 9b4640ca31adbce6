//! SecretsService.

use tenure_core::token::Plan;
use tenure_proto::v1;

use super::{
    Services,
    convert::{duration, page_rows},
};
use crate::{
    engines::{self, Ask, Reply},
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

serve! {
    v1::secrets_service_server::SecretsService:
    read: ReadRequest -> ReadResponse,
    write: WriteRequest -> WriteResponse,
    patch: PatchRequest -> PatchResponse,
    list: ListRequest -> ListResponse,
    delete: DeleteRequest -> DeleteResponse,
}

fn plan(scope: &Scope<'_>, path: &str, ask: Ask<'_>) -> Result<Plan<Reply>, Error> {
    let random = &mut scope.random();
    Ok(engines::plan(
        scope.context,
        scope.caller,
        path,
        ask,
        random,
    )?)
}

impl Call for v1::ReadRequest {
    const METHOD: &'static str = "/tenure.v1.SecretsService/Read";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let mut reply = plan(scope, &self.path, Ask::Read(&self.data))?.response;
        Ok(Planned::answer(v1::ReadResponse {
            data: std::mem::take(&mut reply.data),
            deleted: reply.deleted,
            lease_id: String::new(),
            lease_duration: reply.lease_duration.map(duration),
            renewable: false,
            warnings: reply.warnings,
        }))
    }
}

impl Call for v1::WriteRequest {
    const METHOD: &'static str = "/tenure.v1.SecretsService/Write";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let planned = plan(scope, &self.path, Ask::Write(&self.data))?;
        let mut reply = planned.response;
        Ok(Planned {
            txn: planned.txn,
            answer: v1::WriteResponse {
                data: std::mem::take(&mut reply.data),
                warnings: reply.warnings,
            },
        })
    }

    fn still_allowed(&self, scope: &Scope<'_>) -> Result<(), Error> {
        let (context, caller) = (scope.context, scope.caller);
        Ok(engines::may_write(context, caller, &self.path, &self.data)?)
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Call for v1::PatchRequest {
    const METHOD: &'static str = "/tenure.v1.SecretsService/Patch";
    const ACCESS: Access = Access::Write;
    type Answer = v1::PatchResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let planned = plan(scope, &self.path, Ask::Patch(&self.data))?;
        let mut reply = planned.response;
        Ok(Planned {
            txn: planned.txn,
            answer: v1::PatchResponse {
                data: std::mem::take(&mut reply.data),
                warnings: reply.warnings,
            },
        })
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Call for v1::ListRequest {
    const METHOD: &'static str = "/tenure.v1.SecretsService/List";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let limit = page_rows(self.page_size);
        let reply = plan(scope, &self.path, Ask::List(&self.page_token, limit))?.response;
        Ok(Planned::answer(v1::ListResponse {
            keys: reply.keys,
            next_page_token: reply.next_page,
            warnings: reply.warnings,
        }))
    }

    pages_of!(keys);
}

impl Call for v1::DeleteRequest {
    const METHOD: &'static str = "/tenure.v1.SecretsService/Delete";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeleteResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let planned = plan(scope, &self.path, Ask::Delete)?;
        Ok(Planned {
            txn: planned.txn,
            answer: v1::DeleteResponse {
                warnings: planned.response.warnings,
            },
        })
    }
}
