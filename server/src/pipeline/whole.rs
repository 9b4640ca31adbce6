//! A list that is asked for as a whole: its pages, one after the other, on one pinned state, as one
//! answer. It is one call: the caller is known and has paid for it.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
    time::Instant,
};
use tonic::Code;

use super::{Call, Planned, Scope};
use crate::{error::Error, limits::LIST_ROWS_MAX, listen::Applied};

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
    let mut next = call.next_page(&planned.answer);
    while let Some(call) = next {
        if Instant::now() >= deadline {
            return Err(Error::deadline(Applied::No));
        }
        let page = off_the_tasks(|| page(&call, scope))?;
        next = call.next_page(&page);
        if C::append(&mut planned.answer, page) > LIST_ROWS_MAX {
            let message = format!(
                "more than {LIST_ROWS_MAX} rows can't be listed at once: name a longer prefix, or \
                 list in pages over gRPC"
            );
            return Err(Error::new(
                Code::FailedPrecondition,
                "TOO_MANY_ROWS",
                message,
            ));
        }
    }
    Ok(planned)
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
fn off_the_tasks<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}
