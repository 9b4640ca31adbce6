//! `sys/rotate/root/…`, `sys/rotate/recovery/…` and `sys/rekey…`: the rekey as the clients of Vault and of
//! OpenBao know it. The older names answer bare; `sys/rotate/…`, which OpenBao's command line calls, in
//! the envelope.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tenure_proto::v1::{self, RekeyTarget};

use super::{
    HttpCall,
    body::{Fields, Input},
    envelope::Reply,
    route::{Route, delete, read, write},
};
use crate::error::Error;

/// How an armored PGP key begins.
const ARMOR: &str = "-----BEGIN ";

/// Where an action on new shares is found: for those of the root key and of the recovery key, by
/// the names of today and the older ones.
macro_rules! shares {
    ($verb:ident, $action:literal) => {
        [
            $verb(concat!("/v1/sys/rotate/root/", $action)),
            $verb(concat!("/v1/sys/rotate/recovery/", $action)),
            $verb(concat!("/v1/sys/rekey/", $action)),
            $verb(concat!("/v1/sys/rekey-recovery-key/", $action)),
        ]
    };
}

/// Which shares a path is about.
fn target(input: &Input) -> i32 {
    if input.pattern.contains("recovery") {
        RekeyTarget::Recovery.into()
    } else {
        RekeyTarget::Root.into()
    }
}

/// An answer under the name by which it was asked for.
pub fn reply(fields: Value, input: &Input) -> Reply {
    let of_today = ["/v1/sys/rotate/", "/v1/sys/generate-root-token/"];
    match fields {
        Value::Object(fields) if of_today.iter().any(|path| input.pattern.starts_with(path)) => {
            Reply::data_and_fields(fields)
        }
        fields => Reply::bare(StatusCode::OK, fields),
    }
}

/// A key share: hex or base64.
pub fn share(fields: &mut Fields) -> Result<Vec<u8>, Error> {
    let key = fields.text("key")?;
    if key.is_empty() {
        return Err(Error::invalid_argument("key: missing"));
    }
    let share = hex::decode(&key).ok();
    share
        .or_else(|| STANDARD.decode(&key).ok())
        .ok_or_else(|| Error::invalid_argument("key: neither hex nor base64"))
}

/// OpenPGP public keys: in base64, several with commas between them, or armored.
pub fn pgp_keys(fields: &mut Fields, name: &'static str) -> Result<Vec<Vec<u8>>, Error> {
    let given = fields.texts(name)?;
    let keys = given.iter().flat_map(|text| {
        let armored = text.trim_start().starts_with(ARMOR);
        text.split(move |c| c == ',' && !armored)
    });
    keys.map(|key| pgp_key_of(key, name)).collect()
}

/// One of them; empty if none is given.
pub fn pgp_key(fields: &mut Fields, name: &'static str) -> Result<Vec<u8>, Error> {
    let key = fields.text(name)?;
    match key.is_empty() {
        true => Ok(Vec::new()),
        false => pgp_key_of(&key, name),
    }
}

fn pgp_key_of(text: &str, name: &str) -> Result<Vec<u8>, Error> {
    let text = text.trim();
    if text.starts_with(ARMOR) {
        return Ok(text.as_bytes().to_vec());
    }
    let key = STANDARD.decode(text).ok().filter(|key| !key.is_empty());
    key.ok_or_else(|| {
        let message = format!("{name}: a PGP key is given in base64, or armored");
        Error::invalid_argument(message)
    })
}

/// The nonce of a request without a body, too.
pub fn nonce(input: &mut Input) -> Result<String, Error> {
    let nonce = input.fields.text("nonce")?;
    Ok(match input.query.get("nonce") {
        Some(asked) if nonce.is_empty() => asked.to_owned(),
        _ => nonce,
    })
}

fn rekey_fields(status: Option<v1::RekeyStatus>) -> Value {
    let status = status.unwrap_or_default();
    json!({
        "started": status.started,
        "nonce": status.nonce,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
        "required": status.required,
        "pgp_fingerprints": fingerprints(&status),
        "backup": status.backup,
        "verification_required": status.verification_required,
        "verification_nonce": status.verification_nonce,
    })
}

/// `null` where shares are shown in the open.
fn fingerprints(status: &v1::RekeyStatus) -> Option<&[String]> {
    let fingerprints = status.pgp_fingerprints.as_slice();
    (!fingerprints.is_empty()).then_some(fingerprints)
}

