//! Writing, reading, deleting and listing policies, and what a token may do. A change acts on
//! living tokens at once: what they may is looked up in the state that their call is judged by.

use super::{
    Operation, PolicyError, Value, decode_base64,
    kept::{key_of_policy, text},
    parse,
};
use crate::{
    barrier::{BarrierError, NameHash},
    random::Random,
    state::{
        Policies, PolicyRecord, ReadError, Row, RowCounts, Table, Txn, key_of, range_of, successor,
    },
    token::{Action, Ask, ErrorKind, Permit, Plan, Target, TokenError, lookup_target},
    types::{
        PolicyName,
        limits::{CAPABILITY_PATHS_MAX, PAGE_ROWS_MAX, POLICIES_STORED_MAX},
    },
};

/// Write a policy, with this text: HCL or JSON, plain or in base64.
pub struct WritePolicy(pub PolicyName, pub String);
/// Read a policy.
pub struct ReadPolicy(pub PolicyName);
/// Delete a policy.
pub struct DeletePolicy(pub PolicyName);
/// List the names of all policies.
pub struct ListPolicies;
/// See what a token may do with these paths.
pub struct ShowCapabilities(pub Target, pub Vec<String>);

fn path_of(name: &PolicyName) -> String {
    format!("sys/policies/acl/{name}")
}

impl Action for WritePolicy {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Update, path_of(&self.0)).with("policy", self.1.as_str().into())
    }
}

impl Action for ReadPolicy {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Read, path_of(&self.0))
    }
}

impl Action for DeletePolicy {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::Delete, path_of(&self.0))
    }
}

impl Action for ListPolicies {
    fn ask(&self) -> Ask<'_> {
        Ask::new(Operation::List, "sys/policies/acl")
    }
}

impl Action for ShowCapabilities {
    fn ask(&self) -> Ask<'_> {
        let path = match self.0 {
            Target::Caller => "sys/capabilities-self",
            Target::Id(_) => "sys/capabilities",
            Target::Accessor(_) => "sys/capabilities-accessor",
        };
        let paths = self.1.iter().map(|path| path.as_str().into()).collect();
        Ask::new(Operation::Update, path)
            .about(&self.0)
            .with("paths", Value::List(paths))
    }
}

/// Why an operation on policies failed. No text here holds a policy.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// There is no policy of this name.
    #[error("no such policy")]
    NotFound,
    /// `root` is what it is, and `default` is always there.
    #[error("the policy {0} can't be {1}")]
    BuiltIn(&'static str, &'static str),
    /// The text isn't a policy.
    #[error("the policy can't be read: {0}")]
    Text(#[from] PolicyError),
    /// The text is empty.
    #[error("the policy is empty")]
    Empty,
    /// The table is full.
    #[error("a cluster has at most {POLICIES_STORED_MAX} policies")]
    TooMany,
    /// Too many paths, or none.
    #[error("paths: 1 to {CAPABILITY_PATHS_MAX} of them")]
    Paths,
    /// The caller's token, or its right; or the token that was asked about.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl From<ReadError> for ManageError {
    fn from(error: ReadError) -> Self {
        Self::Token(error.into())
    }
}

impl From<BarrierError> for ManageError {
    fn from(error: BarrierError) -> Self {
        Self::Token(error.into())
    }
}

impl ManageError {
    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::TooMany => ErrorKind::FailedPrecondition,
            Self::BuiltIn(..) | Self::Text(_) | Self::Empty | Self::Paths => {
                ErrorKind::InvalidArgument
            }
            Self::Token(error) => error.kind(),
        }
    }

    /// A stable code for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "POLICY_NOT_FOUND",
            Self::BuiltIn(..) => "POLICY_BUILT_IN",
            Self::Text(_) | Self::Empty => "POLICY_MALFORMED",
            Self::TooMany => "TOO_MANY_POLICIES",
            Self::Paths => "INVALID_ARGUMENT",
            Self::Token(error) => error.reason(),
        }
    }
}

