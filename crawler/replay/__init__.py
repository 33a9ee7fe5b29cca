"""Sends the proposals of a file: dead letters, or what a file sink wrote."""
