//! `sys/generate-root/…`: root tokens that a quorum makes. `sys/generate-root-token/…`, which OpenBao's
//! command line calls, is the same in the envelope.

use serde_json::{Value, json};
use tenure_proto::v1;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    keys::{nonce, pgp_key, reply, share},
    route::{Route, delete, read, write},
};
use crate::error::Error;

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
        "pgp_fingerprint": status.pgp_fingerprint,
        "otp": "",
        "otp_length": status.otp_length,
    })
}

impl HttpCall for v1::StartGenerateRootRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/generate-root/attempt"),
        write("/v1/sys/generate-root-token/attempt"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            otp: input.fields.text("otp")?,
            pgp_key: pgp_key(&mut input.fields, "pgp_key")?,
        })
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        let mut fields = root_fields(answer.status);
        fields["otp"] = answer.otp.into();
        reply(fields, input)
    }
}

impl HttpCall for v1::GetGenerateRootRequest {
    const ROUTES: &'static [Route] = &[
        read("/v1/sys/generate-root/attempt"),
        read("/v1/sys/generate-root-token/attempt"),
    ];

    fn from_http(_input: &mut Input) -> Result<Self, Error> {
        Ok(Self {})
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        reply(root_fields(answer.status), input)
    }
}

impl HttpCall for v1::UpdateGenerateRootRequest {
    const ROUTES: &'static [Route] = &[
        write("/v1/sys/generate-root/update"),
        write("/v1/sys/generate-root-token/update"),
    ];

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
    const ROUTES: &'static [Route] = &[
        delete("/v1/sys/generate-root/attempt"),
        delete("/v1/sys/generate-root-token/attempt"),
    ];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        Ok(Self {
            nonce: nonce(input)?,
        })
    }
}
