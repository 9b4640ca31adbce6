//! A reader that doesn't read: its stream ends with a reason, and it goes on where it was.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_client::proto::lease_event::Subject;
use tenure_client::proto::lease_service_client::LeaseServiceClient;
use tenure_client::proto::{LeaseEvent, LeaseRenewal, WatchRequest};
use tenure_tests::server_cluster::Outcome;
use tonic::{Request, Status};
use tonic_types::StatusExt;

use super::granted;
use crate::{ensure, raw, run, text, three};

const LEASES: usize = 200;
/// Far more than all the buffers between the node and its reader hold.
const ROUNDS: usize = 200;

fn asked(token: &str, start: Option<u64>) -> Outcome<Request<WatchRequest>> {
    let mut request = Request::new(WatchRequest {
        prefix: "slow".into(),
        start_revision: start,
        ..WatchRequest::default()
    });
    let value = format!("Bearer {token}").parse().map_err(text)?;
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

/// Reads to the end of the stream, or until so many events were seen in all.
async fn read(
    stream: &mut tonic::Streaming<tenure_client::proto::WatchResponse>,
    seen: &mut Vec<LeaseEvent>,
    shown_to: &mut u64,
    until: usize,
) -> Result<(), Status> {
    while seen.len() < until {
        match stream.message().await? {
            Some(message) => {
                *shown_to = message.revision;
                seen.extend(message.events);
            }
            None => return Err(Status::unknown("no reason")),
        }
    }
    Ok(())
}

#[test]
fn a_reader_that_does_not_read() {
    run(
        "streams::slow::a_reader_that_does_not_read",
        async |scenario| {
            let cluster = three(scenario).await?;
            let root = cluster.client()?;
            let mut ids = Vec::new();
            for number in 0..LEASES {
                ids.push(granted(&root, &format!("slow/{number}"), 3600).await?);
            }
            let token = root_token(&cluster);
            let mut service = LeaseServiceClient::new(raw::channel(&cluster, 1)?);
            let mut lazy = service
                .watch(asked(&token, None)?)
                .await
                .map_err(text)?
                .into_inner();
            let mut keep_alive = root.keep_alive();
            let renewal = |id: &String| LeaseRenewal {
                lease_id: id.clone(),
                increment: None,
            };
            for _ in 0..ROUNDS {
                keep_alive
                    .renew(ids.iter().map(renewal).collect())
                    .await
                    .map_err(text)?;
            }
            // Longer than the node waits for room.
            tokio::time::sleep(Duration::from_secs(13)).await;
            let (mut seen, mut shown_to, all) = (Vec::new(), 0, LEASES * ROUNDS);
            let ended = read(&mut lazy, &mut seen, &mut shown_to, all + 1).await;
            let status = ended.err().ok_or("everything was kept for it")?;
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone());
            ensure(reason.as_deref() == Some("SLOW_CONSUMER"), || {
                format!("{status:?}")
            })?;
            scenario.say(format!("ended after {} of {all} events", seen.len()));
            // Through another node, where it was.
            let mut service = LeaseServiceClient::new(raw::channel(&cluster, 2)?);
            let again = service.watch(asked(&token, Some(shown_to + 1))?).await;
            let mut again = again.map_err(text)?.into_inner();
            read(&mut again, &mut seen, &mut shown_to, all)
                .await
                .map_err(text)?;
            let distinct: BTreeSet<(u64, String)> = seen
                .iter()
                .map(|event| match &event.subject {
                    Some(Subject::LeaseId(id)) => (event.revision, id.clone()),
                    _ => (0, String::new()),
                })
                .collect();
            ensure(distinct.len() == all && seen.len() == all, || {
                format!("{} events, {} distinct", seen.len(), distinct.len())
            })
        },
    );
}

fn root_token(cluster: &tenure_tests::server_cluster::ServerCluster) -> String {
    cluster.root().expose().to_owned()
}
