//! Client of a Tenure cluster. One [`Client`] knows several addresses: a call goes to the
//! one that served last, and to the next where that is down. Every call ends within its
//! deadline. It must never send a call a second time that may already have been carried
//! out, unless that call changes nothing or carries a request id.
//!
//! ```no_run
//! # async fn example() -> Result<(), tenure_client::Error> {
//! use tenure_client::{Client, Secret, proto};
//!
//! let client = Client::builder()
//!     .addresses(["https://tenure-0:8200", "https://tenure-1:8200"])
//!     .ca_pem(std::fs::read("ca.pem").unwrap_or_default())
//!     .token(Secret::new(std::env::var("TENURE_TOKEN").unwrap_or_default()))
//!     .build()?;
//! let child = client
//!     .create_token(proto::CreateTokenRequest {
//!         policies: vec!["default".into()],
//!         ..Default::default()
//!     })
//!     .await?;
//! println!("made the token with the accessor {}", child.accessor);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Renewer`] keeps the client's token and its leases alive, over failovers, and says when it is
//! time to log in again:
//!
//! ```no_run
//! # async fn example(client: tenure_client::Client) -> Result<(), tenure_client::Error> {
//! use tenure_client::{Kept, News, proto};
//!
//! let renewer = client.renewer().and_token(None);
//! let lease = client
//!     .grant_lease(proto::GrantLeaseRequest {
//!         path: "workers/7".into(),
//!         ..Default::default()
//!     })
//!     .await?;
//! renewer.keep(lease.lease_id, None)?;
//! loop {
//!     match renewer.next().await {
//!         (Kept::Token, News::ReachedMax { .. } | News::Gone { .. }) => break, // log in again
//!         (Kept::Lease(id), News::Gone { reason }) => println!("{id} is gone: {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::watch`] shows what happens to leases, and resumes where it was on another node:
//!
//! ```no_run
//! # async fn example(client: tenure_client::Client) -> Result<(), tenure_client::Error> {
//! use tenure_client::proto::{LeaseEventKind, WatchRequest, lease_event::Subject};
//!
//! let mut watch = client.watch(WatchRequest {
//!     prefix: "workers".into(),
//!     ..Default::default()
//! });
//! loop {
//!     for event in watch.next().await?.events {
//!         if let (LeaseEventKind::Expired, Some(Subject::LeaseId(id))) = (event.kind(), &event.subject) {
//!             println!("{id} is free again");
//!         }
//!     }
//! }
//! # }
//! ```

mod backup;
mod builder;
mod call;
mod cluster;
mod error;
mod health;
mod keep_alive;
mod keys;
mod leases;
mod limits;
mod mounts;
mod policies;
mod quotas;
mod renewer;
mod retry;
mod seal;
mod secret;
mod secrets;
mod token_roles;
mod tokens;
mod watch;

pub use backup::Snapshot;
pub use builder::Builder;
pub use call::Client;
pub use cluster::{JoinToken, Peer};
pub use error::{Applied, Error, ErrorKind};
pub use health::Health;
pub use keep_alive::KeepAlive;
pub use limits::{CONNECT_TIMEOUT_MS, DEADLINE_MS, READ_ATTEMPT_MS, RENEWER_LEASES_MAX};
pub use policies::CapabilitiesOf;
pub use renewer::{Kept, News, Renewer};
pub use seal::InitKeys;
pub use secret::Secret;
/// The messages of the contract.
pub use tenure_proto::v1 as proto;
/// The status codes of gRPC.
pub use tonic::Code;
pub use watch::Watch;
