//! Bad input to every RPC: a clear status with our details, nothing changed, no panic.

use prost::Message;
use tenure_client::Secret;
use tenure_client::proto::{
    CreateTokenRequest, GrantLeaseRequest, JoinRequest, LookupTokenRequest, RenewTokenRequest,
};
use tenure_tests::server_cluster::{Outcome, ServerCluster, ServerOptions};
use tonic::{Code, Status};

use crate::{ensure, make, raw, run, seconds, start, text, wish};

const TOKENS: &str = "/tenure.v1.TokenService/";

/// Methods that change or end the node itself when they are carried out; their empty message
/// is a good one.
/// (An open node takes any share, and does nothing.)
const WITHOUT_INPUT: [&str; 38] = [
    "Watch",
    "ListTokenRoles",
    "TuneTokens",
    "GetTokenTuning",
    "TidyTokens",
    "TidyLeases",
    "ListLeases",
    "CountLeases",
    "Unseal",
    "LookupSelf",
    "RenewSelf",
    "RevokeSelf",
    "ListAccessors",
    "ListPolicies",
    "ListRateLimits",
    "ListLeaseCounts",
    "ReadQuotaConfig",
    "WriteQuotaConfig",
    "ListMounts",
    "SaveSnapshot",
    "GetSealStatus",
    "Seal",
    "GetClusterStatus",
    "CreateJoinToken",
    "StepDown",
    "Rotate",
    "GetKeyStatus",
    "GetRotationConfig",
    "WriteRotationConfig",
    "GetRekeyBackup",
    "DeleteRekeyBackup",
    "GetRekey",
    "CancelRekey",
    "GetRekeyVerification",
    "StartGenerateRoot",
    "GetGenerateRoot",
    "CancelGenerateRoot",
    "GetMetrics",
];

