//! `tenure token role …`.

use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use tenure_client::proto::{RoleTokenType, Texts, WriteTokenRoleRequest};

use super::super::{CommonArgs, Context};
use crate::{
    duration,
    failure::{Failure, code},
    output::{names_report, role_report},
};

/// The commands on token roles.
#[derive(Subcommand, Debug)]
pub(crate) enum RoleCommand {
    /// Write a role, new or changed. What isn't given stays as it is
    Write(Box<WriteArgs>),
    /// Show a role
    Read(NameArgs),
    /// List the names of all roles
    List(ListArgs),
    /// Delete a role. Its tokens live on, and can't be renewed any more
    Delete(NameArgs),
}

/// What a role says of the kind of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Service tokens, whatever is asked for.
    Service,
    /// Batch tokens, whatever is asked for.
    Batch,
    /// Service tokens unless batch tokens are asked for.
    DefaultService,
    /// Batch tokens unless service tokens are asked for.
    DefaultBatch,
}

/// Flags of `tenure token role write`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteArgs {
    /// Its name
    name: String,

    /// Policies that its tokens may have, with commas between them; "" for none of its own
    #[arg(long, value_name = "NAMES")]
    allowed_policies: Option<String>,

    /// Policies that its tokens can't have
    #[arg(long, value_name = "NAMES")]
    disallowed_policies: Option<String>,

    /// Patterns of policies that its tokens may have: * stands for any text
    #[arg(long, value_name = "PATTERNS")]
    allowed_policies_glob: Option<String>,

    /// Patterns of policies that its tokens can't have
    #[arg(long, value_name = "PATTERNS")]
    disallowed_policies_glob: Option<String>,

    /// Whether its tokens have no parent
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    orphan: Option<bool>,

    /// Whether its tokens can be renewed. In a new role: yes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL", hide_possible_values = true, action = ArgAction::Set)]
    renewable: Option<bool>,

    /// What the path of its tokens ends with
    #[arg(long, value_name = "SUFFIX")]
    path_suffix: Option<String>,

    /// Make its tokens periodic: each renewal sets exactly this; 0 for not
    #[arg(long, visible_alias = "token-period", value_name = "DURATION", value_parser = duration::parse)]
    period: Option<Duration>,

    /// Longest life of its tokens; 0 for that of any token
    #[arg(long, visible_alias = "token-explicit-max-ttl", value_name = "DURATION", value_parser = duration::parse)]
    explicit_max_ttl: Option<Duration>,

    /// How often its tokens can be used; 0 for as often as you like
    #[arg(long, visible_alias = "token-num-uses", value_name = "COUNT")]
    num_uses: Option<u32>,

    /// Networks that its tokens may be used from, with commas between them; "" for any
    #[arg(long, visible_alias = "token-bound-cidrs", value_name = "NETWORKS")]
    bound_cidrs: Option<String>,

    /// Kind of its tokens
    #[arg(long, visible_alias = "token-type", value_enum, ignore_case = true)]
    r#type: Option<Kind>,

    /// Whether its tokens go without the policy "default"
    #[arg(long, visible_alias = "token-no-default-policy", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", hide_possible_values = true,
          action = ArgAction::Set)]
    no_default_policy: Option<bool>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of the commands on one role.
#[derive(Args, Clone, Debug)]
pub(crate) struct NameArgs {
    /// Its name
    name: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure token role list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) async fn run(command: RoleCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        RoleCommand::Write(args) => write(*args, context).await,
        RoleCommand::Read(args) => read(args, context).await,
        RoleCommand::List(args) => list(args, context).await,
        RoleCommand::Delete(args) => delete(args, context).await,
    }
}

/// Names with commas between them.
fn texts(text: Option<String>) -> Option<Texts> {
    let text = text?;
    let values = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Some(Texts {
        values: values.map(str::to_owned).collect(),
    })
}

fn wire(duration: Option<Duration>) -> Option<prost_types::Duration> {
    duration.and_then(|duration| prost_types::Duration::try_from(duration).ok())
}

async fn write(args: WriteArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let request = WriteTokenRoleRequest {
        name: args.name.clone(),
        allowed_policies: texts(args.allowed_policies),
        disallowed_policies: texts(args.disallowed_policies),
        allowed_policies_glob: texts(args.allowed_policies_glob),
        disallowed_policies_glob: texts(args.disallowed_policies_glob),
        orphan: args.orphan,
        renewable: args.renewable,
        path_suffix: args.path_suffix,
        period: wire(args.period),
        explicit_max_ttl: wire(args.explicit_max_ttl),
        num_uses: args.num_uses,
        bound_cidrs: texts(args.bound_cidrs),
        token_type: match args.r#type {
            None => RoleTokenType::Unspecified,
            Some(Kind::Service) => RoleTokenType::Service,
            Some(Kind::Batch) => RoleTokenType::Batch,
            Some(Kind::DefaultService) => RoleTokenType::DefaultService,
            Some(Kind::DefaultBatch) => RoleTokenType::DefaultBatch,
        }
        .into(),
        no_default_policy: args.no_default_policy,
    };
    let written = client.write_token_role(request).await;
    written.map_err(|error| Failure::call("writing token role", &error))?;
    let told = format!("Success! Wrote token role: {}", args.name);
    context.console.line(&told)?;
    Ok(code::OK)
}

async fn read(args: NameArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let role = client.read_token_role(&args.name).await;
    let role = role.map_err(|error| Failure::call("reading token role", &error))?;
    let output = &args.common.output;
    output.show(
        &role_report(&role, client.last_request_id()),
        context.env,
        context.console,
    )?;
    Ok(code::OK)
}

async fn list(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let names = client.list_token_roles().await;
    let names = names.map_err(|error| Failure::call("listing token roles", &error))?;
    if names.is_empty() {
        return Err(Failure::nothing("No token roles found"));
    }
    let output = &args.common.output;
    output.show(&names_report(&names), context.env, context.console)?;
    Ok(code::OK)
}

async fn delete(args: NameArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let deleted = client.delete_token_role(&args.name).await;
    deleted.map_err(|error| Failure::call("deleting token role", &error))?;
    let told = format!("Success! Deleted token role (if it existed): {}", args.name);
    context.console.line(&told)?;
    Ok(code::OK)
}
