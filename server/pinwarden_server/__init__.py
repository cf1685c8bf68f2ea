"""
The server: what is published, who may publish it, and how it reaches every client (layer 2).

It may import ``pinwarden`` and ``pinwarden_keys``. No request makes a signature but a publication, no public read
touches the database, and no change is stored without its audit row.
"""
