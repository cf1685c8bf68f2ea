"""
Schema history: one file per step, applied in order by alembic.

It may import alembic and SQLAlchemy, never ``tables``: a step must create what it created on the day it was written.
A released step is never changed.
"""
