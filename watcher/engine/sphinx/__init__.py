"""Recognition by pocketsphinx: English, and nothing to download."""
