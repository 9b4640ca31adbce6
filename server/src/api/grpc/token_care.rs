//! The parts of TokenService and LeaseService that look after all tokens or leases: lifetimes, and
//! what there is to tidy up.

use tenure_core::token::{self, Tidy, TuneTokens, TuningChange, authorize};
use tenure_proto::v1;

use super::convert::{duration, ttl};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

impl Call for v1::TuneTokensRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/TuneTokens";
    const ACCESS: Access = Access::Write;
    type Answer = v1::TuneTokensResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let given = |field, time: &Option<prost_types::Duration>| {
            let time = time.as_ref();
            time.map(|time| ttl(field, Some(time))).transpose()
        };
        // Authorize before validate: what can't be read is told to who may change it.
        let default_ttl = given("default_lease_ttl", &self.default_lease_ttl);
        let max_ttl = given("max_lease_ttl", &self.max_lease_ttl);
        let change = TuningChange {
            default_ttl: default_ttl.clone().ok().flatten(),
            max_ttl: max_ttl.clone().ok().flatten(),
        };
        let permit = authorize(scope.context, scope.caller, TuneTokens::Change(change))?;
        default_ttl.and(max_ttl)?;
        let plan = token::tune(&permit, change, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::TuneTokensResponse {},
        })
    }
}

impl Call for v1::GetTokenTuningRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/GetTokenTuning";
    const ACCESS: Access = Access::Read;
    type Answer = v1::GetTokenTuningResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, TuneTokens::Show)?;
        let holds = token::show_tuning(&permit)?.effective;
        Ok(Planned::answer(v1::GetTokenTuningResponse {
            default_lease_ttl: Some(duration(holds.default_ttl())),
            max_lease_ttl: Some(duration(holds.max_ttl())),
        }))
    }
}

fn tidy(scope: &Scope<'_>, what: Tidy) -> Result<Vec<String>, Error> {
    let permit = authorize(scope.context, scope.caller, what)?;
    let rows = match what {
        Tidy::Tokens => "no row can be left without its token",
        Tidy::Leases => "no row can be left without its lease",
    };
    let pending = token::pending(&permit);
    Ok(vec![format!(
        "{rows}: there is nothing to tidy up; {pending} revocations are being cleared away by themselves"
    )])
}

impl Call for v1::TidyTokensRequest {
    const METHOD: &'static str = "/tenure.v1.TokenService/TidyTokens";
    const ACCESS: Access = Access::Read;
    type Answer = v1::TidyTokensResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let warnings = tidy(scope, Tidy::Tokens)?;
        Ok(Planned::answer(v1::TidyTokensResponse { warnings }))
    }
}

impl Call for v1::TidyLeasesRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/TidyLeases";
    const ACCESS: Access = Access::Read;
    type Answer = v1::TidyLeasesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let warnings = tidy(scope, Tidy::Leases)?;
        Ok(Planned::answer(v1::TidyLeasesResponse { warnings }))
    }
}
