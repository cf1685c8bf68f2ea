"""
What an operator runs against the admin API, over HTTP and from any machine.

It may import layer 0 and the keys' package, and knows nothing of the server's code. It never trusts what a server says
about documents: whatever it shows or signs it has verified or computed here.
"""
