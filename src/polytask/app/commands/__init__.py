"""The commands of ``polytask``, one per file; :data:`polytask.app.cli.COMMANDS` lists them."""