/// It found, before it was ever green: messages that don't decode were answered as INTERNAL
/// without details, and the least ttl of a join token made the active node panic.
#[test]
fn bad_input_changes_nothing() {
    run("input::bad_input_changes_nothing", async |scenario| {
        let mut cluster = start(scenario, ServerOptions::new(2)?).await?;
        let standby = cluster.standby().await?;
        let active = cluster.wait_active().await?;
        let (kept, accessor) = make(&cluster.client()?, wish("kept")).await?;
        let before = tokens(&cluster).await?;
        let mut faults = Faults::default();
        for index in [active, standby] {
            malformed(&cluster, index, &mut faults).await?;
            requests(&cluster, index, &mut faults).await?;
            leases(&cluster, index, &mut faults).await?;
            messages(&cluster, index, &kept, &accessor, &mut faults).await?;
            strange_tokens(&cluster, index, &mut faults).await?;
        }
        faults.none()?;
        let after = tokens(&cluster).await?;
        ensure(before == after, || {
            format!("{} tokens became {}", before.len(), after.len())
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

async fn tokens(cluster: &ServerCluster) -> Outcome<Vec<String>> {
    let rows = cluster
        .client()?
        .list_accessors(1000, "")
        .await
        .map_err(text)?
        .tokens;
    let mut all: Vec<String> = rows.into_iter().map(|row| row.accessor).collect();
    all.sort();
    Ok(all)
}

/// What was answered wrongly. All of it is shown, not the first alone.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn note<T>(&mut self, outcome: Outcome<T>) {
        self.0.extend(outcome.err());
    }

    fn none(self) -> Outcome<()> {
        ensure(self.0.is_empty(), || {
            format!("{} faults:\n{}", self.0.len(), self.0.join("\n"))
        })
    }
}

/// A refusal of bad input: a code that says whose fault it is, and our details.
fn refusal(what: &str, answer: Result<impl Sized, Status>) -> Outcome<Code> {
    let status = answer
        .err()
        .ok_or_else(|| format!("{what}: was carried out"))?;
    let (reason, applied) = raw::details(&status).map_err(|why| format!("{what}: {why}"))?;
    let fits = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::ResourceExhausted
    );
    ensure(fits && applied == "no", || {
        format!(
            "{what}: {:?} {reason} applied={applied}: {}",
            status.code(),
            status.message()
        )
    })?;
    ensure(!status.message().is_empty(), || {
        format!("{what}: no message")
    })?;
    Ok(status.code())
}

/// Bytes that are no message, messages that are too large, methods that don't exist.
async fn malformed(cluster: &ServerCluster, index: usize, faults: &mut Faults) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let root = cluster.root();
    for path in raw::methods() {
        let name = path.rsplit('/').next().unwrap_or_default();
        for (what, bytes) in [
            (
                "garbage",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            ),
            ("a cut message", vec![0x0a, 0x7f, b'x']),
            ("a text that isn't UTF-8", vec![0x0a, 2, 0xc3, 0x28]),
            ("a huge message", vec![0x0a; 5 << 20]),
        ] {
            // Messages without fields skip what they don't know.
            if what == "a text that isn't UTF-8" && !TEXT_FIRST.contains(&name) {
                continue;
            }
            let answer = raw::call(&channel, &path, bytes, Some(root.expose())).await;
            faults.note(refusal(&format!("{path}: {what}"), answer));
        }
        if !WITHOUT_INPUT.contains(&name) && !name.starts_with("Revoke") && name != "CreateToken" {
            let answer = raw::call(&channel, &path, Vec::new(), Some(root.expose())).await;
            faults.note(refusal(&format!("{path}: an empty message"), answer));
        }
    }
    for path in [
        "/tenure.v1.TokenService/Nothing",
        "/nothing.Service/Nothing",
        "/x/y",
    ] {
        let answer = raw::call(&channel, path, Vec::new(), Some(root.expose())).await;
        // gRPC's own answer: there is no method of ours that could say more.
        let code = answer.err().map(|status| status.code());
        faults.note(ensure(code == Some(Code::Unimplemented), || {
            format!("{path}: {code:?}")
        }));
    }
    Ok(())
}

/// Methods whose first field is a text.
const TEXT_FIRST: [&str; 19] = [
    "Watch",
    "WriteTokenRole",
    "ReadTokenRole",
    "DeleteTokenRole",
    "GrantLease",
    "LookupLease",
    "RenewLease",
    "RevokeLease",
    "RevokePrefix",
    "ListLeases",
    "CountLeases",
    "CreateToken",
    "LookupToken",
    "LookupAccessor",
    "RenewToken",
    "RenewAccessor",
    "RevokeToken",
    "RevokeOrphan",
    "RevokeAccessor",
];

/// Every field of the calls on leases at its worst.
async fn leases(cluster: &ServerCluster, index: usize, faults: &mut Faults) -> Outcome<()> {
    let root = cluster.root_at(index)?;
    let good = || GrantLeaseRequest {
        path: "bad-input".to_owned(),
        ..GrantLeaseRequest::default()
    };
    let long = "x".repeat(100_000);
    let deep = vec!["a"; 17].join("/");
    let paths = [
        "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", "a\n", &long, &deep,
    ];
    for path in paths {
        let request = GrantLeaseRequest {
            path: path.to_owned(),
            ..good()
        };
        let what = format!("a lease under {:.20?}", path);
        faults.note(lease_refusal(&what, root.grant_lease(request).await));
        let what = format!("revoking the prefix {:.20?}", path);
        faults.note(lease_refusal(&what, root.revoke_prefix(path).await));
        let id = format!("{path}/{}", "a".repeat(24));
        let what = format!("a lease id under {:.20?}", path);
        faults.note(lease_refusal(&what, root.lookup_lease(&id).await));
        if !path.is_empty() {
            let what = format!("listing {:.20?}", path);
            faults.note(lease_refusal(&what, root.list_leases(path, 0, "").await));
            faults.note(lease_refusal(&what, root.count_leases(path).await));
        }
    }
    for ttl in [seconds(-1), seconds(i64::MIN), seconds(i64::MAX)] {
        let request = GrantLeaseRequest { ttl, ..good() };
        let what = format!("a lease of {ttl:?}");
        faults.note(lease_refusal(&what, root.grant_lease(request).await));
    }
    for payload in [(64 << 10) + 1, 3 << 20] {
        let request = GrantLeaseRequest {
            payload: vec![0; payload],
            ..good()
        };
        let what = format!("a payload of {payload}");
        faults.note(lease_refusal(&what, root.grant_lease(request).await));
    }
    for page in ["zz", "00", "ff", &"0".repeat(32), &long] {
        let listed = root.list_leases("bad-input", 5, page).await;
        faults.note(lease_refusal("a made-up page", listed));
    }
    let short = "a/".to_owned() + &"a".repeat(23);
    let dotted = "a/".to_owned() + &"a.".repeat(12);
    let unknown = "a/".to_owned() + &"a".repeat(24);
    for id in ["", "a", &short, &dotted, &unknown, &long] {
        let what = format!("the lease {id:.40?}");
        faults.note(lease_refusal(&what, root.lookup_lease(id).await));
        faults.note(lease_refusal(&what, root.renew_lease(id, None).await));
        faults.note(lease_refusal(&what, root.revoke_lease(id).await));
    }
    faults.note(match root.count_leases("").await {
        Ok(0) => Ok(()),
        other => Err(format!("leases of bad input: {other:?}")),
    });
    Ok(())
}

/// As [`refusal`], through the SDK.
fn lease_refusal(what: &str, answer: Result<impl Sized, tenure_client::Error>) -> Outcome<()> {
    let error = answer
        .err()
        .ok_or_else(|| format!("{what}: was carried out"))?;
    let fits = matches!(error.code(), Code::InvalidArgument | Code::NotFound);
    ensure(fits && error.reason().is_some(), || {
        format!("{what}: {error}")
    })
}

/// Every field of CreateToken at its worst.
async fn requests(cluster: &ServerCluster, index: usize, faults: &mut Faults) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let root = cluster.root();
    let long = "x".repeat(100_000);
    let good = || wish("bad-input");
    let nanos = |nanos| Some(prost_types::Duration { seconds: 1, nanos });
    let meta = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let many = (0..100)
        .map(|number| (format!("k{number}"), String::new()))
        .collect();
    let bad: Vec<(&str, CreateTokenRequest)> = vec![
        (
            "a negative ttl",
            CreateTokenRequest {
                ttl: seconds(-1),
                ..good()
            },
        ),
        (
            "the least ttl",
            CreateTokenRequest {
                ttl: seconds(i64::MIN),
                ..good()
            },
        ),
        (
            "the greatest ttl",
            CreateTokenRequest {
                ttl: seconds(i64::MAX),
                ..good()
            },
        ),
        (
            "negative nanos",
            CreateTokenRequest {
                ttl: nanos(-1),
                ..good()
            },
        ),
        (
            "too many nanos",
            CreateTokenRequest {
                ttl: nanos(i32::MAX),
                ..good()
            },
        ),
        (
            "a negative max",
            CreateTokenRequest {
                explicit_max_ttl: seconds(-5),
                ..good()
            },
        ),
        (
            "a negative period",
            CreateTokenRequest {
                period: seconds(-5),
                ..good()
            },
        ),
        (
            "no use",
            CreateTokenRequest {
                num_uses: Some(0),
                ..good()
            },
        ),
        (
            "too many uses",
            CreateTokenRequest {
                num_uses: Some(u32::MAX),
                ..good()
            },
        ),
        (
            "an unknown type",
            CreateTokenRequest {
                r#type: 99,
                ..good()
            },
        ),
        (
            "a negative type",
            CreateTokenRequest {
                r#type: -1,
                ..good()
            },
        ),
        (
            "an empty policy",
            CreateTokenRequest {
                policies: vec![String::new()],
                ..good()
            },
        ),
        (
            "a policy of spaces",
            CreateTokenRequest {
                policies: vec!["  ".into()],
                ..good()
            },
        ),
        (
            "a Unicode policy",
            CreateTokenRequest {
                policies: vec!["ｒｏｏｔ".into()],
                ..good()
            },
        ),
        (
            "a null in a policy",
            CreateTokenRequest {
                policies: vec!["a\0b".into()],
                ..good()
            },
        ),
        (
            "a huge policy",
            CreateTokenRequest {
                policies: vec![long.clone()],
                ..good()
            },
        ),
        (
            "many policies",
            CreateTokenRequest {
                policies: numbered(10_000),
                ..good()
            },
        ),
        (
            "a huge name",
            CreateTokenRequest {
                display_name: long.clone(),
                ..good()
            },
        ),
        (
            "a huge note",
            CreateTokenRequest {
                meta: meta("k", &long),
                ..good()
            },
        ),
        (
            "a huge key",
            CreateTokenRequest {
                meta: meta(&long, "v"),
                ..good()
            },
        ),
        (
            "an empty key",
            CreateTokenRequest {
                meta: meta("", "v"),
                ..good()
            },
        ),
        (
            "a null in a key",
            CreateTokenRequest {
                meta: meta("a\0", "v"),
                ..good()
            },
        ),
        (
            "many notes",
            CreateTokenRequest {
                meta: many,
                ..good()
            },
        ),
        (
            "an id with a dot",
            CreateTokenRequest {
                id: Some("a.bcdef".into()),
                ..good()
            },
        ),
        (
            "an id with a space",
            CreateTokenRequest {
                id: Some("a bcdef".into()),
                ..good()
            },
        ),
        (
            "an id like ours",
            CreateTokenRequest {
                id: Some("hvs.abcdefgh".into()),
                ..good()
            },
        ),
        (
            "a null in an id",
            CreateTokenRequest {
                id: Some("abc\0defg".into()),
                ..good()
            },
        ),
        (
            "an empty id",
            CreateTokenRequest {
                id: Some(String::new()),
                ..good()
            },
        ),
        (
            "a huge id",
            CreateTokenRequest {
                id: Some(long.clone()),
                ..good()
            },
        ),
        (
            "a huge request id",
            CreateTokenRequest {
                request_id: long,
                ..good()
            },
        ),
    ];
    for (what, request) in bad {
        let path = format!("{TOKENS}CreateToken");
        let answer = raw::call(
            &channel,
            &path,
            request.encode_to_vec(),
            Some(root.expose()),
        )
        .await;
        let code = refusal(&format!("CreateToken: {what}"), answer);
        faults.note(code.and_then(|code| {
            ensure(code == Code::InvalidArgument, || {
                format!("CreateToken: {what}: {code:?}")
            })
        }));
    }
    Ok(())
}

