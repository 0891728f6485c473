"""Tests of the whole local system."""
