//! The tables of mounts and secrets: round trips, and bytes that never change.

use super::*;
use crate::{
    barrier::NameHash,
    types::{MountId, limits::TTL_SECONDS_MAX},
};

fn id(byte: u8) -> MountId {
    MountId::from_slice(&[byte; 16]).unwrap()
}

fn name(byte: u8) -> NameHash {
    NameHash::from_slice(&[byte; 16]).unwrap()
}

fn mount() -> MountRecord {
    MountRecord {
        path: Path::parse("a/b").unwrap(),
        id: id(1),
        accessor: "kv_1".into(),
        description: "d".into(),
        default_ttl: Ttl::from_seconds(2).ok(),
        max_ttl: Ttl::from_seconds(3).ok(),
        created: UnixMillis::new(4),
        engine: Engine::Kv(KvEngine::V2),
        moved_from: Path::parse("c").ok(),
    }
}

fn metadata() -> KvMetadataRecord {
    KvMetadataRecord {
        created: UnixMillis::new(1),
        updated: UnixMillis::new(2),
        current: 4,
        oldest: 3,
        versions: vec![KvVersionInfo {
            version: 4,
            created: UnixMillis::new(5),
            deletion: Some(UnixMillis::new(6)),
            destroyed: true,
        }],
        max_versions: Some(7),
        cas_required: true,
        delete_after: Ttl::from_seconds(8).ok(),
        custom: Meta::new([("k".into(), "v".into())]).unwrap(),
    }
}

fn config() -> KvConfigRecord {
    KvConfigRecord {
        max_versions: Some(1),
        cas_required: true,
        delete_after: Ttl::from_seconds(2).ok(),
    }
}

fn cubbyhole() -> CubbyholeRecord {
    let secret = ("a/b".to_owned(), Secret::new(b"{}".to_vec()));
    CubbyholeRecord {
        secrets: [secret].into(),
    }
}

fn secret() -> SecretRecord {
    SecretRecord {
        data: Secret::new(b"{}".to_vec()),
        written: UnixMillis::new(1),
    }
}

fn secret_name() -> SecretNameRecord {
    SecretNameRecord {
        name: "n".into(),
        secret: true,
        folder: true,
    }
}

fn name_key() -> SecretNameKey {
    SecretNameKey {
        mount: id(1),
        folder: name(2),
        name: name(3),
    }
}

#[test]
fn rows_come_back() {
    let token = TokenHash::from_slice(&[9; 32]).unwrap();
    same::<Mounts>(&(), &vec![mount()]);
    same::<Mounts>(&(), &Vec::new());
    same::<SecretNames>(&name_key(), &secret_name());
    same::<Secrets>(&(id(1), name(2)), &secret());
    same::<KvMetadatas>(&(id(1), name(2)), &metadata());
    same::<KvVersions>(&((id(1), name(2)), u64::MAX), &secret().data);
    same::<KvConfigs>(&id(1), &config());
    same::<KvConfigs>(&id(1), &KvConfigRecord::default());
    same::<Cubbyholes>(&token, &cubbyhole());
}

#[test]
fn what_is_not_whole_is_refused() {
    use prost::Message;
    use tenure_proto::state as proto;
    // A mount without an engine is of a newer version, not of none.
    let none = proto::Mounts {
        format: 1,
        mounts: vec![proto::Mount {
            path: "a".into(),
            id: vec![1; 16],
            ..Default::default()
        }],
    };
    assert!(Mounts::decode(&none.encode_to_vec()).is_none());
    let neither = proto::SecretName {
        format: 1,
        name: "n".into(),
        ..Default::default()
    };
    assert!(SecretNames::decode(&neither.encode_to_vec()).is_none());
    let long = proto::KvConfig {
        format: 1,
        delete_version_after_s: Some(TTL_SECONDS_MAX + 1),
        ..Default::default()
    };
    assert!(KvConfigs::decode(&long.encode_to_vec()).is_none());
    for newer in [vec![8, 2], Vec::new()] {
        assert!(Mounts::decode(&newer).is_none() && Secrets::decode(&newer).is_none());
        assert!(KvMetadatas::decode(&newer).is_none() && KvVersions::decode(&newer).is_none());
        assert!(KvConfigs::decode(&newer).is_none() && Cubbyholes::decode(&newer).is_none());
    }
}

#[test]
fn the_bytes_of_secrets_are_frozen() {
    let never_moved = MountRecord {
        moved_from: None,
        ..mount()
    };
    let frozen = [
        (
            Mounts::encode(&vec![mount()]),
            "0801122d0a03612f621210010101010101010101010101010101011a046b765f31220164280230033804420208024a0163",
        ),
        (
            Mounts::encode(&vec![never_moved]),
            "0801122a0a03612f621210010101010101010101010101010101011a046b765f3122016428023003380442020802",
        ),
        (SecretNames::encode(&secret_name()), "080112016e18012001"),
        (Secrets::encode(&secret()), "080112027b7d1801"),
        (
            KvMetadatas::encode(&metadata()),
            "080110011802200428033208080410051806200138074001480852060a016b120176",
        ),
        (KvVersions::encode(&secret().data), "080112027b7d"),
        (KvConfigs::encode(&config()), "0801100118012002"),
        (
            Cubbyholes::encode(&cubbyhole()),
            "080112090a03612f6212027b7d",
        ),
    ];
    for (encoded, expected) in frozen {
        assert_eq!(hex::encode(encoded.as_slice()), expected);
    }
    let (one, two, three) = ("01".repeat(16), "02".repeat(16), "03".repeat(16));
    let token = TokenHash::from_slice(&[9; 32]).unwrap();
    let secret = (id(1), name(2));
    let keys = [
        (key_of::<Mounts>(&()), "0228".to_owned()),
        (
            key_of::<SecretNames>(&name_key()),
            format!("0229{one}{two}{three}"),
        ),
        (key_of::<Secrets>(&secret), format!("022a{one}{two}")),
        (key_of::<KvMetadatas>(&secret), format!("022b{one}{two}")),
        (
            key_of::<KvVersions>(&(secret, 5)),
            format!("022c{one}{two}0000000000000005"),
        ),
        (key_of::<KvConfigs>(&id(1)), format!("022d{one}")),
        (
            key_of::<Cubbyholes>(&token),
            format!("022e{}", "09".repeat(32)),
        ),
    ];
    for (key, expected) in keys {
        assert_eq!(hex::encode(key), expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_of_secrets_panic(bytes: Vec<u8>) {
        let _ = (Mounts::decode(&bytes), SecretNames::decode(&bytes), Secrets::decode(&bytes));
        let _ = (KvMetadatas::decode(&bytes), KvVersions::decode(&bytes));
        let _ = (KvConfigs::decode(&bytes), Cubbyholes::decode(&bytes));
        let _ = (SecretNames::read_key(&bytes), Secrets::read_key(&bytes));
        let _ = (KvVersions::read_key(&bytes), KvConfigs::read_key(&bytes));
    }
}
