//! The words and variables that the manifests and the manual give to the program, against its own
//! command line and its help.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tenure_tests::server_cluster::Outcome;

use super::checks::Findings;
use super::files::Pod;

/// The variables that the server reads, without their prefix.
pub const OF_SERVER: [&str; 6] = [
    "RAFT_NODE_ID",
    "RAFT_PATH",
    "API_ADDR",
    "CLUSTER_ADDR",
    "LOG_LEVEL",
    "LOG_FORMAT",
];
/// The file of `-config`, if the command line accepts the words of the manifest.
pub fn config_path(pod: &Pod) -> Outcome<PathBuf> {
    let words: Vec<&str> = pod.arguments.iter().map(String::as_str).collect();
    let matches = command_line(&words)?;
    let (command, matches) = matches.subcommand().ok_or("no command")?;
    if command != "server" {
        return Err(format!("the pods run `tenure {command}`"));
    }
    let mut paths = matches.get_many::<PathBuf>("config").into_iter().flatten();
    match (paths.next(), paths.next()) {
        (Some(path), None) => Ok(path.clone()),
        _ => Err("there is not one -config".to_owned()),
    }
}

/// Words after `tenure`, as the program's command line reads them.
fn command_line(words: &[&str]) -> Outcome<clap::ArgMatches> {
    // One dash before a long flag is as good as two: the program adds the other.
    let doubled = words.iter().map(|word| match word.strip_prefix('-') {
        Some(rest) if rest.len() > 1 && !rest.starts_with('-') => format!("-{word}"),
        _ => (*word).to_owned(),
    });
    let all = std::iter::once("tenure".to_owned()).chain(doubled);
    let parsed = tenure_cli::definition().try_get_matches_from(all);
    parsed.map_err(|error| format!("tenure {}: {error}", words.join(" ")))
}

/// Each variable for Tenure is one that the server or the command line says that it reads.
pub fn environment(pod: &Pod, found: &mut Findings) {
    let mut definition = tenure_cli::definition();
    let mut help = definition.render_long_help().to_string();
    if let Some(server) = definition.find_subcommand_mut("server") {
        let server = server.render_long_help().to_string();
        for name in OF_SERVER {
            for prefix in ["TENURE_", "VAULT_"] {
                found.expect(server.contains(&format!("{prefix}{name}")), || {
                    format!("`tenure server -help` doesn't tell of {prefix}{name}")
                });
            }
        }
        help.push_str(&server);
    }
    let known: BTreeSet<&str> = help
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    for (name, _) in &pod.environment {
        let ours = name.starts_with("TENURE_") || name.starts_with("VAULT_");
        found.expect(!ours || known.contains(name.as_str()), || {
            format!("environment: {name} is no variable of tenure")
        });
    }
}

/// Each command of the manual is one of the program's.
pub fn manual(manual: &str, found: &mut Findings) {
    let mut code = false;
    let mut count = 0;
    for line in manual.replace("\\\n", " ").lines() {
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let first = words.first() == Some(&"tenure");
        let begin = match words.windows(2).position(|two| two == ["--", "tenure"]) {
            Some(at) => at + 2,
            None if first => 1,
            None => continue,
        };
        if !code {
            continue;
        }
        let rest = words[begin..].iter().copied();
        let command: Vec<&str> = rest
            .take_while(|word| !["|", "<", ">", "#", "&&", ";"].contains(word))
            .collect();
        count += 1;
        if let Err(error) = command_line(&command) {
            found.0.push(format!("deploy/README.md: {error}"));
        }
    }
    found.expect(count > 5, || {
        format!("deploy/README.md has {count} commands")
    });
}
