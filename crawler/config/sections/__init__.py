"""The sections of a recipe: frozen data, with the official connector's options under their own names, and ours.

The text under a field is its line in docs/recipe.md, which `python -m scripts.recipe_reference` writes.
"""
