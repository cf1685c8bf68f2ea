"""
Proof that no check can vanish unnoticed: each mutant takes exactly one away, and some test must then fail.

``python -m tests.mutants`` runs the reviewed table in ``table/``. It imports nothing of the packages it changes, and it
changes copies in a temporary folder, never the work tree. ``--remember`` alone writes there: which test noticed each
goes into ``killers.json``, and the next run asks that one first.
"""

from tests.mutants.mutant import Mutant, Rotten, tests_for
from tests.mutants.run import Outcome, Runner
from tests.mutants.table import MUTANTS

__all__ = ["MUTANTS", "Mutant", "Outcome", "Rotten", "Runner", "tests_for"]
