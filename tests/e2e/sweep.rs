//! Every field of every RPC at its worst, found by the descriptors, so that what is added later is
//! swept too: a clear answer, no fault of the server; and nothing at all for who has no policy.

use prost::Message;
use prost::bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use tenure_client::proto::CreateTokenRequest;
use tenure_tests::server_cluster::{Outcome, ServerOptions};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::{ensure, make, raw, run, start, text, wish};

/// They change the node or the cluster itself when they are carried out.
const NOT_SWEPT: [&str; 3] = ["Seal", "StepDown", "RemovePeer"];
/// What is answered to anybody.
const OPEN: [&str; 4] = ["GetSealStatus", "Init", "Unseal", "Join"];

/// Planted bugs: a path cut by its bytes (a panic); a list of mounts given to anybody. Caught.
#[test]
fn every_field_of_every_rpc() {
    run("sweep::every_field_of_every_rpc", async |scenario| {
        let mut cluster = start(scenario, ServerOptions::new(2)?).await?;
        let standby = cluster.standby().await?;
        let active = cluster.wait_active().await?;
        let (kept, _) = make(&cluster.client()?, wish("kept")).await?;
        let mut nobody = wish("nobody");
        nobody.policies = vec!["sweep-has-none".to_owned()];
        nobody.no_default_policy = true;
        nobody.no_parent = true;
        let (nobody, _) = make(&cluster.client()?, nobody).await?;
        let mut faults = Vec::new();
        let mut calls = 0;
        for index in [active, standby] {
            let channel = raw::channel(&cluster, index)?;
            for (path, input) in methods()? {
                // One of them revokes it.
                let root = CreateTokenRequest {
                    policies: vec!["root".to_owned()],
                    no_parent: true,
                    ..wish("root")
                };
                let (root, _) = make(&cluster.client()?, root).await?;
                for (what, message) in messages(&input) {
                    calls += 1;
                    let what = format!("{path} {what}");
                    let bytes = message.encode_to_vec();
                    let root = raw::call(&channel, &path, bytes.clone(), Some(root.expose()));
                    let root = root.await;
                    let nobody = raw::call(&channel, &path, bytes, Some(nobody.expose())).await;
                    faults.extend(has_no_right(&path, &what, &root, &nobody).err());
                    faults.extend(is_clear(&what, &root).err());
                }
            }
            outlived(&channel).await?;
        }
        ensure(calls > 1_000, || format!("only {calls} messages"))?;
        ensure(faults.is_empty(), || {
            faults.truncate(40);
            faults.join("\n")
        })?;
        for node in &mut cluster.nodes {
            ensure(node.runs(), || format!("{} died", node.name))?;
            node.accepts(&kept).await?;
            let log = std::fs::read_to_string(node.process()?.stderr()).map_err(text)?;
            ensure(!log.contains("panicked"), || {
                format!("{} panicked", node.name)
            })?;
        }
        Ok(())
    });
}

/// It still answers.
async fn outlived(channel: &Channel) -> Outcome<()> {
    let path = "/tenure.v1.SealService/GetSealStatus";
    let answer = raw::call(channel, path, Vec::new(), None).await;
    answer.map(drop).map_err(text)
}

/// Carried out, or refused as the caller's fault with our details, and nothing changed.
fn is_clear(what: &str, answer: &Result<Bytes, Status>) -> Outcome<()> {
    let Err(status) = answer else {
        return Ok(());
    };
    let (reason, applied) = raw::details(status).map_err(|why| format!("{what}: {why}"))?;
    let fits = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::ResourceExhausted
    );
    ensure(
        fits && applied == "no" && !status.message().is_empty(),
        || {
            format!(
                "{what}: {:?} {reason} applied={applied}: {}",
                status.code(),
                status.message()
            )
        },
    )
}

/// Who has no policy learns nothing, but that a message is wrong in itself, whatever the state.
fn has_no_right(
    path: &str,
    what: &str,
    root: &Result<Bytes, Status>,
    nobody: &Result<Bytes, Status>,
) -> Outcome<()> {
    if OPEN.iter().any(|name| path.ends_with(&format!("/{name}"))) {
        return Ok(());
    }
    let code = |answer: &Result<Bytes, Status>| answer.as_ref().err().map(Status::code);
    let is_wrong = code(root) == Some(Code::InvalidArgument) && code(nobody) == code(root);
    ensure(
        is_wrong || code(nobody) == Some(Code::PermissionDenied),
        || format!("{what}, without a policy: {:?}", code(nobody)),
    )
}

/// Calls with one message each way, and what they take.
fn methods() -> Outcome<Vec<(String, MessageDescriptor)>> {
    let pool = DescriptorPool::decode(tenure_proto::v1::FILE_DESCRIPTOR_SET).map_err(text)?;
    let mut methods = Vec::new();
    for service in pool.services() {
        if !service.full_name().starts_with("tenure.v1.") {
            continue;
        }
        for method in service.methods() {
            let streams = method.is_client_streaming() || method.is_server_streaming();
            if !streams && !NOT_SWEPT.contains(&method.name()) {
                let path = format!("/{}/{}", service.full_name(), method.name());
                methods.push((path, method.input()));
            }
        }
    }
    Ok(methods)
}

