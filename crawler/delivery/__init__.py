"""From entities to DataHub: each one is delivered and verified, or named as a finding and kept as dead letters."""
