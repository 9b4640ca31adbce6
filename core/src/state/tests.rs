//! Every table's round trip, and what must not pass: swapped values, other formats.

mod events;
mod quotas;
mod secrets;
mod tokens;

use std::{fmt::Debug, num::NonZeroU32};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    barrier::{
        AccessorHash, Barrier, Keyring, NameChain, NameHash, RequestHash, RootKey, TokenHash,
    },
    random::Random,
    testing::{MemoryStore, TestRandom},
    token::Shares,
    types::{
        Accessor, Cidrs, DisplayName, Expiry, LeaseId, Meta, Path, PolicyName, PolicySet, RoleName,
        Secret, Ttl, UnixMillis, limits::TTL_SECONDS_MAX,
    },
};

fn barrier() -> Barrier {
    Barrier::new(&Keyring::generate(
        UnixMillis::new(0),
        &mut TestRandom::new(1),
    ))
    .unwrap()
}

/// Writes a row and reads it back: through get, through scan, and its key through the
/// key's own round trip.
fn round_trip<T: Table>(key: &T::Key, value: &T::Value) -> Row<T> {
    let (mut store, barrier) = (MemoryStore::default(), barrier());
    let mut txn = Txn::default();
    txn.insert::<T>(&barrier, key, value, &mut TestRandom::new(2))
        .unwrap();
    store.commit(txn.into_ops());
    let raw = key_of::<T>(key);
    assert_eq!(raw[..2], [TAG, T::ID]);
    let (start, end) = range_of::<T>(&[]);
    assert!(start <= raw && raw < end);

    let view = View::new(&store, &barrier);
    let mut rows = view.scan::<T>((start, end), 10).unwrap();
    assert_eq!(rows.len(), 1);
    let scanned = rows.remove(0);
    assert_eq!(key_of::<T>(&scanned.key), raw);
    assert_eq!(T::encode(&scanned.value), T::encode(value));
    view.get::<T>(key).unwrap().unwrap()
}

fn same<T>(key: &T::Key, value: &T::Value)
where
    T: Table,
    T::Value: PartialEq + Debug,
{
    let row = round_trip::<T>(key, value);
    assert_eq!(&row.value, value);
    assert_eq!((row.create_revision, row.mod_revision), (1, 1));
}

fn token_hash() -> impl Strategy<Value = TokenHash> {
    any::<[u8; 32]>().prop_map(|bytes| TokenHash::from_slice(&bytes).unwrap())
}

fn ttl() -> impl Strategy<Value = Ttl> {
    (0..=crate::types::limits::TTL_SECONDS_MAX).prop_map(|s| Ttl::from_seconds(s).unwrap())
}

fn millis() -> impl Strategy<Value = UnixMillis> {
    any::<u64>().prop_map(UnixMillis::new)
}

fn name_chain() -> impl Strategy<Value = NameChain> {
    let names = prop::collection::vec(any::<[u8; 16]>(), 1..17);
    names.prop_map(|names| NameChain::from_slice(&names.concat()).unwrap())
}

prop_compose! {
    fn lease_record()(
        seed: u64,
        path in "[a-z]{1,8}(/[a-z ]{1,8}){0,4}",
        payload: Vec<u8>,
        token in token_hash(),
        (created, expires, last_renewal) in (millis(), millis(), prop::option::of(millis())),
        creation_ttl in ttl(),
        renewable: bool,
        batch in prop::option::of(batch_owner()),
    ) -> LeaseRecord {
        LeaseRecord {
            id: LeaseId::issue(Path::parse(&path).unwrap(), &mut TestRandom::new(seed)),
            payload: Secret::new(payload),
            token,
            created,
            expires,
            creation_ttl,
            renewable,
            last_renewal,
            batch,
        }
    }
}

prop_compose! {
    fn batch_owner()(
        parent in prop::option::of(token_hash()),
        path in "[a-z/]{0,20}",
        (expires, created_revision) in (millis(), any::<u64>()),
        role in prop::option::of("[a-z]{1,8}"),
    ) -> BatchOwner {
        let display_name = DisplayName::for_token("n").unwrap();
        let role = role.map(|role| RoleName::parse(&role).unwrap());
        BatchOwner { parent, path, display_name, expires, created_revision, role }
    }
}

