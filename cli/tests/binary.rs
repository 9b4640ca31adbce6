//! The binary against a server in this process: what it sends, what it prints, how it ends.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use fake::{Fake, ROOT, Running, SHARE, Step, refusal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure_proto::v1::{self, remove_peer_request::Peer};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};
use tonic::Code;

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

/// No run takes longer.
const BOUND: Duration = Duration::from_secs(60);

/// A fake server and a home folder for the binary.
struct Setup {
    server: Running,
    home: TempDir,
    env: BTreeMap<String, String>,
}

impl Setup {
    async fn new() -> Self {
        let server = Fake::new().serve().await;
        let env = [
            ("TENURE_ADDR".to_owned(), server.url()),
            ("TENURE_TOKEN".to_owned(), ROOT.to_owned()),
        ];
        Self {
            server,
            home: TempDir::new().unwrap(),
            env: env.into(),
        }
    }

    fn fake(&self) -> &Fake {
        &self.server.fake
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .envs(&self.env)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn run(&self, args: &[&str]) -> Output {
        timeout(BOUND, self.command(args).output())
            .await
            .unwrap()
            .unwrap()
    }

    async fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The command may refuse before it reads.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        timeout(BOUND, child.wait_with_output())
            .await
            .unwrap()
            .unwrap()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("-format=json");
        let output = self.run(&all).await;
        assert_eq!(code(&output), 0, "{}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn seconds(duration: Option<prost_types::Duration>) -> Option<i64> {
    duration.map(|duration| duration.seconds)
}

#[tokio::test]
async fn token_create_sends_every_flag() {
    let setup = Setup::new().await;
    let output = setup
        .run_with_input(
            &[
                "token",
                "create",
                "-ttl=10h",
                "--explicit-max-ttl",
                "10d",
                "-period",
                "1h30m",
                "-policy=a",
                "-policy",
                "b",
                "-metadata",
                "user=ann",
                "-metadata=team=x=y",
                "-display-name=build",
                "-use-limit=3",
                "-orphan",
                "-no-default-policy",
                "-renewable=false",
                "-type=service",
                "-id=-",
            ],
            "my-own-id\n",
        )
        .await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    let sent = setup.fake().state().last_create.clone().unwrap();
    assert_eq!(sent.id.as_deref(), Some("my-own-id"));
    assert_eq!(seconds(sent.ttl), Some(36_000));
    assert_eq!(seconds(sent.explicit_max_ttl), Some(864_000));
    assert_eq!(seconds(sent.period), Some(5_400));
    assert_eq!(sent.policies, ["a", "b"]);
    assert_eq!(sent.meta.get("user").map(String::as_str), Some("ann"));
    assert_eq!(sent.meta.get("team").map(String::as_str), Some("x=y"));
    assert_eq!(sent.display_name, "build");
    assert_eq!(sent.num_uses, Some(3));
    assert!(sent.orphan && !sent.no_parent);
    assert!(sent.no_default_policy);
    assert_eq!(sent.renewable, Some(false));
    assert_eq!(sent.r#type, v1::TokenType::Service as i32);
}

#[tokio::test]
async fn token_create_without_flags_leaves_the_choice_to_the_server() {
    let setup = Setup::new().await;
    setup.run(&["token", "create", "-ttl=0"]).await;
    let sent = setup.fake().state().last_create.clone().unwrap();
    // Its own request id aside, under which it may be sent again.
    assert!(!sent.request_id.is_empty());
    let nothing = v1::CreateTokenRequest {
        request_id: sent.request_id.clone(),
        ..Default::default()
    };
    assert_eq!(sent, nothing);
}

#[tokio::test]
async fn one_dash_two_dashes_equals_and_space_are_the_same() {
    let setup = Setup::new().await;
    for flags in [
        &["-ttl=10h"][..],
        &["--ttl=10h"],
        &["-ttl", "10h"],
        &["--ttl", "10h"],
    ] {
        let mut args = vec!["token", "create"];
        args.extend(flags);
        let output = setup.run(&args).await;
        assert_eq!(code(&output), 0, "{flags:?}: {}", err(&output));
        let sent = setup.fake().state().last_create.clone().unwrap();
        assert_eq!(seconds(sent.ttl), Some(36_000), "{flags:?}");
    }
}

#[tokio::test]
async fn token_create_shows_table_json_yaml_and_a_field() {
    let setup = Setup::new().await;
    let create = ["token", "create", "-policy=default", "-policy=unknown"];
    let output = setup.run(&create).await;
    assert!(
        out(&output).contains("token                hvs.fake-canary-1\n"),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("token_duration       768h\n"));
    assert!(err(&output).contains("Policy \"unknown\" does not exist"));

    let answer = setup.json(&create).await;
    assert_eq!(answer["auth"]["client_token"], "hvs.fake-canary-2");
    assert_eq!(answer["auth"]["lease_duration"], 2_764_800);
    assert_eq!(
        answer["warnings"],
        json!(["Policy \"unknown\" does not exist"])
    );

    let output = setup
        .run(&["token", "create", "-policy=default", "-format=yaml"])
        .await;
    assert!(
        out(&output).contains("client_token: hvs.fake-canary-3\n"),
        "{}",
        out(&output)
    );

    let output = setup
        .run(&["token", "create", "-policy=default", "-field=token"])
        .await;
    assert_eq!(out(&output), "hvs.fake-canary-4");
    let output = setup.run(&["token", "create", "-field=nope"]).await;
    assert_eq!(code(&output), 1);
    assert_eq!(out(&output), "");
}

#[tokio::test]
async fn token_lookup_takes_the_token_from_everywhere_but_the_arguments() {
    let setup = Setup::new().await;
    let answer = setup.json(&["token", "create", "-policy=default"]).await;
    let token = answer["auth"]["client_token"].as_str().unwrap().to_owned();

    let own = setup.json(&["token", "lookup"]).await;
    assert_eq!(own["data"]["path"], "auth/token/root");
    assert_eq!(own["request_id"], "a-request-id");
    assert_eq!(own["data"]["expire_time"], Value::Null);

    let output = setup
        .run_with_input(
            &["token", "lookup", "-field=id", "-"],
            &format!("{token}\n"),
        )
        .await;
    assert_eq!(out(&output), token);

    let file = setup.home.path().join("child");
    std::fs::write(&file, &token).unwrap();
    let at_file = format!("@{}", file.display());
    let looked_up = setup.json(&["token", "lookup", &at_file]).await;
    assert_eq!(looked_up["data"]["id"], json!(token));

    let by_accessor = setup
        .json(&["token", "lookup", "-accessor", "accessor-1"])
        .await;
    assert_eq!(by_accessor["data"]["id"], "");
    assert_eq!(by_accessor["data"]["accessor"], "accessor-1");

    let before = setup.fake().calls().len();
    let output = setup.run(&["token", "lookup", &token]).await;
    assert_eq!(code(&output), 1);
    assert!(!err(&output).contains("canary"), "{}", err(&output));
    assert!(err(&output).contains("standard input"), "{}", err(&output));
    assert_eq!(setup.fake().calls().len(), before);
}

#[tokio::test]
async fn token_renew_and_revoke_reach_their_targets() {
    let setup = Setup::new().await;
    let answer = setup.json(&["token", "create", "-policy=default"]).await;
    let token = answer["auth"]["client_token"].as_str().unwrap().to_owned();

    let output = setup.run(&["token", "renew", "-increment=1h"]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(seconds(setup.fake().state().last_increment), Some(3600));
    let output = setup.run_with_input(&["token", "renew", "-"], &token).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(seconds(setup.fake().state().last_increment), None);
    let output = setup
        .run(&[
            "token",
            "renew",
            "-accessor",
            "-increment",
            "20m",
            "accessor-1",
        ])
        .await;
    assert!(out(&output).contains("token_duration       20m\n"));
    assert!(!out(&output).contains("canary"));

    for args in [
        &["token", "revoke", "-"][..],
        &["token", "revoke", "-mode=orphan", "-"],
    ] {
        let output = setup.run_with_input(args, &token).await;
        assert_eq!(code(&output), 0, "{}", err(&output));
    }
    let output = setup
        .run(&["token", "revoke", "-accessor", "no-such"])
        .await;
    assert_eq!(code(&output), 0);
    assert!(err(&output).contains("No token found"), "{}", err(&output));
    assert_eq!(code(&setup.run(&["token", "revoke"]).await), 1);
    assert_eq!(code(&setup.run(&["token", "revoke", "-accessor"]).await), 1);
    assert_eq!(code(&setup.run(&["token", "revoke", "-self"]).await), 0);
    let output = setup.run(&["token", "lookup"]).await;
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("TOKEN_INVALID"), "{}", err(&output));
    assert_eq!(
        setup.fake().calls(),
        [
            "create_token",
            "renew_self",
            "renew_token",
            "renew_accessor",
            "revoke_token",
            "revoke_orphan",
            "revoke_accessor",
            "revoke_self",
            "lookup_self"
        ]
    );
}

#[tokio::test]
async fn exit_codes_tell_usage_connection_and_refusal_apart() {
    let mut setup = Setup::new().await;
    for (args, expected) in [
        (&["no-such-command"][..], 127),
        (&["token", "no-such"], 127),
        (&["operator", "raft", "no-such"], 127),
        (&[], 127),
        (&["token"], 1),
        (&["token", "create", "-no-such-flag"], 1),
        (&["token", "create", "-ttl=soon"], 1),
        (&["token", "create", "-ttl=-5s"], 1),
        (&["token", "create", "-use-limit=-1"], 1),
        (&["token", "create", "-metadata=x"], 1),
        (&["token", "create", "-type=other"], 1),
        (&["token", "create", "-format=xml"], 1),
        (&["token", "create", "surplus"], 1),
        (&["token", "create", "-id=in-argv"], 1),
        (&["token", "create", "-address=nonsense"], 1),
        (&["token", "create", "-ca-cert=/no/such/file"], 1),
        (&["operator", "init", "-n=x"], 1),
        (&["server"], 1),
        (&["-h"], 0),
        (&["-version"], 0),
        (&["version"], 0),
        (&["token", "-h"], 0),
        (&["token", "create", "-help"], 0),
    ] {
        let output = setup.run(args).await;
        assert_eq!(code(&output), expected, "{args:?}: {}", err(&output));
        // What is asked for goes to standard output, complaints to standard error.
        assert_eq!(out(&output).is_empty(), expected != 0, "{args:?}");
        assert_eq!(err(&output).is_empty(), expected == 0, "{args:?}");
    }
    assert!(setup.fake().calls().is_empty());

    setup.fake().push(Step::Fail(refusal(
        Code::PermissionDenied,
        "DENIED",
        Some("no"),
    )));
    assert_eq!(code(&setup.run(&["token", "create"]).await), 2);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    setup.set("TENURE_ADDR", &nobody);
    let output = setup.run(&["token", "lookup"]).await;
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("refused"), "{}", err(&output));
    assert_eq!(code(&setup.run(&["status"]).await), 1);
}

#[tokio::test]
async fn status_says_by_its_exit_code_whether_the_server_is_open() {
    let mut setup = Setup::new().await;
    // Needs no token.
    setup.env.remove("TENURE_TOKEN");
    let output = setup.run(&["status"]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(
        out(&output).contains("Sealed                  false\n"),
        "{}",
        out(&output)
    );
    setup.fake().state().sealed = true;
    let output = setup.run(&["status", "-format=json"]).await;
    assert_eq!(code(&output), 2);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["sealed"], true);
    assert_eq!(status["t"], 3);
    setup.fake().state().sealed = false;
    setup.fake().state().initialized = false;
    assert_eq!(code(&setup.run(&["status"]).await), 2);
    setup
        .fake()
        .push(Step::Fail(refusal(Code::Internal, "BROKEN", None)));
    assert_eq!(code(&setup.run(&["status"]).await), 1);
}

#[tokio::test]
async fn an_operator_initialises_unseals_and_seals() {
    let setup = Setup::new().await;
    setup.fake().state().initialized = false;
    let output = setup.run(&["operator", "init", "-status"]).await;
    assert_eq!(code(&output), 2);
    let keys = setup
        .json(&["operator", "init", "-n=3", "-key-threshold=2"])
        .await;
    assert_eq!(keys["unseal_keys_hex"].as_array().map(Vec::len), Some(3));
    assert_eq!(keys["unseal_threshold"], 2);
    assert_eq!(keys["root_token"], ROOT);
    let output = setup.run(&["operator", "init", "-status"]).await;
    assert_eq!(code(&output), 0);
    assert_eq!(code(&setup.run(&["operator", "init"]).await), 2);

    let hex = keys["unseal_keys_hex"][0].as_str().unwrap().to_owned();
    let base64 = keys["unseal_keys_b64"][0].as_str().unwrap().to_owned();
    let output = setup
        .run_with_input(&["operator", "unseal", "-"], &format!("{hex}\n"))
        .await;
    assert!(
        out(&output).contains("Unseal Progress         1/3\n"),
        "{}",
        out(&output)
    );
    let output = setup.run(&["operator", "unseal", "-reset"]).await;
    assert!(
        out(&output).contains("Unseal Progress         0/3\n"),
        "{}",
        out(&output)
    );
    let file = setup.home.path().join("key");
    std::fs::write(&file, base64).unwrap();
    let at_file = format!("@{}", file.display());
    for _ in 0..3 {
        let output = setup.run(&["operator", "unseal", &at_file]).await;
        assert_eq!(code(&output), 0, "{}", err(&output));
    }
    assert_eq!(code(&setup.run(&["status"]).await), 0);
    let output = setup
        .run_with_input(&["operator", "unseal", "-"], "abcd")
        .await;
    assert_eq!(code(&output), 2);
    // In the arguments: refused, and not repeated.
    let output = setup.run(&["operator", "unseal", &hex]).await;
    assert_eq!(code(&output), 1);
    assert!(!err(&output).contains(&hex), "{}", err(&output));
    // Nothing to ask: standard input isn't a terminal.
    assert_eq!(code(&setup.run(&["operator", "unseal"]).await), 1);
    assert_eq!(SHARE.to_vec(), hex::decode(hex).unwrap());

    assert_eq!(code(&setup.run(&["operator", "seal"]).await), 0);
    assert!(setup.fake().state().sealed);
}

#[tokio::test]
async fn an_operator_changes_the_cluster() {
    let setup = Setup::new().await;
    let output = setup
        .run(&[
            "operator",
            "raft",
            "join-token",
            "-ttl=5m",
            "-field=join_token",
        ])
        .await;
    assert_eq!(out(&output), "join-canary");
    let output = setup
        .run_with_input(
            &[
                "operator",
                "raft",
                "join",
                "-join-token=-",
                "127.0.0.1:8201",
                "127.0.0.1:8211",
            ],
            "join-canary\n",
        )
        .await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    let sent = setup.fake().state().last_join.clone().unwrap();
    assert_eq!(sent.join_token, "join-canary");
    assert_eq!(sent.peer_addresses, ["127.0.0.1:8201", "127.0.0.1:8211"]);
    assert_eq!(code(&setup.run(&["operator", "raft", "join"]).await), 1);

    let peers = setup.json(&["operator", "raft", "list-peers"]).await;
    let servers = &peers["data"]["config"]["servers"];
    assert_eq!(servers[0]["node_id"], "node-1");
    assert_eq!(servers[0]["leader"], true);
    assert_eq!(servers[1]["sealed"], Value::Null);
    let output = setup.run(&["operator", "raft", "list-peers"]).await;
    assert!(
        out(&output).starts_with("Node      Address           State          Voter"),
        "{}",
        out(&output)
    );
    for args in [
        &["operator", "raft", "remove-peer", "node-2"][..],
        &["operator", "raft", "remove-peer", "-node-id=7"],
        &["operator", "step-down"],
        &["operator", "metrics"],
    ] {
        let output = setup.run(args).await;
        assert_eq!(code(&output), 0, "{}", err(&output));
    }
    assert_eq!(
        setup.fake().state().removed,
        [Peer::Name("node-2".into()), Peer::NodeId(7)]
    );
}

#[tokio::test]
async fn the_token_comes_from_the_environment_then_from_the_token_files() {
    let mut setup = Setup::new().await;
    let lookup = ["token", "lookup"];
    setup.set("VAULT_TOKEN", "wrong");
    assert_eq!(code(&setup.run(&lookup).await), 0);
    // Set to nothing counts as not set.
    setup.set("TENURE_TOKEN", "");
    assert_eq!(code(&setup.run(&lookup).await), 2);
    setup.env.remove("VAULT_TOKEN");
    let write = |home: &Path, name: &str, token: &str, mode: u32| {
        let path = home.join(name);
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let home = setup.home.path().to_owned();
    let output = setup.run(&lookup).await;
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("~/.tenure-token"), "{}", err(&output));
    write(&home, ".vault-token", &format!("{ROOT}\n"), 0o600);
    let output = setup.run(&lookup).await;
    assert_eq!(code(&output), 0);
    assert_eq!(err(&output), "");
    write(&home, ".tenure-token", ROOT, 0o644);
    write(&home, ".vault-token", "wrong", 0o600);
    let output = setup.run(&lookup).await;
    assert_eq!(code(&output), 0);
    assert!(err(&output).contains("chmod 600"), "{}", err(&output));
}

#[tokio::test]
async fn tls_is_verified_and_a_mistake_gets_a_hint() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fake = Fake::new();
    let server = fake
        .serve_tls(&made.cert.pem(), &made.signing_key.serialize_pem())
        .await;
    let mut setup = Setup::new().await;
    let pem = setup.home.path().join("ca.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let address = format!("https://127.0.0.1:{}", server.address.port());
    setup.set("TENURE_ADDR", &address);
    setup.set("VAULT_CACERT", &pem.display().to_string());
    let output = setup.run(&["status"]).await;
    assert_eq!(code(&output), 1);
    assert!(
        err(&output).contains("-tls-server-name"),
        "{}",
        err(&output)
    );
    let output = setup.run(&["status", "-tls-server-name=localhost"]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));

    let plain = format!("https://{}", setup.server.address);
    let output = setup.run(&["status", "-address", &plain]).await;
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("http://"), "{}", err(&output));
}

