"""Supervision, with a real supervisord and real processes."""