prop_compose! {
    fn token_record()(
        seed: u64,
        ancestors in prop::collection::vec(token_hash(), 0..5),
        policies in prop::collection::vec("[a-z,/ ]{1,8}[a-z]", 0..4),
        path in "[a-z/]{0,20}",
        name in ".{0,20}",
        meta in prop::collection::btree_map("[a-z]{1,8}", ".{0,20}", 0..4),
        uses_left in prop::option::of(any::<NonZeroU32>()),
        (created, end, last_renewal) in (millis(), prop::option::of(millis()), prop::option::of(millis())),
        (creation_ttl, explicit_max_ttl, period) in
            (prop::option::of(ttl()), prop::option::of(ttl()), prop::option::of(ttl())),
        renewable: bool,
        role in prop::option::of("[a-z]{1,8}"),
        bound_cidrs in prop::collection::vec(any::<std::net::IpAddr>(), 0..4),
    ) -> TokenRecord {
        TokenRecord {
            accessor: Some(Accessor::issue(&mut TestRandom::new(seed))),
            ancestors,
            policies: PolicySet::parse(policies.iter().map(String::as_str)).unwrap(),
            path,
            display_name: DisplayName::for_token(&name).unwrap(),
            meta: Meta::new(meta).unwrap(),
            uses_left,
            created,
            expiry: end.map_or(Expiry::Never, Expiry::At),
            creation_ttl,
            explicit_max_ttl,
            period,
            renewable,
            last_renewal,
            role: role.map(|role| RoleName::parse(&role).unwrap()),
            bound_cidrs: Cidrs::parse(
                bound_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().iter().map(String::as_str),
            )
            .unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(64))]

    #[test]
    fn tokens(hash in token_hash(), record in token_record()) {
        same::<Tokens>(&hash, &record);
    }

    #[test]
    fn accessors(bytes: [u8; 32], token in token_hash(), seed: u64) {
        let key = AccessorHash::from_slice(&bytes).unwrap();
        let accessor = Accessor::issue(&mut TestRandom::new(seed));
        same::<Accessors>(&key, &AccessorRecord { accessor, token });
    }

    #[test]
    fn token_children(parent in token_hash(), child in token_hash()) {
        same::<TokenChildren>(&(parent, child), &());
        let (start, end) = range_of::<TokenChildren>(parent.as_bytes());
        let raw = key_of::<TokenChildren>(&(parent, child));
        prop_assert!(start <= raw && raw < end);
    }

    #[test]
    fn tombstones_and_markers(hash in token_hash(), at in millis()) {
        same::<Tombstones>(&hash, &at);
        same::<OrphanMarkers>(&hash, &at);
    }

    #[test]
    fn time_index(at in millis(), bytes: [u8; 32], kind in 0..3, lease in name_chain()) {
        let kind = match kind {
            0 => DueKind::Token(TokenHash::from_slice(&bytes).unwrap()),
            1 => DueKind::Dedupe(RequestHash::from_slice(&bytes).unwrap()),
            _ => DueKind::Lease(lease),
        };
        let due = Due { at, kind };
        same::<TimeIndex>(&due, &());
        // Due exactly from its moment on.
        let raw = key_of::<TimeIndex>(&due);
        let within = |cursor: &DueCursor, now| {
            let (start, end) = TimeIndex::due_range(cursor, now);
            start <= raw && raw < end
        };
        let start = DueCursor::default();
        prop_assert_eq!(TimeIndex::time_of(&raw), Some(at));
        prop_assert!(within(&start, at));
        prop_assert!(within(&start, UnixMillis::new(u64::MAX)));
        prop_assert!(within(&DueCursor::at(at), at));
        let mut behind = DueCursor::after(&due);
        prop_assert!(!within(&behind, UnixMillis::new(u64::MAX)));
        behind.rewind(at);
        prop_assert_eq!(&behind, &DueCursor::at(at));
        behind.rewind(at);
        prop_assert!(within(&behind, at));
        if at.get() > 0 {
            prop_assert!(!within(&start, UnixMillis::new(at.get() - 1)));
            let (first, end) = TimeIndex::range_before(&start, at);
            prop_assert!(!(first <= raw && raw < end));
        }
        if let Some(later) = at.get().checked_add(1).map(UnixMillis::new) {
            prop_assert!(!within(&DueCursor::at(later), UnixMillis::new(u64::MAX)));
            let (first, end) = TimeIndex::range_before(&start, later);
            prop_assert!(first <= raw && raw < end);
        }
    }

    /// Whoever goes through the index with a cursor, and is told what is written, passes
    /// over no row, wherever it is written.
    #[test]
    fn a_cursor_skips_no_row(
        steps in prop::collection::vec((0u64..50, any::<[u8; 32]>(), 1usize..4, 0u64..8), 1..80),
    ) {
        let (mut rows, mut cursor) = (std::collections::BTreeMap::new(), DueCursor::default());
        let mut now = 0;
        for (at, hash, limit, wait) in steps {
            let due = Due {
                at: UnixMillis::new(at),
                kind: DueKind::Token(TokenHash::from_slice(&hash).unwrap()),
            };
            rows.insert(key_of::<TimeIndex>(&due), due.clone());
            cursor.rewind(due.at);
            now += wait;
            let (start, end) = TimeIndex::due_range(&cursor, UnixMillis::new(now));
            let found: Vec<_> = rows.range(start..end).take(limit).map(|(_, d)| d.clone()).collect();
            for due in found {
                rows.remove(&key_of::<TimeIndex>(&due));
                cursor = DueCursor::after(&due);
            }
            // What is due and still there lies behind the cursor.
            let (start, _) = TimeIndex::due_range(&cursor, UnixMillis::new(now));
            let first = rows.iter().next().filter(|(_, due)| due.at.get() <= now);
            prop_assert!(first.is_none_or(|(key, _)| *key >= start));
        }
    }

    #[test]
    fn leases(key in name_chain(), record in lease_record(), token in token_hash(), at in millis()) {
        same::<Leases>(&key, &record);
        same::<LeasesByToken>(&(token, key.clone()), &());
        same::<PrefixTombstones>(&key, &at);
        same::<BatchLeases>(&(key.clone(), key.clone()), &());
        same::<BatchLeases>(&(NameChain::default(), key.clone()), &());
        let (start, end) = range_of::<LeasesByToken>(token.as_bytes());
        let raw = key_of::<LeasesByToken>(&(token, key));
        prop_assert!(start <= raw && raw < end);
    }

    #[test]
    fn dedupes(bytes: [u8; 32], fingerprint: [u8; 32], answer: Vec<u8>, expires in millis()) {
        let key = RequestHash::from_slice(&bytes).unwrap();
        let answer = Secret::new(answer);
        same::<Dedupes>(&key, &DedupeRecord { fingerprint, answer, expires });
    }

    #[test]
    fn seal_tables(shares: u8, threshold: u8, created in millis(), sealed: Vec<u8>, seed: u64) {
        same::<SealConfigs>(&(), &SealConfig { shares, threshold, created });
        same::<Keyrings>(&(), &Bytes::from(sealed));
        let root = RootKey::generate(&mut TestRandom::new(seed));
        prop_assert!(round_trip::<RootKeys>(&(), &root).value == root);
        prop_assert!(round_trip::<RecoveryKeys>(&(), &root).value == root);
    }

    #[test]
    fn rotations_and_backups(
        enabled: bool,
        max_operations: u64,
        age in prop::option::of(0..=TTL_SECONDS_MAX),
        nonce in ".*",
        shares in prop::collection::vec((".*", any::<Vec<u8>>()), 0..4),
        of in prop::sample::select(vec![Shares::Root, Shares::Recovery]),
    ) {
        let interval = age.map(|seconds| Ttl::from_seconds(seconds).unwrap());
        same::<RotationConfigs>(&(), &RotationConfig { enabled, max_operations, interval });
        let shares = shares.into_iter();
        let shares = shares.map(|(fingerprint, message)| EncryptedShare { fingerprint, message });
        same::<SharesBackups>(&of, &SharesBackup { nonce, shares: shares.collect() });
    }

    #[test]
    fn keys_beside_the_barrier(
        term: u32, provider in ".*", key_id in ".*", sealed: Vec<u8>, copy: Vec<u8>
    ) {
        same::<StoredRootKeys>(&(), &StoredRootKey { provider, key_id, sealed });
        same::<RootKeysBefore>(&term, &Bytes::from(copy));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Tokens::decode(&bytes);
        let _ = Accessors::decode(&bytes);
        let _ = Tombstones::decode(&bytes);
        let _ = Dedupes::decode(&bytes);
        let _ = Leases::decode(&bytes);
        let _ = Leases::read_key(&bytes);
        let _ = LeasesByToken::read_key(&bytes);
        let _ = BatchLeases::read_key(&bytes);
        let _ = PrefixTombstones::decode(&bytes);
        let _ = PrefixTombstones::read_key(&bytes);
        let _ = TimeIndex::time_of(&bytes);
        let _ = SealConfigs::decode(&bytes);
        let _ = RootKeys::decode(&bytes);
        let _ = RootKeysBefore::read_key(&bytes);
        let _ = StoredRootKeys::decode(&bytes);
        let _ = RecoveryKeys::decode(&bytes);
        let _ = RotationConfigs::decode(&bytes);
        let _ = SharesBackups::decode(&bytes);
        let _ = SharesBackups::read_key(&bytes);
        let _ = TimeIndex::read_key(&bytes);
        let _ = TokenChildren::read_key(&bytes);
    }
}

