"""
A cache in Redis that the clients of a fleet share (spec C4, C6); needs ``pip install 'pinwarden[redis]'``.

``address`` reads the URL, ``link`` is one connection with limits of time and size, ``head`` orders what is kept,
``cache`` keeps it. It may import ``cache``, the gate, ``deadline``, ``tls`` and redis-py. Nothing here judges a
document: whoever can write to Redis can at most make clients fetch from the pin server.
"""

from pinwarden.cache_redis.address import SCHEMES, RedisAddress, parse_address
from pinwarden.cache_redis.cache import RedisCache, open_redis

__all__ = ["SCHEMES", "RedisAddress", "RedisCache", "open_redis", "parse_address"]
