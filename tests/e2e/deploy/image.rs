//! The Dockerfile, against the repository and the manifests. Docker itself isn't needed: what it
//! would only find out at the end of a long build is looked up here.

use std::collections::BTreeSet;
use std::fs;

use tenure_tests::server_cluster::Outcome;

use super::checks::Findings;
use super::files::{Files, Manifests, list, repository, string};
use crate::text;

/// Shared libraries that the image has: glibc, libgcc and libstdc++.
pub const LIBRARIES: &[&str] = &[
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
];

/// The instructions, with continued lines joined.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let lines = dockerfile
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

pub fn check(files: &Files, manifests: &Manifests, found: &mut Findings) -> Outcome<()> {
    let all = instructions(files.get("deploy/Dockerfile")?);
    let stage = all.iter().rposition(|(word, _)| word == "FROM");
    let (build, last) = all.split_at(stage.ok_or("the Dockerfile has no FROM")?);
    let of = |part: &[(String, String)], wanted: &str| -> Vec<String> {
        let same = part.iter().filter(|(word, _)| word == wanted);
        same.map(|(_, rest)| rest.clone()).collect()
    };
    same_debian(&of(build, "FROM"), &of(last, "FROM"), found)?;
    sources(files, found)?;
    packages(files, &of(build, "RUN"), found)?;

    let user = of(last, "USER").join(" ");
    let security = &manifests.template()["spec"]["securityContext"];
    let wanted = format!("{}:{}", security["runAsUser"], security["runAsGroup"]);
    found.same("USER of the image, runAsUser:runAsGroup", &user, &wanted);
    let volumes = &security["fsGroup"];
    found.same("fsGroup, runAsGroup", volumes, &security["runAsGroup"]);
    let number = user.split(':').next().and_then(|id| id.parse::<u32>().ok());
    found.expect(number.is_some_and(|id| id > 0), || {
        format!("USER {user} is no number above 0")
    });

    let ports: BTreeSet<String> = list(manifests.container(), "/ports")
        .iter()
        .map(|port| port["containerPort"].to_string())
        .collect();
    let exposed = of(last, "EXPOSE").join(" ");
    let exposed = exposed.split_whitespace().map(str::to_owned).collect();
    found.same("EXPOSE, containerPort", &exposed, &ports);

    let entry: Vec<String> =
        serde_json::from_str(&of(last, "ENTRYPOINT").join(" ")).map_err(text)?;
    let [entry] = &entry[..] else {
        return Err("the ENTRYPOINT is not one word".to_owned());
    };
    let copied = of(last, "COPY");
    let copied = copied.iter().filter(|line| line.ends_with(entry.as_str()));
    found.expect(copied.count() == 1, || {
        format!("no COPY puts the entry point {entry} there")
    });
    // `kubectl exec … -- tenure` finds it by the image's PATH.
    found.expect(entry == "/usr/local/bin/tenure", || {
        format!("{entry} is not on PATH as tenure")
    });
    found.expect(manifests.container().get("command").is_none(), || {
        "the manifest replaces the image's entry point".to_owned()
    });
    let words: Vec<String> = serde_json::from_str(&of(last, "CMD").join(" ")).map_err(text)?;
    let arguments = manifests.pod(0)?.arguments;
    found.same("CMD of the image, args of the manifest", &words, &arguments);

    let version = env!("CARGO_PKG_VERSION");
    let image = string(manifests.container(), "/image")?;
    found.expect(image.ends_with(&format!("/tenure:{version}")), || {
        format!("the image {image} is not of version {version}")
    });
    Ok(())
}

/// The builder and the image have the same glibc, and the builder a Rust that is new enough.
fn same_debian(build: &[String], last: &[String], found: &mut Findings) -> Outcome<()> {
    let (Some(build), Some(last)) = (build.first(), last.first()) else {
        return Err("the Dockerfile has not two stages".to_owned());
    };
    let fits = build.contains("-trixie") && last.contains("-debian13:");
    found.expect(fits, || {
        format!("{build} and {last} are not both Debian 13")
    });
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).map_err(text)?;
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .map(|rest| rest.trim_end_matches('"'));
    let wanted = wanted.ok_or("Cargo.toml names no rust-version")?;
    found.expect(build.starts_with(&format!("rust:{wanted}-")), || {
        format!("{build} is not Rust {wanted}")
    });
    Ok(())
}

/// The builder installs what `.ci/setup` would, and nothing that only tests need.
fn packages(files: &Files, runs: &[String], found: &mut Findings) -> Outcome<()> {
    let setup = files.get(".ci/setup")?;
    let mut wanted = BTreeSet::new();
    let mut tests_only = false;
    for line in setup.lines() {
        tests_only = (tests_only && line != "fi") || line.contains("= --tests ]");
        let tools = line.strip_prefix("for tool in ");
        let tools = tools.and_then(|rest| rest.strip_suffix("; do"));
        let named = line.split_once("need+=(").map(|(_, rest)| rest);
        let named = named.and_then(|rest| rest.strip_suffix(')'));
        let named = named.filter(|name| !name.contains('$') && !tests_only);
        for words in [tools, named].into_iter().flatten() {
            wanted.extend(words.split_whitespace());
        }
    }
    let installed = runs
        .iter()
        .find_map(|run| run.split_once("apt-get install"));
    let (_, installed) = installed.ok_or("the Dockerfile installs nothing")?;
    let (installed, _) = installed.split_once("&&").unwrap_or((installed, ""));
    let installed = installed.split_whitespace();
    let installed: BTreeSet<&str> = installed.filter(|word| !word.starts_with('-')).collect();
    found.same("packages of the image, of .ci/setup", &installed, &wanted);
    Ok(())
}

/// What the build needs is in the repository, and not ignored.
fn sources(files: &Files, found: &mut Findings) -> Outcome<()> {
    let ignored: Vec<&str> = files.get(".dockerignore")?.lines().collect();
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).map_err(text)?;
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "));
    let members: Vec<String> =
        serde_json::from_str(members.ok_or("Cargo.toml has no members")?).map_err(text)?;
    let others = [
        "Cargo.toml",
        "Cargo.lock",
        ".ci",
        ".ci/apt-install",
        ".ci/cargo",
        ".ci/setup",
    ];
    for needed in members.iter().map(String::as_str).chain(others) {
        found.expect(!ignored.contains(&needed), || {
            format!(".dockerignore leaves out {needed}")
        });
        found.expect(repository().join(needed).exists(), || {
            format!("the build needs {needed}, which isn't there")
        });
    }
    Ok(())
}
