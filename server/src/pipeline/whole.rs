//! A list that is asked for as a whole: its pages, one after the other, on one pinned state, as one
//! answer. It is one call: the caller is known and has paid for it.

use prost::Message;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
    time::Instant,
};
use tonic::Code;

use super::{Call, Planned, Scope};
use crate::{
    error::Error,
    limits::{LIST_BYTES_MAX, LIST_ROWS_MAX},
    listen::Applied,
};

/// Plans a call with all its pages.
///
/// # Errors
/// The refusal that the caller sees: also when there are too many rows, or it took too long.
pub(super) fn plan<C: Call>(
    call: &C,
    scope: &Scope<'_>,
    deadline: Instant,
) -> Result<Planned<C::Answer>, Error> {
    let mut planned = call.plan(scope)?;
    call.reduce(&mut planned.answer);
    let mut bytes = planned.answer.encoded_len();
    if bytes > LIST_BYTES_MAX {
        return Err(too_many());
    }
    let mut next = call.next_page(&planned.answer);
    while let Some(call) = next {
        if Instant::now() >= deadline {
            return Err(Error::deadline(Applied::No));
        }
        let mut page = off_the_tasks(|| page(&call, scope))?;
        call.reduce(&mut page);
        bytes += page.encoded_len();
        next = call.next_page(&page);
        let rows = C::append(&mut planned.answer, page);
        if rows > LIST_ROWS_MAX || bytes > LIST_BYTES_MAX {
            return Err(too_many());
        }
    }
    Ok(planned)
}

fn too_many() -> Error {
    let message = format!(
        "more than {LIST_ROWS_MAX} rows, or {LIST_BYTES_MAX} bytes of them, can't be listed at once: \
         name a longer prefix, or list in pages over gRPC"
    );
    Error::new(Code::FailedPrecondition, "TOO_MANY_ROWS", message)
}

/// One more page. It reads the same state, and notes nothing: no write rests on a list, and the
/// note of a million rows would be large.
fn page<C: Call>(call: &C, scope: &Scope<'_>) -> Result<C::Answer, Error> {
    let view = scope.context.view.again();
    let mut context = scope.context;
    context.view = &view;
    let scope = Scope {
        context,
        caller: scope.caller,
    };
    call.plan(&scope).map(|planned| planned.answer)
}

/// Other tasks of this thread go on elsewhere while a long list is read.
pub fn off_the_tasks<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_core::{
        barrier::{Barrier, Keyring},
        policy::AclMemo,
        state::View,
        testing::{MemoryStore, TestRandom},
        token::{self, Revocations, TtlConfig},
        types::UnixMillis,
    };

    use super::*;
    use crate::{api::Logical, pipeline::Access};

    impl Logical for u32 {
        fn path(&self) -> std::borrow::Cow<'_, str> {
            "test/pages".into()
        }
    }

    /// A list of this many pages, each a megabyte and a row; of none, one page of far more.
    impl Call for u32 {
        const METHOD: &'static str = "/test/Pages";
        const ACCESS: Access = Access::Read;
        type Answer = String;

        fn plan(&self, _scope: &Scope<'_>) -> Result<Planned<String>, Error> {
            let megabytes = if *self == 0 {
                (LIST_BYTES_MAX >> 20) + 1
            } else {
                1
            };
            Ok(Planned::answer("x".repeat(megabytes << 20)))
        }

        fn next_page(&self, _answer: &String) -> Option<Self> {
            self.checked_sub(1).filter(|left| *left > 0)
        }

        fn append(answer: &mut String, page: String) -> usize {
            answer.push_str(&page);
            answer.len() >> 20
        }
    }

    #[test]
    fn a_list_is_bounded_by_its_bytes_too() {
        let mut random = TestRandom::new(1);
        let keyring = Keyring::generate(UnixMillis::new(0), &mut random);
        let barrier = Barrier::new(&keyring).unwrap();
        let mut store = MemoryStore::default();
        let (revocations, ttl, acls) = (
            Revocations::default(),
            TtlConfig::default(),
            AclMemo::default(),
        );
        let now = UnixMillis::new(1_700_000_000_000);
        let root = {
            let view = View::new(&store, &barrier);
            let context = token::Context {
                view: &view,
                revocations: &revocations,
                ttl: &ttl,
                acls: &acls,
                now,
                remote: None,
            };
            token::create_root(context, None, &mut random).unwrap()
        };
        store.commit(root.txn.into_ops());
        let view = View::new(&store, &barrier);
        let context = token::Context {
            view: &view,
            revocations: &revocations,
            ttl: &ttl,
            acls: &acls,
            now,
            remote: None,
        };
        let caller = token::identify(context, &root.response.id).unwrap();
        let scope = Scope {
            context,
            caller: &caller,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let pages = u32::try_from(LIST_BYTES_MAX >> 20).unwrap();
        let whole = plan(&(pages - 1), &scope, deadline).ok().unwrap();
        assert_eq!(whole.answer.len() >> 20, LIST_BYTES_MAX / (1 << 20) - 1);
        // The first page is a page, too.
        for too_many in [pages + 1, 0] {
            let refused = plan(&too_many, &scope, deadline).err().unwrap();
            assert_eq!(refused.reason, "TOO_MANY_ROWS");
        }
    }
}
