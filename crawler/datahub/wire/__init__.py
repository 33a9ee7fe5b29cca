"""The forms in which proposals travel to DataHub."""
