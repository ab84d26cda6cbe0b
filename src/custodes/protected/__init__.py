"""Protected people: a registry that answers which classes a given subject belongs to, and can never be listed.

Rules this room keeps: nothing in the file says who is in it, how many are, or what class an entry has, to anybody without the key;
with the key a subject must be named before there is an answer. Only subjects that were in fact touched are ever asked for.
"""