fn numbered(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("policy-{number}"))
        .collect()
}

/// Texts that no token, accessor, increment, page, address or member is.
async fn messages(
    cluster: &ServerCluster,
    index: usize,
    kept: &Secret,
    accessor: &str,
    faults: &mut Faults,
) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let root = cluster.root();
    let call = async |path: String, bytes: Vec<u8>| {
        raw::call(&channel, &path, bytes, Some(root.expose())).await
    };
    for (what, token) in texts() {
        // All of these have one field of text, with the number one.
        let bytes = LookupTokenRequest {
            token: token.clone(),
        }
        .encode_to_vec();
        for name in [
            "LookupToken",
            "LookupAccessor",
            "RenewToken",
            "RenewAccessor",
            "RevokeOrphan",
        ] {
            let answer = call(format!("{TOKENS}{name}"), bytes.clone()).await;
            faults.note(refusal(&format!("{name}: {what}"), answer));
        }
        // What isn't there is revoked already; what can't be may be refused.
        for name in ["RevokeToken", "RevokeAccessor"] {
            if let Err(status) = call(format!("{TOKENS}{name}"), bytes.clone()).await {
                faults.note(refusal(&format!("{name}: {what}"), Err::<(), _>(status)));
            }
        }
        let page = tenure_client::proto::ListAccessorsRequest {
            page_size: 10,
            page_token: token.clone(),
            ..Default::default()
        };
        if !token.is_empty() {
            let answer = call(format!("{TOKENS}ListAccessors"), page.encode_to_vec()).await;
            faults.note(refusal(&format!("ListAccessors: page {what}"), answer));
        }
        let join = JoinRequest {
            peer_addresses: vec![token.clone()],
            join_token: token.clone(),
            ..JoinRequest::default()
        };
        let answer = call(
            "/tenure.v1.ClusterService/Join".into(),
            join.encode_to_vec(),
        )
        .await;
        faults.note(refusal(&format!("Join: {what}"), answer));
        let remove = tenure_client::proto::RemovePeerRequest {
            peer: Some(tenure_client::proto::remove_peer_request::Peer::Name(token)),
        };
        let answer = call(
            "/tenure.v1.ClusterService/RemovePeer".into(),
            remove.encode_to_vec(),
        )
        .await;
        faults.note(refusal(&format!("RemovePeer: {what}"), answer));
    }
    for (what, increment) in [
        ("negative", -1),
        ("the least", i64::MIN),
        ("the greatest", i64::MAX),
    ] {
        for (name, text) in [("RenewToken", kept.expose()), ("RenewAccessor", accessor)] {
            let message = RenewTokenRequest {
                token: text.to_owned(),
                increment: seconds(increment),
            };
            let answer = call(format!("{TOKENS}{name}"), message.encode_to_vec()).await;
            faults.note(refusal(&format!("{name}: {what} increment"), answer));
        }
        let ttl = tenure_client::proto::CreateJoinTokenRequest {
            ttl: seconds(increment),
        };
        let path = "/tenure.v1.ClusterService/CreateJoinToken".to_owned();
        let answer = call(path, ttl.encode_to_vec()).await;
        faults.note(refusal(&format!("CreateJoinToken: {what} ttl"), answer));
    }
    Ok(())
}

