//! The rules of leases together: scenes with one point each, races, and a random walk
//! compared with a naive model.

mod model;
mod races;
mod scenes;

use super::*;
use crate::{
    state::{Leases, LeasesByToken},
    token::{Context, TokenError, authorize, identify, tests::World},
    types::{LeaseId, Path, Secret, TokenId, TtlRequest},
};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn request(ttl: TtlRequest) -> GrantRequest {
    GrantRequest {
        payload: Secret::new(b"the payload".to_vec()),
        ttl,
        renewable: true,
    }
}

fn reason<T>(result: Result<T, LeaseError>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(error) => error.reason(),
    }
}

/// The calls of leases, each by a caller.
impl World {
    fn grant(
        &mut self,
        caller: &TokenId,
        under: &str,
        request: GrantRequest,
    ) -> Result<Granted, LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = GrantLease(path(under), Default::default());
            grant(&authorize(context, &caller, action)?, request, random)
        })
    }

    fn granted(&mut self, caller: &TokenId, under: &str) -> LeaseId {
        let granted = self.grant(caller, under, request(TtlRequest::Default));
        granted.unwrap().info.id
    }

    fn lookup_lease(&self, caller: &TokenId, id: &LeaseId) -> Result<LeaseInfo, LeaseError> {
        self.read(|context| {
            let caller = identify(context, caller)?;
            lookup(&authorize(context, &caller, LookupLease(id.clone()))?)
        })
    }

    fn renew_lease(
        &mut self,
        caller: &TokenId,
        id: &LeaseId,
        by: TtlRequest,
    ) -> Result<Renewed, LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            renew(
                &authorize(context, &caller, RenewLease(id.clone(), by))?,
                random,
            )
        })
    }

    fn revoke_lease(&mut self, caller: &TokenId, id: &LeaseId) -> Result<(), LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            revoke(
                &authorize(context, &caller, RevokeLease(id.clone()))?,
                random,
            )
        })
    }

    fn revoke_leases(&mut self, caller: &TokenId, prefix: &str) -> Result<(), LeaseError> {
        self.commit(|context, random| {
            let caller = identify(context, caller)?;
            let action = RevokePrefix(path(prefix));
            revoke_prefix(&authorize(context, &caller, action)?, random)
        })
    }

    /// All ids that are listed, over pages of `limit`; the count is checked, too.
    fn leases_of(&self, caller: &TokenId, prefix: &str, limit: usize) -> Vec<String> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty()).map(path);
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.permitted(caller, &prefix, |permit| {
                list(permit, after.as_ref(), limit)
            });
            assert!(page.leases.len() <= limit);
            assert!(page.leases.iter().all(|lease| lease.payload.is_none()));
            ids.extend(page.leases.iter().map(|lease| lease.id.text()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let counted = self.permitted(caller, &prefix, |permit| count(permit, None, None));
        for by in [CountBy::Token, CountBy::Path, CountBy::Role] {
            let parts = self.permitted(caller, &prefix, |permit| count(permit, None, Some(by)));
            let sum: u64 = parts.groups.values().map(|group| group.count).sum();
            assert_eq!(sum, counted.count);
            let depth = prefix.iter().flat_map(Path::segments).count();
            let group_of = |id: &String| {
                let (path, _) = id.rsplit_once('/').unwrap();
                path.split('/')
                    .take(depth + 1)
                    .collect::<Vec<_>>()
                    .join("/")
            };
            let is_right = |(key, group): (&String, &Group)| {
                group.count == ids.iter().filter(|id| group_of(id) == *key).count() as u64
            };
            assert!(by != CountBy::Path || parts.groups.iter().all(is_right));
        }
        assert_eq!((counted.count, counted.next), (ids.len() as u64, None));
        ids.sort();
        ids
    }

    fn permitted<T>(
        &self,
        caller: &TokenId,
        prefix: &Option<Path>,
        operation: impl FnOnce(&crate::token::Permit<'_, ListLeases>) -> Result<T, LeaseError>,
    ) -> T {
        let read = |context: Context<'_>| -> Result<T, LeaseError> {
            let caller = identify(context, caller)?;
            operation(&authorize(context, &caller, ListLeases(prefix.clone()))?)
        };
        self.read(read).unwrap()
    }

    fn lease_rows(&self) -> (usize, usize) {
        (
            self.rows::<Leases>().len(),
            self.rows::<LeasesByToken>().len(),
        )
    }
}