#[tokio::test]
async fn several_addresses_are_tried_in_turn() {
    let setup = Setup::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let both = format!(
        "http://{},{}",
        free.local_addr().unwrap(),
        setup.server.url()
    );
    drop(free);
    let output = setup.run(&["token", "create", "-address", &both]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
}

#[tokio::test]
async fn a_closed_pipe_is_no_panic() {
    let setup = Setup::new().await;
    for args in [&["-h"][..], &["token", "lookup"], &["version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = setup.command(args).stdout(writer).spawn().unwrap();
        let output = timeout(BOUND, child.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(code(&output), 0, "{args:?}: {}", err(&output));
        assert_eq!(err(&output), "", "{args:?}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_with_130() {
    let setup = Setup::new().await;
    setup.fake().push(Step::Delay(BOUND));
    let child = setup.command(&["token", "lookup"]).spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap();
    timeout(BOUND, async {
        while setup.fake().calls().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = timeout(BOUND, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(code(&output), 130);
    assert_eq!(err(&output), "");
}

#[tokio::test]
async fn a_lease_lives_from_grant_to_revoke() {
    let setup = Setup::new().await;
    // Byte by byte, from standard input: the line end is part of it.
    let output = setup
        .run_with_input(
            &[
                "lease",
                "grant",
                "-ttl=90s",
                "-renewable=false",
                "-field=lease_id",
                "/db/prod/",
                "-",
            ],
            "canary\n",
        )
        .await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    let id = out(&output);
    let grant = setup.fake().state().last_grant.clone().unwrap();
    assert_eq!(
        (grant.path.as_str(), grant.payload.as_slice()),
        ("db/prod", b"canary\n".as_slice())
    );
    assert_eq!(
        (seconds(grant.ttl), grant.renewable),
        (Some(90), Some(false))
    );
    assert!(!grant.request_id.is_empty());

    let shown = setup.json(&["lease", "lookup", &id]).await;
    assert_eq!(shown["data"]["id"], json!(id));
    assert_eq!(shown["data"]["payload_base64"], "Y2FuYXJ5Cg==");
    assert_eq!(
        out(&setup.run(&["lease", "lookup", "-payload", &id]).await),
        "canary\n"
    );

    let renewed = setup.json(&["lease", "renew", "-increment=2h", &id]).await;
    assert_eq!(renewed["lease_duration"], json!(7200));
    assert_eq!(renewed["lease_id"], json!(id));
    assert_eq!(seconds(setup.fake().state().last_increment), Some(7200));
    setup.run(&["lease", "renew", "-increment", "0", &id]).await;
    assert_eq!(setup.fake().state().last_increment, None);

    let output = setup.run(&["lease", "revoke", &id]).await;
    assert_eq!(out(&output), "Success! Revoked lease\n");
    let output = setup.run(&["lease", "lookup", &id]).await;
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("LEASE_NOT_FOUND"), "{}", err(&output));
}

#[tokio::test]
async fn leases_are_listed_counted_and_revoked_by_prefix() {
    let setup = Setup::new().await;
    for path in ["a/b", "a/b", "a/c", "a/b", "d"] {
        let output = setup.run(&["lease", "grant", path]).await;
        assert_eq!(code(&output), 0, "{}", err(&output));
    }
    let listed = setup.json(&["lease", "list", "a/"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert_eq!(listed[0]["owner_display_name"], "root");
    let table = out(&setup.run(&["lease", "list"]).await);
    assert_eq!(table.lines().count(), 2 + 5, "{table}");
    let output = setup.run(&["lease", "list", "-limit=1"]).await;
    assert_eq!(out(&output).lines().count(), 2 + 1);
    assert!(err(&output).contains("more"), "{}", err(&output));
    let counted = setup
        .run(&["lease", "count", "-field=lease_count", "a"])
        .await;
    assert_eq!(out(&counted), "4");

    let output = setup.run(&["lease", "revoke", "-prefix", "a/b/"]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(setup.fake().state().last_prefix.as_deref(), Some("a/b"));
    assert_eq!(
        out(&setup.run(&["lease", "count", "-field=lease_count"]).await),
        "2"
    );
    assert_eq!(code(&setup.run(&["lease", "list", "nowhere"]).await), 2);
}

#[tokio::test]
async fn a_payload_in_the_arguments_is_refused_and_not_repeated() {
    let setup = Setup::new().await;
    let output = setup.run(&["lease", "grant", "a", "canary"]).await;
    assert_eq!(code(&output), 1);
    assert!(!err(&output).contains("canary"), "{}", err(&output));
    assert!(setup.fake().calls().is_empty());
    let file = setup.home.path().join("payload");
    std::fs::write(&file, [0, 159, 10]).unwrap();
    let source = format!("@{}", file.display());
    let output = setup.run(&["lease", "grant", "a", &source]).await;
    assert_eq!(code(&output), 0, "{}", err(&output));
    let grant = setup.fake().state().last_grant.clone().unwrap();
    assert_eq!(grant.payload, [0, 159, 10]);
    std::fs::write(&file, vec![0; (64 << 10) + 1]).unwrap();
    assert_eq!(code(&setup.run(&["lease", "grant", "a", &source]).await), 1);
}

/// A message of a watch.
fn shown(revision: u64, event: Option<v1::LeaseEvent>) -> v1::WatchResponse {
    v1::WatchResponse {
        events: event.into_iter().collect(),
        revision,
    }
}

#[tokio::test]
async fn a_watch_shows_a_line_an_event_and_says_what_to_do_when_events_are_gone() {
    let setup = Setup::new().await;
    let granted = v1::LeaseEvent {
        kind: v1::LeaseEventKind::Granted.into(),
        revision: 8,
        time: Some(prost_types::Timestamp::default()),
        subject: Some(v1::lease_event::Subject::LeaseId("a/b".into())),
        ..Default::default()
    };
    let token = v1::LeaseEvent {
        kind: v1::LeaseEventKind::Revoked.into(),
        revision: 9,
        subject: Some(v1::lease_event::Subject::TokenAccessor("acc".into())),
        ..Default::default()
    };
    let compacted = refusal(Code::OutOfRange, "COMPACTED", None);
    for _ in 0..2 {
        setup.fake().state().watches.push_back(vec![
            Ok(shown(7, None)),
            Ok(shown(8, Some(granted.clone()))),
            Err(tonic::Status::unavailable("the node stops")),
        ]);
        let rest = vec![Ok(shown(9, Some(token.clone()))), Err(compacted.clone())];
        setup.fake().state().watches.push_back(rest);
    }
    let output = setup.run(&["lease", "watch", "-since=7", "a"]).await;
    assert_eq!(
        out(&output),
        "1970-01-01T00:00:00Z  granted  a/b  (revision 8)\n  revoked  token acc  (revision 9)\n"
    );
    // It went on behind what was shown.
    assert_eq!(setup.fake().state().watched_from, [Some(7), Some(9)]);
    assert_eq!(code(&output), 2);
    let told = err(&output);
    assert!(told.contains("tenure lease list"), "{told}");
    let output = setup.run(&["lease", "watch", "-format=json"]).await;
    let lines: Vec<Value> = out(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["lease_id"], json!("a/b"));
    assert_eq!(lines[1]["token_accessor"], json!("acc"));
    for words in [
        ["lease", "watch", "-since=0"],
        ["lease", "watch", "-format=xml"],
    ] {
        assert_eq!(code(&setup.run(&words).await), 1, "{words:?}");
    }
    let mut nobody = Setup::new().await;
    nobody.set("TENURE_ADDR", "http://127.0.0.1:1");
    for words in [["lease", "watch", "a"], ["lease", "keep-alive", "a"]] {
        let output = nobody.run(&words).await;
        assert_eq!(code(&output), 1, "{}", err(&output));
        assert!(err(&output).contains("refused"), "{}", err(&output));
    }
}

#[tokio::test]
async fn keep_alive_shows_what_becomes_of_its_leases() {
    let setup = Setup::new().await;
    let result = |id: &str, reason: &str| v1::LeaseRenewed {
        lease_id: id.into(),
        reason: reason.into(),

        ..Default::default()
    };
    let answer = v1::KeepAliveResponse {
        results: vec![
            result("a/1", "LEASE_NOT_FOUND"),
            result("a/2", "LEASE_NOT_RENEWABLE"),
            result("a/3", "LEASE_NOT_FOUND"),
        ],
    };
    setup.fake().state().renewals.push_back(Ok(answer));
    let output = setup
        .run_with_input(&["lease", "keep-alive", "a/2", "-"], " a/1\n/a/3\n")
        .await;
    assert_eq!(code(&output), 2, "{}", err(&output));
    let mut lines: Vec<_> = out(&output).lines().map(str::to_owned).collect();
    lines.sort();
    let wanted = [
        "gone  a/1  (LEASE_NOT_FOUND)",
        "gone  a/3  (LEASE_NOT_FOUND)",
        "not renewable  a/2",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(code(&setup.run(&["lease", "keep-alive"]).await), 1);
    assert_eq!(
        code(
            &setup
                .run_with_input(&["lease", "keep-alive", "-"], "")
                .await
        ),
        1
    );
}
