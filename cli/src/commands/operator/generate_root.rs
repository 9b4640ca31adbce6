//! `tenure operator generate-root`: a root token made by the holders of the unseal keys.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use clap::Args;
use serde::Serialize;
use tenure_client::{
    Client, Secret,
    proto::{GenerateRootStatus, StartGenerateRootRequest},
};
use tenure_core::types::TokenId;
use zeroize::Zeroizing;

use super::{
    super::{CommonArgs, Context},
    key_share, pgp_key,
};
use crate::{
    failure::{Failure, code},
    output::{Report, key_values},
    secret_input::Source,
};

/// What the prompt asks for.
const WHAT: &str = "Unseal Key";
/// What hides the token.
const OTP: &str = "the one-time password";
/// Characters of a token, and so of a one-time password.
const OTP_CHARS: usize = TokenId::ISSUED_CHARS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Flags of `tenure operator generate-root`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GenerateRootArgs {
    /// Where the key is: - for standard input, @file for a file. Not given: it is asked for on
    /// the terminal, without being shown
    #[arg(value_name = "-|@FILE")]
    key: Option<String>,

    /// Begin
    #[arg(long, conflicts_with_all = ["cancel", "status", "decode", "generate_otp", "key"])]
    init: bool,

    /// Give it up
    #[arg(long, conflicts_with_all = ["status", "decode", "generate_otp", "key"])]
    cancel: bool,

    /// Show how far it is
    #[arg(long, conflicts_with_all = ["decode", "generate_otp", "key"])]
    status: bool,

    /// Show the token of this answer, with -otp. Needs no server
    #[arg(long, value_name = "ENCODED", conflicts_with_all = ["generate_otp", "key"])]
    decode: Option<String>,

    /// Make a one-time password. Needs no server
    #[arg(long, conflicts_with = "key")]
    generate_otp: bool,

    /// Where the one-time password is: - for standard input, @file for a file. With -init: not
    /// given, the server makes one and shows it
    #[arg(long, value_name = "-|@FILE")]
    otp: Option<String>,

    /// With -init: file of a PGP public key (binary, base64 or armored) that the token is encrypted
    /// to, in the place of a one-time password
    #[arg(long, value_name = "FILE", requires = "init", conflicts_with = "otp")]
    pgp_key: Option<String>,

    /// Names the attempt, as -init showed it. Not given: that of the attempt under way
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// The keys of Vault's generate-root status.
#[derive(Serialize)]
struct Body {
    started: bool,
    nonce: String,
    progress: u32,
    required: u32,
    complete: bool,
    otp: String,
    otp_length: u32,
    encoded_token: String,
    pgp_fingerprint: String,
}

#[derive(Serialize)]
struct TokenBody {
    token: String,
}

pub(crate) async fn run(args: GenerateRootArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    args.common.output.format(context.env)?;
    if args.generate_otp {
        let otp = new_otp()?;
        context.console.line(&otp)?;
        return Ok(code::OK);
    }
    if let Some(encoded) = &args.decode {
        let otp = read_otp(&args, context).await?.unwrap_or(Secret::new(""));
        let token = decode(encoded, &otp)?;
        let table = format!("{}\n", token.as_str());
        let body = TokenBody {
            token: token.to_string(),
        };
        let report = Report::flat(table, body)?;
        args.common
            .output
            .show(&report, context.env, context.console)?;
        return Ok(code::OK);
    }
    let client = context.client(&args.common)?;
    if args.init {
        let otp = read_otp(&args, context).await?;
        let request = StartGenerateRootRequest {
            otp: otp.map_or_else(String::new, |otp| otp.expose().to_owned()),
            pgp_key: match &args.pgp_key {
                Some(file) => pgp_key::read(file)?,
                None => Vec::new(),
            },
        };
        let started = client.start_generate_root_with(request).await;
        let started =
            started.map_err(|error| Failure::call("initializing root generation", &error))?;
        let otp = Zeroizing::new(started.otp);
        return show(
            &args,
            &started.status.unwrap_or_default(),
            &otp,
            None,
            context,
        );
    }
    if args.cancel {
        let nonce = args.nonce.as_deref().unwrap_or_default();
        let cancelled = client.cancel_generate_root(nonce).await;
        cancelled.map_err(|error| Failure::call("canceling root token generation", &error))?;
        context
            .console
            .line("Success! Root token generation canceled (if it was started)")?;
        return Ok(code::OK);
    }
    if args.status {
        let status = status(&client).await?;
        return show(&args, &status, "", None, context);
    }
    update(&args, &client, context).await
}

async fn status(client: &Client) -> Result<GenerateRootStatus, Failure> {
    let status = client.generate_root_status().await;
    status.map_err(|error| Failure::call("getting root generation status", &error))
}

async fn update(
    args: &GenerateRootArgs,
    client: &Client,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let nonce = match &args.nonce {
        Some(nonce) => nonce.clone(),
        None => {
            let status = status(client).await?;
            if !status.started {
                return Err(Failure::local(
                    "Error: no root generation is in progress. Begin one with \
                     \"tenure operator generate-root -init\"",
                ));
            }
            key_share::nonce_of(status.nonce)?
        }
    };
    let share = key_share::read(args.key.as_deref(), WHAT, context).await?;
    let answer = client.update_generate_root(&nonce, &share).await;
    let answer = answer.map_err(|error| Failure::call("posting unseal key", &error))?;
    let encoded = answer.complete.then_some(answer.encoded_token.as_str());
    show(
        args,
        &answer.status.unwrap_or_default(),
        "",
        encoded,
        context,
    )
}

async fn read_otp(
    args: &GenerateRootArgs,
    context: &mut Context<'_>,
) -> Result<Option<Secret>, Failure> {
    match &args.otp {
        Some(source) => {
            let source = Source::parse(source, OTP)?;
            source.read(OTP, context.console).await.map(Some)
        }
        None if args.decode.is_some() => Err(Failure::local(
            "Error: -decode needs the one-time password: -otp",
        )),
        None => Ok(None),
    }
}

/// A new one-time password, of the system's randomness.
fn new_otp() -> Result<Zeroizing<String>, Failure> {
    let mut otp = Zeroizing::new(String::with_capacity(OTP_CHARS));
    let mut bytes = Zeroizing::new([0; 64]);
    while otp.len() < OTP_CHARS {
        rustix::rand::getrandom(bytes.as_mut_slice(), rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Failure::local(format!("Error making a password: {error}")))?;
        // Four times 62: what lies above would make some characters more frequent.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
        for letter in letters.take(OTP_CHARS - otp.len()) {
            otp.push(char::from(*letter));
        }
    }
    Ok(otp)
}

/// The token that an answer hides.
fn decode(encoded: &str, otp: &Secret) -> Result<Zeroizing<String>, Failure> {
    let bad = |why: &str| Failure::local(format!("Error decoding the root token: {why}"));
    let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('='));
    let bytes = Zeroizing::new(bytes.map_err(|_| bad("it isn't base64"))?);
    let otp = otp.expose().as_bytes();
    if otp.len() != bytes.len() {
        return Err(bad("the one-time password has another length"));
    }
    let token: Vec<u8> = bytes.iter().zip(otp).map(|(a, b)| a ^ b).collect();
    let token = String::from_utf8(token).map_err(|_| bad("the one-time password is wrong"))?;
    Ok(Zeroizing::new(token))
}

