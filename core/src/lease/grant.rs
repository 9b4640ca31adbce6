//! Grants: a client's own resource, put on lease for the caller's token.

use super::{
    GrantLease, LeaseError, LeaseInfo, LeasePrecondition,
    entry::{Living, note_prefixes},
};
use crate::{
    quota,
    random::Random,
    state::{
        BatchLeases, BatchOwner, Due, DueKind, EventKind, LeaseRecord, Leases, LeasesByToken, Row,
        TimeIndex, Txn,
    },
    token::{self, Entry, Permit, Plan, Terms},
    types::{LeaseId, Secret, Ttl, TtlRequest, limits::LEASE_PAYLOAD_BYTES_MAX},
};

/// What is to be put on lease; at which path, the action says.
#[derive(Clone, Debug)]
pub struct GrantRequest {
    /// The resource: opaque.
    pub payload: Secret<Vec<u8>>,
    /// How long it lives.
    pub ttl: TtlRequest,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// A new lease.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The lease.
    pub info: LeaseInfo,
    /// What was given otherwise than it was asked for.
    pub warnings: Vec<String>,
}

/// Puts something on lease. It lives at most as long as the caller's token, however that
/// ends; its own TTL isn't cut to that, since the token can be renewed: but for a batch token,
/// which can't.
pub fn grant(
    permit: &Permit<'_, GrantLease<'_>>,
    request: GrantRequest,
    random: &mut dyn Random,
) -> Result<Plan<Granted>, LeaseError> {
    let context = permit.context;
    if permit.caller.is_spent() {
        return Err(LeasePrecondition::LastUse.into());
    }
    if request.payload.expose().len() > LEASE_PAYLOAD_BYTES_MAX {
        return Err(LeaseError::argument(
            "payload",
            format!("at most {LEASE_PAYLOAD_BYTES_MAX} bytes"),
        ));
    }
    let terms = Terms {
        ttl: request.ttl,
        ..Terms::default()
    };
    let mut granted = token::grant(context.ttl, terms, context.now);
    let mut ttl = granted.ttl.unwrap_or(context.ttl.default_ttl());
    let batch = owner_if_batch(permit.caller.entry());
    let mut expires = context.now.saturating_add(ttl);
    if let Some(end) = batch.as_ref().map(|batch| batch.expires)
        && end < expires
    {
        expires = end;
        ttl = end.remaining(context.now);
        granted.warnings.push(ends_with_token(ttl));
    }
    let (view, barrier) = (context.view, context.view.barrier());
    let owner = permit.caller.entry().clone();
    let record = LeaseRecord {
        id: LeaseId::issue(permit.action.0.clone(), random),
        payload: request.payload,
        token: *owner.hash(),
        created: context.now,
        expires,
        creation_ttl: ttl,
        renewable: request.renewable,
        last_renewal: None,
        batch,
    };
    let key = barrier.name_chain(record.id.segments());
    note_prefixes(context, &key);
    if view.get::<Leases>(&key)?.is_some() {
        return Err(LeaseError::argument("path", "try again"));
    }
    let mut txn = Txn::default();
    quota::admit_lease(view, &mut txn, &key)?;
    txn.insert::<Leases>(barrier, &key, &record, random)?;
    for token in record.owners() {
        txn.insert::<LeasesByToken>(barrier, &(token, key.clone()), &(), random)?;
    }
    if let Some(made_at) = record.made_at(barrier) {
        txn.insert::<BatchLeases>(barrier, &(made_at, key.clone()), &(), random)?;
    }
    let due = Due {
        at: record.expires,
        kind: DueKind::Lease(key.clone()),
    };
    txn.insert::<TimeIndex>(barrier, &due, &(), random)?;
    let row = Row {
        key,
        value: record,
        create_revision: 0,
        mod_revision: 0,
    };
    let owner = owner.record();
    let living = Living {
        row,
        accessor: owner.accessor.clone(),
        name: owner.display_name.clone(),
        role: owner.role.clone(),
    };
    txn.tell(living.event(EventKind::Granted, context.now));
    Ok(Plan {
        txn,
        response: Granted {
            info: LeaseInfo::new(living, context.now),
            warnings: granted.warnings,
        },
    })
}

/// What is to be known of the owner, if it is a batch token.
fn owner_if_batch(owner: &Entry) -> Option<BatchOwner> {
    owner.is_batch().then(|| token::batch_owner_of(owner))
}

/// Why a lease is shorter than was asked for.
pub(super) fn ends_with_token(left: Ttl) -> String {
    format!("the lease ends with its batch token, in {left}")
}