fn texts() -> Vec<(&'static str, String)> {
    vec![
        ("nothing", String::new()),
        ("a space", " ".into()),
        ("made up", "hvs.thisTokenWasNeverMadeByAnyone".into()),
        ("too short", "x".into()),
        ("5000 characters", "y".repeat(5_000)),
        ("100,000 characters", "z".repeat(100_000)),
        ("a null", "hvs.ab\0cd".into()),
        ("a newline", "hvs.ab\ncd".into()),
        ("Unicode", "hvs.\u{202e}\u{1f600}\u{feff}".into()),
        ("a path", "../../etc/passwd".into()),
        ("a format", "%s%n%x{{.}}${x}".into()),
    ]
}

/// Tokens in the metadata that can't be good: one answer for all of them.
async fn strange_tokens(cluster: &ServerCluster, index: usize, faults: &mut Faults) -> Outcome<()> {
    let channel = raw::channel(cluster, index)?;
    let mut first: Option<(Code, String, String)> = None;
    let long = "t".repeat(5_000);
    let root = cluster.root();
    let nearly = &root.expose()[..root.expose().len() - 1];
    let upper = root.expose().to_uppercase();
    let spaced = format!("  {}x", root.expose());
    for token in [
        None,
        Some(""),
        Some(" "),
        Some("x"),
        Some(long.as_str()),
        Some("hvs."),
        Some(nearly),
        Some(upper.as_str()),
        Some(spaced.as_str()),
        Some("hvb.AAAA"),
    ] {
        for name in ["LookupSelf", "CreateToken", "RevokeSelf"] {
            let answer = raw::call(&channel, &format!("{TOKENS}{name}"), Vec::new(), token).await;
            let status = answer
                .err()
                .ok_or_else(|| format!("{name} with a bad token"))?;
            let reason = match raw::details(&status) {
                Ok((reason, _)) => reason,
                Err(why) => {
                    faults.note::<()>(Err(format!("{name} with a bad token: {why}")));
                    continue;
                }
            };
            let told = (status.code(), reason, status.message().to_owned());
            faults.note(ensure(told.0 == Code::Unauthenticated, || {
                format!("{name}: {told:?}")
            }));
            let first = first.get_or_insert_with(|| told.clone());
            faults.note(ensure(*first == told, || {
                format!("told apart: {first:?}, {told:?}")
            }));
        }
    }
    Ok(())
}
