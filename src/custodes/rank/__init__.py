"""Putting findings in the order in which a person with little time should look at them. Values in, values out."""
