//! The seam: typed tables over opaque keys. A [`View`] reads and notes what it read, a
//! [`Txn`] collects what is to be written; both pass everything through the barrier.
//! Nothing above speaks in raw keys, and nothing here decides anything.
//!
//! Every key begins with [`TAG`] and the id of its table. All tables, in order:
//!
//! | id | table | key | lifetime |
//! |----|-------|-----|----------|
//! | 1 | [`SealConfigs`] | fixed | from init on |
//! | 2 | [`Keyrings`] | fixed | from init on |
//! | 3 | [`RootKeys`] | fixed | from init on |
//! | 4 | [`ExpirationHolds`] | fixed | from a restore until expiration is resumed |
//! | 5 | [`RotationConfigs`] | fixed | from the first change on |
//! | 16 | [`Tokens`] | token hash | until the token is cleaned up |
//! | 17 | [`Accessors`] | accessor hash | as its token |
//! | 18 | [`TokenChildren`] | parent hash, child hash | as the child |
//! | 19 | [`Tombstones`] | token hash | until nothing lies under it |
//! | 20 | [`OrphanMarkers`] | token hash | until no child of the token is left |
//! | 21 | [`TimeIndex`] | time, kind, hash | as the record that expires then |
//! | 22 | [`Dedupes`] | request hash | the dedupe window |
//! | 23 | [`Leases`] | hashes of the id's segments | until the lease is cleaned up |
//! | 24 | [`LeasesByToken`] | token hash, key of the lease | as its lease |
//! | 25 | [`PrefixTombstones`] | hashes of the prefix's segments | until nothing dead lies under it |
//! | 40 | [`Mounts`] | fixed | from the first mount on |
//! | 41 | [`SecretNames`] | mount id, folder hash, name hash | until the last secret of the name goes |
//! | 42 | [`Secrets`] | mount id, name hash | until the secret is deleted |
//! | 43 | [`KvMetadatas`] | mount id, name hash | until the metadata is deleted |
//! | 44 | [`KvVersions`] | mount id, name hash, version | until pruned, destroyed or deleted |
//! | 45 | [`KvConfigs`] | mount id | until the unmount |
//! | 46 | [`Cubbyholes`] | token hash | as its token |
//! | 48 | [`Policies`] | hash of the name | until the policy is deleted |
//! | 49 | [`TokenRoles`] | hash of the name | until the role is deleted |
//! | 50 | [`TokenLeases`] | hashes of the id's segments | as its token |
//! | 51 | [`TokenPathTombstones`] | hashes of the path's segments | as long as a batch token lives at most |
//! | 52 | [`TokenTunings`] | fixed | from the first tuning on |
//! | 56 | [`RootKeysBefore`] | barrier term | until so many rotations later |
//! | 57 | [`StoredRootKeys`] | fixed | from an init with auto-unseal on |
//! | 58 | [`RecoveryKeys`] | fixed | from an init with auto-unseal on |
//! | 59 | [`SharesBackups`] | which shares | from a rekey that keeps them until they are deleted |
//! | 60 | [`Events`] | revision | a bounded time and number of bytes |
//! | 61 | [`EventMarks`] | revision | as the events up to it |
//! | 62 | [`EventFloor`] | fixed | from the first deletion of events on |
//! | 63 | [`BatchLeases`] | hashes of the token's path, key of the lease | as its lease |
//! | 64 | [`RestoreMarks`] | fixed | from the first restore on |
//! | 65 | [`RowCounts`] | id of a table | from its first row on |
//! | 66 | [`RateLimits`] | fixed | from the first rate limit on |
//! | 67 | [`LeaseQuotas`] | fixed | from the first lease-count quota on |
//! | 68 | [`LeaseQuotasMade`] | number of the quota | as the quota |
//! | 69 | [`LeaseQuotasEnded`] | number of the quota | as the quota |
//!
//! Tables 41 to 45 end with the unmount at the latest.

mod accessor;
mod batch_lease;
mod cubbyhole;
mod dedupe;
mod event;
mod event_floor;
mod event_mark;
mod expiration_hold;
mod keyring;
mod kv_config;
mod kv_metadata;
mod kv_version;
mod lease;
mod lease_by_token;
mod lease_quota_ended;
mod lease_quota_made;
mod lease_quotas;
mod mount;
mod orphan_marker;
mod policy;
mod prefix_tombstone;
mod rate_limits;
mod recovery_key;
mod restore_mark;
mod root_key;
mod root_key_before;
mod rotation_config;
mod row_count;
mod seal_config;
mod secret;
mod secret_name;
mod shares_backup;
mod store;
mod stored_root_key;
mod table;
mod time_index;
mod token;
mod token_child;
mod token_lease;
mod token_path_tombstone;
mod token_role;
mod token_tuning;
mod tombstone;
mod txn;
mod view;

pub use accessor::{AccessorRecord, Accessors};
pub use batch_lease::BatchLeases;
pub use cubbyhole::{CubbyholeRecord, Cubbyholes};
pub use dedupe::{DedupeRecord, Dedupes};
pub use event::{About, Event, EventKind, Events};
pub use event_floor::EventFloor;
pub use event_mark::{EventMark, EventMarks};
pub use expiration_hold::ExpirationHolds;
pub use keyring::Keyrings;
pub use kv_config::{KvConfigRecord, KvConfigs};
pub use kv_metadata::{KvMetadataRecord, KvMetadatas, KvVersionInfo};
pub use kv_version::{KvVersionKey, KvVersions};
pub(crate) use lease::parent;
pub use lease::{BatchOwner, LeaseRecord, Leases};
pub use lease_by_token::LeasesByToken;
pub use lease_quota_ended::{LeaseQuotaEndedRecord, LeaseQuotasEnded, Search};
pub use lease_quota_made::LeaseQuotasMade;
pub use lease_quotas::{LeaseQuotaRecord, LeaseQuotas, LeaseQuotasRecord};
pub use mount::{Engine, KvEngine, MountRecord, Mounts};
pub use orphan_marker::OrphanMarkers;
pub use policy::{Policies, PolicyRecord};
pub use prefix_tombstone::PrefixTombstones;
pub use rate_limits::{RateLimitRecord, RateLimits, RateLimitsRecord};
pub use recovery_key::RecoveryKeys;
pub use restore_mark::RestoreMarks;
pub use root_key::RootKeys;
pub use root_key_before::RootKeysBefore;
pub use rotation_config::{RotationConfig, RotationConfigs};
pub use row_count::RowCounts;
pub use seal_config::{SealConfig, SealConfigs};
pub use secret::{SecretKey, SecretRecord, Secrets};
pub use secret_name::{SecretNameKey, SecretNameRecord, SecretNames};
pub use shares_backup::{EncryptedShare, SharesBackup, SharesBackups};
pub use store::{Store, StoreError, Stored};
pub use stored_root_key::{StoredRootKey, StoredRootKeys};
pub(crate) use table::strip;
pub use table::{Row, TAG, Table, key_of, range_of};
pub use time_index::{Due, DueCursor, DueKind, TimeIndex};
pub(crate) use token::role;
pub use token::{TokenRecord, Tokens};
pub use token_child::TokenChildren;
pub use token_lease::TokenLeases;
pub use token_path_tombstone::TokenPathTombstones;
pub use token_role::{RoleTokenType, TokenRoleRecord, TokenRoles};
pub use token_tuning::{TokenTuning, TokenTunings};
pub use tombstone::Tombstones;
pub use txn::{Op, Txn};
pub(crate) use view::successor;
pub use view::{ReadError, Reads, View, ViewMark, read_plain};

#[cfg(test)]
mod tests;
