"""
Ready pieces for other libraries, one module each.

A module here imports its library and nothing imports the module but its user, so that none of them is needed to use
Pinwarden. Nothing here judges a connection: that is done by the context that PinClient hands out.
"""
