//! Takes away the headers by which proxies and nodes speak of others. Who a client is comes from
//! its connection and its token alone; nodes speak on the peer port.

use http::{HeaderMap, HeaderName, Request, Response};
use tonic::body::Body;

use super::{Next, Step};

/// Any header that begins so.
const PREFIXES: [&str; 6] = [
    "x-tenure-internal-",
    "x-tenure-forward",
    "x-vault-internal-",
    "x-vault-forward",
    "x-forwarded-",
    "x-ssl-client-",
];
/// These headers.
const NAMES: [&str; 6] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-client-cert",
    "x-request-id",
];
/// These hold secrets: marked, so that no Debug output shows them.
const SECRET: [&str; 2] = ["authorization", "x-vault-token"];

#[derive(Clone, Debug)]
pub(in crate::listen) struct Scrub;

impl Step for Scrub {
    async fn run<N: Next>(&self, mut request: Request<Body>, next: &N) -> Response<Body> {
        scrub(request.headers_mut());
        next.take(request).await
    }
}

fn scrub(headers: &mut HeaderMap) {
    let bad = |name: &HeaderName| {
        let name = name.as_str();
        NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| bad(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    for name in SECRET {
        if let http::header::Entry::Occupied(mut entry) = headers.entry(name) {
            entry.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_nodes_may_say_is_taken_away() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-tenure-internal-node",
            "X-Tenure-Forwarded-For",
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x-request-id",
        ] {
            headers.append(
                name.to_lowercase().parse::<HeaderName>().unwrap(),
                "a".parse().unwrap(),
            );
            headers.append(
                name.to_lowercase().parse::<HeaderName>().unwrap(),
                "b".parse().unwrap(),
            );
        }
        headers.append("authorization", "Bearer hvs.canary".parse().unwrap());
        headers.append("x-vault-token", "hvs.canary".parse().unwrap());
        headers.append("te", "trailers".parse().unwrap());
        scrub(&mut headers);
        assert_eq!(headers.len(), 3, "{headers:?}");
        assert!(!format!("{headers:?}").contains("canary"));
    }
}