/// A record without an expiry, or with 0 uses, must not become an immortal or unlimited
/// token.
#[test]
fn missing_fields_are_corrupt_not_forever() {
    use prost::Message;
    let record = tenure_proto::state::Token {
        format: 1,
        accessor: "a".repeat(24),
        expiry: Some(tenure_proto::state::Expiry {
            end: Some(tenure_proto::state::expiry::End::AtMs(5)),
        }),
        ..Default::default()
    };
    assert!(Tokens::decode(&record.encode_to_vec()).is_some());
    let without = tenure_proto::state::Token {
        expiry: None,
        ..record.clone()
    };
    assert!(Tokens::decode(&without.encode_to_vec()).is_none());
    let empty = Some(tenure_proto::state::Expiry::default());
    let without = tenure_proto::state::Token {
        expiry: empty,
        ..record.clone()
    };
    assert!(Tokens::decode(&without.encode_to_vec()).is_none());
    let spent = tenure_proto::state::Token {
        uses_left: Some(0),
        ..record.clone()
    };
    assert!(Tokens::decode(&spent.encode_to_vec()).is_none());
    let newer = tenure_proto::state::Token {
        format: 2,
        ..record
    };
    assert!(Tokens::decode(&newer.encode_to_vec()).is_none());
}

#[test]
fn a_value_moved_to_another_key_does_not_open() {
    let (mut store, barrier) = (MemoryStore::default(), barrier());
    let mut random = TestRandom::new(3);
    let mut hash = || {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        TokenHash::from_slice(&bytes).unwrap()
    };
    let (a, b) = (hash(), hash());
    let mut txn = Txn::default();
    let mut random = TestRandom::new(4);
    for (key, at) in [(a, 1), (b, 2)] {
        txn.insert::<Tombstones>(&barrier, &key, &UnixMillis::new(at), &mut random)
            .unwrap();
    }
    store.commit(txn.into_ops());
    let (raw_a, raw_b) = (key_of::<Tombstones>(&a), key_of::<Tombstones>(&b));
    let (at_a, at_b) = (
        store.records()[&raw_a].clone(),
        store.records()[&raw_b].clone(),
    );
    store.tamper(raw_a, at_b);
    store.tamper(raw_b, at_a.clone());
    // Under the same hash in another table, too.
    store.tamper(key_of::<OrphanMarkers>(&a), at_a);
    let view = View::new(&store, &barrier);
    let forged = |result: Result<bool, ReadError>| {
        matches!(
            result,
            Err(ReadError::Barrier {
                source: crate::barrier::BarrierError::Forged,
                ..
            })
        )
    };
    assert!(forged(view.get::<Tombstones>(&a).map(|row| row.is_some())));
    assert!(forged(view.get::<Tombstones>(&b).map(|row| row.is_some())));
    assert!(forged(
        view.get::<OrphanMarkers>(&a).map(|row| row.is_some())
    ));
}

