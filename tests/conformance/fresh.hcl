# A server of its own for a case of the suite: the suite fills in the names between @.
storage "raft" {
  path    = "@dir@/data"
  node_id = "n1"
}

listener "tcp" {
  address         = "127.0.0.1:@port@"
  cluster_address = "127.0.0.1:@cport@"
  tls_disable     = true

  # The suite rekeys and makes root tokens without a token, as the older API has it.
  disable_unauthed_rekey_endpoints         = false
  disable_unauthed_generate_root_endpoints = false
}

api_addr     = "http://127.0.0.1:@port@"
cluster_addr = "https://127.0.0.1:@cport@"
log_level    = "warn"
