"""The company's own knowledge as of a time: staff, tickets, cases, rosters, grants, legal processes, consents, press, links.

Rules this room keeps: ids become keyed pseudonyms before anything is stored; free text is sealed and only its keyed hash stays;
a row that cannot be read is set aside with file, line and reason while the rest goes on; what arrived later never hides what
was there (`recorded`), and every load is recorded in the ledger before it counts.
"""
