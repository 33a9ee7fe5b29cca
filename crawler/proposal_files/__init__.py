"""Files of proposals: dead letters, and what a file sink wrote."""
