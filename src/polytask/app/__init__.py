"""The command line and the configuration file: the only room that reads a user's files and flags."""
