"""
The table, by rooms: written by hand, so that each row is one check that someone meant.

A row takes away one check, or moves one boundary by one. When code changes, its rows change with it; a test fails for a
row that no longer applies, and for a refusal in the verifier that no row takes away.
"""

from tests.mutants.mutant import Mutant
from tests.mutants.table.documents import DOCUMENTS
from tests.mutants.table.enforcement import ENFORCEMENT
from tests.mutants.table.envelopes import ENVELOPES
from tests.mutants.table.life import LIFE
from tests.mutants.table.network import NETWORK
from tests.mutants.table.parsing import PARSING
from tests.mutants.table.redis import REDIS
from tests.mutants.table.tls import TLS
from tests.mutants.table.trust import TRUST

MUTANTS: list[Mutant] = [*PARSING, *ENVELOPES, *DOCUMENTS, *TRUST, *ENFORCEMENT, *TLS, *NETWORK, *LIFE, *REDIS]
