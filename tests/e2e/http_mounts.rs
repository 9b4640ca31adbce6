//! Mounts over HTTP, row by row, each row at another node; and what clients ask of mounts with a
//! token that has rights in one of them alone, at both doors.

use serde_json::json;
use tenure_client::Secret;

use crate::http_rows::Rows;
use crate::{ensure, run, text, three};

/// semantics: "mounts", "some sys paths answer at both places".
#[test]
fn mounts() {
    run("http_mounts::mounts", async |scenario| {
        let cluster = three(scenario).await?;
        let mut rows = Rows::of(&cluster, cluster.root().expose()).await?;
        let full = r#"{"type":"kv-v2","description":"d","local":false,"seal_wrap":false,
            "config":{"default_lease_ttl":"1h","max_lease_ttl":"","force_no_cache":false}}"#;
        let shown = r#"{"type":"kv","description":"d","options":{"version":"2"},
            "config":{"default_lease_ttl":3600,"max_lease_ttl":0}}"#;
        let tuned = r#"{"default_lease_ttl":3600,"max_lease_ttl":2764800,"description":"d"}"#;
        let at =
            |name: &str, what: &str| format!(r#"{{"{name}":{what},"data":{{"{name}":{what}}}}}"#);
        let both = |what: &str| format!(r#"{{"data":{what},{}"#, &what[1..]);
        let token = r#"{"type":"token"}"#;
        rows.all(&[
            ("POST", "sys/mounts/a/b", full, 204, ""),
            ("GET", "sys/mounts", "", 200, &at("a/b/", shown)),
            (
                "GET",
                "sys/mounts",
                "",
                200,
                &at("cubbyhole/", r#"{"type":"cubbyhole"}"#),
            ),
            ("GET", "sys/mounts/a/b", "", 200, &both(shown)),
            ("GET", "sys/mounts/a/b/tune", "", 200, &both(tuned)),
            ("GET", "sys/mounts/a/b/", "", 200, shown),
            ("GET", "sys/auth", "", 200, &at("token/", token)),
            ("GET", "sys/auth/token", "", 200, token),
            (
                "GET",
                "sys/internal/ui/mounts",
                "",
                200,
                r#"{"data":{"auth":{"token/":{}}}}"#,
            ),
            (
                "GET",
                "sys/internal/ui/mounts/a/b/data/x",
                "",
                200,
                r#"{"data":{"path":"a/b/","type":"kv","options":{"version":"2"}}}"#,
            ),
            ("GET", "sys/internal/ui/mounts/none/x", "", 403, ""),
            ("POST", "sys/mounts/a/b", full, 400, ""),
            ("POST", "sys/mounts/a/b/c", full, 400, ""),
            ("POST", "sys/mounts/a", full, 400, ""),
            ("POST", "sys/mounts/c", "{}", 400, ""),
            ("POST", "sys/mounts/c", r#"{"type":"nope"}"#, 400, ""),
            (
                "POST",
                "sys/mounts/c",
                r#"{"type":"kv","options":{"version":"3"}}"#,
                400,
                "",
            ),
            (
                "POST",
                "sys/mounts/c",
                r#"{"type":"kv","config":{"max_lease_ttl":"x"}}"#,
                400,
                "",
            ),
            (
                "POST",
                "sys/mounts/c",
                r#"{"type":"kv","config":7}"#,
                400,
                "",
            ),
            (
                "POST",
                "sys/mounts/c",
                r#"{"type":"kv","config":{"default_lease_ttl":"2h","max_lease_ttl":"1h"}}"#,
                400,
                "",
            ),
            ("POST", "sys/auth/c", r#"{"type":"nope"}"#, 400, ""),
            ("DELETE", "sys/auth/token", "", 400, ""),
            ("DELETE", "sys/mounts/sys", "", 400, ""),
            ("DELETE", "sys/mounts/identity", "", 400, ""),
            ("DELETE", "sys/mounts/none", "", 204, ""),
            ("GET", "sys/mounts/none", "", 400, ""),
            ("GET", "sys/mounts/none/tune", "", 400, ""),
            ("POST", "sys/mounts/none/tune", "{}", 400, ""),
            // What is absent or empty stays.
            (
                "POST",
                "sys/mounts/a/b/tune",
                r#"{"max_lease_ttl":"2h","default_lease_ttl":""}"#,
                204,
                "",
            ),
            (
                "GET",
                "sys/mounts/a/b/tune",
                "",
                200,
                r#"{"default_lease_ttl":3600,"max_lease_ttl":7200}"#,
            ),
            (
                "POST",
                "sys/mounts/a/b/tune",
                r#"{"default_lease_ttl":"system","description":""}"#,
                204,
                "",
            ),
            (
                "GET",
                "sys/mounts/a/b/tune",
                "",
                200,
                r#"{"default_lease_ttl":7200,"description":""}"#,
            ),
            (
                "POST",
                "sys/mounts/a/b/tune",
                r#"{"options":{"version":"1"}}"#,
                400,
                "",
            ),
            (
                "POST",
                "sys/mounts/cubbyhole/tune",
                r#"{"max_lease_ttl":"1h"}"#,
                400,
                "",
            ),
            ("DELETE", "sys/mounts/a/b/tune", "", 405, ""),
            (
                "POST",
                "sys/mounts/a/b/tune/tune",
                r#"{"type":"kv"}"#,
                400,
                "",
            ),
            ("POST", "sys/mounts/tune", r#"{"type":"kv"}"#, 400, ""),
        ])
        .await?;
        let odd = r#"{"type":"kv","config":{"colour":"red"},"local":true}"#;
        let warned = rows.ask(("POST", "sys/mounts/odd", odd, 200, "")).await?;
        let said = warned.text("/warnings/0")?;
        ensure(said.contains("config.colour, local"), || said.clone())?;
        // An upgrade in place.
        rows.all(&[
            ("PUT", "odd/x", r#"{"k":"v"}"#, 204, ""),
            (
                "POST",
                "sys/mounts/odd/tune",
                r#"{"options":{"version":2}}"#,
                204,
                "",
            ),
            (
                "GET",
                "odd/data/x",
                "",
                200,
                r#"{"data":{"data":{"k":"v"},"metadata":{"version":1}}}"#,
            ),
            ("DELETE", "sys/mounts/odd", "", 204, ""),
            ("GET", "odd/data/x", "", 404, ""),
        ])
        .await?;
        moves(&mut rows).await
    });
}

/// semantics: "remount async with migration_id"; here it is done when it is answered.
async fn moves(rows: &mut Rows) -> tenure_tests::server_cluster::Outcome<()> {
    rows.ask(("PUT", "a/b/data/x", r#"{"data":{"k":"v"}}"#, 200, ""))
        .await?;
    let wish = r#"{"from":"a/b/","to":"moved"}"#;
    let moved = rows.ask(("POST", "sys/remount", wish, 200, "")).await?;
    let id = moved.text("/data/migration_id")?;
    ensure(moved.text("/migration_id")? == id, || moved.body.clone())?;
    let status = format!("sys/remount/status/{id}");
    let wanted = format!(
        r#"{{"data":{{"migration_id":"{id}","migration_info":
            {{"source_mount":"a/b/","target_mount":"moved/","status":"success"}}}}}}"#
    );
    rows.all(&[
        ("GET", &status, "", 200, &wanted),
        ("GET", "sys/remount/status/x", "", 400, ""),
        (
            "GET",
            "moved/data/x",
            "",
            200,
            r#"{"data":{"data":{"k":"v"}}}"#,
        ),
        ("GET", "a/b/data/x", "", 404, ""),
        (
            "POST",
            "sys/remount",
            r#"{"from":"none","to":"c"}"#,
            400,
            "",
        ),
        (
            "POST",
            "sys/remount",
            r#"{"from":"moved","to":"sys/c"}"#,
            400,
            "",
        ),
        (
            "POST",
            "sys/remount",
            r#"{"from":"moved","to":"c/tune"}"#,
            400,
            "",
        ),
    ])
    .await
}

/// Clients ask what a mount is before they read a secret of it: a policy that speaks of secrets
/// alone is enough, at both doors.
#[test]
fn a_right_in_a_mount_shows_the_mount() {
    run("http_mounts::a_right_in_a_mount", async |scenario| {
        let cluster = three(scenario).await?;
        let mut rows = Rows::of(&cluster, cluster.root().expose()).await?;
        let policy = r#"path "kv/data/team/*" { capabilities = ["read", "create"] }"#;
        let policy = json!({ "policy": policy }).to_string();
        let wish = r#"{"policies":["team"],"ttl":"1h"}"#;
        rows.all(&[
            ("POST", "sys/mounts/kv", r#"{"type":"kv-v2"}"#, 204, ""),
            ("POST", "sys/mounts/other", r#"{"type":"kv-v2"}"#, 204, ""),
            ("PUT", "sys/policies/acl/team", &policy, 204, ""),
        ])
        .await?;
        let made = rows
            .ask(("POST", "auth/token/create", wish, 200, ""))
            .await?;
        let token = made.text("/auth/client_token")?;
        rows.with(&token)
            .all(&[
                (
                    "GET",
                    "sys/internal/ui/mounts/kv/team/x",
                    "",
                    200,
                    r#"{"data":{"path":"kv/"}}"#,
                ),
                (
                    "GET",
                    "sys/internal/ui/mounts/kv",
                    "",
                    200,
                    r#"{"data":{"type":"kv"}}"#,
                ),
                ("GET", "sys/internal/ui/mounts/other/x", "", 403, ""),
                ("GET", "sys/internal/ui/mounts/none/x", "", 403, ""),
                ("GET", "sys/mounts", "", 403, ""),
                ("GET", "sys/mounts/kv", "", 403, ""),
                ("GET", "sys/mounts/kv/tune", "", 403, ""),
                ("GET", "sys/auth", "", 403, ""),
                ("DELETE", "sys/mounts/kv", "", 403, ""),
                ("POST", "sys/remount", r#"{"from":"kv","to":"c"}"#, 403, ""),
                ("PUT", "kv/data/team/x", r#"{"data":{"k":"v"}}"#, 200, ""),
                ("GET", "kv/data/team/x", "", 200, ""),
            ])
            .await?;
        let seen = rows
            .ask(("GET", "sys/internal/ui/mounts", "", 200, ""))
            .await?
            .json();
        let names = seen["data"]["secret"]
            .as_object()
            .map(|all| all.keys().cloned().collect());
        let names: Vec<String> = names.unwrap_or_default();
        let shows = |name: &str| names.iter().any(|one| one == name);
        ensure(
            shows("kv/") && shows("cubbyhole/") && !shows("other/"),
            || seen.to_string(),
        )?;
        for node in &cluster.nodes {
            let client = node.client_of(&Secret::new(token.clone()));
            let found = client.get_mount("kv/team/x").await.map_err(text)?;
            ensure(found.path == "kv/", || found.path.clone())?;
            let refused = client.get_mount("other/x").await.err();
            let reason = refused.as_ref().and_then(|error| error.reason());
            ensure(reason == Some("PERMISSION_DENIED"), || {
                format!("{reason:?}")
            })?;
        }
        rows.with("")
            .ask(("GET", "sys/internal/ui/mounts", "", 403, ""))
            .await
            .map(drop)
    });
}
