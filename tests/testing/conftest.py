"""The public test support as its users have it: through its plugin, and nothing of their own."""

pytest_plugins = ["pinwarden.testing.plugin"]
