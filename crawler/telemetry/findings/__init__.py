"""The catalogue of findings: what they are, and which there may be, by what is done."""
