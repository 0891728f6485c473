"""Tests against real API servers."""
