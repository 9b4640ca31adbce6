//! LeaseService.

use std::sync::Arc;

use tenure_core::{
    barrier::NameChain,
    lease::{
        self, CountBy, GrantLease, GrantRequest, LeaseInfo, ListLeases, LookupLease, RenewLease,
        RevokeForce, RevokeLease, RevokePrefix, ShowIrrevocable,
    },
    policy::{Number, Parameters, Value},
    token::authorize,
    types::{Accessor, LeaseId, Path, Secret},
};
use tenure_proto::v1;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services,
    convert::{duration, page_rows, page_start, page_token, timestamp, ttl},
    streams::watch_action,
};
use crate::{
    error::Error,
    pipeline::{Access, Call, Context, Manner, Planned, Scope},
    streams::{self, KeepAliveStream, WatchStream},
};

serve! {
    v1::lease_service_server::LeaseService:
    grant_lease: GrantLeaseRequest -> GrantLeaseResponse,
    lookup_lease: LookupLeaseRequest -> LookupLeaseResponse,
    renew_lease: RenewLeaseRequest -> RenewLeaseResponse,
    revoke_lease: RevokeLeaseRequest -> RevokeLeaseResponse,
    revoke_prefix: RevokePrefixRequest -> RevokePrefixResponse,
    list_leases: ListLeasesRequest -> ListLeasesResponse,
    count_leases: CountLeasesRequest -> CountLeasesResponse,
    tidy_leases: TidyLeasesRequest -> TidyLeasesResponse;

    type KeepAliveStream = KeepAliveStream;
    type WatchStream = WatchStream;

    async fn keep_alive(
        &self,
        request: Request<Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<KeepAliveStream>, Status> {
        let stream = streams::keep_alive(Arc::clone(&self.pipeline), request).await?;
        Ok(Response::new(stream))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let context = Context::of(&request, Manner::default())?;
        let action = watch_action(request.get_ref());
        let opened = self.pipeline.call(request).await?.into_inner();
        let pipeline = Arc::clone(&self.pipeline);
        let stream = streams::watch(pipeline, context, action?, opened.revision).await?;
        Ok(Response::new(stream))
    }
}

impl Call for v1::GrantLeaseRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/GrantLease";
    const ACCESS: Access = Access::Write;
    type Answer = v1::GrantLeaseResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let asked = ttl("ttl", self.ttl.as_ref());
        let mut parameters = Parameters::default();
        if let Some(ttl) = asked.as_ref().ok().and_then(|ttl| ttl.asked()) {
            let seconds = Number::whole(ttl.as_seconds().into());
            parameters.push("ttl", Value::Number(seconds));
        }
        if let Some(renewable) = self.renewable {
            parameters.push("renewable", Value::Bool(renewable));
        }
        let action = GrantLease(path("path", &self.path)?, parameters);
        let permit = authorize(scope.context, scope.caller, action)?;
        let request = GrantRequest {
            payload: Secret::new(self.payload.clone()),
            ttl: asked?,
            renewable: self.renewable.unwrap_or(true),
        };
        let plan = lease::grant(&permit, request, &mut scope.random())?;
        let granted = plan.response;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::GrantLeaseResponse {
                lease_id: granted.info.id.text(),
                lease_duration: granted.info.ttl.map(duration),
                renewable: granted.info.renewable,
                expire_time: granted.info.expire_time.map(timestamp),
                warnings: granted.warnings,
            },
        })
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Call for v1::LookupLeaseRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/LookupLease";
    const ACCESS: Access = Access::Read;
    type Answer = v1::LookupLeaseResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = LookupLease(lease_id(&self.lease_id)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let found = lease::lookup(&permit)?;
        Ok(Planned::answer(v1::LookupLeaseResponse {
            lease: Some(info(found)),
        }))
    }
}

impl Call for v1::RenewLeaseRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/RenewLease";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RenewLeaseResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let increment = ttl("increment", self.increment.as_ref())?;
        let action = RenewLease(lease_id(&self.lease_id)?, increment);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = lease::renew(&permit, &mut scope.random())?;
        let renewed = plan.response;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::RenewLeaseResponse {
                lease_id: renewed.info.id.text(),
                lease_duration: renewed.info.ttl.map(duration),
                renewable: renewed.info.renewable,
                expire_time: renewed.info.expire_time.map(timestamp),
                warnings: renewed.warnings,
            },
        })
    }
}

