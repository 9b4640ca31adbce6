//! Who may do what: the policies of a token decide, by the logical path of what it asks and
//! by what it wants done there. A path means the same at every door.
//!
//! A [`Permit`] is the only way into an operation, and only [`authorize`] makes one.

use std::{borrow::Cow, sync::Arc};

use super::{Caller, Context, Denied, TokenError};
use crate::{
    policy::{Acl, Number, Operation, Parameters, Value},
    types::{Accessor, RoleName, TokenId, TtlRequest},
};

/// The token that a request is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// The caller's own.
    Caller,
    /// The token of this id.
    Id(TokenId),
    /// The token of this accessor.
    Accessor(Accessor),
}

impl Target {
    fn path(
        &self,
        own: &'static str,
        id: &'static str,
        accessor: &'static str,
    ) -> Cow<'static, str> {
        match self {
            Self::Caller => own.into(),
            Self::Id(_) => id.into(),
            Self::Accessor(_) => accessor.into(),
        }
    }
}

/// What policies are asked.
pub struct Ask<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// The logical path that it is done to, without a leading slash.
    pub path: Cow<'a, str>,
    /// Whether it needs `sudo` on the path beside the operation.
    pub root_protected: bool,
    /// What it is done with: all that rules on parameters may speak of.
    pub parameters: Parameters<'a>,
    /// A folder: whoever may do anything at all in it may do this, too.
    pub or_in: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// To do something to a path.
    pub fn new(operation: Operation, path: impl Into<Cow<'a, str>>) -> Self {
        Self {
            operation,
            path: path.into(),
            root_protected: false,
            parameters: Parameters::default(),
            or_in: None,
        }
    }

    /// The same with `sudo`.
    pub fn root_protected(self) -> Self {
        Self {
            root_protected: true,
            ..self
        }
    }

    /// The same with a parameter.
    pub fn with(mut self, name: &'static str, value: Value<'a>) -> Self {
        self.parameters.push(name, value);
        self
    }

    /// The same with the token that it is about.
    pub fn about(self, target: &'a Target) -> Self {
        match target {
            Target::Caller => self,
            Target::Id(id) => self.with("token", id.expose().into()),
            Target::Accessor(accessor) => self.with("accessor", accessor.as_str().into()),
        }
    }

    /// The same with the time that is asked for, if one is.
    pub fn with_time(self, name: &'static str, asked: TtlRequest) -> Self {
        match asked.asked() {
            None => self,
            Some(ttl) => self.with(name, Value::Number(Number::whole(ttl.as_seconds().into()))),
        }
    }
}

/// Something that a caller asks to do.
pub trait Action {
    /// What policies are asked about it.
    fn ask(&self) -> Ask<'_>;
}

/// Create a token, at this path and with these parameters. What needs `sudo` about it, `create`
/// checks itself.
#[derive(Default)]
pub struct Create<'a>(pub CreatePath, pub Parameters<'a>);

/// The paths at which tokens are made: each is a right of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CreatePath {
    /// A child.
    #[default]
    Child,
    /// A token without a parent.
    Orphan,
    /// What this role says.
    Role(RoleName),
}

impl CreatePath {
    pub(super) fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Child => "auth/token/create".into(),
            Self::Orphan => "auth/token/create-orphan".into(),
            Self::Role(name) => format!("auth/token/create/{name}").into(),
        }
    }
}

/// Look up a token.
pub struct Lookup(pub Target);
/// Renew a token, by this increment.
pub struct Renew(pub Target, pub TtlRequest);
/// Revoke a token and all that descends from it.
pub struct Revoke(pub Target);
/// Revoke a token and let its children live.
pub struct RevokeOrphan(pub Target);
/// List all tokens.
pub struct ListTokens;

/// Run the cluster or the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Administer {
    /// Seal this node.
    Seal,
    /// Give up leadership.
    StepDown,
    /// See the members.
    ShowMembers,
    /// See the members as nodes that serve clients.
    ShowHa,
    /// See the health of the members.
    ShowHealth,
    /// See how the members are watched.
    ShowWatch,
    /// See the metrics of a node.
    ShowMetrics,
    /// Mint a token with which a node may join.
    MintJoinToken,
    /// Remove a member.
    RemoveMember,
    /// Save a snapshot of the state.
    SaveSnapshot,
    /// Put the state of a snapshot in the place of this one.
    RestoreSnapshot,
    /// The same, whatever its keys.
    ForceRestoreSnapshot,
    /// Let the expiration manager go on after a restore.
    ResumeExpiration,
    /// Add a barrier key.
    Rotate,
    /// See the barrier key's term.
    ShowKeyStatus,
    /// See when barrier keys are added by themselves.
    ShowRotationConfig,
    /// See, begin, advance, cancel or prove a rekey of these shares.
    Rekey(Shares, Step),
    /// See, begin, advance or cancel the making of a root token by the quorum.
    GenerateRoot(Step),
}

