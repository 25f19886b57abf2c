auto_auth { method "token_file" { config = { token_file_path = "/t" } } }
cache {}
listener "unix" { address = "/s" }
env_template "PASSWORD" { contents = "{{ with secret \"secret/data/a\" }}{{ .Data.data.p }}{{ end }}" }
exec { command = ["/bin/app"] restart_on_secret_changes = "never" restart_stop_signal = "SIGINT" }