#[test]
fn a_view_notes_absences_and_ranges() {
    let (mut store, barrier) = (MemoryStore::default(), barrier());
    let hash = |n: u8| TokenHash::from_slice(&[n; 32]).unwrap();
    let mut txn = Txn::default();
    for child in 1..=3 {
        let key = (hash(9), hash(child));
        txn.insert::<TokenChildren>(&barrier, &key, &(), &mut TestRandom::new(1))
            .unwrap();
    }
    store.commit(txn.into_ops());

    let view = View::new(&store, &barrier);
    assert!(view.get::<Tokens>(&hash(1)).unwrap().is_none());
    let range = || range_of::<TokenChildren>(hash(9).as_bytes());
    assert_eq!(view.scan::<TokenChildren>(range(), 2).unwrap().len(), 2);
    assert_eq!(view.scan::<TokenChildren>(range(), 10).unwrap().len(), 3);
    view.note::<Tombstones>(&hash(4));
    let reads = view.into_reads();
    assert_eq!(reads.revision, 1);
    assert!(reads.keys.contains(&key_of::<Tokens>(&hash(1))));
    assert!(reads.keys.contains(&key_of::<Tombstones>(&hash(4))));
    // A page counts up to its last row, the whole range to its end.
    let second = key_of::<TokenChildren>(&(hash(9), hash(2)));
    let third = key_of::<TokenChildren>(&(hash(9), hash(3)));
    assert!(
        reads.ranges[0].0 <= second && second < reads.ranges[0].1 && reads.ranges[0].1 <= third
    );
    assert_eq!(reads.ranges[1], range());
}

