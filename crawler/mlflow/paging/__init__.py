"""Which page to ask for next and which of its rows are new: pure, without I/O."""
