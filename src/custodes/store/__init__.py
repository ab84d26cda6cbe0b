"""The memory: accesses (Parquet), vault (sealed raw records and group values), desk (findings). Import its modules by name."""
