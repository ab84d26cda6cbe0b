"""Benchmarks: figures on data that nobody here wrote, through the same code as everything else."""
