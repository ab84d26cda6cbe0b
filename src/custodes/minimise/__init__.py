"""Making less of what came in: keyed pseudonyms for ids, countries and networks for addresses. Keys are always passed in."""
