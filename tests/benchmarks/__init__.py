"""What the benchmarks say of their figures."""