#[test]
fn only_plain_tables_are_read_without_a_barrier() {
    let mut store = MemoryStore::default();
    let config = SealConfig {
        shares: 5,
        threshold: 3,
        created: UnixMillis::new(7),
    };
    let mut txn = Txn::default();
    txn.insert_plain::<SealConfigs>(&(), &config).unwrap();
    let root = RootKey::generate(&mut TestRandom::new(1));
    assert!(txn.insert_plain::<RootKeys>(&(), &root).is_err());
    store.commit(txn.into_ops());
    assert_eq!(
        read_plain::<SealConfigs>(&store, &()).unwrap(),
        Some(config)
    );
    assert!(read_plain::<Keyrings>(&store, &()).unwrap().is_none());
    assert!(read_plain::<RootKeys>(&store, &()).is_err());
}

/// Nothing that is written shows in clear what it is about.
#[test]
fn no_canary_is_stored_in_clear() {
    let (mut store, barrier) = (MemoryStore::default(), barrier());
    let mut random = TestRandom::new(8);
    let accessor = Accessor::issue(&mut random);
    let id = crate::types::TokenId::custom("canary-id-canary").unwrap();
    let record = TokenRecord {
        accessor: Some(accessor.clone()),
        ancestors: vec![],
        policies: PolicySet::parse(["canary-policy"]).unwrap(),
        path: "canary/path".into(),
        display_name: DisplayName::for_token("canary").unwrap(),
        meta: Meta::new([("canary".into(), "canary".into())]).unwrap(),
        uses_left: None,
        created: UnixMillis::new(1),
        expiry: Expiry::Never,
        creation_ttl: None,
        explicit_max_ttl: None,
        period: None,
        renewable: false,
        last_renewal: None,
        role: None,
        bound_cidrs: Cidrs::default(),
    };
    let token = barrier.token_hash(&id);
    let hash = barrier.accessor_hash(&accessor);
    let mut txn = Txn::default();
    txn.insert::<Tokens>(&barrier, &token, &record, &mut random)
        .unwrap();
    let row = AccessorRecord {
        accessor: accessor.clone(),
        token,
    };
    txn.insert::<Accessors>(&barrier, &hash, &row, &mut random)
        .unwrap();
    let path = Path::parse("canary/db").unwrap();
    let lease = LeaseRecord {
        id: LeaseId::issue(path, &mut random),
        payload: Secret::new(b"canary".to_vec()),
        token,
        created: UnixMillis::new(1),
        expires: UnixMillis::new(2),
        creation_ttl: Ttl::ZERO,
        renewable: true,
        last_renewal: None,
        batch: None,
    };
    let key = barrier.name_chain(lease.id.segments());
    let due = Due {
        at: lease.expires,
        kind: DueKind::Lease(key.clone()),
    };
    txn.insert::<Leases>(&barrier, &key, &lease, &mut random)
        .unwrap();
    txn.insert::<LeasesByToken>(&barrier, &(token, key.clone()), &(), &mut random)
        .unwrap();
    txn.insert::<PrefixTombstones>(&barrier, &key, &lease.created, &mut random)
        .unwrap();
    txn.insert::<TimeIndex>(&barrier, &due, &(), &mut random)
        .unwrap();
    store.commit(txn.into_ops());
    for (key, stored) in store.records() {
        for bytes in [key, &stored.value] {
            for canary in ["canary", accessor.as_str(), lease.id.suffix()] {
                assert!(
                    !bytes
                        .windows(canary.len())
                        .any(|window| window == canary.as_bytes())
                );
            }
        }
    }
}

