"""Tests of syncer.admission."""
