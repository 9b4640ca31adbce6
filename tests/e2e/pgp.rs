//! Shares and root tokens under OpenPGP keys: through the command line and over HTTP, from init to a
//! root token, opened here with the private keys of their holders.

use base64::{Engine, engine::general_purpose::STANDARD};
use pgp::composed::{
    ArmorOptions, EncryptionCaps, KeyType, Message, SecretKeyParamsBuilder, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::ser::Serialize;
use pgp::types::KeyDetails;
use rand_core::OsRng;
use serde_json::{Value, json};
use tenure_client::Secret;
use tenure_tests::server_cluster::{Keys, Outcome, ServerCluster, ServerOptions};

use crate::http_client::Http;
use crate::program::User;
use crate::{ensure, run, text};

/// Somebody with a key pair.
struct Holder {
    pair: SignedSecretKey,
    binary: Vec<u8>,
    armored: Vec<u8>,
}

impl Holder {
    fn new() -> Outcome<Self> {
        let mut subkey = SubkeyParamsBuilder::default();
        let subkey = subkey
            .key_type(KeyType::ECDH(ECCCurve::Curve25519Legacy))
            .can_encrypt(EncryptionCaps::All)
            .build();
        let mut params = SecretKeyParamsBuilder::default();
        let params = params
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .primary_user_id("holder <holder@example.com>".into())
            .subkeys(vec![subkey.map_err(text)?])
            .build();
        let pair = params.map_err(text)?.generate(OsRng).map_err(text)?;
        let public = pair.to_public_key();
        let mut binary = Vec::new();
        public.to_writer(&mut binary).map_err(text)?;
        let armored = public.to_armored_bytes(ArmorOptions::default());
        Ok(Self {
            pair,
            binary,
            armored: armored.map_err(text)?,
        })
    }

    fn fingerprint(&self) -> String {
        format!("{:x}", self.pair.fingerprint())
    }

    fn base64(&self) -> String {
        STANDARD.encode(&self.binary)
    }

    /// What a message says, which is given in base64.
    fn open(&self, message: &Value) -> Outcome<Vec<u8>> {
        let message = message.as_str().ok_or("no message")?;
        let message = STANDARD.decode(message).map_err(text)?;
        let message = Message::from_bytes(message.as_slice()).map_err(text)?;
        let mut opened = message.decrypt(&"".into(), &self.pair).map_err(text)?;
        opened.as_data_vec().map_err(text)
    }

    /// The share that a message holds.
    fn share(&self, message: &Value) -> Outcome<Vec<u8>> {
        hex::decode(self.open(message)?).map_err(text)
    }

    fn token(&self, message: &Value) -> Outcome<Secret> {
        let token = String::from_utf8(self.open(message)?).map_err(text)?;
        Ok(Secret::new(token))
    }
}

fn shares(holders: &[Holder], messages: &Value) -> Outcome<Vec<Vec<u8>>> {
    let messages = messages.as_array().ok_or("no messages")?;
    ensure(messages.len() == holders.len(), || format!("{messages:?}"))?;
    let pairs = holders.iter().zip(messages);
    pairs
        .map(|(holder, message)| holder.share(message))
        .collect()
}

/// A cluster is made, its shares are made anew and a root token is made, all under PGP keys; what was
/// shown opens with the private keys alone, and works. The kept shares are those that were shown, until
/// they are deleted.
#[test]
fn shares_and_tokens_under_pgp_keys() {
    run("pgp::shares_and_tokens_under_pgp_keys", async |scenario| {
        let mut cluster =
            ServerCluster::spawn(scenario.dir(), &scenario.logs(), ServerOptions::new(1)?).await?;
        let holders = [Holder::new()?, Holder::new()?, Holder::new()?];
        let files: Vec<String> = (0..3)
            .map(|index| {
                scenario
                    .dir()
                    .join(format!("{index}.key"))
                    .display()
                    .to_string()
            })
            .collect();
        std::fs::write(&files[0], &holders[0].binary).map_err(text)?;
        std::fs::write(&files[1], &holders[1].armored).map_err(text)?;
        std::fs::write(&files[2], holders[2].base64()).map_err(text)?;
        let ca = scenario.dir().join("ca.pem");
        std::fs::write(&ca, cluster.authority.pem()).map_err(text)?;
        let address = cluster.node(0)?.url();
        let user = |token: Option<&Secret>| User {
            home: scenario.dir(),
            address: address.clone(),
            ca: Some(ca.display().to_string()),
            token: token.map(|token| token.expose().to_owned()),
        };
        let list = format!("-pgp-keys={}", files.join(","));
        let anyone = user(None);
        for bad in ["-pgp-keys=keybase:somebody", "-pgp-keys=/nonexistent"] {
            let code = anyone.code(&["operator", "init", bad])?;
            ensure(code == Some(1), || format!("{bad}: {code:?}"))?;
        }
        let few = anyone.code(&["operator", "init", "-n", "4", &list])?;
        ensure(few == Some(2), || {
            format!("four shares, three keys: {few:?}")
        })?;
        let of_token = format!("-root-token-pgp-key={}", files[1]);
        let init = [
            "operator",
            "init",
            "-n",
            "3",
            "-t",
            "2",
            &list,
            &of_token,
            "-format=json",
        ];
        let made: Value = serde_json::from_str(&anyone.good(&init)?).map_err(text)?;
        let root = holders[1].token(&made["root_token"])?;
        let keys = Keys {
            shares: shares(&holders, &made["unseal_keys_b64"])?,
            threshold: 2,
            root: root.clone(),
        };
        cluster.node(0)?.unseal(&keys.shares[1..]).await?;
        cluster.keys = Some(keys.clone());
        cluster.wait_active().await?;
        cluster.node(0)?.accepts(&root).await?;
        scenario.say("opened by what its holders decrypted");

        let admin = user(Some(&root));
        let new = rekey(&admin, &keys, &holders, &list)?;
        cluster.node_mut(0)?.kill();
        cluster.restart(0).await?;
        cluster.node(0)?.unseal(&new.shares[..2]).await?;
        cluster.keys = Some(new.clone());
        cluster.wait_active().await?;
        by_http(&cluster, &new, &holders).await
    });
}

/// By the command line, with a backup.
fn rekey(admin: &User<'_>, keys: &Keys, holders: &[Holder], list: &str) -> Outcome<Keys> {
    let none = admin.code(&["operator", "rekey", "-backup-retrieve"])?;
    ensure(none == Some(2), || format!("no backup yet: {none:?}"))?;
    let begun = [
        "operator", "rekey", "-init", "-n", "3", "-t", "2", list, "-backup",
    ];
    let begun = admin.good(&[&begun[..], &["-format=json"]].concat())?;
    let begun: Value = serde_json::from_str(&begun).map_err(text)?;
    let fingerprints: Vec<String> = holders.iter().map(Holder::fingerprint).collect();
    ensure(
        begun["pgp_fingerprints"] == json!(fingerprints) && begun["backup"] == true,
        || begun.to_string(),
    )?;
    let mut answer = Value::Null;
    for share in keys.quorum() {
        let none = admin.code(&["operator", "rekey", "-backup-retrieve"])?;
        ensure(none == Some(2), || {
            format!("a backup before its time: {none:?}")
        })?;
        let given = ["operator", "rekey", "-format=json", "-"];
        let given = admin.good_with(&given, &hex::encode(share))?;
        answer = serde_json::from_str(&given).map_err(text)?;
    }
    let new = shares(holders, &answer["keys_base64"])?;
    let kept = admin.good(&["operator", "rekey", "-backup-retrieve", "-format=json"])?;
    let kept: Value = serde_json::from_str(&kept).map_err(text)?;
    ensure(kept["nonce"] == begun["nonce"], || kept.to_string())?;
    for (index, fingerprint) in fingerprints.iter().enumerate() {
        let kept = &kept["keys_base64"][fingerprint];
        ensure(*kept == json!([answer["keys_base64"][index]]), || {
            format!("{fingerprint}: {kept}")
        })?;
    }
    admin.good(&["operator", "rekey", "-backup-delete"])?;
    let none = admin.code(&["operator", "rekey", "-backup-retrieve"])?;
    ensure(none == Some(2), || format!("deleted: {none:?}"))?;
    Ok(Keys {
        shares: new,
        ..keys.clone()
    })
}

/// Over HTTP: what is refused, a rekey that is proven with decrypted shares, and a root token.
async fn by_http(cluster: &ServerCluster, keys: &Keys, holders: &[Holder]) -> Outcome<()> {
    let mut http = Http::to(cluster, 0, keys.root.expose()).await?;
    let good = holders[0].base64();
    let split = |more: Value| {
        let mut body = json!({"secret_shares": 1, "secret_threshold": 1});
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        body.to_string()
    };
    for bad in [
        json!({"pgp_keys": [good, good]}),
        json!({"pgp_keys": ["not base64!"]}),
        json!({"pgp_keys": [STANDARD.encode("garbage")]}),
        json!({"pgp_keys": [STANDARD.encode(vec![0x99; 40_000])]}),
        json!({"backup": true}),
    ] {
        let body = split(bad);
        http.ask("PUT", "sys/rotate/root/init", &body)
            .await?
            .must_be(400)?;
    }
    for path in [
        "sys/rekey/backup",
        "sys/rotate/root/backup",
        "sys/rotate/recovery/backup",
    ] {
        http.ask("GET", path, "").await?.must_be(404)?;
    }

    let armored = String::from_utf8(holders[0].armored.clone()).map_err(text)?;
    let body = split(json!({"pgp_keys": [armored], "backup": true, "require_verification": true}));
    let begun = http
        .ask("PUT", "sys/rekey/init", &body)
        .await?
        .must_be(200)?;
    let nonce = begun.text("/nonce")?;
    let mut answer = Value::Null;
    for share in keys.quorum() {
        let body = json!({"nonce": nonce, "key": hex::encode(share)}).to_string();
        let given = http.ask("PUT", "sys/rekey/update", &body).await?;
        answer = given.must_be(200)?.json();
    }
    ensure(
        answer["pgp_fingerprints"] == json!([holders[0].fingerprint()]) && answer["backup"] == true,
        || answer.to_string(),
    )?;
    // Not in force, and so not kept either.
    http.ask("GET", "sys/rekey/backup", "")
        .await?
        .must_be(404)?;
    let new = holders[0].share(&answer["keys_base64"][0])?;
    let body = json!({"nonce": answer["verification_nonce"], "key": hex::encode(&new)});
    let proven = http
        .ask("PUT", "sys/rekey/verify", &body.to_string())
        .await?;
    ensure(proven.must_be(200)?.json()["complete"] == true, || {
        "not proven".into()
    })?;
    let kept = http
        .ask("GET", "sys/rotate/root/backup", "")
        .await?
        .must_be(200)?
        .json();
    let fingerprint = holders[0].fingerprint();
    ensure(
        kept["data"]["keys"][&fingerprint] == answer["keys"]
            && kept["data"]["keys_base64"][&fingerprint] == answer["keys_base64"],
        || kept.to_string(),
    )?;
    http.ask("DELETE", "sys/rekey/backup", "")
        .await?
        .must_be(204)?;
    http.ask("DELETE", "sys/rekey/backup", "")
        .await?
        .must_be(204)?;
    http.ask("GET", "sys/rekey/backup", "")
        .await?
        .must_be(404)?;

    let otp = "0".repeat(28);
    let attempt = "sys/generate-root/attempt";
    for bad in [
        json!({"pgp_key": "garbage"}),
        json!({"pgp_key": good, "otp": otp}),
    ] {
        http.ask("PUT", attempt, &bad.to_string())
            .await?
            .must_be(400)?;
    }
    let body = json!({"pgp_key": good}).to_string();
    let begun = http.ask("PUT", attempt, &body).await?.must_be(200)?.json();
    ensure(
        begun["pgp_fingerprint"] == fingerprint && begun["otp"] == "",
        || begun.to_string(),
    )?;
    let body = json!({"nonce": begun["nonce"], "key": hex::encode(&new)}).to_string();
    let made = http.ask("PUT", "sys/generate-root/update", &body).await?;
    let token = holders[0].token(&made.must_be(200)?.json()["encoded_token"])?;
    cluster.node(0)?.accepts(&token).await
}
