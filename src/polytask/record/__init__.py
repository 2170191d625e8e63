"""What a run leaves on disk: whole folders, and the schemas of the files in them."""
