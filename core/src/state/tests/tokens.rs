//! The tables of token roles, leases of tokens, revoked paths, tunings and their company: frozen
//! bytes, corrupt records.

use super::*;

fn role() -> TokenRoleRecord {
    let names = |text: &str| vec![PolicyName::parse(text).unwrap()];
    TokenRoleRecord {
        name: RoleName::parse("r").unwrap(),
        allowed: names("a"),
        disallowed: names("b"),
        allowed_globs: names("c*"),
        disallowed_globs: names("d*"),
        orphan: true,
        renewable: true,
        path_suffix: RoleName::parse("s").ok(),
        period: Ttl::from_seconds(1).ok(),
        explicit_max_ttl: Ttl::from_seconds(2).ok(),
        num_uses: NonZeroU32::new(3),
        bound_cidrs: Cidrs::parse(["10.0.0.0/8"]).unwrap(),
        token_type: RoleTokenType::DefaultBatch,
        no_default_policy: true,
    }
}

/// What is on disk must be read by every later version: these bytes never change.
#[test]
fn the_bytes_of_roles_paths_and_tunings_are_frozen() {
    let chain = NameChain::from_slice(&[[7; 16], [8; 16]].concat()).unwrap();
    let names = ["07".repeat(16), "08".repeat(16)].concat();
    let hash = TokenHash::from_slice(&[3; 32]).unwrap();
    let hashes = "03".repeat(32);
    let tuning = TokenTuning {
        default_ttl: Ttl::from_seconds(1).ok(),
        max_ttl: Ttl::from_seconds(2).ok(),
    };
    let hexed = |bytes: zeroize::Zeroizing<Vec<u8>>| hex::encode(&*bytes);
    let batch = BatchOwner {
        parent: Some(hash),
        path: "p".into(),
        display_name: DisplayName::from_record("n".into()),
        expires: UnixMillis::new(8),
        created_revision: 9,
        role: RoleName::parse("r").ok(),
    };
    let lease = LeaseRecord {
        id: LeaseId::of(Path::parse("a").unwrap(), &"x".repeat(24)).unwrap(),
        payload: Secret::new(Vec::new()),
        token: hash,
        created: UnixMillis::new(4),
        expires: UnixMillis::new(5),
        creation_ttl: Ttl::from_seconds(6).unwrap(),
        renewable: false,
        last_renewal: None,
        batch: Some(batch),
    };
    let name = NameHash::from_slice(&[7; 16]).unwrap();
    for (shown, wanted) in [
        (
            hex::encode(key_of::<TokenRoles>(&name)),
            format!("0231{}", "07".repeat(16)),
        ),
        (hexed(TokenRoles::encode(&role())), "08011201721a01612201622a02632a3202642a380140014a01735001580260036a0a31302e302e302e302f3870047801".to_owned()),
        (
            hex::encode(key_of::<TokenLeases>(&chain)),
            format!("0232{names}"),
        ),
        (
            hexed(TokenLeases::encode(&hash)),
            format!("08011220{hashes}"),
        ),
        (
            hex::encode(key_of::<TokenPathTombstones>(&chain)),
            format!("0233{names}"),
        ),
        (
            hexed(TokenPathTombstones::encode(&UnixMillis::new(9))),
            "08011009".to_owned(),
        ),
        (hex::encode(key_of::<TokenTunings>(&())), "0234".to_owned()),
        (
            hexed(TokenTunings::encode(&tuning)),
            "080110011802".to_owned(),
        ),
        (hexed(Leases::encode(&lease)), format!(
                "08011201611a18{}2a20{hashes}300438054006a2012f0a20{hashes}1201701a016e20082809320172",
                "78".repeat(24)
            )),
        (
            hex::encode(key_of::<BatchLeases>(&(chain.clone(), chain.clone()))),
            format!("023f{names}{}{names}", "00".repeat(16)),
        ),
        (hex::encode(key_of::<RestoreMarks>(&())), "0240".to_owned()),
        (hex::encode(key_of::<RowCounts>(&49)), "024131".to_owned()),
        (hexed(RowCounts::encode(&9)), "08011009".to_owned()),
    ] {
        assert_eq!(shown, wanted);
    }
    assert_eq!(
        TokenRoles::decode(&TokenRoles::encode(&role())),
        Some(role())
    );
    assert_eq!(Leases::decode(&Leases::encode(&lease)), Some(lease));
}

#[test]
fn rows_of_this_company_come_back() {
    same::<RestoreMarks>(&(), &());
    same::<RowCounts>(&49, &u64::MAX);
    assert!(RowCounts::read_key(b"").is_none() && RowCounts::decode(b"\x08\x02").is_none());
    assert!(RestoreMarks::decode(b"x").is_none() && RestoreMarks::read_key(b"x").is_none());
    assert!(BatchLeases::decode(b"x").is_none());
}