/// Writes a policy, new or anew. The text is HCL or JSON, plain or in base64.
///
/// # Errors
/// The text isn't a policy, or the name is `root`.
pub fn write(
    permit: &Permit<'_, WritePolicy>,
    random: &mut dyn Random,
) -> Result<Plan<()>, ManageError> {
    let WritePolicy(name, text) = permit.action();
    if name.is_root() {
        return Err(ManageError::BuiltIn("root", "written"));
    }
    // No policy in HCL or JSON is base64: both have braces or spaces.
    let text = decode_base64(text).unwrap_or_else(|_| text.clone());
    if text.trim().is_empty() {
        return Err(ManageError::Empty);
    }
    parse(&text)?;
    let view = permit.context().view;
    let barrier = view.barrier();
    let key = key_of_policy(barrier, name);
    let record = PolicyRecord {
        name: name.clone(),
        text,
    };
    let mut txn = Txn::default();
    match view.get::<Policies>(&key)? {
        None => {
            let rows = RowCounts::of::<Policies>(view)?;
            if rows >= POLICIES_STORED_MAX {
                return Err(ManageError::TooMany);
            }
            txn.insert_plain::<RowCounts>(&Policies::ID, &(rows + 1))?;
            txn.insert::<Policies>(barrier, &key, &record, random)?;
        }
        Some(row) => {
            let row = Row {
                value: record,
                ..row
            };
            txn.update::<Policies>(barrier, &row, random)?;
        }
    }
    Ok(Plan { txn, response: () })
}

/// The text of a policy: as it was written, or built in. That of `root` is empty.
///
/// # Errors
/// There is no such policy.
pub fn read(permit: &Permit<'_, ReadPolicy>) -> Result<String, ManageError> {
    let ReadPolicy(name) = permit.action();
    if name.is_root() {
        return Ok(String::new());
    }
    text(permit.context().view, name)?.ok_or(ManageError::NotFound)
}

/// Deletes a policy. One that doesn't exist is deleted already.
///
/// # Errors
/// The policy is built in.
pub fn delete(permit: &Permit<'_, DeletePolicy>) -> Result<Plan<()>, ManageError> {
    let DeletePolicy(name) = permit.action();
    if name.is_root() {
        return Err(ManageError::BuiltIn("root", "deleted"));
    }
    if *name == PolicyName::default_policy() {
        return Err(ManageError::BuiltIn("default", "deleted"));
    }
    let view = permit.context().view;
    let key = key_of_policy(view.barrier(), name);
    let mut txn = Txn::default();
    if view.mod_revision::<Policies>(&key)?.is_some() {
        let rows = RowCounts::of::<Policies>(view)?;
        txn.insert_plain::<RowCounts>(&Policies::ID, &rows.saturating_sub(1))?;
        txn.delete::<Policies>(&key);
    }
    Ok(Plan { txn, response: () })
}

/// A page of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Names in storage order; the built-in ones first, on the first page.
    pub names: Vec<PolicyName>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<NameHash>,
}

/// Lists the names, a page at a time: those after `after`, at most `limit` of them and the
/// built-in ones.
///
/// # Errors
/// The state can't be read.
pub fn list(
    permit: &Permit<'_, ListPolicies>,
    after: Option<&NameHash>,
    limit: usize,
) -> Result<Names, ManageError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let (mut start, end) = range_of::<Policies>(&[]);
    let mut names = Vec::new();
    match after {
        Some(after) => start = successor(&key_of::<Policies>(after)),
        None => names.extend([PolicyName::default_policy(), PolicyName::root()]),
    }
    let view = permit.context().view;
    let rows = view.scan::<Policies>((start, end.clone()), limit)?;
    // A page may be shorter than asked for where texts are large: only an empty rest tells the
    // end.
    let next = match rows.last() {
        None => None,
        Some(last) => {
            let rest = (successor(&key_of::<Policies>(&last.key)), end);
            let more = !view.scan::<Policies>(rest, 1)?.is_empty();
            Some(last.key).filter(|_| more)
        }
    };
    let stored = rows.into_iter().map(|row| row.value.name);
    names.extend(stored.filter(|name| *name != PolicyName::default_policy()));
    Ok(Names { names, next })
}

/// What a token may do with each path, sorted; `["deny"]` for nothing, `["root"]` for all.
///
/// # Errors
/// There is no such token, or there are too many paths or none.
pub fn capabilities(
    permit: &Permit<'_, ShowCapabilities>,
) -> Result<Vec<Vec<&'static str>>, ManageError> {
    let ShowCapabilities(target, paths) = permit.action();
    if paths.is_empty() || paths.len() > CAPABILITY_PATHS_MAX {
        return Err(ManageError::Paths);
    }
    let entry = lookup_target(permit, target)?;
    let context = permit.context();
    let acl = context.acls.of(context.view, &entry.record().policies)?;
    let shown = paths.iter().map(|path| {
        let path = path.strip_prefix('/').unwrap_or(path);
        acl.capabilities(path)
    });
    Ok(shown.collect())
}