/// Messages with one bad field each, the others empty or plausible.
fn messages(input: &MessageDescriptor) -> Vec<(String, DynamicMessage)> {
    let bare = DynamicMessage::new(input.clone());
    let mut filled = bare.clone();
    for field in input.fields() {
        let plain = !field.is_list() && !field.is_map();
        // Another call under a request id is another refusal.
        if matches!(field.kind(), Kind::String) && plain && field.name() != "request_id" {
            filled.set_field(&field, Value::String("sweep/a".to_owned()));
        }
    }
    let mut all = vec![("empty".to_owned(), bare.clone())];
    for field in input.fields() {
        for (name, value) in worst_of_field(&field) {
            for (base, message) in [("alone", &bare), ("among others", &filled)] {
                let mut message = message.clone();
                message.set_field(&field, value.clone());
                all.push((format!("{} {base} {name}", field.name()), message));
            }
        }
    }
    all
}

fn worst_of_field(field: &FieldDescriptor) -> Vec<(String, Value)> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return Vec::new();
        };
        let values = worst(&entry.map_entry_value_field().kind());
        let keys = worst(&entry.map_entry_key_field().kind());
        let pair = |key: Value, value| match key {
            Value::String(key) => Some(Value::Map([(MapKey::String(key), value)].into())),
            _ => None,
        };
        let plain = values.first().map(|(_, value)| value.clone());
        let bad_keys = keys
            .into_iter()
            .filter_map(|(name, key)| Some((format!("key {name}"), pair(key, plain.clone()?)?)));
        let bad_values = values.into_iter().filter_map(|(name, value)| {
            Some((
                format!("value {name}"),
                pair(Value::String("k".to_owned()), value)?,
            ))
        });
        return bad_keys.chain(bad_values).collect();
    }
    let values = worst(&field.kind());
    if !field.is_list() {
        return values;
    }
    let many = values.first().map(|(_, value)| {
        (
            "10,000 times".to_owned(),
            Value::List(vec![value.clone(); 10_000]),
        )
    });
    let single =
        (values.into_iter()).map(|(name, value)| (name, Value::List(vec![value.clone(), value])));
    single.chain(many).collect()
}

fn worst(kind: &Kind) -> Vec<(String, Value)> {
    let named = |value: Value| (format!("{value:?}"), value);
    match kind {
        Kind::String => texts(),
        Kind::Bytes => [0, 1, 1 << 20]
            .map(|size| {
                (
                    format!("{size} bytes"),
                    Value::Bytes(vec![0xff; size].into()),
                )
            })
            .into(),
        Kind::Bool => vec![named(Value::Bool(true))],
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => [0, 1, -1, i32::MIN, i32::MAX]
            .map(|n| named(Value::I32(n)))
            .into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => [0, 1, -1, i64::MIN, i64::MAX]
            .map(|n| named(Value::I64(n)))
            .into(),
        Kind::Uint32 | Kind::Fixed32 => [0, 1, u32::MAX].map(|n| named(Value::U32(n))).into(),
        Kind::Uint64 | Kind::Fixed64 => [0, 1, u64::MAX].map(|n| named(Value::U64(n))).into(),
        Kind::Float => [f32::NAN, f32::INFINITY, -1.0]
            .map(|n| named(Value::F32(n)))
            .into(),
        Kind::Double => [f64::NAN, f64::INFINITY, -1.0]
            .map(|n| named(Value::F64(n)))
            .into(),
        Kind::Enum(_) => [0, 1, -1, i32::MAX]
            .map(|n| named(Value::EnumNumber(n)))
            .into(),
        Kind::Message(inner) => (messages(inner).into_iter())
            .filter(|(name, _)| !name.contains("among others"))
            .map(|(name, message)| (name, Value::Message(message)))
            .collect(),
    }
}

fn texts() -> Vec<(String, Value)> {
    let named = |name: &str, text: String| (name.to_owned(), Value::String(text));
    let mut all = vec![
        named("empty", String::new()),
        named("1 MiB", "x".repeat(1 << 20)),
        named("an unknown token", format!("hvs.{}", "x".repeat(28))),
        named("an unknown lease", format!("a/{}", "x".repeat(24))),
    ];
    for text in [
        "\0",
        "\u{1b}[2J",
        "\u{202e}",
        "é",
        "..",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "%2e%2e/a",
        "sys",
        "sys/seal",
        "ROOT",
        " RoOt ",
        "-1",
        "null",
    ] {
        all.push(named(&format!("{text:?}"), text.to_owned()));
    }
    all
}
