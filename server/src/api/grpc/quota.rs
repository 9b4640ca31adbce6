//! QuotaService.

use tenure_core::{
    quota::{
        self, DeleteLeaseCount, DeleteRateLimit, LeaseCount, ListLeaseCounts, ListRateLimits,
        QuotaPath, ReadLeaseCount, ReadQuotaConfig, ReadRateLimit, WriteLeaseCount,
        WriteQuotaConfig, WriteRateLimit,
    },
    state::RateLimitRecord,
    token::authorize,
    types::Path,
};
use tenure_proto::v1;

use super::{
    Services,
    convert::{duration, page_rows, page_start, page_token, ttl},
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Planned, Scope},
};

serve! {
    v1::quota_service_server::QuotaService:
    write_rate_limit: WriteRateLimitRequest -> WriteRateLimitResponse,
    read_rate_limit: ReadRateLimitRequest -> ReadRateLimitResponse,
    list_rate_limits: ListRateLimitsRequest -> ListRateLimitsResponse,
    delete_rate_limit: DeleteRateLimitRequest -> DeleteRateLimitResponse,
    write_quota_config: WriteQuotaConfigRequest -> WriteQuotaConfigResponse,
    read_quota_config: ReadQuotaConfigRequest -> ReadQuotaConfigResponse,
    write_lease_count: WriteLeaseCountRequest -> WriteLeaseCountResponse,
    read_lease_count: ReadLeaseCountRequest -> ReadLeaseCountResponse,
    list_lease_counts: ListLeaseCountsRequest -> ListLeaseCountsResponse,
    delete_lease_count: DeleteLeaseCountRequest -> DeleteLeaseCountResponse,
}

fn name(text: &str) -> Result<Path, Error> {
    Path::parse(text).map_err(|error| Error::invalid_argument(format!("name: {error}")))
}

/// A name as the key of a page.
fn name_of_page(bytes: &[u8]) -> Option<Path> {
    Path::parse(std::str::from_utf8(bytes).ok()?).ok()
}

fn after(next: Option<&Path>) -> String {
    page_token(next.map(|name| name.as_str().as_bytes()))
}

impl Call for v1::WriteRateLimitRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/WriteRateLimit";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteRateLimitResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let limit = self.limit.clone().unwrap_or_default();
        let action = WriteRateLimit {
            name: name(&limit.name)?,
            path: limit.path,
            rate: limit.rate,
            interval: ttl("interval", limit.interval.as_ref())?,
            block: ttl("block_interval", limit.block_interval.as_ref())?,
        };
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = quota::write_rate_limit(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::WriteRateLimitResponse {},
        })
    }
}

fn limit(record: RateLimitRecord) -> v1::RateLimit {
    v1::RateLimit {
        name: record.name.as_str().to_owned(),
        path: record.path.as_str().to_owned(),
        rate: record.rate.into(),
        interval: Some(duration(record.interval)),
        block_interval: record.block.map(duration),
    }
}

impl Call for v1::ReadRateLimitRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/ReadRateLimit";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadRateLimitResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = ReadRateLimit(name(&self.name)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let found = quota::read_rate_limit(&permit)?;
        Ok(Planned::answer(v1::ReadRateLimitResponse {
            limit: Some(limit(found)),
        }))
    }
}

impl Call for v1::ListRateLimitsRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/ListRateLimits";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListRateLimitsResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ListRateLimits)?;
        let start = page_start(&self.page_token, name_of_page)?;
        let rows = page_rows(self.page_size);
        let page = quota::list_rate_limits(&permit, start.as_ref(), rows)?;
        Ok(Planned::answer(v1::ListRateLimitsResponse {
            limits: page.limits.into_iter().map(limit).collect(),
            next_page_token: after(page.next.as_ref()),
        }))
    }

    pages_of!(limits);
}

impl Call for v1::DeleteRateLimitRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/DeleteRateLimit";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeleteRateLimitResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = DeleteRateLimit(name(&self.name)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = quota::delete_rate_limit(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::DeleteRateLimitResponse {},
        })
    }
}

impl Call for v1::WriteQuotaConfigRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/WriteQuotaConfig";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteQuotaConfigResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let path = |path: &String| {
            QuotaPath::parse(path).map_err(|problem| {
                Error::invalid_argument(format!("rate_limit_exempt_paths: {problem}"))
            })
        };
        let exempt = self.rate_limit_exempt_paths.as_ref();
        let exempt = exempt.map(|exempt| exempt.paths.iter().map(path).collect());
        let action = WriteQuotaConfig {
            exempt: exempt.transpose()?,
            headers: self.enable_rate_limit_response_headers,
        };
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = quota::write_config(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::WriteQuotaConfigResponse {},
        })
    }
}

impl Call for v1::ReadQuotaConfigRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/ReadQuotaConfig";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadQuotaConfigResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ReadQuotaConfig)?;
        let (exempt, headers) = quota::read_config(&permit)?;
        let exempt = exempt.iter().map(|path| path.as_str().to_owned());
        Ok(Planned::answer(v1::ReadQuotaConfigResponse {
            rate_limit_exempt_paths: exempt.collect(),
            enable_rate_limit_response_headers: headers,
        }))
    }
}

impl Call for v1::WriteLeaseCountRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/WriteLeaseCount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::WriteLeaseCountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let quota = self.quota.clone().unwrap_or_default();
        let action = WriteLeaseCount {
            name: name(&quota.name)?,
            path: quota.path,
            max: quota.max_leases,
        };
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = quota::write_lease_count(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::WriteLeaseCountResponse {
                counting: plan.response,
            },
        })
    }
}

fn lease_count(found: LeaseCount) -> v1::LeaseCountQuota {
    v1::LeaseCountQuota {
        name: found.quota.name.as_str().to_owned(),
        path: found.quota.path.as_str().to_owned(),
        max_leases: found.quota.max,
        count: found.count,
        counting: found.quota.counting,
    }
}

impl Call for v1::ReadLeaseCountRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/ReadLeaseCount";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ReadLeaseCountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = ReadLeaseCount(name(&self.name)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let found = quota::read_lease_count(&permit)?;
        Ok(Planned::answer(v1::ReadLeaseCountResponse {
            quota: Some(lease_count(found)),
        }))
    }
}

impl Call for v1::ListLeaseCountsRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/ListLeaseCounts";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListLeaseCountsResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let permit = authorize(scope.context, scope.caller, ListLeaseCounts)?;
        let start = page_start(&self.page_token, name_of_page)?;
        let rows = page_rows(self.page_size);
        let page = quota::list_lease_counts(&permit, start.as_ref(), rows)?;
        Ok(Planned::answer(v1::ListLeaseCountsResponse {
            quotas: page.quotas.into_iter().map(lease_count).collect(),
            next_page_token: after(page.next.as_ref()),
        }))
    }

    pages_of!(quotas);
}

impl Call for v1::DeleteLeaseCountRequest {
    const METHOD: &'static str = "/tenure.v1.QuotaService/DeleteLeaseCount";
    const ACCESS: Access = Access::Write;
    type Answer = v1::DeleteLeaseCountResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = DeleteLeaseCount(name(&self.name)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = quota::delete_lease_count(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::DeleteLeaseCountResponse {},
        })
    }
}
