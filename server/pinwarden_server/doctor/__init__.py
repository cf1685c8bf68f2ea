"""
``pinwarden server doctor``: whether a real installation is what this program needs, and what to do where it is not.

``facts`` gathers by reading alone, ``checks`` judges without I/O, ``view`` shows. Nothing here writes a file or a row,
or takes a lock; what cannot be asked is a fact too, and never keeps the rest from being judged.
"""

from pinwarden_server.doctor.checks import CHECKS, examine
from pinwarden_server.doctor.facts import Facts, gather
from pinwarden_server.doctor.finding import Finding, State

__all__ = ["CHECKS", "Facts", "Finding", "State", "examine", "gather"]
