# A workload that serves another model: it may look up releases, and cannot open "diabetes".
path "release/root/+" {
  capabilities = ["read"]
}
path "transit/decrypt/other" {
  capabilities = ["update"]
}
