//! The policy that comes with every cluster. `root` has no text: it is [`super::Policy::root`].

/// What the policy `default` says until an operator changes it: what a token needs to look
/// after itself.
pub const DEFAULT_POLICY_TEXT: &str = r#"# A token may look at itself, renew itself and end itself.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# It may ask what it may do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}

path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# It may read the identity it stands for.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}

path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# It may list its own leases, and look up and renew one of them by its id.
path "sys/leases/lookup" {
  capabilities = ["list", "update"]
}

path "sys/leases/renew" {
  capabilities = ["update"]
}

# It has a store of its own, which ends with it.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# It may wrap what it knows, and open what was wrapped for it.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}

path "sys/wrapping/lookup" {
  capabilities = ["update"]
}

path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# It may hash.
path "sys/tools/hash" {
  capabilities = ["update"]
}

path "sys/tools/hash/*" {
  capabilities = ["update"]
}

# It may sign in elsewhere with its identity, where the provider lets it.
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}
"#;
