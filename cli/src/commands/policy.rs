//! `tenure policy …`.

use std::{
    fs,
    io::{self, Read},
};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{CommonArgs, Context};
use crate::{
    failure::{Failure, code},
    output::{names_report, policy_report},
};

/// Most bytes of a policy: what the server takes, in base64 too.
const POLICY_BYTES_MAX: u64 = 512 << 10;

/// The commands on policies.
#[derive(Subcommand, Debug)]
pub(crate) enum PolicyCommand {
    /// Write a policy, new or anew. It acts on living tokens at once
    Write(WriteArgs),
    /// Show a policy
    Read(NameArgs),
    /// List the names of all policies
    List(ListArgs),
    /// Delete a policy. Tokens that have it lose what it granted, at once
    Delete(NameArgs),
    /// Bring a policy in a file into the usual form. Needs no server
    Fmt(FmtArgs),
}

/// Flags of `tenure policy write`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WriteArgs {
    /// Its name
    name: String,

    /// The file of its text, HCL or JSON; - for standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of the commands on one policy.
#[derive(Args, Clone, Debug)]
pub(crate) struct NameArgs {
    /// Its name
    name: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure policy list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Flags of `tenure policy fmt`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FmtArgs {
    /// The file, which is written anew; - for standard input to standard output
    #[arg(value_name = "FILE|-")]
    file: String,
}

pub(crate) async fn run(command: PolicyCommand, context: &mut Context<'_>) -> Result<u8, Failure> {
    match command {
        PolicyCommand::Write(args) => write(args, context).await,
        PolicyCommand::Read(args) => read(args, context).await,
        PolicyCommand::List(args) => list(args, context).await,
        PolicyCommand::Delete(args) => delete(args, context).await,
        PolicyCommand::Fmt(args) => fmt(&args, context),
    }
}

async fn write(args: WriteArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let text = text_of(&args.file)?;
    let client = context.client(&args.common)?;
    let written = client.write_policy(&args.name, &text).await;
    written.map_err(|error| Failure::call("writing policy", &error))?;
    let told = format!("Success! Uploaded policy: {}\n", args.name);
    context.console.print(&told)?;
    Ok(code::OK)
}

async fn read(args: NameArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let text = client.read_policy(&args.name).await;
    let text = text.map_err(|error| Failure::call("reading policy", &error))?;
    let mut fields = Map::new();
    fields.insert("policy".to_owned(), Value::from(text.clone()));
    let document = json!({ "policy": text });
    let report = policy_report(text, document, fields);
    let output = &args.common.output;
    output.show(&report, context.env, context.console)?;
    Ok(code::OK)
}

async fn list(args: ListArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let names = client.list_policies().await;
    let names = names.map_err(|error| Failure::call("listing policies", &error))?;
    let output = &args.common.output;
    output.show(&names_report(&names), context.env, context.console)?;
    Ok(code::OK)
}

async fn delete(args: NameArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let client = context.client(&args.common)?;
    let deleted = client.delete_policy(&args.name).await;
    deleted.map_err(|error| Failure::call("deleting policy", &error))?;
    let told = format!("Success! Deleted policy: {}\n", args.name);
    context.console.print(&told)?;
    Ok(code::OK)
}

fn fmt(args: &FmtArgs, context: &mut Context<'_>) -> Result<u8, Failure> {
    let text = text_of(&args.file)?;
    let formatted = tenure_core::policy::fmt(&text)
        .map_err(|error| Failure::local(format!("Error formatting policy: {error}")))?;
    if args.file == "-" {
        context.console.print(&formatted)?;
    } else {
        // Beside it and then in its place: a full disk must not cost the policy.
        let aside = format!("{}.new", args.file);
        let written = fs::write(&aside, formatted).and_then(|()| fs::rename(&aside, &args.file));
        written.map_err(|error| Failure::local(format!("Error writing {}: {error}", args.file)))?;
        let told = format!("Success! Formatted policy: {}\n", args.file);
        context.console.print(&told)?;
    }
    Ok(code::OK)
}

fn text_of(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin()
            .lock()
            .take(POLICY_BYTES_MAX + 1)
            .read_to_string(&mut text),
        path => fs::File::open(path).and_then(|file| {
            let mut bounded = file.take(POLICY_BYTES_MAX + 1);
            bounded.read_to_string(&mut text)
        }),
    };
    let bytes = read.map_err(|error| Failure::local(format!("Error reading {file}: {error}")))?;
    if bytes as u64 > POLICY_BYTES_MAX {
        return Err(Failure::local(format!(
            "Error reading {file}: a policy has at most {POLICY_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}
