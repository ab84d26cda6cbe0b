"""The guard: who may ask, who must agree, and that both are recorded before anything happens. Values in, decisions out."""
