//! Every option and argument of every command at its worst, found by the definition of the command
//! line, so that what is added later is swept too: the program says no and ends, the server goes on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Arg, ArgAction};
use tenure_tests::Process;
use tenure_tests::ports::free_address;
use tenure_tests::server_cluster::{Outcome, SOON, in_parallel, tenure_binary, until};
use tokio::io::AsyncWriteExt;

use crate::{ensure, run, text};

/// What seals, ends or leaves the server when it is carried out, and the server itself.
const NOT_SWEPT: [&str; 3] = ["server", "operator seal", "operator step-down"];
/// What goes on until it is interrupted.
const ENDLESS: [&str; 2] = ["lease", "watch"];
/// The exit code of what was.
const INTERRUPTED: usize = 130;
/// Revokes the token that the sweep calls with.
const OWN_END: &str = "revoke_self";
/// A command is over within this, whatever it is given.
const COMMAND_BOUND: Duration = Duration::from_secs(20);
/// Commands under way at once.
const WORKERS: usize = 4;
/// The token of the sweep: it must not stand in what any of them complains of.
const ROOT: &str = "sweep-root-0123456789abcdef";
/// A secret that is given where none belongs.
const MISPLACED: &str = "hvs.misplacedmisplacedmisplaced";
/// A path under a mount of the development server.
const PLAUSIBLE: &str = "secret/sweep";

/// One command line: its words after `tenure`, and what it reads.
#[derive(Clone)]
struct Case {
    words: Vec<OsString>,
    input: Arc<[u8]>,
    folder: PathBuf,
}

#[test]
fn every_argument_of_every_command() {
    run("commands::every_argument", async |scenario| {
        let folder = scenario.dir().to_owned();
        let address = free_address();
        let listen = format!("-dev-listen-address={address}");
        let mut command = std::process::Command::new(tenure_binary()?);
        command
            .args(["server", "-dev", "-dev-no-store-token", &listen])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .env_clear()
            .env("HOME", &folder);
        let mut server = Process::spawn(command, &scenario.logs(), "dev").map_err(text)?;
        let shell = Shell {
            home: folder.clone(),
            address: format!("http://{address}"),
        };
        until("the server serves", SOON, async || {
            shell.good(&["kv", "put", "secret/kept", "k=v"], "").await
        })
        .await?;
        let kept = kept(&shell, &folder).await?;
        let before = shown(&shell, &kept).await?;

        let cases = cases(&folder)?;
        ensure(cases.len() > 1_500, || format!("{} cases", cases.len()))?;
        scenario.say(format!("{} command lines", cases.len()));
        let faults = Arc::new(Mutex::new(Vec::new()));
        let codes = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let (noting, counting, asking) = (Arc::clone(&faults), Arc::clone(&codes), shell.clone());
        in_parallel(cases, WORKERS, move |case| {
            let (faults, shell) = (Arc::clone(&noting), asking.clone());
            let codes = Arc::clone(&counting);
            async move {
                match is_clear(&shell, &case).await {
                    Ok(code) => drop(codes[code].fetch_add(1, Ordering::Relaxed)),
                    Err(fault) => faults.lock().map_err(text)?.push(fault),
                }
                Ok(())
            }
        })
        .await?;
        let codes = codes.each_ref().map(|code| code.load(Ordering::Relaxed));
        scenario.say(format!("exit codes 0, 1 and 2: {codes:?}"));
        // Not all of it ends at the command line's own look at its words.
        ensure(codes[0] + codes[2] > 1_000, || {
            "hardly any reached the server".into()
        })?;
        let faults = faults.lock().map_err(text)?.clone();
        ensure(faults.is_empty(), || {
            let shown: Vec<&str> = faults.iter().take(40).map(String::as_str).collect();
            format!("{} faults:\n{}", faults.len(), shown.join("\n"))
        })?;

        ensure(server.exited().is_none(), || "the server ended".into())?;
        shell.good(&["status"], "").await?;
        let after = shown(&shell, &kept).await?;
        ensure(before == after, || format!("{before:?}\nbecame\n{after:?}"))?;
        let log = std::fs::read_to_string(server.stderr()).map_err(text)?;
        ensure(!log.contains("panicked"), || "the server panicked".into())
    });
}

/// A home folder and a server.
#[derive(Clone)]
struct Shell {
    home: PathBuf,
    address: String,
}