fn show(
    args: &GenerateRootArgs,
    status: &GenerateRootStatus,
    otp: &str,
    encoded: Option<&str>,
    context: &mut Context<'_>,
) -> Result<u8, Failure> {
    let body = Body {
        started: status.started,
        nonce: status.nonce.clone(),
        progress: status.progress,
        required: status.required,
        complete: encoded.is_some(),
        otp: otp.to_owned(),
        otp_length: status.otp_length,
        encoded_token: encoded.unwrap_or_default().to_owned(),
        pgp_fingerprint: status.pgp_fingerprint.clone(),
    };
    let mut rows = vec![
        ("Nonce", body.nonce.clone()),
        ("Started", body.started.to_string()),
        ("Progress", format!("{}/{}", body.progress, body.required)),
        ("Complete", body.complete.to_string()),
    ];
    if let Some(encoded) = encoded {
        rows.push(("Encoded Token", encoded.to_owned()));
    }
    if !body.pgp_fingerprint.is_empty() {
        rows.push(("PGP Fingerprint", body.pgp_fingerprint.clone()));
    }
    if !otp.is_empty() {
        rows.push(("OTP", otp.to_owned()));
    }
    rows.push(("OTP Length", body.otp_length.to_string()));
    let rows: Vec<(String, String)> = rows
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let report = Report::flat(key_values(&rows), body)?;
    args.common
        .output
        .show(&report, context.env, context.console)?;
    Ok(code::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let (token, otp) = ("hvs.0123456789abcdefghijklmnopqr", new_otp().unwrap());
        assert_eq!((token.len(), otp.len()), (OTP_CHARS, OTP_CHARS));
        let mixed: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
        let otp = Secret::new(otp.as_str());
        let encoded = STANDARD_NO_PAD.encode(&mixed);
        assert_eq!(decode(&encoded, &otp).unwrap().as_str(), token);
        assert!(decode("!", &otp).is_err());
        assert!(decode(&encoded, &Secret::new("short")).is_err());
    }
}
