//! The calls of `QuotaService`.

use tenure_proto::v1::{self, quota_service_client::QuotaServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
};

fn service(channel: Channel) -> QuotaServiceClient<Channel> {
    QuotaServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

impl Client {
    /// Sets a rate limit, new or anew.
    pub async fn write_rate_limit(&self, limit: v1::RateLimit) -> Result<(), Error> {
        let request = v1::WriteRateLimitRequest { limit: Some(limit) };
        // Twice is as good as once, unless somebody else writes in between.
        ask!(self, Once, write_rate_limit(request)).await?;
        Ok(())
    }

    /// A rate limit.
    pub async fn read_rate_limit(&self, name: &str) -> Result<v1::RateLimit, Error> {
        let request = v1::ReadRateLimitRequest {
            name: name.to_owned(),
        };
        let answer = ask!(self, Repeatable, read_rate_limit(request)).await?;
        Ok(answer.limit.unwrap_or_default())
    }

    /// All rate limits, by name.
    pub async fn list_rate_limits(&self) -> Result<Vec<v1::RateLimit>, Error> {
        let (mut limits, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListRateLimitsRequest {
                page_size: 0,
                page_token,
            };
            let page = ask!(self, Repeatable, list_rate_limits(request)).await?;
            limits.extend(page.limits);
            if page.next_page_token.is_empty() {
                return Ok(limits);
            }
            page_token = page.next_page_token;
        }
    }

    /// Removes a rate limit. One that doesn't exist is no error.
    pub async fn delete_rate_limit(&self, name: &str) -> Result<(), Error> {
        let request = v1::DeleteRateLimitRequest {
            name: name.to_owned(),
        };
        ask!(self, Once, delete_rate_limit(request)).await?;
        Ok(())
    }

    /// Sets what holds for all rate limits; `None`: as before.
    pub async fn write_quota_config(
        &self,
        exempt_paths: Option<Vec<String>>,
        headers: Option<bool>,
    ) -> Result<(), Error> {
        let request = v1::WriteQuotaConfigRequest {
            rate_limit_exempt_paths: exempt_paths.map(|paths| v1::QuotaPaths { paths }),
            enable_rate_limit_response_headers: headers,
        };
        ask!(self, Once, write_quota_config(request)).await?;
        Ok(())
    }

    /// What holds for all rate limits.
    pub async fn read_quota_config(&self) -> Result<v1::ReadQuotaConfigResponse, Error> {
        let request = v1::ReadQuotaConfigRequest {};
        ask!(self, Repeatable, read_quota_config(request)).await
    }

    /// Sets a lease-count quota, new or anew; says whether what is there has to be counted first.
    pub async fn write_lease_count(
        &self,
        name: &str,
        path: &str,
        max_leases: u64,
    ) -> Result<bool, Error> {
        let request = v1::WriteLeaseCountRequest {
            quota: Some(v1::LeaseCountQuota {
                name: name.to_owned(),
                path: path.to_owned(),
                max_leases,
                ..v1::LeaseCountQuota::default()
            }),
        };
        let answer = ask!(self, Once, write_lease_count(request)).await?;
        Ok(answer.counting)
    }

    /// A lease-count quota, with its count.
    pub async fn read_lease_count(&self, name: &str) -> Result<v1::LeaseCountQuota, Error> {
        let request = v1::ReadLeaseCountRequest {
            name: name.to_owned(),
        };
        let answer = ask!(self, Repeatable, read_lease_count(request)).await?;
        Ok(answer.quota.unwrap_or_default())
    }

    /// All lease-count quotas, by name.
    pub async fn list_lease_counts(&self) -> Result<Vec<v1::LeaseCountQuota>, Error> {
        let (mut quotas, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListLeaseCountsRequest {
                page_size: 0,
                page_token,
            };
            let page = ask!(self, Repeatable, list_lease_counts(request)).await?;
            quotas.extend(page.quotas);
            if page.next_page_token.is_empty() {
                return Ok(quotas);
            }
            page_token = page.next_page_token;
        }
    }

    /// Removes a lease-count quota. One that doesn't exist is no error.
    pub async fn delete_lease_count(&self, name: &str) -> Result<(), Error> {
        let request = v1::DeleteLeaseCountRequest {
            name: name.to_owned(),
        };
        ask!(self, Once, delete_lease_count(request)).await?;
        Ok(())
    }
}
