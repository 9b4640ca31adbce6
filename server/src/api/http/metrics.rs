//! `sys/metrics`: what a node counts, as it is (`format=prometheus`) or in the JSON of the peers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tenure_proto::v1;

use super::{
    HttpCall,
    body::Input,
    envelope::Reply,
    route::{Route, read},
};
use crate::{error::Error, telemetry::OPEN_METRICS};

impl HttpCall for v1::GetMetricsRequest {
    const ROUTES: &'static [Route] = &[read("/v1/sys/metrics")];

    fn from_http(input: &mut Input) -> Result<Self, Error> {
        match input.query.get("format") {
            None | Some("" | "json" | "prometheus") => Ok(Self {}),
            Some(_) => Err(Error::invalid_argument("format: json or prometheus")),
        }
    }

    fn to_reply(answer: Self::Answer, input: &Input) -> Reply {
        match input.query.get("format") {
            Some("prometheus") => Reply::plain(answer.text, OPEN_METRICS),
            _ => Reply::bare(http::StatusCode::OK, summary(&answer.text)),
        }
    }
}

/// What of a histogram the peers show.
#[derive(Default)]
struct Sample {
    count: f64,
    sum: f64,
}

/// The metrics as the peers write them: gauges, counters, and of histograms count, sum and mean.
fn summary(text: &str) -> Value {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut gauges, mut counters) = (Vec::new(), Vec::new());
    let mut samples: BTreeMap<(&str, &str), Sample> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            kinds.extend(declared.split_once(' '));
            continue;
        }
        let Some((name, labels, value)) = taken_apart(line) else {
            continue;
        };
        let of = |end: &str, kind: &str| {
            let name = name.strip_suffix(end)?;
            (kinds.get(name) == Some(&kind)).then_some(name)
        };
        if let Some(name) = of("", "gauge") {
            gauges.push(json!({ "Name": name, "Value": value, "Labels": labels_of(labels) }));
        } else if let Some(name) = of("_total", "counter") {
            counters.push(json!({
                "Name": name, "Count": value, "Sum": value, "Labels": labels_of(labels),
            }));
        } else if let Some(name) = of("_count", "histogram") {
            samples.entry((name, labels)).or_default().count = value;
        } else if let Some(name) = of("_sum", "histogram") {
            samples.entry((name, labels)).or_default().sum = value;
        }
    }
    let samples = samples
        .into_iter()
        .map(|((name, labels), Sample { count, sum })| {
            let mean = if count > 0.0 { sum / count } else { 0.0 };
            json!({
                "Name": name, "Count": count, "Sum": sum, "Mean": mean, "Labels": labels_of(labels),
            })
        });
    json!({
        "Gauges": gauges,
        "Points": [],
        "Counters": counters,
        "Samples": samples.collect::<Vec<_>>(),
    })
}

/// Name, labels and value of a line.
fn taken_apart(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (named, value) = line.rsplit_once(' ')?;
    let (name, labels) = match named.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (named, ""),
    };
    Some((name, labels, value.parse().ok()?))
}

/// Labels of ours come from closed sets: none of their values holds a quote or a comma.
fn labels_of(text: &str) -> Value {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_in_the_shape_of_the_peers() {
        let text = "# HELP a x.\n# TYPE a gauge\na 3\n# TYPE b counter\nb_total{m=\"/v1/{x...}\",c=\"OK\"} 2\n\
            # TYPE d_seconds histogram\n# UNIT d_seconds seconds\nd_seconds_sum{m=\"x\"} 1.5\n\
            d_seconds_count{m=\"x\"} 3\nd_seconds_bucket{le=\"1\",m=\"x\"} 3\n# EOF\n";
        let wanted = json!({
            "Gauges": [{"Name": "a", "Value": 3.0, "Labels": {}}],
            "Points": [],
            "Counters": [{
                "Name": "b", "Count": 2.0, "Sum": 2.0,
                "Labels": {"m": "/v1/{x...}", "c": "OK"},
            }],
            "Samples": [{
                "Name": "d_seconds", "Count": 3.0, "Sum": 1.5, "Mean": 0.5, "Labels": {"m": "x"},
            }],
        });
        assert_eq!(summary(text), wanted);
    }
}
