"""The benchmark: contenders, workloads, measurements, tables."""