impl Shell {
    async fn run(&self, words: &[OsString], input: &[u8], folder: &Path) -> Outcome<Output> {
        let program = tenure_binary()?;
        // What goes on until it is interrupted is, after a while.
        let mut command = match words.starts_with(&ENDLESS.map(OsString::from)) {
            true => {
                let mut command = tokio::process::Command::new("timeout");
                command.args(["--preserve-status", "--signal=INT", "2"]);
                command.arg(program);
                command
            }
            false => tokio::process::Command::new(program),
        };
        command
            .args(words)
            .current_dir(folder)
            .env_clear()
            .env("HOME", &self.home)
            .env("TENURE_ADDR", &self.address)
            .env("TENURE_TOKEN", ROOT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(text)?;
        let stdin = child.stdin.take();
        let fed = async {
            if let Some(mut stdin) = stdin {
                // A command that reads nothing may be gone already.
                let _ = stdin.write_all(input).await;
            }
        };
        let ended = async { tokio::join!(fed, child.wait_with_output()).1 };
        let ended = tokio::time::timeout(COMMAND_BOUND, ended).await;
        ended
            .map_err(|_| format!("not over after {COMMAND_BOUND:?}"))?
            .map_err(text)
    }

    /// Runs it, expects success, and gives what it printed.
    async fn good(&self, words: &[&str], input: &str) -> Outcome<String> {
        let list: Vec<OsString> = words.iter().map(OsString::from).collect();
        let output = self.run(&list, input.as_bytes(), &self.home).await?;
        ensure(output.status.success(), || {
            format!("tenure {words:?}: {output:?}")
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Makes what must be as it was after the sweep, and gives the commands that show it.
async fn kept(shell: &Shell, folder: &Path) -> Outcome<Vec<Vec<String>>> {
    let policy = folder.join("kept.hcl");
    let policy = policy.to_str().ok_or("the folder's name")?.to_owned();
    std::fs::write(&policy, "path \"kept\" { capabilities = [\"read\"] }\n").map_err(text)?;
    shell
        .good(&["policy", "write", "kept", &policy], "")
        .await?;
    let create = ["token", "create", "-policy=kept", "-field=token_accessor"];
    let accessor = shell.good(&create, "").await?.trim().to_owned();
    let grant = ["lease", "grant", "kept", "-", "-field=lease_id"];
    let lease = shell.good(&grant, "the payload").await?.trim().to_owned();
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
    let mut commands = vec![
        words(&["kv", "get", "-field=k", "secret/kept"]),
        words(&["policy", "read", "kept"]),
        words(&["lease", "lookup", "-payload", &lease]),
    ];
    for field in ["policies", "expire_time", "display_name"] {
        let field = format!("-field={field}");
        commands.push(words(&["token", "lookup", "-accessor", &accessor, &field]));
    }
    Ok(commands)
}

async fn shown(shell: &Shell, commands: &[Vec<String>]) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for words in commands {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        all.push(shell.good(&words, "").await?);
    }
    Ok(all)
}

/// Done, or refused by an exit code that says whose fault it is, with a word about it that holds
/// no secret; and no panic. Gives the exit code.
async fn is_clear(shell: &Shell, case: &Case) -> Outcome<usize> {
    let line: String = format!("{:?}", case.words).chars().take(300).collect();
    let output = shell.run(&case.words, &case.input, &case.folder).await;
    let output = output.map_err(|why| format!("{line}: {why}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let start: String = complaint.chars().take(300).collect();
    let said = || format!("{line}: {:?}: {start}", output.status);
    let code = output.status.code();
    let code = code.and_then(|code| usize::try_from(code).ok());
    // Interrupted, as it had nothing to complain of.
    let code = code.map(|code| if code == INTERRUPTED { 0 } else { code });
    let code = code.filter(|code| *code <= 2).ok_or_else(said)?;
    ensure(code == 0 || !complaint.trim().is_empty(), said)?;
    ensure(!complaint.contains("panicked at"), said)?;
    let tells = complaint.contains("can't be given on the command line");
    let secret = complaint.contains(ROOT) || (tells && complaint.contains(MISPLACED));
    ensure(!secret, said)?;
    Ok(code)
}

/// All that is run: each command with one bad word, the others plausible.
fn cases(folder: &Path) -> Outcome<Vec<Case>> {
    let files = folder.join("files");
    std::fs::create_dir_all(&files).map_err(text)?;
    for (name, size) in [("big", 1 << 20), ("empty", 0)] {
        std::fs::write(files.join(name), vec![b'x'; size]).map_err(text)?;
    }
    std::fs::write(files.join("secret"), "hvs.unknown").map_err(text)?;
    let mut leaves = Vec::new();
    let mut definition = tenure_cli::definition();
    definition.build();
    collect(&definition, "", &mut leaves);
    let (mut cases, mut shared) = (Vec::new(), std::collections::BTreeSet::new());
    for (name, command) in leaves {
        if NOT_SWEPT.contains(&name.as_str()) {
            continue;
        }
        // What it writes into its folder is read by no other.
        let own = folder.join("at").join(name.replace(' ', "-"));
        std::fs::create_dir_all(&own).map_err(text)?;
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            // What all commands share is swept once.
            let once = arg.get_help_heading().is_some() && !shared.insert(id.to_owned());
            if once || matches!(id, "help" | "version" | OWN_END) {
                continue;
            }
            for (value, input) in worst_of(arg, &files) {
                let words = line(&name, &command, arg, value.as_deref(), &files);
                cases.push(Case {
                    words,
                    input,
                    folder: own.clone(),
                });
            }
        }
    }
    Ok(cases)
}

/// The commands that have no commands of their own, with all their names.
fn collect(command: &clap::Command, above: &str, leaves: &mut Vec<(String, clap::Command)>) {
    let inner = command.get_subcommands();
    for inner in inner.filter(|inner| inner.get_name() != "help") {
        let name = format!("{above} {}", inner.get_name()).trim().to_owned();
        match inner.has_subcommands() {
            true => collect(inner, &name, leaves),
            false => leaves.push((name, inner.clone())),
        }
    }
}

/// A command with this argument as it is given and the others plausible; options come first.
fn line(
    name: &str,
    command: &clap::Command,
    swept: &Arg,
    value: Option<&OsStr>,
    files: &Path,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = name.split(' ').map(OsString::from).collect();
    let mut positionals = Vec::new();
    let conflicts: Vec<_> = command.get_arg_conflicts_with(swept);
    for arg in command.get_arguments() {
        let is_swept = arg.get_id() == swept.get_id();
        if !is_swept && conflicts.iter().any(|other| other.get_id() == arg.get_id()) {
            continue;
        }
        let value = match is_swept {
            true => value.map(OsStr::to_owned),
            false => Some(plausible(arg, files)),
        };
        // A limit for everything would be in the way of all other commands.
        let bounds = name.starts_with("quota") && arg.get_id() == "path";
        match arg.get_long() {
            None => positionals.extend(value),
            Some(long) if is_swept || bounds || arg.is_required_set() => {
                let mut word = OsString::from(format!("--{long}"));
                if let Some(value) = value {
                    word.push("=");
                    word.push(value);
                }
                words.push(word);
            }
            Some(_) => {}
        }
    }
    if !positionals.is_empty() {
        // What begins with a dash is a word, too.
        words.push("--".into());
        words.extend(positionals);
    }
    words
}

fn plausible(arg: &Arg, files: &Path) -> OsString {
    let hint = arg.get_value_names().and_then(|names| names.first());
    match (hint.map(|name| name.as_str()), arg.get_id().as_str()) {
        (Some("KEY=VALUE"), _) => "k=v".into(),
        (Some(hint), _) if hint.contains("@FILE") => format!("@{}/secret", files.display()).into(),
        (Some(hint), _) if hint.contains("FILE") => "there-is-none".into(),
        (Some("TYPE"), _) => "kv".into(),
        // So that no quota refuses the rest of the sweep.
        (_, "rate" | "max_leases") => "1000000000".into(),
        (Some("NUMBERS" | "NUMBER" | "COUNT"), _) => "1".into(),
        _ => PLAUSIBLE.into(),
    }
}

/// Values for an argument, each with what there is to read; none for a flag.
fn worst_of(arg: &Arg, files: &Path) -> Vec<(Option<OsString>, Arc<[u8]>)> {
    let nothing: Arc<[u8]> = Arc::from([]);
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return vec![(None, nothing)];
    }
    let file = |name: &str| format!("@{}/{name}", files.display());
    let texts = [
        String::new(),
        "0".into(),
        "1".into(),
        "-1".into(),
        "-5s".into(),
        u32::MAX.to_string(),
        u64::MAX.to_string(),
        format!("{}0", u64::MAX),
        format!("{}h", i64::MAX),
        // As long as one word of a command line can be, nearly.
        "x".repeat(120_000),
        "\u{1b}[2J".into(),
        "\u{202e}é".into(),
        "..".into(),
        "a/../b".into(),
        "a//b".into(),
        "%2e%2e/a".into(),
        "sys/seal".into(),
        " RoOt ".into(),
        MISPLACED.into(),
        file("empty"),
        file("big"),
    ];
    let given = texts.into_iter().map(OsString::from);
    let given = given.chain([OsStr::from_bytes(b"\xff\xfe").to_owned()]);
    let mut all: Vec<_> = given
        .map(|value| (Some(value), Arc::clone(&nothing)))
        .collect();
    for size in [0, 1 << 20] {
        all.push((Some("-".into()), vec![b'x'; size].into()));
    }
    all
}
