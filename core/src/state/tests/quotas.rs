//! The tables of quotas: round trips, frozen bytes, corrupt records.

use bytes::Bytes;

use super::*;
use crate::{
    quota::QuotaPath,
    state::{
        LeaseQuotaEndedRecord, LeaseQuotaRecord, LeaseQuotas, LeaseQuotasEnded, LeaseQuotasMade,
        LeaseQuotasRecord, RateLimitRecord, RateLimits, RateLimitsRecord, Search,
    },
};

fn rate_limits() -> RateLimitsRecord {
    RateLimitsRecord {
        limits: vec![RateLimitRecord {
            name: Path::parse("n").unwrap(),
            path: QuotaPath::parse("a/*").unwrap(),
            rate: 2,
            interval: Ttl::from_seconds(3).unwrap(),
            block: Ttl::from_seconds(4).ok(),
            id: 5,
        }],
        exempt: vec![QuotaPath::parse("b").unwrap()],
        headers: true,
        next_id: 6,
    }
}

fn lease_quotas() -> LeaseQuotasRecord {
    LeaseQuotasRecord {
        quotas: vec![LeaseQuotaRecord {
            name: Path::parse("n").unwrap(),
            path: QuotaPath::parse("a/").unwrap(),
            chain: NameChain::from_slice(&[7; 16]).unwrap(),
            max: 2,
            id: 3,
            counting: true,
        }],
        next_id: 4,
    }
}

fn ended(search: Search) -> LeaseQuotaEndedRecord {
    LeaseQuotaEndedRecord {
        found: 1,
        ended: 2,
        search,
    }
}

#[test]
fn quotas_are_read_back_as_they_were_written() {
    same::<RateLimits>(&(), &rate_limits());
    same::<LeaseQuotas>(&(), &lease_quotas());
    same::<LeaseQuotasMade>(&7, &u64::MAX);
    let at = Bytes::from_static(b"at");
    for search in [Search::Leases(at.clone()), Search::Tokens(at), Search::Done] {
        same::<LeaseQuotasEnded>(&u64::MAX, &ended(search));
    }
}

/// What is on disk must be read by every later version: these bytes never change.
#[test]
fn the_bytes_of_quotas_are_frozen() {
    let hexed = |bytes: zeroize::Zeroizing<Vec<u8>>| hex::encode(&*bytes);
    let shown = [
        hex::encode(key_of::<RateLimits>(&())),
        hexed(RateLimits::encode(&rate_limits())),
        hex::encode(key_of::<LeaseQuotas>(&())),
        hexed(LeaseQuotas::encode(&lease_quotas())),
        hex::encode(key_of::<LeaseQuotasMade>(&3)),
        hexed(LeaseQuotasMade::encode(&9)),
        hex::encode(key_of::<LeaseQuotasEnded>(&3)),
        hexed(LeaseQuotasEnded::encode(&ended(Search::Tokens(
            Bytes::from_static(b"k"),
        )))),
    ];
    let wanted = [
        "0242",
        "080112100a016e1203612f2a18022003280430051a0162200128 06",
        "0243",
        "080112 1f0a016e1202612f18022003280132100707070707070707070707070707070718 04",
        "02440000000000000003",
        "08011009",
        "02450000000000000003",
        "08011001180220022a016b",
    ]
    .map(|text| text.replace(' ', ""));
    assert_eq!(shown, wanted);
}

/// A rate of 0 would refuse everything, and a stage that isn't known would count nothing.
#[test]
fn corrupt_quotas_are_not_read() {
    let corrupt = "080112040a016e";
    assert!(RateLimits::decode(&hex::decode(format!("{corrupt}1800")).unwrap()).is_none());
    assert!(LeaseQuotasEnded::decode(&hex::decode("08011001180220042a016b").unwrap()).is_none());
    assert!(LeaseQuotas::decode(b"\x08\x02").is_none());
    assert!(LeaseQuotasMade::read_key(b"1234567").is_none());
}
