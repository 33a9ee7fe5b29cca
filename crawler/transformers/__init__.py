"""acryl-datahub's transformers, which change entities between the mapping and the delivery.

Nothing of acryl-datahub is imported unless a recipe has transformers.
"""
