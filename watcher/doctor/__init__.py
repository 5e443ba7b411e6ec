"""`watcher check`: what is wrong with settings, folders, state, server and clock."""