impl Call for v1::RevokeLeaseRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/RevokeLease";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RevokeLeaseResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let action = RevokeLease(lease_id(&self.lease_id)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let plan = lease::revoke(&permit, &mut scope.random())?;
        Ok(Planned {
            txn: plan.txn,
            answer: v1::RevokeLeaseResponse {},
        })
    }
}

impl Call for v1::RevokePrefixRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/RevokePrefix";
    const ACCESS: Access = Access::Write;
    type Answer = v1::RevokePrefixResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        let prefix = path("prefix", &self.prefix)?;
        let plan = if self.force {
            let permit = authorize(scope.context, scope.caller, RevokeForce(prefix))?;
            lease::revoke_force(&permit, &mut scope.random())?
        } else {
            let permit = authorize(scope.context, scope.caller, RevokePrefix(prefix))?;
            lease::revoke_prefix(&permit, &mut scope.random())?
        };
        Ok(Planned {
            txn: plan.txn,
            answer: v1::RevokePrefixResponse {},
        })
    }
}

impl Call for v1::ListLeasesRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/ListLeases";
    const ACCESS: Access = Access::Read;
    type Answer = v1::ListLeasesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        if self.irrevocable {
            authorize(scope.context, scope.caller, ShowIrrevocable(false))?;
            return Ok(Planned::answer(v1::ListLeasesResponse::default()));
        }
        let action = ListLeases(prefix(&self.prefix)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let after = page_start(&self.page_token, NameChain::from_slice)?;
        let limit = page_rows(self.page_size);
        let page = lease::list(&permit, after.as_ref(), limit)?;
        Ok(Planned::answer(v1::ListLeasesResponse {
            leases: page.leases.into_iter().map(summary).collect(),
            next_page_token: page_token(page.next.as_ref().map(NameChain::as_bytes)),
            revision: scope.context.view.revision(),
        }))
    }

    fn next_page(&self, answer: &Self::Answer) -> Option<Self> {
        let page_token = answer.next_page_token.clone();
        (!page_token.is_empty()).then(|| Self {
            page_token,
            ..self.clone()
        })
    }

    /// As a whole one level is listed: leases that lie in one folder follow each other, and one of
    /// them is enough to show it.
    fn reduce(&self, page: &mut Self::Answer) {
        if !self.irrevocable {
            (page.leases).dedup_by_key(|lease| child(&self.prefix, &lease.lease_id));
        }
    }

    fn append(answer: &mut Self::Answer, page: Self::Answer) -> usize {
        answer.leases.extend(page.leases);
        answer.next_page_token = page.next_page_token;
        answer.leases.len()
    }
}

impl Call for v1::CountLeasesRequest {
    const METHOD: &'static str = "/tenure.v1.LeaseService/CountLeases";
    const ACCESS: Access = Access::Read;
    type Answer = v1::CountLeasesResponse;

    fn plan(&self, scope: &Scope<'_>) -> Result<Planned<Self::Answer>, Error> {
        if self.irrevocable {
            authorize(scope.context, scope.caller, ShowIrrevocable(true))?;
            return Ok(Planned::answer(v1::CountLeasesResponse::default()));
        }
        let action = ListLeases(prefix(&self.prefix)?);
        let permit = authorize(scope.context, scope.caller, action)?;
        let by = match v1::CountLeasesBy::try_from(self.by) {
            Ok(v1::CountLeasesBy::Unspecified) => None,
            Ok(v1::CountLeasesBy::Token) => Some(CountBy::Token),
            Ok(v1::CountLeasesBy::Path) => Some(CountBy::Path),
            Ok(v1::CountLeasesBy::Role) => Some(CountBy::Role),
            Err(_) => return Err(Error::invalid_argument("by: unknown")),
        };
        let counted = lease::count(
            &permit,
            page_start(&self.page_token, NameChain::from_slice)?.as_ref(),
            by,
        )?;
        let groups = counted
            .groups
            .into_iter()
            .map(|(key, group)| v1::LeaseGroup {
                key,
                name: group.name,
                count: group.count,
            });
        Ok(Planned::answer(v1::CountLeasesResponse {
            count: counted.count,
            next_page_token: page_token(counted.next.as_ref().map(NameChain::as_bytes)),
            groups: groups.collect(),
        }))
    }

