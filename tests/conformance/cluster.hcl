# One node of the suite's clusters: it names each node itself, in its stanza of the storage.
@storage@

listener "tcp" {
  address         = "127.0.0.1:@port@"
  cluster_address = "127.0.0.1:@cport@"
  tls_disable     = true
}

api_addr     = "http://127.0.0.1:@port@"
cluster_addr = "https://127.0.0.1:@cport@"
log_level    = "warn"
