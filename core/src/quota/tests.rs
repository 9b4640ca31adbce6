//! Rate limits against a naive model, and lease-count quotas under a random walk: after every step
//! each counter is what a look at all records gives.

mod count;
mod rate;