/// What is on disk must be read by every later version: these bytes never change.
#[test]
fn the_bytes_on_disk_are_frozen() {
    let hash = |byte| TokenHash::from_slice(&[byte; 32]).unwrap();
    let record = TokenRecord {
        accessor: Accessor::parse("ABCDEFGHIJKLMNOPQRSTUVWX"),
        ancestors: vec![hash(1)],
        policies: PolicySet::parse(["a", "b"]).unwrap(),
        path: "p".into(),
        display_name: DisplayName::for_token("n").unwrap(),
        meta: Meta::new([("k".into(), "v".into())]).unwrap(),
        uses_left: NonZeroU32::new(2),
        created: UnixMillis::new(3),
        expiry: Expiry::At(UnixMillis::new(4)),
        creation_ttl: Ttl::from_seconds(5).ok(),
        explicit_max_ttl: Ttl::from_seconds(6).ok(),
        period: Ttl::from_seconds(7).ok(),
        renewable: true,
        last_renewal: Some(UnixMillis::new(8)),
        role: None,
        bound_cidrs: Cidrs::default(),
    };
    assert_eq!(
        hex::encode(Tokens::encode(&record)),
        "080112184142434445464748494a4b4c4d4e4f5051525354555657581a2001010101010101010101010101010101010101010101010101010101010101012201612201622a01703207746f6b656e2d6e3a060a016b120176400248035202100458056006680770017808"
    );
    let due = Due {
        at: UnixMillis::new(0x0102),
        kind: DueKind::Token(hash(9)),
    };
    let expected = format!("0215000000000000010201{}", "09".repeat(32));
    assert_eq!(hex::encode(key_of::<TimeIndex>(&due)), expected);
    let expected = format!("0212{}{}", "01".repeat(32), "02".repeat(32));
    assert_eq!(
        hex::encode(key_of::<TokenChildren>(&(hash(1), hash(2)))),
        expected
    );
    assert_eq!(
        hex::encode(key_of::<Tokens>(&hash(1))),
        format!("0210{}", "01".repeat(32))
    );
    assert_eq!(hex::encode(key_of::<Keyrings>(&())), "0202");
    assert_eq!(hex::encode(key_of::<ExpirationHolds>(&())), "0204");
    assert_eq!(
        hex::encode(ExpirationHolds::encode(&UnixMillis::new(9))),
        "08011009"
    );
    assert_eq!(
        hex::encode(key_of::<RootKeysBefore>(&0x0102)),
        "023800000102"
    );
    assert_eq!(hex::encode(key_of::<StoredRootKeys>(&())), "0239");
    let stored = StoredRootKey {
        provider: "static".into(),
        key_id: "k".into(),
        sealed: vec![1, 2],
    };
    assert_eq!(
        hex::encode(StoredRootKeys::encode(&stored)),
        "080112067374617469631a016b22020102"
    );
    assert_eq!(hex::encode(key_of::<RecoveryKeys>(&())), "023a");
    let recovery = RootKey::from_slice(&[7; 32]).unwrap();
    assert_eq!(
        hex::encode(RecoveryKeys::encode(&recovery)),
        format!("08011220{}", "07".repeat(32))
    );
    assert_eq!(hex::encode(key_of::<RotationConfigs>(&())), "0205");
    let rotation = RotationConfig {
        enabled: true,
        max_operations: 5,
        interval: Some(Ttl::from_seconds(6).unwrap()),
    };
    assert_eq!(
        hex::encode(RotationConfigs::encode(&rotation)),
        "0801100118052006"
    );
    let of = [Shares::Root, Shares::Recovery];
    let keys = of.map(|of| hex::encode(key_of::<SharesBackups>(&of)));
    assert_eq!(keys, ["023b01", "023b02"]);
    let backup = SharesBackup {
        nonce: "n".into(),
        shares: vec![EncryptedShare {
            fingerprint: "f".into(),
            message: vec![1],
        }],
    };
    assert_eq!(
        hex::encode(SharesBackups::encode(&backup)),
        "080112016e1a060a0166120101"
    );

    let chain = NameChain::from_slice(&[[7; 16], [8; 16]].concat()).unwrap();
    let lease = LeaseRecord {
        id: LeaseId::of(Path::parse("a/b").unwrap(), "ABCDEFGHIJKLMNOPQRSTUVWX").unwrap(),
        payload: Secret::new(vec![1, 2]),
        token: hash(3),
        created: UnixMillis::new(4),
        expires: UnixMillis::new(5),
        creation_ttl: Ttl::from_seconds(6).unwrap(),
        renewable: true,
        last_renewal: Some(UnixMillis::new(7)),
        batch: None,
    };
    assert_eq!(
        hex::encode(Leases::encode(&lease)),
        "08011203612f621a184142434445464748494a4b4c4d4e4f505152535455565758220201022a20030303030303030303030303030303030303030303030303030303030303030330043805400648015007"
    );
    let names = ["07".repeat(16), "08".repeat(16)].concat();
    assert_eq!(
        hex::encode(key_of::<Leases>(&chain)),
        format!("0217{names}")
    );
    assert_eq!(
        hex::encode(key_of::<LeasesByToken>(&(hash(3), chain.clone()))),
        format!("0218{}{names}", "03".repeat(32))
    );
    assert_eq!(
        hex::encode(key_of::<PrefixTombstones>(&chain)),
        format!("0219{names}")
    );
    let policy = PolicyRecord {
        name: PolicyName::parse("a").unwrap(),
        text: "b".into(),
    };
    assert_eq!(hex::encode(Policies::encode(&policy)), "08011201611a0162");
    let name = NameHash::from_slice(&[7; 16]).unwrap();
    assert_eq!(
        hex::encode(key_of::<Policies>(&name)),
        format!("0230{}", "07".repeat(16))
    );
    assert_eq!(
        hex::encode(PrefixTombstones::encode(&UnixMillis::new(9))),
        "08011009"
    );
    let due = Due {
        at: UnixMillis::new(0x0102),
        kind: DueKind::Lease(chain),
    };
    assert_eq!(
        hex::encode(key_of::<TimeIndex>(&due)),
        format!("0215000000000000010203{names}")
    );
}
