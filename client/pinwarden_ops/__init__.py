"""
What an operator runs against the admin API, over HTTP and from any machine.

It may import layer 0 and the keys' package, and knows nothing of the server's code. What people sign was verified or
computed here; everything else that a server says is shown as its word, and never decides what is signed.
"""
