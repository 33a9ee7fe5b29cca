"""The command line: one module for each command, from its flags to its exit code."""
