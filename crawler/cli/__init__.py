"""What each command does, from settings to exit code."""