    fn next_page(&self, answer: &Self::Answer) -> Option<Self> {
        let page_token = answer.next_page_token.clone();
        (!page_token.is_empty()).then(|| Self {
            page_token,
            ..self.clone()
        })
    }

    fn append(answer: &mut Self::Answer, page: Self::Answer) -> usize {
        answer.count += page.count;
        answer.next_page_token = page.next_page_token;
        for group in page.groups {
            let known = answer
                .groups
                .binary_search_by(|one| one.key.cmp(&group.key));
            match known {
                Ok(at) => answer.groups[at].count += group.count,
                Err(at) => answer.groups.insert(at, group),
            }
        }
        // Without groups a count is one row, however much it counts.
        answer.groups.len().max(1)
    }
}

/// What lies directly under a prefix on the way to `id`; folders end in a slash. No prefix: "".
pub fn child(prefix: &str, id: &str) -> Option<String> {
    let below = match prefix {
        "" => id,
        prefix => id.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    Some(match below.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => below.to_owned(),
    })
}

pub(super) fn lease_id(text: &str) -> Result<LeaseId, Error> {
    LeaseId::parse(text).map_err(|error| Error::invalid_argument(format!("lease_id: {error}")))
}

fn path(field: &str, text: &str) -> Result<Path, Error> {
    Path::parse(text).map_err(|error| Error::invalid_argument(format!("{field}: {error}")))
}

/// Empty: everything.
pub(super) fn prefix(text: &str) -> Result<Option<Path>, Error> {
    match text {
        "" => Ok(None),
        text => path("prefix", text).map(Some),
    }
}

/// Empty where there is none, or it isn't shown.
fn accessor(accessor: Option<Accessor>) -> String {
    accessor.map_or_else(String::new, |accessor| accessor.as_str().to_owned())
}

fn info(info: LeaseInfo) -> v1::LeaseInfo {
    v1::LeaseInfo {
        lease_id: info.id.text(),
        payload: info.payload.map(|payload| payload.expose().clone()),
        renewable: info.renewable,
        issue_time: Some(timestamp(info.issue_time)),
        expire_time: info.expire_time.map(timestamp),
        last_renewal_time: info.last_renewal.map(timestamp),
        ttl: info.ttl.map(duration),
        creation_ttl: info.creation_ttl.map(duration),
        owner_accessor: accessor(info.owner_accessor),
        owner_display_name: info.owner_name.as_str().to_owned(),
    }
}

fn summary(info: LeaseInfo) -> v1::LeaseSummary {
    v1::LeaseSummary {
        lease_id: info.id.text(),
        renewable: info.renewable,
        issue_time: Some(timestamp(info.issue_time)),
        expire_time: info.expire_time.map(timestamp),
        last_renewal_time: info.last_renewal.map(timestamp),
        ttl: info.ttl.map(duration),
        owner_accessor: accessor(info.owner_accessor),
        owner_display_name: info.owner_name.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_show_what_lies_directly_below() {
        for (prefix, id, wanted) in [
            ("", "a/b/c", Some("a/")),
            ("", "a", Some("a")),
            ("a", "a/b/c", Some("b/")),
            ("a/b", "a/b/c", Some("c")),
            ("a", "ab/c", None),
        ] {
            assert_eq!(child(prefix, id).as_deref(), wanted, "{prefix:?} {id}");
        }
    }

    #[test]
    fn a_list_as_a_whole_shows_a_folder_once() {
        let lease = |id: &str| v1::LeaseSummary {
            lease_id: id.to_owned(),
            ..Default::default()
        };
        let call = v1::ListLeasesRequest {
            prefix: "db".to_owned(),
            ..Default::default()
        };
        let ids = ["db/a/1", "db/a/b/2", "db/a/3", "db/x", "db/y", "db/c/1"];
        let mut page = v1::ListLeasesResponse {
            leases: ids.map(lease).into(),
            next_page_token: "next".to_owned(),
            ..Default::default()
        };
        call.reduce(&mut page);
        let left: Vec<_> = page.leases.iter().map(|lease| &*lease.lease_id).collect();
        assert_eq!(left, ["db/a/1", "db/x", "db/y", "db/c/1"]);
        assert_eq!(call.next_page(&page).unwrap().page_token, "next");
    }
}
