"""
Measurements: what Pinwarden costs, as ratios within one run.

A bench may import everything and start real servers on loopback. It prints and never asserts: a slow machine is not a
defect, and a figure that nobody looks at is not a test.
"""
