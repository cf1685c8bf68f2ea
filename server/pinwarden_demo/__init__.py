"""
`pinwarden demo` and `pinwarden dev`: the whole product on one machine, and the proof that it holds (layer 3).

It may import every other package and starts their real parts: nothing is simulated that runs here. It listens on
loopback alone, stops every process that it started by its number, and leaves nothing behind but what `--keep` asks for.
"""
