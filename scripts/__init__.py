"""What writes files of this project; run as `python -m scripts.NAME`."""