/// Shares that can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shares {
    /// Those of the root key.
    Root,
    /// Those of the recovery key, where a provider keeps the root key.
    Recovery,
}

/// A step of what a quorum does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// See how far it is.
    Show,
    /// Begin it.
    Start,
    /// Give a share.
    Update,
    /// Give it up.
    Cancel,
    /// See how far the proof of new shares is.
    ShowProof,
    /// Give a new share.
    Prove,
    /// Begin the proof again.
    ResetProof,
    /// See the encrypted shares that are kept.
    ShowBackup,
    /// Delete them.
    DeleteBackup,
}

impl Step {
    fn ask(self, path: &'static str) -> Ask<'static> {
        let operation = match self {
            Self::Show | Self::ShowProof | Self::ShowBackup => Operation::Read,
            Self::Start | Self::Update | Self::Prove => Operation::Update,
            Self::Cancel | Self::ResetProof | Self::DeleteBackup => Operation::Delete,
        };
        Ask::new(operation, path).root_protected()
    }
}

impl Action for Create<'_> {
    fn ask(&self) -> Ask<'_> {
        Ask {
            parameters: self.1.clone(),
            ..Ask::new(Operation::Update, self.0.text())
        }
    }
}

impl Action for Lookup {
    fn ask(&self) -> Ask<'_> {
        let path = self.0.path(
            "auth/token/lookup-self",
            "auth/token/lookup",
            "auth/token/lookup-accessor",
        );
        let operation = match self.0 {
            Target::Caller => Operation::Read,
            Target::Id(_) | Target::Accessor(_) => Operation::Update,
        };
        Ask::new(operation, path).about(&self.0)
    }
}

impl Action for Renew {
    fn ask(&self) -> Ask<'_> {
        let path = self.0.path(
            "auth/token/renew-self",
            "auth/token/renew",
            "auth/token/renew-accessor",
        );
        Ask::new(Operation::Update, path)
            .about(&self.0)
            .with_time("increment", self.1)
    }
}

impl Action for Revoke {
    fn ask(&self) -> Ask<'_> {
        let path = self.0.path(
            "auth/token/revoke-self",
            "auth/token/revoke",
            "auth/token/revoke-accessor",
        );
        Ask::new(Operation::Update, path).about(&self.0)
    }
}

impl Action for RevokeOrphan {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, "auth/token/revoke-orphan")
            .root_protected()
            .about(&self.0)
    }
}

impl Action for ListTokens {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::List, "auth/token/accessors").root_protected()
    }
}

