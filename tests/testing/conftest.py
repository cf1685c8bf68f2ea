"""The public test support as its users have it: the fixtures of its plugin, and nothing of their own."""

from pinwarden.testing.plugin import enforce_pins, local_server, throwaway_authority, throwaway_pins  # noqa: F401
