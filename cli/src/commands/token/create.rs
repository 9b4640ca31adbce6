//! `tenure token create`.

use std::{collections::BTreeMap, time::Duration};

use clap::{ArgAction, Args, ValueEnum};
use tenure_client::proto::{CreateTokenRequest, TokenType};

use super::super::{CommonArgs, Context, new_request_id};
use crate::{
    duration,
    failure::{Failure, code},
    output::auth_report,
    secret_input::Source,
};

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Stored, renewable, revocable; may have children.
    Service,
    /// Encrypted and self-contained: neither renewable nor revocable.
    Batch,
}

/// Flags of `tenure token create`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CreateArgs {
    /// First time to live: 90 (seconds), 60s, 20m, 10h, 10d, 1h30m. 0 or not given: the
    /// server's default
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,

    /// Longest life from now, renewals included. 0 or not given: the server's maximum
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    explicit_max_ttl: Option<Duration>,

    /// Make a periodic token: each renewal sets exactly this, without an end. Needs sudo
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    period: Option<Duration>,

    /// Name of a policy; may be given several times. Not given: the policies of the token
    /// you call with
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    policy: Vec<String>,

    /// A note, shown at look-up; may be given several times
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, value_parser = key_value)]
    metadata: Vec<(String, String)>,

    /// A name for people to know it by
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    display_name: String,

    /// How often the token may be used. 0 or not given: as often as you like
    #[arg(long, value_name = "COUNT")]
    use_limit: Option<u32>,

    /// Make an orphan: it doesn't end with the token you call with. Needs update on
    /// auth/token/create-orphan
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, hide_default_value = true, value_name = "BOOL", hide_possible_values = true,
          action = ArgAction::Set)]
    orphan: bool,

    /// Leave the policy "default" out
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value_t = false, hide_default_value = true, value_name = "BOOL", hide_possible_values = true,
          action = ArgAction::Set)]
    no_default_policy: bool,

    /// Whether the token can be renewed. Not given: yes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    renewable: Option<bool>,

    /// Kind of the token. Not given: as the role says, or else service
    #[arg(long, value_enum, ignore_case = true)]
    r#type: Option<Kind>,

    /// Make it with this role. Needs update on auth/token/create/<role>
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "orphan"
    )]
    role: String,

    /// A network that the token may be used from; may be given several times
    #[arg(long, value_name = "NETWORK", action = ArgAction::Append)]
    bound_cidr: Vec<String>,

    /// The token's value, chosen by you: - to read it from standard input, @file to read it
    /// from a file (it is a secret, so unlike with Vault's command line it can't be given
    /// here itself). Needs sudo on auth/token/create
    #[arg(long, value_name = "-|@FILE", allow_hyphen_values = true)]
    id: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(args: CreateArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let id = match &args.id {
        None => None,
        Some(source) => {
            let source = Source::parse(source, "Token id")?;
            Some(source.read("Token id", context.console).await?)
        }
    };
    let client = context.client(&args.common)?;
    let request = CreateTokenRequest {
        id: id.map(|id| id.expose().to_owned()),
        policies: args.policy,
        meta: notes(args.metadata)?,
        display_name: args.display_name,
        num_uses: args.use_limit.filter(|limit| *limit > 0),
        no_parent: false,
        orphan: args.orphan,
        role: args.role,
        bound_cidrs: args.bound_cidr,
        no_default_policy: args.no_default_policy,
        renewable: args.renewable,
        ttl: wire(args.ttl),
        explicit_max_ttl: wire(args.explicit_max_ttl),
        period: wire(args.period),
        r#type: match args.r#type {
            None => TokenType::Unspecified,
            Some(Kind::Service) => TokenType::Service,
            Some(Kind::Batch) => TokenType::Batch,
        } as i32,
        // A failover in the middle must not leave a person in doubt.
        request_id: new_request_id(),
    };
    let auth = client
        .create_token(request)
        .await
        .map_err(|error| Failure::call("creating token", &error))?;
    args.common.output.show(
        &auth_report(auth, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}

/// 0 means "not given", as with Vault's command line.
fn wire(duration: Option<Duration>) -> Option<prost_types::Duration> {
    duration
        .filter(|duration| !duration.is_zero())
        .and_then(|duration| prost_types::Duration::try_from(duration).ok())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} isn't key=value")),
    }
}

fn notes(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut notes = BTreeMap::new();
    for (key, value) in pairs {
        if notes.contains_key(&key) {
            return Err(Failure::local(format!(
                "Error: -metadata {key:?} is given twice"
            )));
        }
        notes.insert(key, value);
    }
    Ok(notes)
}
