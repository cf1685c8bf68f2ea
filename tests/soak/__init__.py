"""
Everything that reads bytes from outside, fed with what nearly fits: only its own kind of error may come out.

Tests here are short by default; ``python -m tests.soak`` runs them, and the mutated bundles of ``tests/trust``, for as
long as one likes. Changes are drawn by number, so a failing number is a test case for good.
"""
