//! The domain, pure.
