//! Secrets over HTTP, row by row, each row at another node: kv in both versions, cubbyholes, what is
//! no secret's path, lists as a whole.

use serde_json::{Value, json};
use tenure_tests::server_cluster::{Outcome, ServerOptions};

use crate::http_client::Http;
use crate::http_rows::Rows;
use crate::{ensure, run, text, three};

/// semantics: "kv v1", "envelope", "errors", "methods".
#[test]
fn kv1() {
    run("http_secrets::kv1", async |scenario| {
        let cluster = three(scenario).await?;
        let mut rows = Rows::of(&cluster, cluster.root().expose()).await?;
        let none = r#"{"errors":[]}"#;
        rows.all(&[
            ("POST", "sys/mounts/kv", r#"{"type":"kv"}"#, 204, ""),
            ("GET", "kv/a", "", 404, none),
            ("LIST", "kv/", "", 404, none),
            ("PUT", "kv/a", r#"{"k":"v","n":1,"o":{"x":[1,2]}}"#, 204, ""),
            (
                "GET",
                "kv/a",
                "",
                200,
                r#"{"data":{"k":"v","n":1,"o":{"x":[1,2]}},"lease_id":"","renewable":false,
                    "lease_duration":2764800,"wrap_info":null,"warnings":null,"auth":null}"#,
            ),
            ("POST", "kv/a", r#"{"z":"y","ttl":"1h"}"#, 204, ""),
            (
                "GET",
                "kv/a",
                "",
                200,
                r#"{"data":{"z":"y"},"lease_duration":3600}"#,
            ),
            ("PUT", "kv/b", r#"{"k":"v"}"#, 204, ""),
            ("PUT", "kv/a/x", r#"{"k":"v"}"#, 204, ""),
            ("LIST", "kv", "", 200, r#"{"data":{"keys":["a","a/","b"]}}"#),
            (
                "LIST",
                "kv?after=a&limit=1",
                "",
                200,
                r#"{"data":{"keys":["a/"]}}"#,
            ),
            ("LIST", "kv?after=b", "", 404, none),
            ("LIST", "kv?limit=many", "", 400, ""),
            (
                "GET",
                "kv/?list=true",
                "",
                200,
                r#"{"data":{"keys":["a","a/","b"]}}"#,
            ),
            ("LIST", "kv/a/", "", 200, r#"{"data":{"keys":["x"]}}"#),
            ("LIST", "kv/none", "", 404, none),
            // A folder is no secret, a write to one a mistake, and the mount itself holds nothing.
            ("GET", "kv/a/", "", 404, none),
            ("PUT", "kv/a/", r#"{"k":"v"}"#, 400, ""),
            ("PUT", "kv", r#"{"k":"v"}"#, 405, ""),
            ("PATCH", "kv/a", r#"{"k":"w"}"#, 405, ""),
            ("PUT", "kv/c", "{}", 400, ""),
            ("PUT", "kv/c", "", 400, ""),
            ("PUT", "kv/c", "null", 400, ""),
            ("PUT", "kv/c", r#"{"a":"#, 400, ""),
            ("PUT", "kv/c", "[1]", 400, ""),
            ("PUT", "kv/c", r#"{"a":1} x"#, 400, ""),
            ("GET", "kv/c", "", 404, none),
            ("DELETE", "kv/a", "", 204, ""),
            ("DELETE", "kv/a", "", 204, ""),
            ("GET", "kv/a", "", 404, none),
            ("LIST", "kv", "", 200, r#"{"data":{"keys":["a/","b"]}}"#),
        ])
        .await?;
        // What was written comes back as it was, every digit of it.
        let exact = r#"{"n":12345678901234567890,"f":0.10,"e":1.5e40}"#;
        rows.ask(("PUT", "kv/n", exact, 204, "")).await?;
        let read = rows.ask(("GET", "kv/n", "", 200, "")).await?;
        ensure(read.body.contains(exact), || read.body.clone())?;
        let large = format!(r#"{{"a":"{}"}}"#, "b".repeat(900 << 10));
        rows.ask(("PUT", "kv/large", &large, 204, "")).await?;
        let read = rows.ask(("GET", "kv/large", "", 200, "")).await?;
        ensure(read.body.contains(&large), || "cut".to_owned())?;
        let larger = format!(r#"{{"a":"{}"}}"#, "b".repeat(1100 << 10));
        rows.ask(("PUT", "kv/large", &larger, 413, "")).await?;
        bombs(&mut rows).await
    });
}

/// Small bodies that would grow large.
async fn bombs(rows: &mut Rows) -> Outcome<()> {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let wide = format!(r#"{{"a":[{}]}}"#, vec!["[]"; 100_000].join(","));
    for body in [deep, wide] {
        rows.ask(("PUT", "kv/bomb", &body, 400, "")).await?;
    }
    rows.ask(("GET", "kv/bomb", "", 404, "")).await.map(drop)
}

/// semantics: "kv v2".
#[test]
fn kv2() {
    run("http_secrets::kv2", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.root();
        let mut rows = Rows::of(&cluster, root.expose()).await?;
        let v2 = r#"{"type":"kv","options":{"version":"2"}}"#;
        let deleted = r#"{"data":{"data":null,"metadata":{"version":2,"destroyed":false}}}"#;
        rows.all(&[
            ("POST", "sys/mounts/kv", v2, 204, ""),
            (
                "GET",
                "kv/config",
                "",
                200,
                r#"{"data":{"cas_required":false,"max_versions":0}}"#,
            ),
            (
                "PUT",
                "kv/data/a",
                r#"{"data":{"k":"1"}}"#,
                200,
                r#"{"data":{"version":1}}"#,
            ),
            (
                "GET",
                "kv/data/a",
                "",
                200,
                r#"{"data":{"data":{"k":"1"}},"lease_duration":0}"#,
            ),
            ("PUT", "kv/data/a", r#"{"k":"v"}"#, 400, ""),
            (
                "PUT",
                "kv/data/a",
                r#"{"data":{"k":"2"},"options":{"cas":0}}"#,
                400,
                "",
            ),
            (
                "PUT",
                "kv/data/a",
                r#"{"data":{"k":"2"},"options":{"cas":1}}"#,
                200,
                "",
            ),
            (
                "GET",
                "kv/data/a?version=1",
                "",
                200,
                r#"{"data":{"data":{"k":"1"}}}"#,
            ),
            ("GET", "kv/data/a?version=9", "", 404, r#"{"errors":[]}"#),
            ("GET", "kv/data/a?version=x", "", 400, ""),
            (
                "GET",
                "kv/subkeys/a",
                "",
                200,
                r#"{"data":{"subkeys":{"k":null}}}"#,
            ),
            ("LIST", "kv/data/", "", 405, ""),
            ("LIST", "kv/metadata", "", 200, r#"{"data":{"keys":["a"]}}"#),
            ("DELETE", "kv/data/a", "", 204, ""),
            ("GET", "kv/data/a", "", 404, deleted),
            ("POST", "kv/undelete/a", r#"{"versions":[2]}"#, 204, ""),
            (
                "GET",
                "kv/data/a",
                "",
                200,
                r#"{"data":{"data":{"k":"2"}}}"#,
            ),
            ("POST", "kv/delete/a", r#"{"versions":[2]}"#, 204, ""),
            ("GET", "kv/data/a", "", 404, deleted),
            ("PUT", "kv/destroy/a", r#"{"versions":["2"]}"#, 204, ""),
            (
                "GET",
                "kv/data/a",
                "",
                404,
                r#"{"data":{"metadata":{"destroyed":true}}}"#,
            ),
            (
                "PUT",
                "kv/data/b",
                r#"{"data":{"a":"1","n":{"x":1}}}"#,
                200,
                "",
            ),
            (
                "PATCH",
                "kv/data/b",
                r#"{"data":{"a":null,"n":{"y":2}}}"#,
                200,
                "",
            ),
            (
                "GET",
                "kv/data/b",
                "",
                200,
                r#"{"data":{"data":{"n":{"x":1,"y":2}}}}"#,
            ),
            (
                "PATCH",
                "kv/data/none",
                r#"{"data":{"a":"1"}}"#,
                404,
                r#"{"errors":[]}"#,
            ),
            (
                "POST",
                "kv/metadata/b",
                r#"{"custom_metadata":{"owner":"me"},"max_versions":3,"colour":"red"}"#,
                200,
                r#"{"data":null}"#,
            ),
            (
                "PATCH",
                "kv/metadata/b",
                r#"{"custom_metadata":{"a":"b"}}"#,
                204,
                "",
            ),
            (
                "GET",
                "kv/metadata/b",
                "",
                200,
                r#"{"data":{"max_versions":3,"current_version":2,
                    "custom_metadata":{"owner":"me","a":"b"}}}"#,
            ),
            ("DELETE", "kv/metadata/b", "", 204, ""),
            ("GET", "kv/metadata/b", "", 404, r#"{"errors":[]}"#),
            // A path of version 1: a 404 that says what to use instead.
            ("GET", "kv/a", "", 404, r#"{"data":null,"auth":null}"#),
            ("PUT", "kv/a", r#"{"k":"v"}"#, 404, r#"{"data":null}"#),
        ])
        .await?;
        let told = rows.ask(("GET", "kv/a", "", 404, "")).await?;
        ensure(told.text("/warnings/0")?.contains("data/"), || {
            told.body.clone()
        })?;
        let good = format!("x-vault-token: {}\r\n", root.expose());
        for (kind, status) in [
            ("", 415),
            ("content-type: application/json\r\n", 415),
            (
                "content-type: application/merge-patch+json; charset=utf-8\r\n",
                404,
            ),
        ] {
            let mut http = Http::to(&cluster, 0, "").await?;
            let (path, body) = ("/v1/kv/data/none", r#"{"data":{"a":"1"}}"#);
            let headers = format!("{good}{kind}");
            let answer = http.send("PATCH", path, &headers, body).await?;
            answer.must_be(status)?;
            // Who has no token learns nothing of it.
            http.send("PATCH", path, kind, body).await?.must_be(403)?;
        }
        Ok(())
    });
}

/// semantics: "cubbyhole", "unknown paths", "default policy".
#[test]
fn cubbyholes_and_paths_of_nobody() {
    run("http_secrets::cubbyholes", async |scenario| {
        let cluster = three(scenario).await?;
        let root = cluster.root();
        let mut rows = Rows::of(&cluster, root.expose()).await?;
        let wish = r#"{"policies":["default"],"ttl":"1h"}"#;
        let made = rows
            .ask(("POST", "auth/token/create", wish, 200, ""))
            .await?;
        let (token, none) = (made.text("/auth/client_token")?, r#"{"errors":[]}"#);
        rows.with(&token)
            .all(&[
                ("PUT", "cubbyhole/a/b", r#"{"k":"v"}"#, 204, ""),
                (
                    "GET",
                    "cubbyhole/a/b",
                    "",
                    200,
                    r#"{"data":{"k":"v"},"lease_duration":0}"#,
                ),
                ("LIST", "cubbyhole/", "", 200, r#"{"data":{"keys":["a/"]}}"#),
                (
                    "LIST",
                    "cubbyhole/?after=b",
                    "",
                    200,
                    r#"{"data":{"keys":["a/"]},"warnings":["after and limit: lists of the cubbyhole aren't cut"]}"#,
                ),
                ("PUT", "cubbyhole/a/b", r#"{"c":"w"}"#, 204, ""),
                ("GET", "cubbyhole/a/b", "", 200, r#"{"data":{"c":"w"}}"#),
                ("PUT", "cubbyhole/a/b", "{}", 400, ""),
                ("LIST", "cubbyhole/none", "", 404, none),
                ("GET", "kv/a", "", 403, ""),
                ("PUT", "kv/a", r#"{"a":"#, 403, ""),
                ("GET", "sys/nothing", "", 403, ""),
            ])
            .await?;
        rows.with(root.expose())
            .all(&[
                ("GET", "cubbyhole/a/b", "", 404, none),
                ("GET", "kv/a", "", 404, ""),
                ("PUT", "kv/a", r#"{"k":"v"}"#, 404, ""),
                ("LIST", "kv", "", 404, ""),
                ("DELETE", "kv/a", "", 404, ""),
                ("GET", "sys/nothing", "", 404, ""),
                ("POST", "auth/nothing/login", "{}", 404, ""),
                ("DELETE", "sys/mounts/cubbyhole", "", 400, ""),
                (
                    "POST",
                    "sys/remount",
                    r#"{"from":"cubbyhole","to":"c"}"#,
                    400,
                    "",
                ),
            ])
            .await?;
        let told = rows.ask(("GET", "kv/a", "", 404, "")).await?;
        ensure(
            told.text("/errors/0")?.starts_with("no handler for route"),
            || told.body.clone(),
        )?;
        // Without a token nobody learns what there is.
        for row in [
            ("GET", "kv/a", "", 403, ""),
            ("PUT", "cubbyhole/a", r#"{"k":"v"}"#, 403, ""),
            ("LIST", "cubbyhole", "", 403, ""),
        ] {
            rows.with("").ask(row).await?;
        }
        rows.with(&token)
            .all(&[
                ("POST", "auth/token/revoke-self", "", 204, ""),
                ("GET", "cubbyhole/a/b", "", 403, ""),
            ])
            .await
    });
}

/// A list is one call, however many pages it has: one use of the token, and one state. A count
/// too.
#[test]
fn a_list_is_one_use_and_one_state() {
    run("http_secrets::a_list_is_one_use", async |scenario| {
        let cluster = crate::start(scenario, ServerOptions::new(3)?).await?;
        let root = cluster.root();
        let mut rows = Rows::of(&cluster, root.expose()).await?;
        rows.ask(("POST", "sys/mounts/kv", r#"{"type":"kv"}"#, 204, ""))
            .await?;
        // More than one page holds.
        let names = 1_203;
        for index in 0..names {
            let path = format!("kv/n{index:04}");
            rows.ask(("PUT", &path, r#"{"k":"v"}"#, 204, "")).await?;
        }
        let reader = r#"path "kv/*" { capabilities = ["list"] }
            path "sys/leases/count" { capabilities = ["read", "sudo"] }
            path "sys/leases/lookup/*" { capabilities = ["list", "sudo"] }"#;
        let policy = json!({ "policy": reader }).to_string();
        rows.ask(("PUT", "sys/policies/acl/lister", &policy, 204, ""))
            .await?;
        let wish = r#"{"policies":["lister"],"num_uses":3}"#;
        let made = rows
            .ask(("POST", "auth/token/create", wish, 200, ""))
            .await?;
        rows.with(&made.text("/auth/client_token")?);
        for _ in 0..3 {
            let listed = rows.ask(("LIST", "kv", "", 200, "")).await?.json();
            let keys = listed["data"]["keys"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            ensure(keys.len() == names, || format!("{} names", keys.len()))?;
            let sorted = keys.is_sorted_by_key(|key| key.as_str().map(str::to_owned));
            ensure(sorted, || "not sorted".to_owned())?;
        }
        rows.ask(("LIST", "kv", "", 403, "")).await?;
        one_state(&cluster, &mut rows, root.expose()).await
    });
}

/// While one name after the other takes the place of the one before, every list holds one or two.
async fn one_state(
    cluster: &tenure_tests::server_cluster::ServerCluster,
    rows: &mut Rows,
    root: &str,
) -> Outcome<()> {
    let mut writer = Http::to(cluster, 0, root).await?;
    let moving = async {
        for round in 0..60 {
            for (verb, index) in [("PUT", round + 1), ("DELETE", round)] {
                let path = format!("kv/moving{index}");
                let body = if verb == "PUT" { r#"{"k":"v"}"# } else { "" };
                writer.ask(verb, &path, body).await?.must_be(204)?;
            }
        }
        Ok::<(), String>(())
    };
    rows.with(root)
        .ask(("PUT", "kv/moving0", r#"{"k":"v"}"#, 204, ""))
        .await?;
    let listing = async {
        for _ in 0..20 {
            let listed = rows.ask(("LIST", "kv", "", 200, "")).await?.json();
            let keys = listed["data"]["keys"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let moving = |key: &&Value| key.as_str().is_some_and(|key| key.starts_with("moving"));
            let found = keys.iter().filter(moving).count();
            ensure(found == 1 || found == 2, || format!("{found} at once"))?;
        }
        Ok::<(), String>(())
    };
    let (moved, listed) = tokio::join!(moving, listing);
    moved.and(listed).map_err(text)
}
