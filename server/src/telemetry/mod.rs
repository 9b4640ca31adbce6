//! What the process tells about itself: logs and metrics. Never a secret, a name or a value of a
//! user; labels come from closed sets.

mod expiration;
mod logs;
mod metrics;
mod proposed;
mod scrape;
mod store;

pub use expiration::ExpirationMetrics;
pub use logs::{LogHandle, LogTarget, install_panic_hook, start_logs};
pub use metrics::{ConnectionGuard, InflightGuard, ListenerMetrics, Metrics};
pub use proposed::ProposedMetrics;
pub use scrape::{MetricsListener, OPEN_METRICS, serve_metrics};
pub use store::StoreMetrics;
