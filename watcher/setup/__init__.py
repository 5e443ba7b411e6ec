"""`watcher setup`: write the settings, install and start the service, and take both away again."""