fn proof_fields(status: Option<v1::RekeyVerificationStatus>) -> Value {
    let status = status.unwrap_or_default();
    json!({
        "started": status.started,
        "nonce": status.nonce,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
    })
}

impl HttpCall for v1::StartRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(write, "init");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        let target = target(input);
        let fields = &mut input.fields;
        let shares = fields.count("secret_shares")?.unwrap_or(0);
        let threshold = fields.count("secret_threshold")?.unwrap_or(0);
        if fields
            .count("stored_shares")?
            .is_some_and(|count| count > 1)
        {
            let message = "stored_shares: a provider keeps one key, which has no shares";
            return Err(Error::invalid_argument(message));
        }
        Ok(Self {
            target,
            shares,
            threshold,
            require_verification: fields.flag("require_verification")?.unwrap_or(false),
            pgp_keys: pgp_keys(fields, "pgp_keys")?,
            backup: fields.flag("backup")?.unwrap_or(false),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(rekey_fields(answer.status), input)
    }
}

impl HttpCall for v1::GetRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(read, "init");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(rekey_fields(answer.status), input)
    }
}

impl HttpCall for v1::UpdateRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(write, "update");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
            nonce: nonce(input)?,
            share: share(&mut input.fields)?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        if !answer.complete {
            return reply(rekey_fields(answer.status), input);
        }
        let status = answer.status.unwrap_or_default();
        let hex: Vec<String> = answer.shares.iter().map(hex::encode).collect();
        let base64: Vec<String> = answer.shares.iter().map(|s| STANDARD.encode(s)).collect();
        let mut fields = json!({
            "nonce": status.nonce,
            "complete": true,
            "keys": hex,
            "keys_base64": base64,
            "pgp_fingerprints": fingerprints(&status),
            "backup": status.backup,
            "verification_required": status.verification_required,
            "verification_nonce": status.verification_nonce,
        });
        if answer.in_doubt {
            fields["in_doubt"] = true.into();
        }
        reply(fields, input)
    }
}

impl HttpCall for v1::CancelRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(delete, "init");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
            nonce: nonce(input)?,
        })
    }
}

impl HttpCall for v1::GetRekeyVerificationRequest {
    const ROUTES: &'static [Route] = &shares!(read, "verify");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(proof_fields(answer.status), input)
    }
}

impl HttpCall for v1::VerifyRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(write, "verify");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
            nonce: nonce(input)?,
            share: share(&mut input.fields)?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        if !answer.complete {
            return reply(proof_fields(answer.status), input);
        }
        let nonce = answer.status.unwrap_or_default().nonce;
        reply(json!({ "nonce": nonce, "complete": true }), input)
    }
}

impl HttpCall for v1::ResetRekeyVerificationRequest {
    const ROUTES: &'static [Route] = &shares!(delete, "verify");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
            nonce: nonce(input)?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(proof_fields(answer.status), input)
    }
}

impl HttpCall for v1::GetRekeyBackupRequest {
    const ROUTES: &'static [Route] = &[
        read("/v1/sys/rotate/root/backup"),
        read("/v1/sys/rotate/recovery/backup"),
        read("/v1/sys/rekey/backup"),
        read("/v1/sys/rekey/recovery-key-backup"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
        })
    }

    /// By fingerprint: somebody may hold several shares.
    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let (mut hex, mut base64) = (Map::new(), Map::new());
        let add = |to: &mut Map<String, Value>, fingerprint: &str, text: String| {
            let shares = to.entry(fingerprint).or_insert_with(|| json!([]));
            if let Value::Array(shares) = shares {
                shares.push(text.into());
            }
        };
        for share in &answer.shares {
            add(
                &mut hex,
                &share.pgp_fingerprint,
                hex::encode(&share.message),
            );
            add(
                &mut base64,
                &share.pgp_fingerprint,
                STANDARD.encode(&share.message),
            );
        }
        let fields = json!({ "nonce": answer.nonce, "keys": hex, "keys_base64": base64 });
        reply(fields, input)
    }
}

impl HttpCall for v1::DeleteRekeyBackupRequest {
    const ROUTES: &'static [Route] = &[
        delete("/v1/sys/rotate/root/backup"),
        delete("/v1/sys/rotate/recovery/backup"),
        delete("/v1/sys/rekey/backup"),
        delete("/v1/sys/rekey/recovery-key-backup"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            target: target(input),
        })
    }
}
