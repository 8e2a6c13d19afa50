"""The demo of `make run`: the product with real processes beside a fake Amazon. Never ships."""
