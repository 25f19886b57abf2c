listener "a" {
  mode = "client"
  listen = "unix:/run/a.sock"
  target = "[::1]:8443"
  allow = ["spiffe://a/b"]
  socket_mode = "0660"
}
metrics = "127.0.0.1:9464"
