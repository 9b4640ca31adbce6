//! The words of the domain: ids, times, names, bounds. Each is checked once, where it is
//! made; whoever holds one may rely on it. No integer stands for "never" or "none".

mod cidr;
mod display_name;
mod lease_id;
pub mod limits;
mod meta;
mod mount_id;
mod path;
mod policy_name;
mod role_name;
mod secret;
mod time;
mod token_id;

pub use cidr::{CidrError, Cidrs};
pub use display_name::DisplayName;
pub use lease_id::{LeaseId, LeaseIdError};
pub use meta::{Meta, MetaError};
pub use mount_id::MountId;
pub use path::{Path, PathError};
pub use policy_name::{PolicyName, PolicyNameError, PolicySet, PolicySetError};
pub use role_name::{RoleName, RoleNameError};
pub use secret::Secret;
pub use time::{Expiry, Ttl, TtlError, TtlRequest, UnixMillis};
pub use token_id::{Accessor, BATCH_SEALED_BYTES_MAX, TokenId, TokenIdError};
