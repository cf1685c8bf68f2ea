"""
How long Redis is waited for, and how much is read from it; in one place, so that tests on busy machines can change it.

Nothing is imported here, and nothing decided.
"""

# For a connection with its TLS, for each answer, and for all that one call asks on the way: no byte begins them anew.
CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.25
CALL_SECONDS = 1.0
SMALL_ANSWER_BYTES = 64 * 1024
MAX_HINTS = 256
