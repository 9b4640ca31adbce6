//! `sys/rotate…`, `sys/rekey…`, `sys/generate-root…` and `sys/key-status`: KeyService as the clients of
//! Vault and of OpenBao know it. The older names answer bare; `sys/rotate/…` and
//! `sys/generate-root-token/…`, which OpenBao's command line calls, in the envelope.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tenure_proto::v1::{self, RekeyTarget};
use tonic::Code;

use super::{
    HttpCall,
    body::{Fields, Input},
    envelope::Reply,
    route::{Route, delete, read, write},
    time,
};
use crate::error::Error;

const BACKUPS: [&str; 4] = [
    "/v1/sys/rekey/backup",
    "/v1/sys/rekey/recovery-key-backup",
    "/v1/sys/rotate/root/backup",
    "/v1/sys/rotate/recovery/backup",
];

/// Where an action on new shares is found: for those of the root key and of the recovery key, by
/// the names of today and the older ones.
macro_rules! shares {
    ($verb:ident, $action:literal $(, $more:expr)* $(,)?) => {
        [
            $verb(concat!("/v1/sys/rotate/root/", $action)),
            $verb(concat!("/v1/sys/rotate/recovery/", $action)),
            $verb(concat!("/v1/sys/rekey/", $action)),
            $verb(concat!("/v1/sys/rekey-recovery-key/", $action)),
            $($more),*
        ]
    };
}

/// Where an action on a root token is found, by both names.
macro_rules! root_token {
    ($verb:ident, $action:literal) => {
        [
            $verb(concat!("/v1/sys/generate-root/", $action)),
            $verb(concat!("/v1/sys/generate-root-token/", $action)),
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
fn reply(fields: Value, input: &Input) -> Reply {
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

/// Nobody must get bare shares who asked for encrypted ones.
pub fn no_pgp(fields: &mut Fields, keys: &'static str, shares: Option<u32>) -> Result<(), Error> {
    let mut given = fields.texts(keys)?;
    given.retain(|key| !key.is_empty());
    let keys_given = given.len();
    if keys_given == 0 {
        return Ok(());
    }
    let message = match shares {
        Some(shares) if u32::try_from(keys_given) != Ok(shares) => {
            format!("{keys}: there must be one for each share")
        }
        _ => format!("{keys}: shares encrypted with PGP are not offered"),
    };
    Err(Error::invalid_argument(message))
}

/// The nonce of a request without a body, too.
fn nonce(input: &mut Input) -> Result<String, Error> {
    let nonce = input.fields.text("nonce")?;
    Ok(match input.query.get("nonce") {
        Some(asked) if nonce.is_empty() => asked.to_owned(),
        _ => nonce,
    })
}

impl HttpCall for v1::RotateRequest {
    const ROUTES: &'static [Route] = &[write("/v1/sys/rotate"), write("/v1/sys/rotate/keyring")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }
}

impl HttpCall for v1::GetKeyStatusRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/key-status")];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, _input: &Input) -> Reply {
        Reply::data_and_fields(Map::from_iter([
            ("term".to_owned(), answer.term.into()),
            (
                "install_time".to_owned(),
                time(answer.install_time.as_ref()),
            ),
        ]))
    }
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
        "pgp_fingerprints": null,
        "backup": false,
        "verification_required": status.verification_required,
        "verification_nonce": status.verification_nonce,
    })
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
        no_pgp(fields, "pgp_keys", Some(shares))?;
        if fields.flag("backup")?.unwrap_or(false) {
            let message = "backup: only shares encrypted with PGP could be kept, and they are not \
                 offered";
            return Err(Error::invalid_argument(message));
        }
        if fields
            .count("stored_shares")?
            .is_some_and(|count| count > 0)
        {
            return Err(Error::invalid_argument("stored_shares: none are stored"));
        }
        Ok(Self {
            target,
            shares,
            threshold,
            require_verification: fields.flag("require_verification")?.unwrap_or(false),
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(rekey_fields(answer.status), input)
    }
}

impl HttpCall for v1::GetRekeyRequest {
    const ROUTES: &'static [Route] = &shares!(
        read,
        "init",
        read(BACKUPS[0]),
        read(BACKUPS[1]),
        read(BACKUPS[2]),
        read(BACKUPS[3]),
    );

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        if BACKUPS.contains(&input.pattern) {
            let message = "no shares are kept: only shares encrypted with PGP could be, and they are \
                 not offered";
            return Err(Error::new(Code::NotFound, "NO_ROUTE", message));
        }
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
            "pgp_fingerprints": null,
            "backup": false,
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

fn root_fields(status: Option<v1::GenerateRootStatus>) -> Value {
    let status = status.unwrap_or_default();
    json!({
        "started": status.started,
        "nonce": status.nonce,
        "progress": status.progress,
        "required": status.required,
        "complete": false,
        "encoded_token": "",
        "encoded_root_token": "",
        "pgp_fingerprint": "",
        "otp": "",
        "otp_length": status.otp_length,
    })
}

impl HttpCall for v1::StartGenerateRootRequest {
    const ROUTES: &'static [Route] = &root_token!(write, "attempt");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        no_pgp(&mut input.fields, "pgp_key", None)?;
        Ok(Self {
            otp: input.fields.text("otp")?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let mut fields = root_fields(answer.status);
        fields["otp"] = answer.otp.into();
        reply(fields, input)
    }
}

impl HttpCall for v1::GetGenerateRootRequest {
    const ROUTES: &'static [Route] = &root_token!(read, "attempt");

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(root_fields(answer.status), input)
    }
}

impl HttpCall for v1::UpdateGenerateRootRequest {
    const ROUTES: &'static [Route] = &root_token!(write, "update");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            nonce: nonce(input)?,
            share: share(&mut input.fields)?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let mut fields = root_fields(answer.status);
        fields["complete"] = answer.complete.into();
        fields["encoded_root_token"] = answer.encoded_token.clone().into();
        fields["encoded_token"] = answer.encoded_token.into();
        reply(fields, input)
    }
}

impl HttpCall for v1::CancelGenerateRootRequest {
    const ROUTES: &'static [Route] = &root_token!(delete, "attempt");

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            nonce: nonce(input)?,
        })
    }
}
