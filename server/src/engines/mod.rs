//! The secrets engines, one folder each, and the way from a logical path to them. An engine's
//! plan is pure: state, request, time and randomness go in, writes and an answer come out. None
//! of them waits, commits, or reaches another mount's data.

mod cubbyhole;
mod error;
mod json;
mod kv1;
mod kv2;
mod seen;
mod tree;

#[cfg(test)]
mod tests;

use tenure_core::{
    mount::{Route, UseSecrets, route},
    policy::{Operation, Parameters, Refusal},
    random::Random,
    state::{Engine, KvEngine, MountRecord},
    token::{self, Caller, Plan, TokenError, authorize},
    types::{
        Path, PathError, Ttl,
        limits::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX},
    },
};
use zeroize::Zeroizing;

pub use self::error::EngineError;

/// What is asked of a path.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// Read, with parameters.
    Read(&'a [u8]),
    /// Write this.
    Write(&'a [u8]),
    /// Merge this into what is there.
    Patch(&'a [u8]),
    /// List the names, from after this token on, at most so many rows.
    List(&'a str, usize),
    /// Delete.
    Delete,
}

impl<'a> Ask<'a> {
    fn data(self) -> &'a [u8] {
        match self {
            Self::Read(data) | Self::Write(data) | Self::Patch(data) => data,
            Self::List(..) | Self::Delete => &[],
        }
    }
}

/// What an engine answers.
#[derive(Default)]
pub struct Reply {
    /// JSON text of one object; empty: nothing to say.
    pub data: Zeroizing<Vec<u8>>,
    /// What was asked for is deleted: `data` holds what is still known.
    pub deleted: bool,
    /// When to read again.
    pub lease_duration: Option<Ttl>,
    /// Names of a listing.
    pub keys: Vec<String>,
    /// Where its next page begins; empty after the last.
    pub next_page: String,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

impl Reply {
    fn data(data: String) -> Self {
        Self {
            data: Zeroizing::new(data.into_bytes()),
            ..Self::default()
        }
    }
}

/// What an engine's rules stand on.
#[derive(Clone, Copy)]
struct Desk<'a> {
    context: token::Context<'a>,
    caller: &'a Caller,
}

/// A mount, and where in it a call goes.
#[derive(Clone, Copy)]
struct Spot<'a> {
    mount: &'a MountRecord,
    below: &'a [&'a str],
}

/// Plans a call on a logical path.
///
/// # Errors
/// The refusal that the caller sees.
pub fn plan(
    context: token::Context<'_>,
    caller: &Caller,
    path: &str,
    ask: Ask<'_>,
    random: &mut dyn Random,
) -> Result<Plan<Reply>, EngineError> {
    let path = parse(path, matches!(ask, Ask::List(..)))?;
    let (parameters, unread) = match seen::parameters(ask.data()) {
        Ok(parameters) => (parameters, None),
        Err(error) => (Parameters::default(), Some(error)),
    };
    let action = UseSecrets {
        operation: operation(context, caller, &path, ask)?,
        path: path.clone(),
        parameters,
    };
    let permit = authorize(context, caller, action)?;
    // Told only to who may do it at all, and never acted on.
    if let Some(error) = unread {
        return Err(error);
    }
    let desk = Desk {
        context,
        caller: permit.caller(),
    };
    match route(context.view, &path)? {
        Route::Reserved => Err(EngineError::Reserved),
        Route::Cubbyhole(below) => cubbyhole::plan(desk, &below, ask, random),
        Route::Mount(mount, below) => {
            let spot = Spot {
                mount: &mount,
                below: &below,
            };
            match mount.engine {
                Engine::Kv(KvEngine::V1) => kv1::plan(desk, spot, ask, random),
                Engine::Kv(KvEngine::V2) => kv2::plan(desk, spot, ask, random),
            }
        }
    }
}

/// Whether a write may be made, whatever is there by now: what a repeated one is judged by, whose
/// own first try may have changed that.
///
/// # Errors
/// No policy grants it.
pub fn may_write(
    context: token::Context<'_>,
    caller: &Caller,
    path: &str,
    data: &[u8],
) -> Result<(), EngineError> {
    let path = parse(path, false)?;
    let ask = |operation| {
        let action = UseSecrets {
            operation,
            path: path.clone(),
            parameters: seen::parameters(data)?,
        };
        authorize(context, caller, action)
            .map(drop)
            .map_err(EngineError::from)
    };
    ask(Operation::Create).or_else(|_| ask(Operation::Update))
}

/// What a call does, in the words of policies. Where it leads nowhere that shows only once it is
/// allowed.
fn operation(
    context: token::Context<'_>,
    caller: &Caller,
    path: &Path,
    ask: Ask<'_>,
) -> Result<Operation, EngineError> {
    Ok(match ask {
        Ask::Read(_) => Operation::Read,
        Ask::Patch(_) => Operation::Patch,
        Ask::List(..) => Operation::List,
        Ask::Delete => Operation::Delete,
        // Who may neither create nor update is refused without a look at what is there: the time
        // that it takes would tell.
        Ask::Write(_) if !may_change(context, caller, path)? => Operation::Update,
        Ask::Write(_) => match exists(context, caller, path) {
            Ok(false) => Operation::Create,
            Ok(true) | Err(_) => Operation::Update,
        },
    })
}

/// Whether some rule lets the caller create or update the path, whatever it says of parameters.
fn may_change(
    context: token::Context<'_>,
    caller: &Caller,
    path: &Path,
) -> Result<bool, EngineError> {
    let acl = (context.acls)
        .of(context.view, caller.policies())
        .map_err(TokenError::from)?;
    let granted = |operation| {
        let decision = acl.decide(path.as_str(), operation, None);
        matches!(decision.refusal(), None | Some(Refusal::Parameters))
    };
    Ok(granted(Operation::Create) || granted(Operation::Update))
}

/// Whether a write to a path changes something that is there, or acts, rather than makes
/// something new.
fn exists(context: token::Context<'_>, caller: &Caller, path: &Path) -> Result<bool, EngineError> {
    let desk = Desk { context, caller };
    match route(context.view, path)? {
        Route::Reserved => Ok(true),
        Route::Cubbyhole(below) => cubbyhole::exists(desk, &below),
        Route::Mount(mount, below) => {
            let spot = Spot {
                mount: &mount,
                below: &below,
            };
            match mount.engine {
                Engine::Kv(KvEngine::V1) => kv1::exists(desk, spot),
                Engine::Kv(KvEngine::V2) => kv2::exists(desk, spot),
            }
        }
    }
}

/// A folder may be written with "/" at its end.
fn parse(text: &str, is_folder: bool) -> Result<Path, EngineError> {
    let text = match text.strip_suffix('/') {
        Some(folder) if is_folder => folder,
        _ => text,
    };
    Path::parse_logical(text).map_err(|error| EngineError::argument("path", error))
}

/// A name in a mount is bounded by itself: where it is asked for, and for what, adds nothing.
fn check_name(segments: &[&str]) -> Result<(), EngineError> {
    let slashes = segments.len().saturating_sub(1);
    let bytes = segments.iter().map(|segment| segment.len()).sum::<usize>() + slashes;
    match segments.len() > PATH_SEGMENTS_MAX || bytes > PATH_BYTES_MAX {
        true => Err(EngineError::argument("path", PathError::Length)),
        false => Ok(()),
    }
}
