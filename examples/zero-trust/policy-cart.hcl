# What the cart's identity may do in Merlon itself: read its own database password, and nothing else.
path "secret/data/shop/cart" {
  capabilities = ["read"]
}
