//! The envelope of Vault's answers: the same keys, so that scripts go on working.

use serde::Serialize;

/// What Vault wraps every answer in. `wrap_info` is null: it is there because scripts read
/// it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Envelope<D, A> {
    request_id: String,
    lease_id: String,
    renewable: bool,
    lease_duration: i64,
    data: Option<D>,
    wrap_info: Option<()>,
    warnings: Option<Vec<String>>,
    auth: Option<A>,
}

impl<D, A> Envelope<D, A> {
    /// The same with the id under which the server logged the request.
    pub(crate) fn with_request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id.unwrap_or_default();
        self
    }

    fn empty() -> Self {
        Self {
            request_id: String::new(),
            lease_id: String::new(),
            renewable: false,
            lease_duration: 0,
            data: None,
            wrap_info: None,
            warnings: None,
            auth: None,
        }
    }
}

impl<D> Envelope<D, ()> {
    /// The same with what is said about its life, and with warnings.
    pub(crate) fn with_life(mut self, lease_duration: i64, warnings: &[String]) -> Self {
        self.lease_duration = lease_duration;
        self.warnings = (!warnings.is_empty()).then(|| warnings.to_vec());
        self
    }

    /// An answer that shows something.
    pub(crate) fn data(data: D) -> Self {
        Self {
            data: Some(data),
            ..Self::empty()
        }
    }
}

impl<A> Envelope<(), A> {
    /// An answer that hands a token out.
    pub(crate) fn auth(auth: A, warnings: &[String]) -> Self {
        Self {
            auth: Some(auth),
            warnings: (!warnings.is_empty()).then(|| warnings.to_vec()),
            ..Self::empty()
        }
    }
}

impl Envelope<(), ()> {
    /// An answer that hands a lease out.
    pub(crate) fn lease(
        lease_id: String,
        lease_duration: i64,
        renewable: bool,
        warnings: &[String],
    ) -> Self {
        Self {
            lease_id,
            lease_duration,
            renewable,
            warnings: (!warnings.is_empty()).then(|| warnings.to_vec()),
            ..Self::empty()
        }
    }
}
