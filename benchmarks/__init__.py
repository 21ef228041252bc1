"""Benchmarks that print Apache Kafka beside pabal, both measured by turns in one run."""
