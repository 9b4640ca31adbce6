//! What is root-protected, all of it: the operation alone isn't enough, nor is `sudo` alone.

use super::*;
use crate::{
    lease::{RevokeForce, ShowIrrevocable},
    mount::ManageMounts,
};

/// Asks whether a caller may do one thing.
type Asked = Box<dyn Fn(Context<'_>, &Caller) -> Result<(), TokenError>>;
/// A path, what is done there, and the thing itself.
type Right = (&'static str, &'static str, Asked);

fn right<A: Action>(
    path: &'static str,
    verb: &'static str,
    action: impl Fn() -> A + 'static,
) -> Right {
    let asked: Asked =
        Box::new(move |context, caller| authorize(context, caller, action()).map(drop));
    (path, verb, asked)
}

fn run(path: &'static str, verb: &'static str, what: Administer) -> Right {
    right(path, verb, move || what)
}

/// Whether it is root-protected. Whoever adds one must say it here, and in the tables below.
fn is_protected(what: Administer) -> bool {
    match what {
        Administer::Seal
        | Administer::StepDown
        | Administer::MintJoinToken
        | Administer::RemoveMember
        | Administer::SaveSnapshot
        | Administer::RestoreSnapshot
        | Administer::ForceRestoreSnapshot
        | Administer::ResumeExpiration
        | Administer::Rotate
        | Administer::Rekey(..)
        | Administer::GenerateRoot(..) => true,
        Administer::ShowMembers
        | Administer::ShowHa
        | Administer::ShowHealth
        | Administer::ShowWatch
        | Administer::ShowMetrics
        | Administer::ShowKeyStatus
        | Administer::ShowRotationConfig => false,
    }
}

fn administration() -> Vec<(&'static str, &'static str, Administer)> {
    use Administer::*;
    let mut all = vec![
        ("sys/seal", "update", Seal),
        ("sys/step-down", "update", StepDown),
        ("sys/storage/raft/configuration", "read", ShowMembers),
        ("sys/ha-status", "read", ShowHa),
        ("sys/storage/raft/autopilot/state", "read", ShowHealth),
        (
            "sys/storage/raft/autopilot/configuration",
            "read",
            ShowWatch,
        ),
        ("sys/metrics", "read", ShowMetrics),
        ("sys/storage/raft/join-token", "update", MintJoinToken),
        ("sys/storage/raft/remove-peer", "update", RemoveMember),
        ("sys/storage/raft/snapshot", "read", SaveSnapshot),
        ("sys/storage/raft/snapshot", "update", RestoreSnapshot),
        (
            "sys/storage/raft/snapshot-force",
            "update",
            ForceRestoreSnapshot,
        ),
        ("sys/expiration/resume", "update", ResumeExpiration),
        ("sys/rotate", "update", Rotate),
        ("sys/key-status", "read", ShowKeyStatus),
        ("sys/rotate/config", "read", ShowRotationConfig),
    ];
    for (step, verb, [root, recovery, generate]) in steps() {
        all.push((root, verb, Rekey(Shares::Root, step)));
        all.push((recovery, verb, Rekey(Shares::Recovery, step)));
        all.push((generate, verb, GenerateRoot(step)));
    }
    all
}

/// Each step of a quorum: what is done, and where for each of the three things that one does.
fn steps() -> [(Step, &'static str, [&'static str; 3]); 9] {
    let attempt = "sys/generate-root/attempt";
    let begin = ["sys/rotate/root/init", "sys/rotate/recovery/init", attempt];
    let give = [
        "sys/rotate/root/update",
        "sys/rotate/recovery/update",
        "sys/generate-root/update",
    ];
    let prove = [
        "sys/rotate/root/verify",
        "sys/rotate/recovery/verify",
        attempt,
    ];
    let keep = [
        "sys/rotate/root/backup",
        "sys/rotate/recovery/backup",
        attempt,
    ];
    [
        (Step::Show, "read", begin),
        (Step::Start, "update", begin),
        (Step::Update, "update", give),
        (Step::Cancel, "delete", begin),
        (Step::ShowProof, "read", prove),
        (Step::Prove, "update", prove),
        (Step::ResetProof, "delete", prove),
        (Step::ShowBackup, "read", keep),
        (Step::DeleteBackup, "delete", keep),
    ]
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn protected() -> Vec<Right> {
    let tune = "sys/auth/token/tune";
    let mut all = vec![
        right("auth/token/revoke-orphan", "update", || {
            RevokeOrphan(Target::Caller)
        }),
        right("auth/token/accessors", "list", || ListTokens),
        right("auth/token/tidy", "update", || Tidy::Tokens),
        right("sys/leases/tidy", "update", || Tidy::Leases),
        right("sys/leases/revoke-force/a", "update", || {
            RevokeForce(path("a"))
        }),
        right(tune, "read", || TuneTokens::Show),
        right(tune, "update", || {
            TuneTokens::Change(TuningChange::default())
        }),
        right("sys/remount", "update", || {
            ManageMounts::Remount(path("a"), path("b"))
        }),
    ];
    for (path, verb, what) in administration() {
        if is_protected(what) {
            all.push(run(path, verb, what));
        }
    }
    all
}

/// What may be seen without `sudo`, so that the table above isn't right by chance.
fn unprotected() -> Vec<Right> {
    let mut all = vec![
        right("sys/leases", "read", || ShowIrrevocable(false)),
        right("sys/mounts", "read", || ManageMounts::List),
        right("auth/token/lookup", "update", || {
            Lookup(Target::Id(TokenId::parse("hvs.a").unwrap()))
        }),
    ];
    for (path, verb, what) in administration() {
        if !is_protected(what) {
            all.push(run(path, verb, what));
        }
    }
    all
}

/// Planted bugs, one at a time: no `root_protected` in `Step::ask`, in that of `Rotate`, and in
/// that of `RevokeForce`. Caught.
#[test]
fn root_protected_paths_need_sudo_beside_the_operation() {
    let (mut world, root) = World::with_root(21);
    let token = world.child(&root, "operator");
    for (rights, needs_sudo) in [(protected(), true), (unprotected(), false)] {
        assert!(rights.len() >= 9);
        for (path, verb, asked) in rights {
            for (capabilities, allowed) in [
                (format!("\"{verb}\""), !needs_sudo),
                ("\"sudo\"".to_owned(), false),
                (format!("\"{verb}\", \"sudo\""), true),
            ] {
                let text = format!("path \"{path}\" {{ capabilities = [{capabilities}] }}");
                world.write_policy("operator", &text);
                let asked = world.read(|context| asked(context, &identify(context, &token)?));
                let expected = if allowed { "OK" } else { "PERMISSION_DENIED" };
                assert_eq!(reason(asked), expected, "{path}: {capabilities}");
            }
        }
    }
}
