//! The metrics of what ends: how late it is cleared away, and how many revocations have something
//! left to clear away. Holds what it is told, and asks nobody.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tenure_core::{state::DueKind, token::Revocations};

/// Upper ends of the buckets: from one step of the manager to a cluster that was down for an hour.
const LATENESS_SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0, 3_600.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// What is told of expiry and clean-up.
#[derive(Clone, Debug)]
pub struct ExpirationMetrics {
    lateness: Family<KindLabels, Histogram, fn() -> Histogram>,
    pending: Family<KindLabels, Gauge>,
}

impl Default for ExpirationMetrics {
    fn default() -> Self {
        Self {
            lateness: Family::new_with_constructor(|| Histogram::new(LATENESS_SECONDS)),
            pending: Family::default(),
        }
    }
}

impl ExpirationMetrics {
    /// Notes what was due and is cleared away, by this node as the active one.
    pub(crate) fn cleared(&self, kind: &DueKind, late: Duration) {
        let kind = match kind {
            DueKind::Token(_) => "token",
            DueKind::Lease(_) => "lease",
            DueKind::Dedupe(_) => "answer",
        };
        let lateness = self.lateness.get_or_create(&KindLabels { kind });
        lateness.observe(late.as_secs_f64());
    }

    /// Shows how many revocations have something left to clear away.
    pub(crate) fn set_pending(&self, set: &Revocations) {
        let pending = [
            ("tree", set.tombstones().len()),
            ("prefix", set.prefixes().len()),
        ];
        for (kind, count) in pending {
            let gauge = self.pending.get_or_create(&KindLabels { kind });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "expiration_lateness",
            "From the end of what was due until it was cleared away",
            Unit::Seconds,
            self.lateness.clone(),
        );
        registry.register(
            "revocations_pending",
            "Revocations in effect whose records are not all cleared away",
            self.pending.clone(),
        );
    }
}
