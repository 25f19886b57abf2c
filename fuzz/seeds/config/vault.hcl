ui = true
storage "raft" {
  path = "/d"
  node_id = "n"
}
listener "tcp" {
  address = ":8200"
  tls_disable = 1
}
listener "tcp" {
  tls_cert_file = "c"
  tls_key_file = "k"
}
seal "shamir" {}
audit "file" "f" {
  options {
    file_path = "/a"
  }
}
max_lease_ttl = "768h"
log_level = "trace"
telemetry {}
