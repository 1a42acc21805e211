"""Tests of appliance.board."""