impl Action for Administer {
    fn ask(&self) -> Ask<'_> {
        match self {
            Self::Seal => Ask::new(Operation::Update, "sys/seal").root_protected(),
            Self::StepDown => Ask::new(Operation::Update, "sys/step-down").root_protected(),
            Self::ShowMembers => Ask::new(Operation::Read, "sys/storage/raft/configuration"),
            Self::ShowHa => Ask::new(Operation::Read, "sys/ha-status"),
            Self::ShowHealth => Ask::new(Operation::Read, "sys/storage/raft/autopilot/state"),
            Self::ShowWatch => {
                Ask::new(Operation::Read, "sys/storage/raft/autopilot/configuration")
            }
            Self::ShowMetrics => Ask::new(Operation::Read, "sys/metrics"),
            Self::MintJoinToken => {
                Ask::new(Operation::Update, "sys/storage/raft/join-token").root_protected()
            }
            Self::RemoveMember => {
                Ask::new(Operation::Update, "sys/storage/raft/remove-peer").root_protected()
            }
            Self::SaveSnapshot => {
                Ask::new(Operation::Read, "sys/storage/raft/snapshot").root_protected()
            }
            Self::RestoreSnapshot => {
                Ask::new(Operation::Update, "sys/storage/raft/snapshot").root_protected()
            }
            Self::ForceRestoreSnapshot => {
                Ask::new(Operation::Update, "sys/storage/raft/snapshot-force").root_protected()
            }
            Self::ResumeExpiration => {
                Ask::new(Operation::Update, "sys/expiration/resume").root_protected()
            }
            Self::Rotate => Ask::new(Operation::Update, "sys/rotate").root_protected(),
            Self::ShowKeyStatus => Ask::new(Operation::Read, "sys/key-status"),
            Self::ShowRotationConfig => Ask::new(Operation::Read, "sys/rotate/config"),
            Self::Rekey(shares, step) => step.ask(match (shares, step) {
                (Shares::Root, Step::Update) => "sys/rotate/root/update",
                (Shares::Recovery, Step::Update) => "sys/rotate/recovery/update",
                (Shares::Root, Step::ShowProof | Step::Prove | Step::ResetProof) => {
                    "sys/rotate/root/verify"
                }
                (Shares::Recovery, Step::ShowProof | Step::Prove | Step::ResetProof) => {
                    "sys/rotate/recovery/verify"
                }
                (Shares::Root, Step::ShowBackup | Step::DeleteBackup) => "sys/rotate/root/backup",
                (Shares::Recovery, Step::ShowBackup | Step::DeleteBackup) => {
                    "sys/rotate/recovery/backup"
                }
                (Shares::Root, _) => "sys/rotate/root/init",
                (Shares::Recovery, _) => "sys/rotate/recovery/init",
            }),
            Self::GenerateRoot(step) => step.ask(match step {
                Step::Update => "sys/generate-root/update",
                _ => "sys/generate-root/attempt",
            }),
        }
    }
}

/// The right of one caller to one action. It holds what it was judged by, so that the
/// action can't be planned on another view than its right.
pub struct Permit<'a, A> {
    pub(crate) context: Context<'a>,
    pub(crate) action: A,
    pub(crate) caller: Caller,
    sudo: bool,
}

impl<'a, A> Permit<'a, A> {
    /// Whose right it is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What it is for.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// What it was judged by.
    pub fn context(&self) -> Context<'a> {
        self.context
    }

    /// Whether it goes beyond what the operation itself needs.
    pub(crate) fn has_sudo(&self) -> bool {
        self.sudo
    }

    /// Refuses what needs `sudo` on the path.
    pub(super) fn require_sudo(&self, what: &'static str) -> Result<(), Denied> {
        if self.sudo {
            Ok(())
        } else {
            Err(Denied::NoSudo(what))
        }
    }
}

/// Whether `caller` may do this. A caller that was looked at elsewhere is looked at again: it may have
/// been revoked since, and a transaction must rest on its being alive and on its policies.
///
/// # Errors
/// The token is not valid any more, its policies don't grant it, or the state can't be read.
pub fn authorize<'a, A: Action>(
    context: Context<'a>,
    caller: &Caller,
    action: A,
) -> Result<Permit<'a, A>, TokenError> {
    let (caller, acl) = looked_up(context, caller)?;
    let (allowed, sudo) = judge(&acl, &action.ask());
    if !allowed {
        return Err(Denied::NoPolicy.into());
    }
    Ok(Permit {
        context,
        action,
        caller,
        sudo,
    })
}

/// What of these things `caller` may do: it is looked up once, however many they are.
///
/// # Errors
/// The token is not valid any more, or the state can't be read.
pub fn allowed<A: Action>(
    context: Context<'_>,
    caller: &Caller,
    actions: impl IntoIterator<Item = A>,
) -> Result<Vec<bool>, TokenError> {
    let (_, acl) = looked_up(context, caller)?;
    let actions = actions.into_iter();
    Ok(actions.map(|action| judge(&acl, &action.ask()).0).collect())
}

fn looked_up(context: Context<'_>, caller: &Caller) -> Result<(Caller, Arc<Acl>), TokenError> {
    let caller = caller.alive_in(context)?;
    let acl = context.acls.of(context.view, caller.policies())?;
    Ok((caller, acl))
}

/// Whether it is allowed, and whether with `sudo`.
fn judge(acl: &Acl, ask: &Ask<'_>) -> (bool, bool) {
    let decision = acl.decide(&ask.path, ask.operation, Some(&ask.parameters));
    let sudo = decision.sudo();
    let allowed = match decision.into_permit() {
        // Answers can't be wrapped yet: what may only be given wrapped isn't given.
        Ok(decided) => decided.wrapping().admit(None) && (sudo || !ask.root_protected),
        Err(_) => ask.or_in.is_some_and(|folder| acl.reaches(folder)),
    };
    (allowed, sudo)
}
