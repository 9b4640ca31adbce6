//! The calls of `LeaseService`.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use tenure_proto::v1::{self, lease_service_client::LeaseServiceClient};
use tonic::transport::Channel;

use crate::{
    call::{Client, Scope, ask},
    error::Error,
    limits::ANSWER_BYTES_MAX,
    retry::Effect,
    tokens::wire,
};

pub(crate) fn service(channel: Channel) -> LeaseServiceClient<Channel> {
    LeaseServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

impl Client {
    /// Puts something on lease for the client's token. With a `request_id` the call is sent
    /// again even where the first one may have been carried out; without, only where it was
    /// not.
    pub async fn grant_lease(
        &self,
        request: v1::GrantLeaseRequest,
    ) -> Result<v1::GrantLeaseResponse, Error> {
        let effect = if request.request_id.is_empty() {
            Effect::Once
        } else {
            Effect::Repeatable
        };
        self.call(
            Scope::Cluster,
            effect,
            request,
            |channel, request| async move { service(channel).grant_lease(request).await },
        )
        .await
    }

    /// Shows a lease; its payload, too, where it belongs to the client's token.
    pub async fn lookup_lease(&self, lease_id: &str) -> Result<v1::LeaseInfo, Error> {
        let request = v1::LookupLeaseRequest {
            lease_id: lease_id.to_owned(),
        };
        let answer = ask!(self, Repeatable, lookup_lease(request)).await?;
        answer
            .lease
            .ok_or_else(|| Error::protocol("the server's answer holds no lease"))
    }

    /// Extends a lease's life: to `increment` from now where the server allows it, to its
    /// creation TTL without. The answer says what was granted.
    pub async fn renew_lease(
        &self,
        lease_id: &str,
        increment: Option<Duration>,
    ) -> Result<v1::RenewLeaseResponse, Error> {
        let request = v1::RenewLeaseRequest {
            lease_id: lease_id.to_owned(),
            increment: increment.map(wire).transpose()?,
        };
        ask!(self, Once, renew_lease(request)).await
    }

    /// Ends a lease.
    pub async fn revoke_lease(&self, lease_id: &str) -> Result<(), Error> {
        let request = v1::RevokeLeaseRequest {
            lease_id: lease_id.to_owned(),
        };
        ask!(self, Once, revoke_lease(request)).await?;
        Ok(())
    }

    /// Ends the leases under a prefix, in one commit.
    pub async fn revoke_prefix(&self, prefix: &str) -> Result<(), Error> {
        let request = v1::RevokePrefixRequest {
            prefix: prefix.to_owned(),
            force: false,
        };
        // A second one would end what was granted in between.
        ask!(self, Once, revoke_prefix(request)).await?;
        Ok(())
    }

    /// A page of the leases under a prefix (empty: all). `page_size` 0: the server's
    /// default. The first page has the empty `page_token`, the next one what the page before
    /// named.
    pub async fn list_leases(
        &self,
        prefix: &str,
        page_size: u32,
        page_token: &str,
    ) -> Result<v1::ListLeasesResponse, Error> {
        let request = v1::ListLeasesRequest {
            prefix: prefix.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            irrevocable: false,
        };
        ask!(self, Repeatable, list_leases(request)).await
    }

    /// Ends the leases under a prefix, whatever the system says that made what is on lease: for
    /// tokens with sudo.
    pub async fn revoke_force(&self, prefix: &str) -> Result<(), Error> {
        let request = v1::RevokePrefixRequest {
            prefix: prefix.to_owned(),
            force: true,
        };
        ask!(self, Once, revoke_prefix(request)).await?;
        Ok(())
    }

    /// How many leases there are under a prefix (empty: all), counted part by part. Each
    /// part is a call with a deadline of its own.
    pub async fn count_leases(&self, prefix: &str) -> Result<u64, Error> {
        let (count, _) = self
            .count_leases_by(prefix, v1::CountLeasesBy::Unspecified)
            .await?;
        Ok(count)
    }

    /// The same, and how many there are by token or by path, those with the most first.
    pub async fn count_leases_by(
        &self,
        prefix: &str,
        by: v1::CountLeasesBy,
    ) -> Result<(u64, Vec<v1::LeaseGroup>), Error> {
        let (mut count, mut page_token) = (0u64, String::new());
        let mut groups = BTreeMap::<String, v1::LeaseGroup>::new();
        loop {
            let request = v1::CountLeasesRequest {
                prefix: prefix.to_owned(),
                page_token,
                by: by.into(),
                irrevocable: false,
            };
            let part = ask!(self, Repeatable, count_leases(request)).await?;
            count = count.saturating_add(part.count);
            for group in part.groups {
                let key = group.key.clone();
                let known = groups.entry(key).or_insert_with(|| v1::LeaseGroup {
                    count: 0,
                    ..group.clone()
                });
                known.count = known.count.saturating_add(group.count);
            }
            if part.next_page_token.is_empty() {
                let mut groups: Vec<_> = groups.into_values().collect();
                groups.sort_by_key(|group| Reverse(group.count));
                return Ok((count, groups));
            }
            page_token = part.next_page_token;
        }
    }
}
