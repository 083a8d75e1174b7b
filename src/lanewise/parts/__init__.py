"""Parts of a recipe: data and mathematics for one lane. No engine here."""
