# A service may read its own settings.
path "secret/data/app/*" {
  capabilities = ["read", "list"]
  min_wrapping_ttl = "1m"
  max_wrapping_ttl = 300
}

path "secret/+/shared" {
  capabilities = ["create", "update", "patch"]
  allowed_parameters = { "mode" = ["a", "b*"], "*" = [] }
  denied_parameters  = { "root" = [] }
  required_parameters = ["mode"]
}
