# Who releases the model "diabetes": shows evidence, signs with the team's key, encrypts for the model's own key.
# May approve the releases of colleagues: the server refuses the author's own, whatever this policy says.
# Cannot open what was encrypted.
path "release/*" {
  capabilities = ["read", "list"]
}
path "release/open" {
  capabilities = ["update"]
}
path "release/model/diabetes" {
  capabilities = ["read", "update"]
}
path "release/+/evidence" {
  capabilities = ["update"]
}
path "release/+/sign" {
  capabilities = ["update"]
}
path "release/+/gate" {
  capabilities = ["update"]
}
path "release/+/approve" {
  capabilities = ["update"]
}
path "transit/keys/release-signing" {
  capabilities = ["create", "read", "update"]
}
path "transit/sign/release-signing" {
  capabilities = ["update"]
}
path "transit/encrypt/diabetes" {
  capabilities = ["create", "update"]
}
