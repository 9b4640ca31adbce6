//! Batch tokens: the token holds all that is known of it, sealed, and nothing is stored. It lives
//! until its end, and while its parent does. It is judged here, on any unsealed node.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::{Context, Entry, TokenError, entry::live, path_revocation::path_killed};
use crate::{
    barrier::{BATCH_OVERHEAD_BYTES, TokenHash},
    random::Random,
    state::{BatchOwner, TokenRecord, parent, role},
    types::{
        BATCH_SEALED_BYTES_MAX, Cidrs, DisplayName, Expiry, Meta, PolicySet, TokenId, Ttl,
        UnixMillis,
    },
};

/// Version of what a batch token says.
const FORMAT: u32 = 1;
/// Most bytes of what it says.
const PLAIN_BYTES_MAX: usize = BATCH_SEALED_BYTES_MAX - BATCH_OVERHEAD_BYTES;

/// Seals a batch token. `created` is the revision that it counts as made at: that after the state
/// which it was made on, so that what was revoked by then doesn't reach it, and what is revoked
/// later does.
pub(super) fn seal(
    context: Context<'_>,
    record: &TokenRecord,
    created: u64,
    random: &mut dyn Random,
) -> Result<TokenId, TokenError> {
    let plain = Zeroizing::new(encode(record, created).encode_to_vec());
    let too_large = || {
        TokenError::argument(
            "type",
            format!(
                "a batch token holds at most {PLAIN_BYTES_MAX} bytes: fewer policies, less metadata"
            ),
        )
    };
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(too_large());
    }
    let sealed = context.view.barrier().batch().seal(&plain, random);
    let sealed = sealed.ok_or(crate::barrier::BarrierError::Key)?;
    TokenId::of_batch(&sealed).ok_or_else(too_large)
}

/// The living batch token of this id. Broken, forged, expired and revoked ones are all the same.
pub(super) fn open(context: Context<'_>, id: &TokenId) -> Result<Option<Entry>, TokenError> {
    // The id is no longer than any id that is looked at, and so is what is opened.
    let sealed = id.sealed_batch();
    let barrier = context.view.barrier();
    let Some(plain) = sealed.and_then(|sealed| barrier.batch().open(&sealed)) else {
        return Ok(None);
    };
    let Some((record, created)) = decode(&plain) else {
        return Ok(None);
    };
    let entry = Entry {
        hash: barrier.token_hash(id),
        ancestors: record.ancestors.clone(),
        record,
        created,
    };
    Ok(lives(context, &owner_of(&entry))?.then_some(entry))
}

/// What is to be known of a batch token without having it.
pub(crate) fn owner_of(entry: &Entry) -> BatchOwner {
    BatchOwner {
        parent: entry.ancestors.last().copied(),
        path: entry.record.path.clone(),
        display_name: entry.record.display_name.clone(),
        // One without an end is none of ours.
        expires: entry.record.expiry.at().unwrap_or_default(),
        created_revision: entry.created,
        role: entry.record.role.clone(),
    }
}

/// Whether a batch token lives. All that the answer depends on is noted in the view.
pub(crate) fn lives(context: Context<'_>, batch: &BatchOwner) -> Result<bool, TokenError> {
    if path_killed(context, &batch.path, batch.created_revision) || batch.expires <= context.now {
        return Ok(false);
    }
    let Some(hash) = &batch.parent else {
        return Ok(true);
    };
    // One that is younger than its child is another token under a chosen id.
    let parent = live(context, hash)?;
    Ok(parent.is_some_and(|parent| parent.created < batch.created_revision))
}

fn encode(record: &TokenRecord, created: u64) -> proto::BatchToken {
    let note = |(key, value): (&str, &str)| proto::MetaEntry {
        key: key.into(),
        value: value.into(),
    };
    proto::BatchToken {
        format: FORMAT,
        parent: record.ancestors.last().map(|hash| hash.as_bytes().to_vec()),
        policies: record
            .policies
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        path: record.path.clone(),
        display_name: record.display_name.as_str().into(),
        meta: record.meta.iter().map(note).collect(),
        created_ms: record.created.get(),
        expires_ms: record.expiry.at().unwrap_or_default().get(),
        creation_ttl_s: record.creation_ttl.unwrap_or_default().as_seconds(),
        role: record.role.as_ref().map(|role| role.as_str().to_owned()),
        bound_cidrs: record.bound_cidrs.texts().collect(),
        created_revision: created,
    }
}

fn decode(bytes: &[u8]) -> Option<(TokenRecord, u64)> {
    let plain = proto::BatchToken::decode(bytes)
        .ok()
        .filter(|plain| plain.format == FORMAT)?;
    let policies = PolicySet::parse(plain.policies.iter().map(String::as_str)).ok()?;
    let parent: Option<TokenHash> = parent(plain.parent.as_deref())?;
    let record = TokenRecord {
        accessor: None,
        ancestors: parent.into_iter().collect(),
        // None is root, whoever sealed it.
        policies: Some(policies).filter(|policies| !policies.is_root())?,
        path: plain.path,
        display_name: DisplayName::from_record(plain.display_name),
        meta: Meta::new(plain.meta.into_iter().map(|entry| (entry.key, entry.value))).ok()?,
        uses_left: None,
        created: UnixMillis::new(plain.created_ms),
        expiry: Expiry::At(UnixMillis::new(plain.expires_ms)),
        creation_ttl: Some(Ttl::from_seconds(plain.creation_ttl_s).ok()?),
        explicit_max_ttl: None,
        period: None,
        renewable: false,
        last_renewal: None,
        role: role(plain.role.as_deref())?,
        bound_cidrs: Cidrs::parse(plain.bound_cidrs.iter().map(String::as_str)).ok()?,
    };
    Some((record, plain.created_revision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::RoleName;

    /// A token that was given out once must be read by every later version.
    #[test]
    fn what_a_batch_token_says_is_frozen() {
        let hash = TokenHash::from_slice(&[1; 32]).unwrap();
        let record = TokenRecord {
            accessor: None,
            ancestors: vec![hash],
            policies: PolicySet::parse(["a"]).unwrap(),
            path: "p".into(),
            display_name: DisplayName::from_record("n".into()),
            meta: Meta::new([("k".into(), "v".into())]).unwrap(),
            uses_left: None,
            created: UnixMillis::new(2),
            expiry: Expiry::At(UnixMillis::new(3)),
            creation_ttl: Ttl::from_seconds(4).ok(),
            explicit_max_ttl: None,
            period: None,
            renewable: false,
            last_renewal: None,
            role: RoleName::parse("r").ok(),
            bound_cidrs: Cidrs::parse(["10.0.0.0/8"]).unwrap(),
        };
        let plain = encode(&record, 5).encode_to_vec();
        let frozen = format!(
            "08011220{}1a01612201702a016e32060a016b1201763802400348045201725a0a31302e302e302e302f386005",
            "01".repeat(32)
        );
        assert_eq!(hex::encode(&plain), frozen);
        assert_eq!(decode(&plain), Some((record, 5)));
        assert_eq!(decode(b"\x08\x02"), None);
    }
}
