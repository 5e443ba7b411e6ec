"""Markers for editors: what was said, at its place on a timeline. Each module writes the file of one program.

The forms are known from their makers' documents and from several independent readers and writers, not from the programs themselves.
"""
