# Who approves releases: reads every record and says yes to the ones of others. The server refuses the author whatever his policies say.
path "release/*" {
  capabilities = ["read", "list"]
}
path "release/+/approve" {
  capabilities = ["update"]
}
