# A workload that serves the model "diabetes": finds who signed it, has its file keys unwrapped. No other model.
path "release/root/+" {
  capabilities = ["read"]
}
path "release/model/diabetes" {
  capabilities = ["read"]
}
path "transit/decrypt/diabetes" {
  capabilities = ["update"]
}
