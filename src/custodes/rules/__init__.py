"""The rule shelf: one YAML file per rule, found by looking into this folder. Read and run by `custodes.rule`."""
