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
mod retry;
mod seal;
mod secret;
mod secrets;
mod tokens;
mod watch;

pub use builder::Builder;
pub use call::Client;
pub use cluster::{JoinToken, Peer};
pub use error::{Applied, Error, ErrorKind};
pub use health::Health;
pub use keep_alive::KeepAlive;
pub use limits::{CONNECT_TIMEOUT_MS, DEADLINE_MS, READ_ATTEMPT_MS};
pub use policies::CapabilitiesOf;
pub use seal::InitKeys;
pub use secret::Secret;
/// The messages of the contract.
pub use tenure_proto::v1 as proto;
/// The status codes of gRPC.
pub use tonic::Code;
pub use watch::Watch;
