"""Tests of values and of one process."""
