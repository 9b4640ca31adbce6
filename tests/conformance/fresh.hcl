# A server of its own for a case of the suite: the suite fills in the names between @.
storage "raft" {
  path    = "@dir@/data"
  node_id = "n1"
}

listener "tcp" {
  address         = "127.0.0.1:@port@"
  cluster_address = "127.0.0.1:@cport@"
  tls_disable     = true
}

api_addr     = "http://127.0.0.1:@port@"
cluster_addr = "https://127.0.0.1:@cport@"
log_level    = "warn"
